"""Positions over a box: `engine.margin.contract_formulas` on bounds; hedge legs and funding.

Twin: `engine.margin.cross.hedge_legs` and `engine.margin.funding_accrual`. Which leg is the larger is one question at
one price, and a payment is accrued up to one instant; over a box both need an answer that holds anywhere in it.
"""

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from engine.book.boxes import swing
from engine.book.boxes.swing import NOTHING, Swing, UnboundedError
from engine.book.boxes.swing_view import View
from engine.ledger.accounts import AccountState, Position
from engine.margin.contract_formulas import required, value_of, valued
from engine.numbers import ZERO, divide, exact
from engine.policy.rules.policy_switches import (
    ClosingFee,
    HedgeLegs,
    InitialRule,
    InstrumentKind,
    MaintenanceRule,
    NotionalBasis,
    Tiering,
)
from engine.position_keys import symbol_of

_GROSS_LEGS = HedgeLegs.GROSS
_NET_LEGS = HedgeLegs.NET
_OPTION = InstrumentKind.OPTION

_FEE_AT_BANKRUPTCY, _NO_FEE, _GROSS_LEGS = ClosingFee.BANKRUPTCY, ClosingFee.NONE, HedgeLegs.GROSS
_NET_LEGS, _INITIAL_BY_SIZE, _OPTION = HedgeLegs.NET, InitialRule.SIZE, InstrumentKind.OPTION
_PERPETUAL, _FRACTION_OF_INITIAL, _MAINTENANCE_BY_SIZE = (
    InstrumentKind.PERPETUAL,
    MaintenanceRule.FRACTION_OF_INITIAL,
    MaintenanceRule.SIZE,
)
_BY_TIER, _OF_ENTRY, _MARGINAL = MaintenanceRule.TIER, NotionalBasis.ENTRY, Tiering.MARGINAL

_replace = msgspec.structs.replace


class Held(msgspec.Struct, frozen=True):
    """One position, in settle asset."""

    key: str
    symbol: str
    settle: str
    quantity: Decimal
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
    terms = view.policy.terms[symbol]
    if terms.instrument.price_scale_min:
        # a box is a share of the price, and one of a price of 0 is none
        raise UnboundedError("negative_prices")
    mark = view.mark(symbol, position)
    share = view.realisable_share(symbol)
    notional, profit, counted = valued(terms, position.quantity, position.entry_value, mark, swing, share)
    leverage = state.leverage.get(symbol, view.policy.leverage_default)
    by_tier = swing.tiered(notional, terms.lines)
    margin, _ = required(terms, position.quantity, notional, by_tier, leverage, swing)
    settle = terms.instrument.settle
    return Held(key, symbol, settle, position.quantity, mark, notional, margin, profit, counted)


def hedged(held: list[Held], state: AccountState, view: View) -> list[Held]:
    """The same positions, their requirements as the hedge rule says."""
    by_symbol: dict[str, list[Held]] = {}
    for one in held:
        by_symbol.setdefault(one.symbol, []).append(one)
    by_rule: dict[str, Held] = {}
    for symbol, legs in by_symbol.items():
        rules = view.policy.margin_rules(symbol)
        if (
            len(legs) == 1
            or rules.hedge_legs is _GROSS_LEGS
            or view.policy.instruments[symbol].kind is _OPTION
        ):
            by_rule |= {leg.key: leg for leg in legs}
            continue
        leading = max(legs, key=lambda leg: (abs(leg.quantity), leg.key))
        by_rule |= {leg.key: _replace(leg, notional=NOTHING, required=NOTHING) for leg in legs}
        if rules.hedge_legs is _NET_LEGS:
            by_rule[leading.key] = _netted(leading, legs, state, view)
            continue
        # at one mark, and by rates that do not fall, the larger leg requires more
        if rules.notional is _OF_ENTRY or rules.notional_step or rules.margin_step:
            raise UnboundedError("larger_leg_by_steps")
        by_rule[leading.key] = leading
    return [by_rule[one.key] for one in held]


def funding(held: Held, settled_ns: Mapping[str, int], view: View) -> Swing:
    """Funding accrued: at most a whole payment either way, at a rate within its band; one that is missing goes on until it is given up."""
    instrument = view.policy.instruments[held.symbol]
    band = view.facts.band(held.symbol).funding_rate
    if not view.policy.pool.funding_accrual or instrument.kind is not _PERPETUAL or band is None:
        return NOTHING
    longest = 1.0
    if held.key in settled_ns:
        interval_s = 3600 * float(instrument.funding_interval_hours)
        longest += float(view.policy.pool.funding_grace_seconds) / interval_s
    # accrued = - value(mark) * funding rate * elapsed part of the interval
    most = value_of(view.policy.terms[held.symbol], held.quantity, held.mark, swing).most * band[1] * longest
    return swing.within(-most, most)


def _held(key: str, position: Position, state: AccountState, view: View) -> Held:
    symbol = symbol_of(key)
    instrument = view.policy.instruments[symbol]
    if instrument.kind is not _OPTION:
        return contract(key, position, state, view)
    mark = view.mark(symbol, position)
    value = value_of(view.policy.terms[symbol], position.quantity, mark, swing)
    # an option's whole value is its P&L; what it requires is its group's to say
    notional = swing.magnitude(value)
    return Held(key, symbol, instrument.settle, position.quantity, mark, notional, NOTHING, value, NOTHING)


def _netted(leading: Held, legs: list[Held], state: AccountState, view: View) -> Held:
    position = state.positions[leading.key]
    with exact():
        quantity = sum((leg.quantity for leg in legs), ZERO)
        if not quantity:
            return _replace(leading, notional=NOTHING, required=NOTHING)
        rest = Position(quantity, divide(position.entry_value * quantity, position.quantity))
    net = contract(leading.key, rest, state, view)
    return _replace(leading, notional=net.notional, required=net.required)
