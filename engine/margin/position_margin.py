"""Margin of one perpetual or delivery future position, in its settle asset: `contract_formulas` in exact numbers.

    IM        = by `MarginRules.initial`       the larger of N / leverage and tier initial rate * N, by default
                + closing fee, rounded, where the rules say so

Sources of the strategies: the comment of each policy file that uses them.
"""

from decimal import Decimal

import msgspec

from engine.ledger.accounts import Position
from engine.margin import exact_arithmetic
from engine.margin.contract_formulas import required, size_rate, stepped, valued
from engine.numbers import ONE, ZERO, divide, to_step
from engine.policy import MarginRules, OpenInterestScaling, Policy
from engine.policy.rules.contract_terms import ContractTerms, TierTerms
from engine.policy.rules.policy_switches import ClosingFee, InitialRule, MaintenanceRule, NotionalBasis
from engine.position_keys import symbol_of

_NO_FEE, _FEE_OF_NOTIONAL, _INITIAL_BY_SIZE = ClosingFee.NONE, ClosingFee.NOTIONAL, InitialRule.SIZE
_MAINTENANCE_BY_SIZE, _OF_ENTRY = MaintenanceRule.SIZE, NotionalBasis.ENTRY


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
    """Of it what counts as collateral: a profit at its weight and as far as it is realisable, a loss whole; of an option nothing by itself."""
    initial_margin: Decimal
    """Closing fee included where the rules say so."""
    maintenance_margin: Decimal
    initial_rate: Decimal
    maintenance_rate: Decimal
    deduction: Decimal
    leverage: Decimal
    closing_fee: Decimal = ZERO
    option: bool = False
    """What it requires is its group's to say (`engine.margin.options.option_pool`)."""


def position_margin(
    key: str,
    position: Position,
    mark: Decimal,
    leverage: Decimal,
    policy: Policy,
    open_interest: Decimal | None = None,
    realisable: Decimal | None = None,
) -> PositionMargin:
    """Margin of `position` at `mark`. Call it inside `numbers.exact()`.

    `open_interest` counts contracts of the whole market; it matters where the instrument scales with it. `realisable`: share of
    the market's profits that its losing side can pay; it matters for `counted_pnl`, where the rules count no more.
    """
    symbol = symbol_of(key)
    return margin_by(policy.terms[symbol], key, symbol, position, mark, leverage, open_interest, realisable)


def margin_by(
    terms: ContractTerms,
    key: str,
    symbol: str,
    position: Position,
    mark: Decimal,
    leverage: Decimal,
    open_interest: Decimal | None,
    realisable: Decimal | None = None,
) -> PositionMargin:
    """`position_margin` for who has looked up the terms of the symbol."""
    instrument, _, _, tiers, _, plain = terms
    if not plain:
        return _margin_under_rules(terms, key, symbol, position, mark, leverage, open_interest, realisable)
    # the same for the commonest terms, without asking for every switch
    quantity = position.quantity
    # value = quantity * multiplier * mark;  N = |value|
    value = quantity * instrument.multiplier * mark
    notional = abs(value)
    for ceiling, initial_rate, maintenance_rate, deduction, _ in tiers:  # noqa: B007 - the last holds for all
        if notional < ceiling:
            break
    # IM = max(N / leverage, initial rate * N);  MM = maintenance rate * N - deduction, at least 0
    at_leverage, at_tier = divide(notional, leverage), initial_rate * notional
    maintenance = maintenance_rate * notional
    if deduction:
        maintenance -= deduction
    # uPnL = value - entry value
    pnl = value - position.entry_value
    return PositionMargin(
        key,
        symbol,
        instrument.settle,
        mark,
        quantity,
        notional,
        pnl,
        pnl,
        at_leverage if at_leverage > at_tier else at_tier,  # noqa: FURB136 - max() takes five times as long
        maintenance if maintenance > ZERO else ZERO,  # noqa: FURB136
        initial_rate,
        maintenance_rate,
        deduction,
        leverage,
    )


def _margin_under_rules(
    terms: ContractTerms,
    key: str,
    symbol: str,
    position: Position,
    mark: Decimal,
    leverage: Decimal,
    open_interest: Decimal | None,
    realisable: Decimal | None,
) -> PositionMargin:
    instrument, rules, quantity = terms.instrument, terms.rules, position.quantity
    entered = position.entry_value
    notional, pnl, counted = valued(terms, quantity, entered, mark, exact_arithmetic, realisable)
    tier, rates = tier_of(terms, notional), instrument.size_rates
    initial_rate, maintenance_rate = tier.initial_rate, tier.maintenance_rate
    if rates is not None and rules.initial is _INITIAL_BY_SIZE:
        base = rates.initial_base_rate
        initial_rate = size_rate(base, rates, terms, quantity, notional, exact_arithmetic)
    if rates is not None and rules.maintenance is _MAINTENANCE_BY_SIZE:
        base = rates.maintenance_base_rate
        maintenance_rate = size_rate(base, rates, terms, quantity, notional, exact_arithmetic)
    if instrument.open_interest is not None and open_interest is not None:
        market = instrument.notional(open_interest, mark)
        initial_rate = _scaled(initial_rate, market, instrument.open_interest)
    by_tier = tier.line.rate * notional + tier.line.offset
    maintenance, fee = required(terms, quantity, notional, by_tier, leverage, exact_arithmetic)
    initial = _initial(rules, notional, initial_rate, leverage)
    if rules.closing_fee_in_initial:
        initial += fee
    return PositionMargin(
        key,
        symbol,
        instrument.settle,
        mark,
        quantity,
        notional,
        pnl,
        counted,
        stepped(terms, initial, exact_arithmetic),
        maintenance,
        initial_rate,
        maintenance_rate,
        tier.deduction,
        leverage,
        fee,
    )


def tier_of(terms: ContractTerms, notional: Decimal) -> TierTerms:
    """The tier that holds `notional`; an edge belongs to the tier above it."""
    for tier in terms.tiers:
        if notional < tier.ceiling:
            return tier
    return terms.tiers[-1]


def _scaled(rate: Decimal, market: Decimal, scaling: OpenInterestScaling) -> Decimal:
    if market <= scaling.lower_cap:
        return rate
    # rate + (1 - rate) * (open interest - lower cap) / (upper cap - lower cap), at most 1; it never lowers a rate
    over = divide((ONE - rate) * (market - scaling.lower_cap), scaling.upper_cap - scaling.lower_cap)
    return max(rate, min(ONE, to_step(rate + over, scaling.rate_step, "down")))


def _initial(rules: MarginRules, notional: Decimal, rate: Decimal, leverage: Decimal) -> Decimal:
    match rules.initial:
        case InitialRule.LEVERAGE_OR_TIER:
            # IM = max(N / leverage, initial rate * N)
            return max(divide(notional, leverage), rate * notional)
        case InitialRule.LEVERAGE:
            # IM = N / leverage
            return divide(notional, leverage)
        case InitialRule.TIER_OVER_LEVERAGE:
            # IM = initial rate * N / leverage
            return divide(rate * notional, leverage)
        case InitialRule.TIER | InitialRule.SIZE:
            # IM = initial rate * N
            return rate * notional
