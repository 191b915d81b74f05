"""What a policy says of one contract, collected once: every account's every judgement asks for it."""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from engine.numbers import ONE, ZERO
from engine.policy.instruments import Instrument, RiskTier
from engine.policy.margin import MarginRules


class TierTerms(NamedTuple):
    """What holds for a notional (settle asset) below the ceiling."""

    ceiling: Decimal
    """Floor of the tier above; infinite for the highest."""
    initial_rate: Decimal
    maintenance_rate: Decimal
    deduction: Decimal


class ContractTerms(NamedTuple):
    """How a position in one instrument is margined."""

    instrument: Instrument
    rules: MarginRules
    tiers: tuple[TierTerms, ...]
    """The lowest first; a flat tier has no deduction."""
    plain: bool
    """Linear, tiers by the mark notional, the default rules: nothing is rounded, scaled or added."""


def contract_terms(
    instrument: Instrument, rules: MarginRules, tiers: Sequence[RiskTier], deductions: Sequence[Decimal]
) -> ContractTerms:
    """The terms of one instrument; one without tiers has rates of 0."""
    flat = rules.tiering == "flat"
    ceilings = [*(tier.floor for tier in tiers[1:]), _UNLIMITED]
    steps = [
        TierTerms(ceiling, tier.initial_rate, tier.maintenance_rate, ZERO if flat else deduction)
        for ceiling, tier, deduction in zip(ceilings, tiers, deductions, strict=False)
    ] or [TierTerms(_UNLIMITED, ZERO, ZERO, ZERO)]
    plain = (
        not instrument.inverse
        and instrument.size_rates is None
        and instrument.open_interest is None
        and rules.notional == "mark"
        and rules.initial == "leverage_or_tier"
        and rules.maintenance == "tier"
        and rules.closing_fee == "none"
        and rules.profit_weight == ONE
        and not rules.notional_step
        and not rules.margin_step
    )
    return ContractTerms(instrument, rules, tuple(steps), plain)


_UNLIMITED = Decimal("Infinity")
