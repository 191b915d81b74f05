"""Options margined outside of portfolio margin: short options one by one, spreads by their largest loss.

    S     index price of the underlying          n    units held short            V   mark value of n, positive
    OTM   max(0, K - S) of a call, max(0, S - K) of a put

    MM    = max(maintenance rate * S * n, maintenance value rate * V) + V + liquidation fee rate * S * n
    IM    = max(initial rate * S - OTM, floor rate * (S or K)) * n + V        a put: at least factor * MM
    long options require nothing
    per expiry the options add up, or the largest loss at expiry counts where that is smaller

The requirement of a short option contains its value V, and the largest loss is measured from a position worth nothing, so
equity must not count option values. Where it does (`values_count`), the values of the shorts are taken out of the options'
own margins, and the values of all of them added to the largest loss: a long that covers a short cannot be collateral too. Sources: Deribit, "Standard margin" (options);
Derive v2-core, StandardManager; Cboe Margin Manual (which calls V the option proceeds).

Twin: `engine.book.boxes.option_swings`, for all but the margin of one short option.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import groupby

import msgspec

from engine.margin import exact_arithmetic
from engine.margin.arithmetic import Arithmetic, N
from engine.numbers import ZERO, exact
from engine.policy.rules.instrument_rules import OptionRight
from engine.policy.rules.portfolio_rules import OptionRules
from engine.policy.rules.portfolio_switches import OptionSides, OptionSpreads, PutFloorOn

_BOTH_SIDES, _NO_SPREADS, _ON_UNDERLYING = OptionSides.SUM, OptionSpreads.ISOLATED, PutFloorOn.UNDERLYING


class OptionHolding(msgspec.Struct, frozen=True):
    """Options of one series."""

    right: OptionRight
    strike: Decimal
    quantity: Decimal
    """Signed units of the underlying: contracts * multiplier."""
    value: Decimal
    """Mark value of one unit, >= 0."""
    expiry: str = ""
    """Names the expiry; options of different expiries never offset each other here."""


class OptionRequirement(msgspec.Struct, frozen=True):
    """What options require, >= 0, option values of the shorts included."""

    initial_margin: Decimal
    maintenance_margin: Decimal


def option_margin(
    holdings: Iterable[OptionHolding],
    index: Decimal,
    forwards: dict[str, Decimal],
    rules: OptionRules,
    *,
    values_count: bool = False,
) -> OptionRequirement:
    """Requirement of all options of one underlying; `forwards` by expiry, the index where one is missing.

    `values_count` says that equity counts option values, so that the requirement must not contain them.
    """
    unpaired = rules.unpaired_calls
    initial = maintenance = ZERO
    with exact():
        for expiry, group in groupby(sorted(holdings, key=_by_expiry), key=_by_expiry):
            held = list(group)
            forward = forwards.get(expiry, index)
            own = _expiry_margin(held, index, rules)
            shorts, values = _values(held) if values_count else (ZERO, ZERO)
            loss = None if rules.spreads is _NO_SPREADS else largest_loss(held) + values
            own_initial, own_maintenance = own.initial_margin + shorts, own.maintenance_margin + shorts
            initial += _better(own_initial, loss, held, forward, unpaired.for_initial)
            maintenance += _better(own_maintenance, loss, held, forward, unpaired.maintenance)
    return OptionRequirement(initial, maintenance)


def short_option_margin(holding: OptionHolding, index: Decimal, rules: OptionRules) -> OptionRequirement:
    """Requirement of one series alone; 0 for a long one."""
    if holding.quantity >= 0:
        return OptionRequirement(ZERO, ZERO)
    with exact():
        size = -holding.quantity
        value = size * holding.value
        call = holding.right == "call"
        maintenance = short_maintenance(index * size, value, rules, exact_arithmetic, call=call)
        # IM = max(initial rate * S - OTM, floor rate * (S or K)) * n + V
        out_of_the_money = max(ZERO, holding.strike - index if call else index - holding.strike)
        floor_on = index if call or rules.put_floor_on is _ON_UNDERLYING else holding.strike
        per_unit = max(rules.initial_rate * index - out_of_the_money, rules.initial_floor_rate * floor_on)
        initial = per_unit * size + value
        if not call:
            initial = max(initial, rules.put_initial_of_maintenance * maintenance)
    return OptionRequirement(initial, maintenance)


def short_maintenance(at_index: N, value: N, rules: OptionRules, numbers: Arithmetic[N], *, call: bool) -> N:
    """MM of units held short that are worth `value` (> 0), the underlying of all of them `at_index`."""
    rate = rules.call_maintenance_rate if call else rules.put_maintenance_rate
    value_rate = rules.call_maintenance_value_rate if call else rules.put_maintenance_value_rate
    # MM = max(maintenance rate * S * n, maintenance value rate * V) + V + liquidation fee rate * S * n
    larger = numbers.larger(at_index * rate, value * value_rate)
    return larger + value + at_index * rules.liquidation_fee_rate


def payoff(holdings: Iterable[OptionHolding], price: Decimal) -> Decimal:
    """Intrinsic value of all options when the underlying settles at `price`."""
    with exact():
        return sum(
            (
                held.quantity
                * max(ZERO, price - held.strike if held.right == "call" else held.strike - price)
                for held in holdings
            ),
            ZERO,
        )


def net_calls(holdings: Iterable[OptionHolding]) -> Decimal:
    """Slope of the payoff at infinity: below 0 the loss has no limit."""
    with exact():
        return sum((held.quantity for held in holdings if held.right == "call"), ZERO)


def largest_loss(holdings: Sequence[OptionHolding]) -> Decimal:
    """Largest loss at expiry at any price up to the highest strike, >= 0: the payoff is linear between strikes."""
    prices = {ZERO, *(held.strike for held in holdings)}
    return max(ZERO, -min(payoff(holdings, price) for price in prices))


def _by_expiry(holding: OptionHolding) -> str:
    return holding.expiry


def _expiry_margin(held: list[OptionHolding], index: Decimal, rules: OptionRules) -> OptionRequirement:
    rights: tuple[OptionRight, OptionRight] = ("call", "put")
    sides = {
        right: [(one, short_option_margin(one, index, rules)) for one in held if one.right == right]
        for right in rights
    }
    initial = {right: sum((m.initial_margin for _, m in side), ZERO) for right, side in sides.items()}
    maintenance = {right: sum((m.maintenance_margin for _, m in side), ZERO) for right, side in sides.items()}
    if rules.sides is _BOTH_SIDES:
        return OptionRequirement(sum(initial.values(), ZERO), sum(maintenance.values(), ZERO))
    values = {
        right: sum((-one.quantity * one.value for one, _ in side if one.quantity < 0), ZERO)
        for right, side in sides.items()
    }
    return OptionRequirement(_larger_side(initial, values), _larger_side(maintenance, values))


def _larger_side(margins: dict[OptionRight, Decimal], values: dict[OptionRight, Decimal]) -> Decimal:
    """The larger side's margin + the option value of the other: no price is beyond both strikes."""
    larger: OptionRight = "call" if margins["call"] >= margins["put"] else "put"
    return margins[larger] + values["put" if larger == "call" else "call"]


def _values(held: list[OptionHolding]) -> tuple[Decimal, Decimal]:
    """What equity counts for the short ones (<= 0), and for all of them."""
    values = [one.quantity * one.value for one in held]
    return sum((min(ZERO, value) for value in values), ZERO), sum(values, ZERO)


def _better(
    own: Decimal,
    loss: Decimal | None,
    held: list[OptionHolding],
    forward: Decimal,
    unpaired_rate: Decimal,
) -> Decimal:
    """The smaller of the options' own margins and their largest loss, where the rules let spreads offset."""
    unpaired = min(ZERO, net_calls(held))
    if loss is None or (unpaired and not unpaired_rate):
        return own
    # largest loss + rate * forward * net short calls
    return min(own, loss + unpaired_rate * forward * -unpaired)
