"""Positions over a box: `engine.margin.position`, `legs` and `funding`."""

import msgspec

from engine.accounts import AccountState, Position
from engine.book.boxes import swing
from engine.book.boxes.swing import NOTHING, ROUNDED, Swing, TierLine, UnboundedError
from engine.book.boxes.view import View
from engine.numbers import divide, exact
from engine.policy import Instrument, MarginRules, Policy
from engine.position_keys import symbol_of

_replace = msgspec.structs.replace


class Held(msgspec.Struct, frozen=True):
    """One position, in settle asset."""

    key: str
    symbol: str
    settle: str
    quantity: float
    """Contracts."""
    mark: Swing
    notional: Swing
    required: Swing
    """Maintenance margin."""
    profit: Swing
    counted: Swing
    """Of the profit what counts as collateral."""


def cross_positions(state: AccountState, view: View) -> list[Held]:
    """The cross positions, each by itself."""
    return [_held(key, position, state, view) for key, position in state.positions.items()]


def contract(key: str, position: Position, state: AccountState, view: View) -> Held:
    """A perpetual or future."""
    symbol = symbol_of(key)
    instrument, rules = view.policy.instruments[symbol], view.policy.margin_rules(symbol)
    mark = view.mark(symbol, position)
    value = value_of(float(position.quantity), mark, instrument)
    entry = swing.fixed(float(position.entry_value))
    profit = entry - value if instrument.inverse else value - entry
    notional = swing.magnitude(entry if rules.notional == "entry" else value)
    if rules.notional_step:
        step = float(rules.notional_step)
        # truncated: up to a step less
        notional = Swing(
            max(0.0, notional.low - step), notional.high, notional.slope, notional.drift + 2 * step
        )
    leverage = float(state.leverage.get(symbol, view.policy.leverage_default))
    return Held(
        key=key,
        symbol=symbol,
        settle=instrument.settle,
        quantity=float(position.quantity),
        mark=mark,
        notional=notional,
        required=_required(symbol, float(position.quantity), notional, leverage, view.policy),
        profit=profit,
        counted=_weighted(profit, float(rules.profit_weight)),
    )


def value_of(quantity: float, mark: Swing, instrument: Instrument) -> Swing:
    """Signed value of contracts."""
    size = quantity * float(instrument.multiplier)
    # linear: quantity * multiplier * price;  inverse: quantity * multiplier / price
    if instrument.inverse:
        return swing.reciprocal(mark).times(size).loosened(ROUNDED)
    return mark.times(size)


def hedged(held: list[Held], state: AccountState, view: View) -> list[Held]:
    """The same positions, their requirements as the hedge rule says."""
    by_symbol: dict[str, list[Held]] = {}
    for one in held:
        by_symbol.setdefault(one.symbol, []).append(one)
    required: dict[str, Held] = {}
    for symbol, legs in by_symbol.items():
        rules = view.policy.margin_rules(symbol)
        if len(legs) == 1 or rules.hedge_legs == "gross" or view.policy.instruments[symbol].kind == "option":
            required |= {leg.key: leg for leg in legs}
            continue
        leading = max(legs, key=lambda leg: (abs(leg.quantity), leg.key))
        required |= {leg.key: _replace(leg, notional=NOTHING, required=NOTHING) for leg in legs}
        if rules.hedge_legs == "net":
            required[leading.key] = _netted(leading, legs, state, view)
            continue
        # at one mark, and by rates that do not fall, the larger leg requires more
        if rules.notional == "entry" or rules.notional_step or rules.margin_step:
            raise UnboundedError("larger_leg_by_steps")
        required[leading.key] = leading
    return [required[one.key] for one in held]


def funding(held: Held, view: View) -> Swing:
    """Funding accrued: somewhere between nothing and a whole payment at a rate within its band."""
    instrument = view.policy.instruments[held.symbol]
    band = view.facts.band(held.symbol).funding_rate
    if not view.policy.pool.funding_accrual or instrument.kind != "perpetual" or band is None:
        return NOTHING
    # accrued = - value(mark) * funding rate * part of the interval
    most = value_of(held.quantity, held.mark, instrument).most * band[1]
    return swing.within(-most, most)


def _held(key: str, position: Position, state: AccountState, view: View) -> Held:
    symbol = symbol_of(key)
    instrument = view.policy.instruments[symbol]
    if instrument.kind != "option":
        return contract(key, position, state, view)
    mark = view.mark(symbol, position)
    value = value_of(float(position.quantity), mark, instrument)
    # an option's whole value is its P&L; what it requires is its group's to say
    return Held(
        key,
        symbol,
        instrument.settle,
        float(position.quantity),
        mark,
        swing.magnitude(value),
        NOTHING,
        value,
        NOTHING,
    )


def _netted(leading: Held, legs: list[Held], state: AccountState, view: View) -> Held:
    position = state.positions[leading.key]
    with exact():
        quantity = sum((state.positions[leg.key].quantity for leg in legs), start=position.quantity * 0)
        if not quantity:
            return _replace(leading, notional=NOTHING, required=NOTHING)
        rest = Position(quantity, divide(position.entry_value * quantity, position.quantity))
    net = contract(leading.key, rest, state, view)
    return _replace(leading, notional=net.notional, required=net.required)


def _weighted(profit: Swing, weight: float) -> Swing:
    """A profit at its weight, a loss whole: no further apart than the profit itself."""
    low, high = (amount * weight if amount > 0 else amount for amount in (profit.low, profit.high))
    return Swing(low, high, profit.slope, profit.drift)


def _required(symbol: str, quantity: float, notional: Swing, leverage: float, policy: Policy) -> Swing:
    instrument, rules = policy.instruments[symbol], policy.margin_rules(symbol)
    required = _maintenance(symbol, quantity, notional, leverage, policy)
    if rules.closing_fee != "none":
        rate = float(rules.taker_fee_rate)
        if rules.closing_fee == "bankruptcy":
            falling = (quantity > 0) != instrument.inverse
            # fee = taker rate * N * (1 - 1 / leverage), + for a linear short or inverse long
            rate *= 1 - 1 / leverage if falling else 1 + 1 / leverage
            required = required.loosened(ROUNDED)
        required += notional.times(rate)
    return _stepped(required, rules)


def _maintenance(symbol: str, quantity: float, notional: Swing, leverage: float, policy: Policy) -> Swing:
    instrument, rules = policy.instruments[symbol], policy.margin_rules(symbol)
    if instrument.size_rates is not None:
        units = notional if instrument.inverse else swing.fixed(abs(quantity) * float(instrument.multiplier))
        growth = units.times(float(instrument.size_rates.slope_per_unit))
        if rules.maintenance == "size":
            rate = swing.fixed(float(instrument.size_rates.maintenance_base_rate)) + growth
            return rate * notional
        if rules.maintenance == "fraction_of_initial" and rules.initial == "size":
            rate = swing.fixed(float(instrument.size_rates.initial_base_rate)) + growth
            return _stepped(rate * notional, rules).times(float(rules.maintenance_fraction))
    counted = swing.tiered(notional, lines_of(instrument, rules, policy))
    match rules.maintenance:
        case "tier_over_leverage":
            return counted.times(1 / leverage).loosened(ROUNDED)
        case "fraction_of_initial":
            return _stepped(counted, rules).times(float(rules.maintenance_fraction))
        case _:
            return swing.above_zero(counted)


def lines_of(instrument: Instrument, rules: MarginRules, policy: Policy) -> list[TierLine]:
    """What a notional counts by its tier, before leverage and fractions."""
    if not instrument.tiers:
        return [(0.0, 0.0, 0.0)]
    lines = []
    for tier, cut in zip(policy.tiers[instrument.tiers], policy.deductions[instrument.tiers], strict=True):
        deducted = rules.maintenance == "tier" and rules.tiering == "marginal"
        rate = tier.initial_rate if rules.maintenance == "fraction_of_initial" else tier.maintenance_rate
        lines.append((float(tier.floor), float(rate), -float(cut) if deducted else 0.0))
    return lines


def _stepped(margin: Swing, rules: MarginRules) -> Swing:
    """Rounded to steps, whichever way: two roundings are less than two steps further apart."""
    return margin.loosened(2 * float(rules.margin_step)) if rules.margin_step else margin
