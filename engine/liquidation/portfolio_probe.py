"""The same answers as `standing.PoolProbe` under portfolio margin, from the parts of the pool that a step leaves alone."""

from decimal import Decimal

from engine.ledger.accounts import AccountState
from engine.liquidation.trades import converted, leaves_dust, realised_amounts, reduced
from engine.margin.cross.asset_sums import AssetSums
from engine.margin.figures import Standing
from engine.margin.margin_model import model_of
from engine.margin.portfolio.pool_change import changed_pool, maintenance_after
from engine.margin.portfolio.portfolio_pool import PortfolioPool, counted_orders, summed
from engine.marks.mark_book import Prices
from engine.policy import Policy
from engine.policy.rules.policy_switches import MarginModel
from engine.position_keys import symbol_of


class PortfolioProbe:
    """A pool under portfolio margin without open orders."""

    tiered = False

    def __init__(self, state: AccountState, pool: PortfolioPool, prices: Prices, policy: Policy) -> None:
        """Take the account as it is, and its pool."""
        self.state, self._parts, self._prices, self._policy = state, pool, prices, policy
        self.now = summed(pool, state, prices, policy).standing
        self._assets = AssetSums(pool.assets, self.now, state, prices, policy)
        self._margins = {margin.key: margin for margin in pool.positions}

    @staticmethod
    def fits(state: AccountState, prices: Prices, policy: Policy) -> bool:
        """Whether a step leaves the other parts of the account's pool alone."""
        return (
            model_of(state, policy) is MarginModel.PORTFOLIO
            and not counted_orders(state)
            # a position without a mark is judged by its average entry price, which every fill rounds anew
            and all(symbol_of(key) in prices.marks for key in state.positions)
        )

    def mark(self, key: str) -> Decimal:
        """See `standing.Probe.mark`."""
        return self._margins[key].mark

    def notional(self, key: str) -> Decimal:
        """See `standing.Probe.notional`."""
        return self._margins[key].notional

    def amounts(self) -> dict[str, Decimal]:
        """See `standing.Probe.amounts`."""
        return realised_amounts(self.state, self._parts.positions)

    def foremost(self, limits: dict[str, Decimal]) -> list[str]:
        """See `standing.Probe.foremost`: each is a case of its own."""
        return [*limits]

    def closing(self, _key: str, _cost: Decimal) -> None:
        """See `standing.Probe.closing`: what a contract frees depends on all others."""

    def in_vain(self, _sell_asset: str, _amount: Decimal, _repay_asset: str, _line: Decimal) -> bool:
        """See `standing.Probe.in_vain`: a coin may be an underlying."""
        return False

    def reduced(self, key: str, quantity: Decimal, cost: Decimal) -> Standing:
        """See `standing.Probe.reduced`."""
        margin, policy = self._margins[key], self._policy
        if (
            margin.option
            or not policy.terms[margin.symbol].plain
            or self._assets.moves_profit
            or margin.settle in policy.underlyings
            # after the last position coins may secure nothing any more
            or (len(self._margins) == 1 and quantity == abs(margin.quantity))
            or leaves_dust(self.state, margin, quantity, cost, policy)
        ):
            return self.after_reduction(key, quantity, cost).now
        # what a contract realises at the mark was unrealised before: its asset changes by the cost alone
        left = margin.quantity - (quantity if margin.quantity > 0 else -quantity)
        maintenance = maintenance_after(self._parts, key, left, self._prices, policy)
        freed = maintenance - self._parts.margin.maintenance_margin
        if policy.pool.liquidation_fee_rate:
            value = policy.instruments[margin.symbol].value(quantity, margin.mark)
            freed -= policy.pool.liquidation_fee_rate * abs(value) * self._assets.assets[margin.settle].index
        return self._assets.paid(margin.settle, -cost, freed)

    def converted(self, sell_asset: str, amount: Decimal, repay_asset: str) -> Standing:
        """See `standing.Probe.converted`."""
        return self.after_conversion(sell_asset, amount, repay_asset).now

    def after_reduction(self, key: str, quantity: Decimal, cost: Decimal) -> "PortfolioProbe":
        """See `standing.Probe.after_reduction`."""
        state = reduced(self.state, "", key, quantity, self.mark(key), cost, self._policy)
        return self._after(state, key)

    def after_conversion(self, sell_asset: str, amount: Decimal, repay_asset: str) -> "PortfolioProbe":
        """See `standing.Probe.after_conversion`."""
        return self._after(
            converted(self.state, sell_asset, amount, repay_asset, self._prices, self._policy), None
        )

    def _after(self, state: AccountState, key: str | None) -> "PortfolioProbe":
        parts = changed_pool(self._parts, state, key, self._prices, self._policy)
        return PortfolioProbe(state, parts, self._prices, self._policy)
