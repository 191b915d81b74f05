"""Options outside of portfolio margin over a box; one short option is `short_options.short_maintenance` on bounds.

Twin: `engine.margin.options.option_pool` and `engine.margin.options.short_options`. The formula divides every strike
by the price of the settle asset; the largest loss is bounded in account currency, where strikes do not move, and divided once.
"""

from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

from engine.book.boxes import swing
from engine.book.boxes.position_swings import Held
from engine.book.boxes.swing import NOTHING, ROUNDED, Swing
from engine.book.boxes.swing_view import View
from engine.margin.options.short_options import short_maintenance
from engine.policy import Instrument, Policy
from engine.policy.rules.policy_switches import InstrumentKind, OptionValue
from engine.policy.rules.portfolio_rules import OptionRules
from engine.policy.rules.portfolio_switches import OptionSides, OptionSpreads


class _Series(NamedTuple):
    call: bool
    strike: float
    """In account currency."""
    size: float
    """Signed units of the underlying."""
    value: Swing
    """Mark value of the whole size, signed, in settle asset."""
    expiry: str
    forward: Swing
    """In settle asset."""


def option_groups(held: list[Held], view: View) -> Iterator[tuple[str, Swing]]:
    """(settle asset, maintenance margin) of the options on each underlying."""
    by_group: dict[tuple[str, str], list[Held]] = {}
    for one in sorted(held, key=lambda it: it.key):  # a group takes its index from its first option
        instrument = view.policy.instruments[one.symbol]
        if instrument.kind is InstrumentKind.OPTION:
            by_group.setdefault((instrument.base, instrument.settle), []).append(one)
    for (_, settle), options in by_group.items():
        yield settle, _group(settle, options, view)


def _group(settle: str, options: list[Held], view: View) -> Swing:
    policy = view.policy
    first = policy.instruments[options[0].symbol]
    per_settle = swing.reciprocal(view.index(settle)[0])
    unit = (view.underlying(first) * per_settle).loosened(ROUNDED)
    rules = policy.option_margin[policy.margin_rules(options[0].symbol).option]
    forwards = {}
    for one in options:
        instrument = policy.instruments[one.symbol]
        if instrument.forward and view.known(instrument.forward):
            price = view.symbol(instrument.forward)[0]
            forwards[str(instrument.expiry)] = (price * per_settle).loosened(ROUNDED)
    series = [_series(one, policy.instruments[one.symbol], forwards, unit) for one in options]
    required = NOTHING
    for _, group in groupby(sorted(series, key=lambda it: it.expiry), key=lambda it: it.expiry):
        required += _expiry(list(group), unit, per_settle, rules, policy)
    return swing.above_zero(required)


def _series(one: Held, instrument: Instrument, forwards: dict[str, Swing], unit: Swing) -> _Series:
    right, strike = instrument.option_terms
    expiry = str(instrument.expiry)
    size = float(one.quantity * instrument.multiplier)
    return _Series(right == "call", float(strike), size, one.profit, expiry, forwards.get(expiry, unit))


def _expiry(held: list[_Series], unit: Swing, per_settle: Swing, rules: OptionRules, policy: Policy) -> Swing:
    margins = {
        right: swing.total(_short(one, unit, rules) for one in held if one.call == right)
        for right in (True, False)
    }
    own = margins[True] + margins[False]
    if rules.sides is OptionSides.LARGER:
        shorts = {
            right: swing.total(-one.value for one in held if one.call == right and one.size < 0)
            for right in (True, False)
        }
        # the larger side's margin + the option value of the other
        own = _leading(margins[True] + shorts[False], margins[False] + shorts[True], margins)
    values = NOTHING
    if policy.pool.option_value is OptionValue.COLLATERAL:
        own += swing.total(one.value for one in held if one.size < 0)
        values = swing.total(one.value for one in held)
    unpaired = -min(0.0, sum(one.size for one in held if one.call))
    rate = float(rules.unpaired_calls.maintenance)
    if rules.spreads is OptionSpreads.ISOLATED or (unpaired and not rate):
        return own
    loss = per_settle.times(_largest_loss(held)).loosened(ROUNDED * 2 * sum(abs(one.size) for one in held))
    return swing.smaller(own, loss + values + held[0].forward.times(rate * unpaired))


def _leading(with_calls: Swing, with_puts: Swing, margins: dict[bool, Swing]) -> Swing:
    if margins[True].low > margins[False].high:
        return with_calls
    if margins[False].low > margins[True].high:
        return with_puts
    return swing.either(with_calls, with_puts)


def _short(one: _Series, unit: Swing, rules: OptionRules) -> Swing:
    if one.size >= 0:
        return NOTHING
    return short_maintenance(unit.times(-one.size), -one.value, rules, swing, call=one.call)


def _largest_loss(held: list[_Series]) -> float:
    """Largest loss at expiry, in account currency: linear between strikes."""
    prices = {0.0, *(one.strike for one in held)}
    return max(0.0, -min(sum(one.size * _intrinsic(one, price) for one in held) for price in prices))


def _intrinsic(one: _Series, price: float) -> float:
    return max(0.0, price - one.strike if one.call else one.strike - price)
