"""What `unimargin policy check` lists of a policy: risk tiers, collateral, liabilities, risk units. Pure."""

from decimal import Decimal

import msgspec

from engine.analytics.full_use import healthy_up_to
from engine.numbers import ZERO, canonical, exact
from engine.policy import Policy
from engine.policy.rules.policy_switches import Tiering, TiersBy
from engine.policy.rules.portfolio_rules import UnitRules
from engine.policy.rules.stress_rules import StressRules


class TierRow(msgspec.Struct, frozen=True, kw_only=True):
    """One tier of a table, as its instruments' margin rules read it."""

    table: str
    tiering: Tiering
    """Marginal or flat."""
    instruments: tuple[str, ...]
    floor: Decimal
    initial_rate: Decimal
    maintenance_rate: Decimal
    deduction: Decimal | None
    """None where the rate holds for the whole notional."""
    jump: Decimal
    """By how much maintenance margin jumps at the floor; 0 where it is continuous."""


class SizeRow(msgspec.Struct, frozen=True, kw_only=True):
    """Rates that grow with the size of the position."""

    instrument: str
    initial_base_rate: Decimal
    maintenance_base_rate: Decimal
    slope_per_unit: Decimal
    healthy_up_to: Decimal | None
    """Units held up to which an account that uses its margin to the full is not warned; None where it never is."""


class CollateralRow(msgspec.Struct, frozen=True, kw_only=True):
    """One collateral tier of an asset."""

    asset: str
    index: str
    floor: Decimal
    counted_by: TiersBy
    """Whether the floor counts coins (amount) or account currency (value)."""
    ratio: Decimal
    cap: Decimal | None
    liability_factor: Decimal


class BorrowRow(msgspec.Struct, frozen=True, kw_only=True):
    """One tier of what owing an asset requires."""

    asset: str
    floor: Decimal
    initial_rate: Decimal
    maintenance_rate: Decimal


class UnitRow(msgspec.Struct, frozen=True, kw_only=True):
    """One risk unit of portfolio margin."""

    underlying: str
    prices: tuple[Decimal, ...]
    tails: tuple[Decimal, ...]
    volatility_up: Decimal
    volatility_down: Decimal
    charges: tuple[str, ...]


class BetaRow(msgspec.Struct, frozen=True, kw_only=True):
    """By how much an underlying moves when the market does, in questions that weight by it."""

    underlying: str
    """"others" for those that have none of their own."""
    beta: Decimal


_CHARGES = (
    "forward",
    "basis",
    "vega",
    "delta_one",
    "short_option",
    "liquidity",
    "interest",
    "minimum",
    "confidence",
    "settle_hedges",
    "options",
)


def tier_rows(policy: Policy) -> list[TierRow]:
    """Every table with the instruments that use it; once per way in which they read it."""
    users: dict[tuple[str, Tiering], list[str]] = {}
    for symbol, instrument in policy.instruments.items():
        if instrument.tiers:
            users.setdefault((instrument.tiers, policy.margin_rules(symbol).tiering), []).append(symbol)
    named = {name for name, _ in users}
    for name in policy.tiers:
        if name not in named:
            users[name, Tiering.MARGINAL] = []
    return [
        row
        for (name, tiering), symbols in users.items()
        for row in _table(policy, name, tiering, tuple(symbols))
    ]


def _table(policy: Policy, name: str, tiering: Tiering, instruments: tuple[str, ...]) -> list[TierRow]:
    tiers, deductions = policy.tiers[name], policy.deductions[name]
    flat = tiering is Tiering.FLAT
    rows = []
    with exact():
        for below, tier, deduction in zip((tiers[0], *tiers), tiers, deductions, strict=False):
            # flat: at the floor the whole notional takes the new rate, floor * (rate - rate below)
            jump = tier.floor * (tier.maintenance_rate - below.maintenance_rate) if flat else ZERO
            rows.append(
                TierRow(
                    table=name,
                    tiering=tiering,
                    instruments=instruments,
                    floor=tier.floor,
                    initial_rate=tier.initial_rate,
                    maintenance_rate=tier.maintenance_rate,
                    deduction=None if flat else canonical(deduction),
                    jump=canonical(jump),
                )
            )
    return rows


def size_rows(policy: Policy) -> list[SizeRow]:
    """Instruments whose rates grow with the position."""
    return [
        SizeRow(
            instrument=symbol,
            initial_base_rate=it.size_rates.initial_base_rate,
            maintenance_base_rate=it.size_rates.maintenance_base_rate,
            slope_per_unit=it.size_rates.slope_per_unit,
            healthy_up_to=healthy_up_to(symbol, policy),
        )
        for symbol, it in policy.instruments.items()
        if it.size_rates is not None
    ]


def collateral_rows(policy: Policy) -> list[CollateralRow]:
    """Every collateral tier."""
    return [
        CollateralRow(
            asset=name,
            index=asset.index,
            floor=tier.floor,
            counted_by=asset.tiers_by,
            ratio=tier.ratio if asset.collateral else ZERO,
            cap=asset.cap,
            liability_factor=asset.liability_factor,
        )
        for name, asset in policy.assets.items()
        for tier in asset.tiers
    ]


def borrow_rows(policy: Policy) -> list[BorrowRow]:
    """Every tier of a liability's margin."""
    return [
        BorrowRow(
            asset=name,
            floor=tier.floor,
            initial_rate=tier.initial_rate,
            maintenance_rate=tier.maintenance_rate,
        )
        for name, asset in policy.assets.items()
        for tier in asset.borrow_tiers
    ]


def unit_rows(policy: Policy) -> list[UnitRow]:
    """Every risk unit of portfolio margin; none without it."""
    return [] if policy.portfolio is None else [_unit(*it) for it in policy.portfolio.units.items()]


def _unit(underlying: str, unit: UnitRules) -> UnitRow:
    return UnitRow(
        underlying=underlying,
        prices=unit.grid.prices,
        tails=tuple(it.price for it in unit.scenarios if it.price),
        volatility_up=unit.volatility.up,
        volatility_down=unit.volatility.down,
        charges=tuple(name for name in _CHARGES if getattr(unit, name)),
    )


def beta_rows(policy: Policy) -> list[BetaRow]:
    """Betas; none where the policy says nothing of them."""
    if policy.stress == StressRules():
        return []
    betas = [BetaRow(underlying=name, beta=beta) for name, beta in policy.stress.betas.items()]
    return [*betas, BetaRow(underlying="others", beta=policy.stress.beta_default)]
