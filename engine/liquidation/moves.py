"""What a plan may do next: reduce a position, or repay a debt; each by any number of lots.

Sizes a reduction is tried at: as far as the tier of the position reaches, because what closing frees changes at its edge;
under margin models that judge positions together from a sixteenth up, because there the first part may free and the last
part cost margin.
"""

import itertools
from collections.abc import Iterator
from decimal import Decimal
from typing import Protocol, cast

from engine.inputs import PositionLeg
from engine.liquidation.limits import limit_price
from engine.liquidation.lots import lot_of, lots_to_cover, tradable
from engine.liquidation.plan import ReduceStep, RepayStep
from engine.liquidation.standing import Probe
from engine.liquidation.trades import positions_of, proceeds
from engine.margin.figures import Standing
from engine.margin.quotes import index_price
from engine.marks.mark_book import Prices
from engine.numbers import ONE, ZERO, canonical, divide, whole_steps
from engine.policy import Policy
from engine.policy.rules.policy_switches import MaintenanceRule, Tiering
from engine.position_keys import leg_of, symbol_of

_SIXTEENTHS = (1, 2, 4, 8, 16)
_COIN_LOT = Decimal("1e-8")
"""Coins are sold in multiples of this to repay a debt."""


class Move(Protocol):
    """One thing to do, by a number of lots. Everything inside `numbers.exact()`."""

    probe: Probe
    """The pool before it."""
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

    def tradable(self, count: int) -> int:
        """The least lots from `count` on that can be traded, and leave nothing that cannot."""

    def applied(self, count: int) -> Probe:
        """The pool after it."""

    def orders(self, count: int) -> int:
        """How many steps of the plan it is."""

    def steps(self, count: int, round_: int) -> list[ReduceStep] | list[RepayStep]:
        """The steps of the plan."""


class Reduction:
    """Close a part of a position at the mark."""

    def __init__(
        self,
        probe: Probe,
        pool: str,
        key: str,
        limit: Decimal | None,
        prices: Prices,
        policy: Policy,
        closed: Decimal = ZERO,
    ) -> None:
        """`limit` is how many contracts may be closed now, None for all; the plan has closed so many of them before."""
        self.probe, self._policy = probe, policy
        self.name, self._symbol = key, symbol_of(key)
        self._terms = policy.terms[self._symbol]
        self._instrument = instrument = self._terms.instrument
        self._position, self._mark = positions_of(probe.state, pool)[key], probe.mark(key)
        self.amount, self.lot = abs(self._position.quantity), lot_of(instrument.quantity_step)
        self.smallest = lots_to_cover(instrument.order_quantity_min, self.lot)
        """Lots of the least order."""
        self._index, _ = index_price(policy, instrument.settle, prices)
        self.whole = most = lots_to_cover(self.amount, self.lot)
        """Lots of the whole position."""
        if limit is not None and limit < self.amount:
            most = lots_to_cover(limit, self.lot)
        self._closed = closed
        self._cost_each = self._constant_cost(self.quantity(most))
        """Of a contract, in settle asset; None where it depends on how many are closed."""
        self._closing = None if self._cost_each is None else probe.closing(key, self._cost_each)
        self._standings: dict[int, Standing] = {}
        self.sizes = self._sizes(most)

    @property
    def rank(self) -> tuple[Decimal, str]:
        """The largest loss first, in account currency."""
        value = self._instrument.value(self._position.quantity, self._mark)
        return self._instrument.profit(self._position.entry_value, value) * self._index, self.name

    def quantity(self, count: int) -> Decimal:
        """Contracts in `count` lots."""
        return self.amount if count == self.whole else count * self.lot

    def standing(self, count: int) -> Standing:
        """See `Move`."""
        found = self._standings.get(count)
        if found is None:
            quantity = self.quantity(count)
            if self._closing is not None:
                found = self._closing.standing(quantity)
            if found is None:
                found = self.probe.reduced(self.name, quantity, self._closing_cost(quantity))
            self._standings[count] = found
        return found

    def cost(self, count: int) -> Decimal:
        """See `Move`."""
        return self._closing_cost(self.quantity(count)) * self._index

    def value(self, count: int) -> Decimal:
        """See `Move`."""
        return self._instrument.notional(self.quantity(count), self._mark) * self._index

    def applied(self, count: int) -> Probe:
        """See `Move`."""
        quantity = self.quantity(count)
        return self.probe.after_reduction(self.name, quantity, self._closing_cost(quantity))

    def tradable(self, count: int) -> int:
        """See `Move`: at least the smallest order, and what is left as well, or all."""
        return tradable(count, self.smallest, self.amount, self.lot)

    def orders(self, count: int) -> int:
        """See `Move`: as few as none is above the largest market order."""
        largest = self._instrument.market_order_quantity_max
        return -(-count // int(whole_steps(largest, self.lot, "down"))) if largest else 1

    def steps(self, count: int, round_: int) -> list[ReduceStep]:
        """See `Move`: orders of equal size."""
        orders = self.orders(count)
        ends = [count * number // orders for number in range(orders + 1)]
        return [self._step(begin, end, round_) for begin, end in itertools.pairwise(ends)]

    def _step(self, begin: int, end: int, round_: int) -> ReduceStep:
        """The order that closes from lot `begin` to lot `end`."""
        required = self.standing(begin).requirement if begin else self.probe.now.requirement
        cost = self.cost(end) - (self.cost(begin) if begin else ZERO)
        freed = required - self.standing(end).requirement
        return ReduceStep(
            symbol=self._symbol,
            leg=leg_name(self.name),
            side="sell" if self._position.quantity > 0 else "buy",
            quantity=canonical(self.quantity(end) - begin * self.lot),
            limit_price=limit_price(
                self._instrument,
                self._position.quantity,
                self._mark,
                self._index,
                self.probe.now.equity,
                self._policy.liquidation.fee_rate,
            ),
            mark=canonical(self._mark),
            expected_cost=canonical(cost),
            freed_margin=canonical(freed),
            round=round_,
        )

    def _closing_cost(self, quantity: Decimal) -> Decimal:
        if self._cost_each is not None:
            return self._cost_each * quantity
        rules, index = self._policy.liquidation, self._index
        value = self._instrument.notional(quantity, self._mark)
        closed = self._instrument.notional(self._closed, self._mark) * index
        rate, ceiling = rules.level(self._symbol, closed)
        if closed + value * index <= ceiling:
            # (fee rate + slippage rate) * |value|, in settle asset
            return rate * value
        return divide(rules.cost(self._symbol, closed, value * index), index)

    def _constant_cost(self, most: Decimal) -> Decimal | None:
        """The cost of a contract, where it is the same for all that may be closed now."""
        if self._instrument.inverse:
            return None
        each = self._instrument.notional(ONE, self._mark)
        worth = each * self._index
        rate, ceiling = self._policy.liquidation.level(self._symbol, self._closed * worth)
        return rate * each if (self._closed + most) * worth <= ceiling else None

    def _sizes(self, most: int) -> list[int]:
        if not self.probe.tiered:
            return sorted({max(1, most * part // 16) for part in _SIXTEENTHS})
        return [min(most, self._tier_lots())]

    def _tier_lots(self) -> int:
        """Lots that take the position below the floor of its tier; all of them in the lowest."""
        tiers = self._terms.tiers
        notional = self.probe.notional(self.name)
        if notional < tiers[0].ceiling:
            return self.whole
        rules = self._terms.rules
        # where the rate of a tier holds for all of the notional, what closing frees changes below the floor, else at it
        jumps = rules.tiering is Tiering.FLAT or rules.maintenance is not MaintenanceRule.TIER
        floors = [below.ceiling for below in tiers[:-1]]
        floor = max((it for it in floors if it < notional or (jumps and it == notional)), default=ZERO)
        if not floor:
            return self.whole
        # the notional is proportional to the quantity, so floor / notional of it may stay
        over = self.amount - divide(self.amount * floor, notional)
        lots = int(whole_steps(over, self.lot, "down")) + 1 if jumps else 0
        return max(1, lots or lots_to_cover(over, self.lot))


class Repayment:
    """Sell an asset that is held to repay one that is owed."""

    def __init__(
        self, probe: Probe, sell_asset: str, repay_asset: str, amount: Decimal, prices: Prices, policy: Policy
    ) -> None:
        """`amount` is how many coins may be sold: whole lots, or all that are at hand."""
        self.probe, self._prices, self._policy = probe, prices, policy
        self._index, _ = index_price(policy, sell_asset, prices)
        self._sell, self._repay = sell_asset, repay_asset
        self.name = f"{sell_asset}>{repay_asset}"
        self._most = amount
        self.sizes = [lots_to_cover(amount, _COIN_LOT)]
        self._standings: dict[int, Standing] = {}

    @property
    def rank(self) -> tuple[Decimal, str]:
        """After the losing and before the winning positions."""
        return ZERO, self.name

    def standing(self, count: int) -> Standing:
        """See `Move`."""
        found = self._standings.get(count)
        if found is None:
            found = self.probe.converted(self._sell, self._amount(count), self._repay)
            self._standings[count] = found
        return found

    def cost(self, count: int) -> Decimal:
        """See `Move`."""
        # conversion fee rate * value sold
        return self._policy.liquidation.conversion_fee_rate * self.value(count)

    def value(self, count: int) -> Decimal:
        """See `Move`."""
        return self._amount(count) * self._index

    def applied(self, count: int) -> Probe:
        """See `Move`."""
        return self.probe.after_conversion(self._sell, self._amount(count), self._repay)

    def tradable(self, count: int) -> int:
        """See `Move`: a conversion is no order."""
        return count

    def orders(self, _count: int) -> int:
        """See `Move`."""
        return 1

    def steps(self, count: int, round_: int) -> list[RepayStep]:
        """See `Move`."""
        amount = self._amount(count)
        freed = self.probe.now.requirement - self.standing(count).requirement
        step = RepayStep(
            sell_asset=self._sell,
            sell_amount=canonical(amount),
            repay_asset=self._repay,
            repay_amount=canonical(proceeds(self._sell, amount, self._repay, self._prices, self._policy)),
            expected_cost=canonical(self.cost(count)),
            freed_margin=canonical(freed),
            round=round_,
        )
        return [step]

    def _amount(self, count: int) -> Decimal:
        """Coins in `count` lots; the last one may be a part."""
        return min(count * _COIN_LOT, self._most)


def repayments(probe: Probe, line: Decimal | None, prices: Prices, policy: Policy) -> Iterator[Repayment]:
    """Every pair of an asset that is owed and one that could repay it, both at fresh prices. Inside `numbers.exact()`.

    Without those that surely bring the pool no nearer to the line. Where there is none, all debts have to be repaid: at the last
    price, if there ever was one.
    """
    fee_rate, balances = policy.liquidation.conversion_fee_rate, probe.state.balances
    amounts = probe.amounts()
    owed = sorted(asset for asset, amount in amounts.items() if amount < ZERO)
    if not owed:
        return
    held = sorted(asset for asset, wallet in balances.items() if wallet > ZERO and amounts[asset] > ZERO)
    indices = {
        asset: index_price(policy, asset, prices)[0]
        for asset in (*owed, *held)
        if _convertible(asset, prices, policy, at_last_price=line is None)
    }
    for repay_asset, sell_asset in itertools.product(owed, held):
        if not (repay_asset in indices and sell_asset in indices):
            continue
        # coins that repay all of it = amount owed * index / (index of what is sold * (1 - fee rate)), if there are as many
        needed = divide(-amounts[repay_asset] * indices[repay_asset], indices[sell_asset] * (ONE - fee_rate))
        at_hand = min(balances[sell_asset], amounts[sell_asset])
        # what is needed may be less than the last digit
        most = min(max(1, lots_to_cover(needed, _COIN_LOT)) * _COIN_LOT, at_hand)
        if line is None or not probe.in_vain(sell_asset, most, repay_asset, line):
            yield Repayment(probe, sell_asset, repay_asset, most, prices, policy)


def _convertible(asset: str, prices: Prices, policy: Policy, *, at_last_price: bool) -> bool:
    """Whether there is a price to convert the asset at."""
    if at_last_price:
        return policy.assets[asset].index in {"", *prices.marks}
    return index_price(policy, asset, prices)[1]


def leg_name(key: str) -> PositionLeg | None:
    """The leg of a position key; None in one-way mode."""
    leg = leg_of(key)
    return None if leg is None else cast("PositionLeg", leg)
