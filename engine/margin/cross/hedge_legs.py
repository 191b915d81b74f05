"""Hedge mode: a long and a short leg of one symbol, margined as `MarginRules.hedge_legs` says.

gross    each leg requires its own margin
larger   the leg with the larger initial margin requires its own, the other nothing
net      the difference of the quantities requires margin, at the average entry price of the larger leg
Options are left alone: what they require is their group's to say (`engine.margin.options.option_pool`).

Twin: `engine.book.boxes.position_swings`, which tells the larger leg by its quantity wherever prices are.
"""

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from engine.ledger.accounts import AccountState, Position
from engine.margin.position_margin import PositionMargin, position_margin
from engine.margin.quotes import open_interest
from engine.marks.mark_book import Prices
from engine.numbers import ZERO, divide
from engine.policy import Policy
from engine.policy.rules.policy_switches import HedgeLegs, InstrumentKind
from engine.position_keys import LEG_SEPARATOR

_GROSS_LEGS, _LARGER_LEG, _OPTION = HedgeLegs.GROSS, HedgeLegs.LARGER, InstrumentKind.OPTION

_replace = msgspec.structs.replace


def hedged(
    held: list[PositionMargin], state: AccountState, prices: Prices, policy: Policy
) -> list[PositionMargin]:
    """The same positions, their requirements as the hedge rule says. Call it inside `numbers.exact()`."""
    if LEG_SEPARATOR not in "".join(state.positions):
        return held
    by_symbol: dict[str, list[PositionMargin]] = {}
    for margin in held:
        by_symbol.setdefault(margin.symbol, []).append(margin)
    required = {key: one for legs in by_symbol.values() for key, one in _legs(legs, state, prices, policy)}
    return [required[margin.key] for margin in held]


def _legs(
    legs: list[PositionMargin], state: AccountState, prices: Prices, policy: Policy
) -> Iterable[tuple[str, PositionMargin]]:
    rule = policy.margin_rules(legs[0].symbol).hedge_legs
    if len(legs) == 1 or rule is _GROSS_LEGS or policy.instruments[legs[0].symbol].kind is _OPTION:
        return [(leg.key, leg) for leg in legs]
    if rule is _LARGER_LEG:
        leading = max(legs, key=lambda leg: (leg.initial_margin, leg.key))
        return [(leg.key, leg if leg is leading else _free(leg)) for leg in legs]
    leading = max(legs, key=lambda leg: (abs(leg.quantity), leg.key))
    net = _netted(leading, sum((leg.quantity for leg in legs), ZERO), state, prices, policy)
    return [(leg.key, net if leg is leading else _free(leg)) for leg in legs]


def _free(leg: PositionMargin) -> PositionMargin:
    return _replace(leg, notional=ZERO, initial_margin=ZERO, maintenance_margin=ZERO, closing_fee=ZERO)


def _netted(
    leading: PositionMargin, quantity: Decimal, state: AccountState, prices: Prices, policy: Policy
) -> PositionMargin:
    if not quantity:
        return _free(leading)
    held = state.positions[leading.key]
    # entry value of the net quantity = entry value of the larger leg * net quantity / its quantity
    rest = Position(quantity, divide(held.entry_value * quantity, held.quantity))
    interest = open_interest(leading.symbol, prices)
    margin = position_margin(leading.key, rest, leading.mark, leading.leverage, policy, interest)
    return _replace(
        margin,
        unrealised_pnl=leading.unrealised_pnl,
        counted_pnl=leading.counted_pnl,
        quantity=leading.quantity,
    )
