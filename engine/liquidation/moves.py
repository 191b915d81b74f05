"""What a plan may do next: reduce a position, or repay a debt; each by any number of lots.

Sizes a reduction is tried at: as far as the tier of the position reaches, because what closing frees changes at its edge;
under margin models that judge positions together from a sixteenth up, because there the first part may free and the last
part cost margin.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Protocol, cast

from engine.accounts import AccountState
from engine.inputs import PositionLeg
from engine.liquidation.limits import limit_price
from engine.liquidation.lots import Lots, lot_of, lots_to_cover
from engine.liquidation.plan import ReduceStep, RepayStep
from engine.liquidation.standing import Probe, Standing
from engine.liquidation.trades import closing_cost, converted, positions_of, proceeds, reduced
from engine.margin.model import model_of
from engine.margin.quotes import index_price
from engine.marks import Prices
from engine.numbers import ZERO, canonical, divide, to_step, whole_steps
from engine.policy import Policy
from engine.position_keys import leg_of, symbol_of

_SIXTEENTHS = (1, 2, 4, 8, 16)
_COIN_LOT = Decimal("1e-8")
"""Coins are sold in multiples of this to repay a debt."""


class Move(Protocol):
    """One thing to do, by a number of lots. Everything inside `numbers.exact()`."""

    name: str
    """Breaks ties, and tells moves of one round apart."""
    sizes: list[int]
    """Lots worth trying, rising; the last is all that may be moved now."""

    @property
    def rank(self) -> tuple[Decimal, str]:
        """Who goes first among moves that free as much per cost."""

    def standing(self, count: int) -> Standing:
        """Where the pool stands after `count` lots."""

    def cost(self, count: int) -> Decimal:
        """Expected cost in account currency."""

    def value(self, count: int) -> Decimal:
        """What is traded, in account currency; moves that cost nothing are compared by it."""

    def applied(self, count: int) -> AccountState:
        """The account after it."""

    def step(self, count: int, freed: Decimal, round_: int) -> ReduceStep | RepayStep:
        """The step of the plan."""


class Reduction:
    """Close a part of a position at the mark."""

    def __init__(
        self, probe: Probe, pool: str, key: str, limit: Decimal, prices: Prices, policy: Policy
    ) -> None:
        """`limit` is how many contracts may be closed now."""
        self._probe, self._pool, self._prices, self._policy = probe, pool, prices, policy
        self.name, self._symbol = key, symbol_of(key)
        self._position = positions_of(probe.state, pool)[key]
        self._mark = probe.marks[key]
        self._instrument = policy.instruments[self._symbol]
        self._lots = Lots(abs(self._position.quantity), lot_of(self._instrument.quantity_step))
        self._index, _ = index_price(policy, self._instrument.settle, prices)
        self.whole = self._lots.whole
        """Lots of the whole position."""
        most = self.whole
        if limit < self._lots.amount:
            most = lots_to_cover(limit, self._lots.lot)
        self.sizes = self._sizes(most)

    @property
    def rank(self) -> tuple[Decimal, str]:
        """The largest loss first, in account currency."""
        value = self._instrument.value(self._position.quantity, self._mark)
        return self._instrument.profit(self._position.entry_value, value) * self._index, self.name

    def quantity(self, count: int) -> Decimal:
        """Contracts in `count` lots."""
        return self._lots.amount_of(count)

    def standing(self, count: int) -> Standing:
        """See `Move`."""
        return self._probe.reduced(self.name, self._lots.amount_of(count))

    def cost(self, count: int) -> Decimal:
        """See `Move`."""
        quantity = self._lots.amount_of(count)
        return closing_cost(self._symbol, quantity, self._mark, self._policy) * self._index

    def value(self, count: int) -> Decimal:
        """See `Move`."""
        return abs(self._instrument.value(self._lots.amount_of(count), self._mark)) * self._index

    def applied(self, count: int) -> AccountState:
        """See `Move`."""
        quantity = self._lots.amount_of(count)
        return reduced(self._probe.state, self._pool, self.name, quantity, self._mark, self._policy)

    def step(self, count: int, freed: Decimal, round_: int) -> ReduceStep:
        """See `Move`."""
        return ReduceStep(
            symbol=self._symbol,
            leg=leg_name(self.name),
            side="sell" if self._position.quantity > 0 else "buy",
            quantity=canonical(self._lots.amount_of(count)),
            limit_price=limit_price(
                self._instrument,
                self._position.quantity,
                self._mark,
                self._index,
                self._probe.now.equity,
                self._policy.liquidation.fee_rate,
            ),
            mark=canonical(self._mark),
            expected_cost=canonical(self.cost(count)),
            freed_margin=canonical(freed),
            round=round_,
        )

    def _sizes(self, most: int) -> list[int]:
        if not self._pool and model_of(self._probe.state, self._policy) != "cross":
            return sorted({max(1, most * part // 16) for part in _SIXTEENTHS})
        return [min(most, self._tier_lots())]

    def _tier_lots(self) -> int:
        """Lots that take the position below the floor of its tier; all of them in the lowest."""
        tiers = self._policy.terms[self._symbol].tiers
        notional = self._probe.notional(self.name)
        if notional < tiers[0].ceiling:
            return self.whole
        rules = self._policy.margin_rules(self._symbol)
        # where the rate of a tier holds for all of the notional, what closing frees changes below the floor, else at it
        jumps = rules.tiering == "flat" or rules.maintenance != "tier"
        floors = [below.ceiling for below in tiers[:-1]]
        floor = max((it for it in floors if it < notional or (jumps and it == notional)), default=ZERO)
        if not floor:
            return self.whole
        # the notional is proportional to the quantity, so floor / notional of it may stay
        over = self._lots.amount - divide(self._lots.amount * floor, notional)
        lots = int(whole_steps(over, self._lots.lot, "down")) + 1 if jumps else 0
        return max(1, lots or lots_to_cover(over, self._lots.lot))


class Repayment:
    """Sell an asset that is held to repay one that is owed."""

    def __init__(
        self, probe: Probe, sell_asset: str, repay_asset: str, most: Decimal, prices: Prices, policy: Policy
    ) -> None:
        """`most` is how many coins may be sold, a multiple of 1e-8."""
        self._probe, self._prices, self._policy = probe, prices, policy
        self._sell, self._repay = sell_asset, repay_asset
        self.name = f"{sell_asset}>{repay_asset}"
        self._index, _ = index_price(policy, sell_asset, prices)
        self.sizes = [lots_to_cover(most, _COIN_LOT)]

    @property
    def rank(self) -> tuple[Decimal, str]:
        """After the losing and before the winning positions."""
        return ZERO, self.name

    def standing(self, count: int) -> Standing:
        """See `Move`."""
        return self._probe.converted(self._sell, count * _COIN_LOT, self._repay)

    def cost(self, count: int) -> Decimal:
        """See `Move`."""
        # conversion fee rate * value sold
        return (self._policy.liquidation.conversion_fee_rate or ZERO) * self.value(count)

    def value(self, count: int) -> Decimal:
        """See `Move`."""
        return count * _COIN_LOT * self._index

    def applied(self, count: int) -> AccountState:
        """See `Move`."""
        return converted(
            self._probe.state, self._sell, count * _COIN_LOT, self._repay, self._prices, self._policy
        )

    def step(self, count: int, freed: Decimal, round_: int) -> RepayStep:
        """See `Move`."""
        amount = count * _COIN_LOT
        return RepayStep(
            sell_asset=self._sell,
            sell_amount=canonical(amount),
            repay_asset=self._repay,
            repay_amount=canonical(proceeds(self._sell, amount, self._repay, self._prices, self._policy)),
            expected_cost=canonical(self.cost(count)),
            freed_margin=canonical(freed),
            round=round_,
        )


def repayments(probe: Probe, prices: Prices, policy: Policy) -> Iterator[Repayment]:
    """Every pair of an asset that is owed and one that could repay it, both at fresh prices. Inside `numbers.exact()`."""
    fee_rate, state = policy.liquidation.conversion_fee_rate, probe.state
    if fee_rate is None:
        return
    amounts = dict(state.balances)
    for key, position in state.positions.items():
        instrument = policy.instruments[symbol_of(key)]
        if instrument.kind != "option":
            profit = instrument.profit(
                position.entry_value, instrument.value(position.quantity, probe.marks[key])
            )
            amounts[instrument.settle] = amounts.get(instrument.settle, ZERO) + profit
    owed = sorted(asset for asset, amount in amounts.items() if amount < 0)
    held = sorted(asset for asset, wallet in state.balances.items() if wallet > 0 and amounts[asset] > 0)
    for repay_asset in owed:
        bought, bought_fresh = index_price(policy, repay_asset, prices)
        for sell_asset in held:
            sold, sold_fresh = index_price(policy, sell_asset, prices)
            if not (bought_fresh and sold_fresh):
                continue
            # coins that repay all of it = amount owed * index / (index of what is sold * (1 - fee rate)), if there are as many
            needed = divide(-amounts[repay_asset] * bought, sold * (1 - fee_rate))
            at_hand = min(state.balances[sell_asset], amounts[sell_asset])
            most = min(to_step(needed, _COIN_LOT, "up"), to_step(at_hand, _COIN_LOT, "down"))
            if most:
                yield Repayment(probe, sell_asset, repay_asset, most, prices, policy)


def leg_name(key: str) -> PositionLeg | None:
    """The leg of a position key; None in one-way mode."""
    leg = leg_of(key)
    return None if leg is None else cast("PositionLeg", leg)
