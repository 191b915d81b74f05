"""Options of the shared pool outside of portfolio margin: one requirement per underlying and settle asset.

Strikes and index prices are in account currency; the requirement is counted in the settle asset, so both are divided by
the index of the settle asset first (a coin-settled option on its own coin has an index of 1).

Twin: `engine.book.boxes.option_swings`.
"""

from decimal import Decimal

import msgspec

from engine.ledger.accounts import Position
from engine.margin.options.short_options import OptionHolding, option_margin
from engine.margin.position_margin import PositionMargin
from engine.margin.quotes import index_price, underlying_price
from engine.marks.mark_book import Prices
from engine.numbers import ONE, ZERO, divide
from engine.policy import Instrument, Policy
from engine.policy.rules.policy_switches import OptionValue
from engine.position_keys import symbol_of

_VALUE_IS_COLLATERAL = OptionValue.COLLATERAL


class OptionGroup(msgspec.Struct, frozen=True):
    """All options of the pool on one underlying that settle in one asset, with what they require in that asset."""

    underlying: str
    settle: str
    index: Decimal
    """Of the underlying, in settle asset."""
    value: Decimal
    """Mark value of all of them, signed."""
    initial_margin: Decimal
    maintenance_margin: Decimal


def option_position(key: str, position: Position, mark: Decimal, instrument: Instrument) -> PositionMargin:
    """The figures of one option position: its value. What it requires is its group's to say."""
    value = instrument.value(position.quantity, mark)
    return PositionMargin(
        key=key,
        symbol=symbol_of(key),
        settle=instrument.settle,
        mark=mark,
        quantity=position.quantity,
        notional=abs(value),
        unrealised_pnl=value,
        counted_pnl=ZERO,
        initial_margin=ZERO,
        maintenance_margin=ZERO,
        initial_rate=ZERO,
        maintenance_rate=ZERO,
        deduction=ZERO,
        leverage=ONE,
        option=True,
    )


def option_groups(
    held: list[PositionMargin], prices: Prices, policy: Policy
) -> tuple[list[OptionGroup], bool]:
    """Requirements of all options among `held`, and whether an index they need is stale. Inside `numbers.exact()`."""
    written = [margin for margin in held if margin.option]
    if not written:
        return [], False
    by_group: dict[tuple[str, str], list[PositionMargin]] = {}
    for margin in sorted(written, key=lambda it: it.key):  # a group takes its index from its first option
        instrument = policy.instruments[margin.symbol]
        by_group.setdefault((instrument.base, instrument.settle), []).append(margin)
    groups, fresh = [], True
    for (underlying, settle), options in by_group.items():
        group, group_fresh = _group(underlying, settle, options, prices, policy)
        groups.append(group)
        fresh = fresh and group_fresh
    return groups, not fresh


def _group(
    underlying: str, settle: str, options: list[PositionMargin], prices: Prices, policy: Policy
) -> tuple[OptionGroup, bool]:
    first = policy.instruments[options[0].symbol]
    index, fresh = underlying_price(first, prices, policy)
    per_settle, _ = index_price(policy, settle, prices)
    unit = divide(index, per_settle)
    forwards = {}
    for margin in options:
        instrument = policy.instruments[margin.symbol]
        forward = prices.marks.get(instrument.forward)
        if forward is not None:
            forwards[str(instrument.expiry)] = divide(forward.price, per_settle)
    rules = policy.option_margin[policy.margin_rules(options[0].symbol).option]
    required = option_margin(
        _holdings(options, per_settle, policy),
        unit,
        forwards,
        rules,
        values_count=policy.pool.option_value is _VALUE_IS_COLLATERAL,
    )
    value = sum((margin.unrealised_pnl for margin in options), ZERO)
    group = OptionGroup(
        underlying=underlying,
        settle=settle,
        index=unit,
        value=value,
        initial_margin=max(ZERO, required.initial_margin),
        maintenance_margin=max(ZERO, required.maintenance_margin),
    )
    return group, fresh


def _holdings(options: list[PositionMargin], per_settle: Decimal, policy: Policy) -> list[OptionHolding]:
    holdings = []
    for margin in options:
        instrument = policy.instruments[margin.symbol]
        right, strike = instrument.option_terms
        holdings.append(
            OptionHolding(
                right=right,
                strike=divide(strike, per_settle),
                quantity=margin.quantity * instrument.multiplier,
                value=margin.mark,
                expiry=str(instrument.expiry),
            )
        )
    return holdings
