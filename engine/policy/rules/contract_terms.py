"""What a policy says of one contract, collected once: every account's every judgement asks for it."""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from engine.numbers import ONE, ZERO
from engine.policy.rules.asset_terms import TierLine
from engine.policy.rules.instrument_rules import Instrument, RiskTier
from engine.policy.rules.margin_rules import MarginRules
from engine.policy.rules.policy_switches import (
    ClosingFee,
    InitialRule,
    MaintenanceRule,
    NotionalBasis,
    Tiering,
)


class TierTerms(NamedTuple):
    """What holds for a notional (settle asset) below the ceiling."""

    ceiling: Decimal
    """Floor of the tier above; infinite for the highest."""
    initial_rate: Decimal
    maintenance_rate: Decimal
    deduction: Decimal
    line: TierLine
    """What the notional counts towards MM, before leverage, fraction and fee."""


class ContractTerms(NamedTuple):
    """How a position in one instrument is margined."""

    instrument: Instrument
    inverse: bool
    rules: MarginRules
    tiers: tuple[TierTerms, ...]
    """The lowest first; a flat tier has no deduction."""
    lines: tuple[TierLine, ...]
    """Of the tiers."""
    plain: bool
    """Linear, tiers by the mark notional, the default rules, prices above 0: nothing is rounded, scaled or added."""


def contract_terms(
    instrument: Instrument, rules: MarginRules, tiers: Sequence[RiskTier], deductions: Sequence[Decimal]
) -> ContractTerms:
    """The terms of one instrument; one without tiers has rates of 0."""
    flat = rules.tiering is Tiering.FLAT
    ceilings = [*(tier.floor for tier in tiers[1:]), _UNLIMITED]
    steps = [
        _terms(ceiling, tier, ZERO if flat else deduction, rules)
        for ceiling, tier, deduction in zip(ceilings, tiers, deductions, strict=False)
    ] or [_terms(_UNLIMITED, _NO_TIER, ZERO, rules)]
    lines = tuple(step.line for step in steps)
    plain = (
        not instrument.inverse
        and not instrument.negative_prices
        and instrument.size_rates is None
        and instrument.open_interest is None
        and rules.notional is NotionalBasis.MARK
        and rules.initial is InitialRule.LEVERAGE_OR_TIER
        and rules.maintenance is MaintenanceRule.TIER
        and rules.closing_fee is ClosingFee.NONE
        and rules.profit_weight == ONE
        and not rules.realisable_profit
        and not rules.notional_step
        and not rules.margin_step
    )
    return ContractTerms(instrument, instrument.inverse, rules, tuple(steps), lines, plain)


def _terms(ceiling: Decimal, tier: RiskTier, deduction: Decimal, rules: MarginRules) -> TierTerms:
    if rules.maintenance is MaintenanceRule.FRACTION_OF_INITIAL:
        # initial rate * N
        line = TierLine(tier.floor, tier.initial_rate, ZERO)
    else:
        # maintenance rate * N - deduction, or maintenance rate * N
        cut = deduction if rules.maintenance is MaintenanceRule.TIER else ZERO
        line = TierLine(tier.floor, tier.maintenance_rate, -cut)
    return TierTerms(ceiling, tier.initial_rate, tier.maintenance_rate, deduction, line)


_NO_TIER = RiskTier(floor=ZERO, maintenance_rate=ZERO, initial_rate=ZERO)
_UNLIMITED = Decimal("Infinity")
