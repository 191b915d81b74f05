"""The same answers as `standing.PoolProbe` for a plain cross pool, asked of its sums (`engine.margin.cross.cross_sums`)."""

from decimal import Decimal

from engine.ledger.accounts import AccountState
from engine.liquidation.linear_closing import LinearClosing
from engine.liquidation.lots import FINEST
from engine.liquidation.trades import converted, leaves_dust, proceeds, realised_amounts, reduced
from engine.margin.cross.cross_sums import CrossSums
from engine.margin.figures import Standing
from engine.margin.margin_model import model_of
from engine.margin.position_margin import PositionMargin
from engine.marks.mark_book import Prices
from engine.numbers import ONE, ZERO
from engine.policy import Policy
from engine.policy.rules.policy_switches import MarginModel


class CrossProbe:
    """A cross pool without legs, options and open orders."""

    tiered = True

    def __init__(self, state: AccountState, sums: CrossSums, prices: Prices, policy: Policy) -> None:
        """Take the account as it is, and the sums of its pool."""
        self.state, self._sums, self._prices, self._policy = state, sums, prices, policy
        self.now = sums.assets.now

    @staticmethod
    def fits(state: AccountState, prices: Prices, policy: Policy) -> bool:
        """Whether the sums hold for the shared pool of this account."""
        return model_of(state, policy) is MarginModel.CROSS and CrossSums.fits(state, prices, policy)

    def mark(self, key: str) -> Decimal:
        """See `standing.Probe.mark`."""
        return self._sums.positions[key].mark

    def notional(self, key: str) -> Decimal:
        """See `standing.Probe.notional`."""
        return self._sums.positions[key].notional

    def amounts(self) -> dict[str, Decimal]:
        """See `standing.Probe.amounts`."""
        if self._policy.pool.funding_accrual:
            return realised_amounts(self.state, self._sums.positions.values())
        return {asset: held.amount for asset, held in self._sums.assets.assets.items()}

    def foremost(self, limits: dict[str, Decimal]) -> list[str]:
        """See `standing.Probe.foremost`."""
        if len(limits) == 1:
            return [*limits]
        leaders = self._sums.leaders(limits, self._policy.liquidation)
        if len(leaders) == 1:
            return [margin.key for margin in leaders.values()]
        found = []
        best: dict[tuple[str, Decimal], tuple[Decimal, str]] = {}
        for kind, margin in leaders.items():
            if isinstance(kind, str) or self._may_leave_dust(margin, kind[1], limits[margin.key]):
                found.append(margin.key)
                continue
            # gain / cost grows with the maintenance margin rate where all else is the same
            settle, cost_rate, rate = kind
            if (settle, cost_rate) not in best or rate > best[settle, cost_rate][0]:
                best[settle, cost_rate] = rate, margin.key
        return [*found, *(key for _, key in best.values())]

    def _may_leave_dust(self, margin: PositionMargin, cost_rate: Decimal, limit: Decimal) -> bool:
        """Whether the wallet may hold no more than dust once as much of the position is closed as the limit allows."""
        wallet, dust = self._wallet(margin.settle)
        change = margin.unrealised_pnl - cost_rate * margin.notional
        if limit >= abs(margin.quantity):
            return abs(wallet + change) <= dust
        # any part of the position
        low, high = (wallet + change, wallet) if change < ZERO else (wallet, wallet + change)
        return low <= dust and high >= -dust

    def _wallet(self, asset: str) -> tuple[Decimal, Decimal]:
        """Coins in the wallet, and how many of them may be dust once a realised P&L was rounded to the last digit."""
        return self.state.balances.get(asset, ZERO), self._policy.assets[asset].dust + FINEST

    def in_vain(self, sell_asset: str, amount: Decimal, repay_asset: str, line: Decimal) -> bool:
        """See `standing.Probe.in_vain`."""
        assets = self._sums.assets
        sold, bought = assets.coin_worth(sell_asset), assets.coin_worth(repay_asset)
        if sold is None or bought is None or assets.moves_profit or line < ONE:
            return False
        if sold.counted - amount < sold.floor or bought.ceiling:
            return False
        fee_rate = self._policy.liquidation.conversion_fee_rate
        _, dust = self._wallet(repay_asset)
        # above 0 no coin is worth more than one that is owed, so all that is credited, and dust forgiven, gains at most
        # (amount * index sold * (1 - fee rate) / index bought + dust) * worth of a coin owed
        credit = amount * sold.equity * (ONE - fee_rate) + dust * bought.equity
        return credit * bought.gap(line) < amount * sold.gap(line) * bought.equity

    def closing(self, key: str, cost: Decimal) -> LinearClosing | None:
        """See `standing.Probe.closing`."""
        rates = self._sums.closing_rates(key, cost)
        if rates is None:
            return None
        margin = self._sums.positions[key]
        wallet, dust = self._wallet(margin.settle)
        return LinearClosing(self.now, rates, margin, wallet, cost, dust)

    def reduced(self, key: str, quantity: Decimal, cost: Decimal) -> Standing:
        """See `standing.Probe.reduced`."""
        if leaves_dust(self.state, self._sums.positions[key], quantity, cost, self._policy):
            return self.after_reduction(key, quantity, cost).now
        return self._sums.reduced(key, quantity, cost)

    def converted(self, sell_asset: str, amount: Decimal, repay_asset: str) -> Standing:
        """See `standing.Probe.converted`."""
        credit = proceeds(sell_asset, amount, repay_asset, self._prices, self._policy)
        wallet, assets = self.state.balances, self._policy.assets
        sold, bought = wallet.get(sell_asset, ZERO) - amount, wallet.get(repay_asset, ZERO) + credit
        if abs(sold) <= assets[sell_asset].dust or abs(bought) <= assets[repay_asset].dust:
            return self.after_conversion(sell_asset, amount, repay_asset).now
        return self._sums.assets.exchanged(sell_asset, amount, repay_asset, credit)

    def after_reduction(self, key: str, quantity: Decimal, cost: Decimal) -> "CrossProbe":
        """See `standing.Probe.after_reduction`."""
        state = reduced(self.state, "", key, quantity, self.mark(key), cost, self._policy)
        return CrossProbe(state, self._sums.after_reduction(state, key), self._prices, self._policy)

    def after_conversion(self, sell_asset: str, amount: Decimal, repay_asset: str) -> "CrossProbe":
        """See `standing.Probe.after_conversion`."""
        state = converted(self.state, sell_asset, amount, repay_asset, self._prices, self._policy)
        sums = self._sums.after_exchange(state, sell_asset, repay_asset)
        return CrossProbe(state, sums, self._prices, self._policy)
