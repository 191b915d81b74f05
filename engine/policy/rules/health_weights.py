"""Weights by which the health model counts assets and contracts (Mango v4).

Every asset and every contract has two pairs of weights: the initial one gates new risk, the maintenance one gates
liquidation, so initial weights are never more generous. Formulas: `engine.margin.health.weighted_health`.
"""

from collections.abc import Iterator
from decimal import Decimal

import msgspec

from engine.numbers import ONE
from engine.policy.rules.tables import Table


class Weights(Table, frozen=True, kw_only=True):
    """What one unit of value counts."""

    asset: Decimal
    """Of a positive amount, 0..1."""
    liability: Decimal
    """Of a negative amount, 1 or more."""


class AssetWeights(Table, frozen=True, kw_only=True):
    """Weights of an asset that may stand in a wallet."""

    initial: Weights
    maintenance: Weights


class ContractWeights(Table, frozen=True, kw_only=True):
    """Weights of the underlying that a contract is long (asset) or short (liability) of."""

    initial: Weights
    maintenance: Weights
    initial_profit: Decimal = ONE
    """Share of a contract's positive health that counts in its settle asset."""
    maintenance_profit: Decimal = ONE


class HealthRules(Table, frozen=True, kw_only=True):
    """Needed where the pool's model is health; then every asset and every contract is listed here.

    Of `PoolRules` only `conservative_price` (initial health alone) and `funding_accrual` apply, of `Asset` the
    collateral switch and the scale starts (initial health alone).
    """

    assets: dict[str, AssetWeights]
    contracts: dict[str, ContractWeights] = msgspec.field(default_factory=dict)
    """By symbol."""


def faults(rules: HealthRules) -> Iterator[tuple[str, str]]:
    """(key, rule) of everything in `rules` that the engine could not compute with; amounts are finite."""
    for kind, tables in (("assets", rules.assets), ("contracts", rules.contracts)):
        for name, table in tables.items():
            for rule in _weight_faults(table):
                yield f"{kind}.{name}", rule
    for name, contract in rules.contracts.items():
        if not all(0 <= share <= 1 for share in (contract.initial_profit, contract.maintenance_profit)):
            yield f"contracts.{name}", "profit shares must lie in 0..1"
        elif contract.initial_profit > contract.maintenance_profit:
            yield f"contracts.{name}", "initial_profit must not exceed maintenance_profit"


def _weight_faults(table: AssetWeights | ContractWeights) -> Iterator[str]:
    initial, maintenance = table.initial, table.maintenance
    for pair in (initial, maintenance):
        if not 0 <= pair.asset <= 1 <= pair.liability:
            yield "need 0 <= asset <= 1 <= liability"
    if initial.asset > maintenance.asset or initial.liability < maintenance.liability:
        yield "initial weights must not be more generous than maintenance weights"
