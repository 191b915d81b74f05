"""A move of the whole market, told to every underlying: by the same fraction, or by its beta.

uniform   factor = 1 + move
beta      factor = max(smallest, 1 + beta * move)       betas are the policy's (`policy.rules.stress_rules`); no price falls to 0
"""

from collections.abc import Collection
from decimal import Decimal
from enum import StrEnum

from engine.analytics.what_if import EVERYTHING
from engine.numbers import ONE, ZERO, exact
from engine.policy import Policy

FACTOR_MIN = Decimal("0.000001")
"""What is left of a price at least."""


class Weighting(StrEnum):
    """How far an underlying moves when the market does."""

    UNIFORM = "uniform"
    BETA = "beta"


def targets_of(weighting: Weighting, policy: Policy) -> Collection[str]:
    """What such a move names (`what_if.Market`)."""
    return {EVERYTHING, *policy.stress.betas} if weighting is Weighting.BETA else {EVERYTHING}


def factors_of(weighting: Weighting, move: Decimal, policy: Policy) -> dict[str, Decimal]:
    """By target, what its price is multiplied by when the market moves by `move` (> -1)."""
    with exact():
        if weighting is Weighting.UNIFORM:
            return {EVERYTHING: ONE + move}
        betas = {EVERYTHING: policy.stress.beta_default, **policy.stress.betas}
        return {name: max(FACTOR_MIN, ONE + beta * move) for name, beta in betas.items()}


def volatilities_of(weighting: Weighting, change: Decimal, policy: Policy) -> dict[str, Decimal]:
    """By target, what implied volatilities are multiplied by when all of them change by the fraction `change` (>= -1)."""
    with exact():
        return {name: max(ZERO, ONE + change) for name in targets_of(weighting, policy)} if change else {}
