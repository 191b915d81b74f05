"""How coins move when the market moves: what beta-weighted moves and deltas are reckoned with. No account is judged by it.

move of an underlying = beta * move of the market
"""

from collections.abc import Iterator
from decimal import Decimal

import msgspec

from engine.numbers import ONE
from engine.policy.rules.tables import Table

BETA_MAX = Decimal(10)


class StressRules(Table, frozen=True, kw_only=True):
    """Betas against the market that the desk has in mind, such as that of the largest coin."""

    betas: dict[str, Decimal] = msgspec.field(default_factory=dict)
    """By underlying or asset."""
    beta_default: Decimal = ONE
    """Of every other underlying; currencies stay where they are unless `betas` names them."""

    def beta(self, underlying: str) -> Decimal:
        """Of one underlying."""
        return self.betas.get(underlying, self.beta_default)


def faults(rules: StressRules, names: frozenset[str]) -> Iterator[tuple[str, str]]:
    """(key, rule broken); `names` are the underlyings and the assets that have an index price."""
    betas = {"beta_default": rules.beta_default}
    betas |= {f"betas.{name}": beta for name, beta in rules.betas.items()}
    for key, beta in betas.items():
        if not 0 <= beta <= BETA_MAX:
            yield key, f"must lie in 0..{BETA_MAX}"
    for name in sorted(rules.betas.keys() - names):
        yield f"betas.{name}", "is neither an underlying nor an asset with an index price"
