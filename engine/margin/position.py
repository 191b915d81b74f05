"""Margin of one perpetual or delivery future position, in its settle asset.

    value     = quantity * multiplier * mark              inverse: quantity * multiplier / mark
    uPnL      = value - entry value                       inverse: entry value - value
    N         = |value|, or |entry value| where the rules say entry
    IM        = by `MarginRules.initial`       the larger of N / leverage and tier initial rate * N, by default
    MM        = by `MarginRules.maintenance`   tier rate * N - tier deduction, by default (continuous at the edges)
    both      + closing fee, rounded, where the rules say so

The tier is picked by the N of the same tick. Sources of the strategies: the comment of each policy file that uses them.
"""

from decimal import Decimal

import msgspec

from engine.accounts import Position
from engine.numbers import ONE, ZERO, divide, to_step
from engine.policy import Instrument, MarginRules, OpenInterestScaling, Policy, SizeRates
from engine.policy.terms import ContractTerms, TierTerms
from engine.position_keys import symbol_of


class PositionMargin(msgspec.Struct, frozen=True, gc=False):
    """The figures of one position in settle asset, with the inputs that made them."""

    key: str
    """Position key: the symbol, and the leg in hedge mode."""
    symbol: str
    settle: str
    mark: Decimal
    quantity: Decimal
    notional: Decimal
    """N: what the margins are computed from."""
    unrealised_pnl: Decimal
    """What the position adds to equity; for an option its whole value, because its premium was paid in cash."""
    counted_pnl: Decimal
    """Of it what counts as collateral: a profit at its weight, a loss whole; of an option nothing by itself."""
    initial_margin: Decimal
    """Closing fee included where the rules say so."""
    maintenance_margin: Decimal
    initial_rate: Decimal
    maintenance_rate: Decimal
    deduction: Decimal
    leverage: Decimal
    closing_fee: Decimal = ZERO


def position_margin(
    key: str,
    position: Position,
    mark: Decimal,
    leverage: Decimal,
    policy: Policy,
    open_interest: Decimal | None = None,
) -> PositionMargin:
    """Margin of `position` at `mark`. Call it inside `numbers.exact()`.

    `open_interest` counts contracts of the whole market; it matters where the instrument scales with it.
    """
    symbol = symbol_of(key)
    return margin_by(policy.terms[symbol], key, symbol, position, mark, leverage, open_interest)


def margin_by(
    terms: ContractTerms,
    key: str,
    symbol: str,
    position: Position,
    mark: Decimal,
    leverage: Decimal,
    open_interest: Decimal | None,
) -> PositionMargin:
    """`position_margin` for who has looked up the terms of the symbol."""
    if terms.plain:
        return _plain_margin(key, symbol, position, mark, leverage, terms)
    instrument, rules = terms.instrument, terms.rules
    value = instrument.value(position.quantity, mark)
    notional = abs(position.entry_value if rules.notional == "entry" else value)
    if rules.notional_step:
        notional = to_step(notional, rules.notional_step, "down")
    tier = tier_of(terms, notional)
    deduction = tier.deduction
    initial_rate, maintenance_rate = tier.initial_rate, tier.maintenance_rate
    if instrument.size_rates is not None:
        units = notional if instrument.inverse else abs(position.quantity) * instrument.multiplier
        initial_rate, maintenance_rate = _size_rates(instrument.size_rates, rules, tier, units)
    maintenance = _maintenance(rules, notional, maintenance_rate, deduction, leverage, initial_rate)
    if instrument.open_interest is not None and open_interest is not None:
        market = abs(instrument.value(open_interest, mark))
        initial_rate = _scaled(initial_rate, market, instrument.open_interest)
    initial, fee = _initial(rules, notional, initial_rate, leverage), ZERO
    if rules.closing_fee != "none":
        fee = _closing_fee(rules, instrument, position.quantity, notional, leverage)
        maintenance += fee
        initial += fee if rules.closing_fee_in_initial else ZERO
    if rules.margin_step:
        initial = to_step(initial, rules.margin_step, rules.margin_rounding)
        maintenance = to_step(maintenance, rules.margin_step, rules.margin_rounding)
    pnl = counted = instrument.profit(position.entry_value, value)
    if pnl > 0 and rules.profit_weight != ONE:
        counted = pnl * rules.profit_weight
    return PositionMargin(
        key=key,
        symbol=symbol,
        settle=instrument.settle,
        mark=mark,
        quantity=position.quantity,
        notional=notional,
        unrealised_pnl=pnl,
        counted_pnl=counted,
        initial_margin=initial,
        maintenance_margin=maintenance,
        initial_rate=initial_rate,
        maintenance_rate=maintenance_rate,
        deduction=deduction,
        leverage=leverage,
        closing_fee=fee,
    )


def _plain_margin(
    key: str, symbol: str, position: Position, mark: Decimal, leverage: Decimal, terms: ContractTerms
) -> PositionMargin:
    """The same for `ContractTerms.plain`, which most contracts are, without asking for every switch."""
    instrument = terms.instrument
    # value = quantity * multiplier * mark;  N = |value|
    value = position.quantity * instrument.multiplier * mark
    notional = abs(value)
    _, initial_rate, maintenance_rate, deduction = tier_of(terms, notional)
    # IM = max(N / leverage, initial rate * N);  MM = maintenance rate * N - deduction, at least 0
    at_leverage, at_tier = divide(notional, leverage), initial_rate * notional
    maintenance = maintenance_rate * notional - deduction
    # uPnL = value - entry value
    pnl = value - position.entry_value
    return PositionMargin(
        key,
        symbol,
        instrument.settle,
        mark,
        position.quantity,
        notional,
        pnl,
        pnl,
        max(at_leverage, at_tier),
        max(ZERO, maintenance),
        initial_rate,
        maintenance_rate,
        deduction,
        leverage,
    )


def tier_of(terms: ContractTerms, notional: Decimal) -> TierTerms:
    """The tier that holds `notional`; an edge belongs to the tier above it."""
    for tier in terms.tiers:
        if notional < tier.ceiling:
            return tier
    return terms.tiers[-1]


def _size_rates(
    rates: SizeRates, rules: MarginRules, tier: TierTerms, units: Decimal
) -> tuple[Decimal, Decimal]:
    """Initial and maintenance rate of a position of `units` of the underlying, where the rules say `size`."""
    # rate = base rate + slope * units, for the whole position
    growth = rates.slope_per_unit * units
    initial = rates.initial_base_rate + growth if rules.initial == "size" else tier.initial_rate
    maintenance = (
        rates.maintenance_base_rate + growth if rules.maintenance == "size" else tier.maintenance_rate
    )
    return initial, maintenance


def _scaled(rate: Decimal, market: Decimal, scaling: OpenInterestScaling) -> Decimal:
    if market <= scaling.lower_cap:
        return rate
    # rate + (1 - rate) * (open interest - lower cap) / (upper cap - lower cap), at most 1; it never lowers a rate
    over = divide((ONE - rate) * (market - scaling.lower_cap), scaling.upper_cap - scaling.lower_cap)
    return max(rate, min(ONE, to_step(rate + over, scaling.rate_step, "down")))


def _initial(rules: MarginRules, notional: Decimal, rate: Decimal, leverage: Decimal) -> Decimal:
    match rules.initial:
        case "leverage_or_tier":
            # IM = max(N / leverage, initial rate * N)
            return max(divide(notional, leverage), rate * notional)
        case "leverage":
            # IM = N / leverage
            return divide(notional, leverage)
        case "tier_over_leverage":
            # IM = initial rate * N / leverage
            return divide(rate * notional, leverage)
        case "tier" | "size":
            # IM = initial rate * N
            return rate * notional


def _maintenance(
    rules: MarginRules,
    notional: Decimal,
    rate: Decimal,
    deduction: Decimal,
    leverage: Decimal,
    initial_rate: Decimal,
) -> Decimal:
    match rules.maintenance:
        case "tier":
            # MM = maintenance rate * N - deduction, at least 0        (a flat tier has no deduction)
            required = rate * notional - deduction
            return required if required > 0 else ZERO
        case "tier_over_leverage":
            # MM = maintenance rate * N / leverage
            return divide(rate * notional, leverage)
        case "fraction_of_initial":
            # MM = fraction * initial rate * N, whatever leverage the account chose
            initial = initial_rate * notional
            if rules.margin_step:
                initial = to_step(initial, rules.margin_step, rules.margin_rounding)
            return rules.maintenance_fraction * initial
        case "size":
            # MM = maintenance rate * N
            return rate * notional


def _closing_fee(
    rules: MarginRules, instrument: Instrument, quantity: Decimal, notional: Decimal, leverage: Decimal
) -> Decimal:
    if rules.closing_fee == "notional":
        # fee = taker rate * N
        return rules.taker_fee_rate * notional
    # fee = taker rate * value where N / leverage is consumed: N * (1 - 1 / leverage), + for a linear short or inverse long
    consumed = divide(notional, leverage)
    falling = (quantity > 0) != instrument.inverse
    return rules.taker_fee_rate * (notional - consumed if falling else notional + consumed)
