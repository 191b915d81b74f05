"""A random policy over every switch of cross margin, checked as a parsed one is."""

from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from random import Random
from typing import Any, get_type_hints

from engine.policy import (
    Asset,
    BorrowTier,
    CollateralTier,
    Instrument,
    MarginRules,
    OpenInterestScaling,
    Policy,
    PoolRules,
    RiskTier,
    SizeRates,
)
from engine.policy.reading.policy_checks import check
from tests.engine.reference.draws import chance, dec, rising

ASSETS = ("USD", "USDT", "BTC", "ETH", "SOL")
FLOORS = dec("5", "10", "50", "100", "250", "1000", "5000", "20000", "50000", "250000", "1000000")
RATES = dec("0.004", "0.005", "0.01", "0.0125", "0.02", "0.05", "0.1", "0.15", "0.25", "0.5", "1")
RATIOS = dec("0", "0.3", "0.5", "0.8", "0.9", "0.95", "0.975", "1")
MULTIPLIERS = dec("1", "1", "0.001", "10", "100", "0.3")


def draw_policy(random: Random) -> Policy:
    """A policy that passes `check`."""
    names = ASSETS[: random.randint(2, len(ASSETS))]
    tiers = {f"table{i}": _risk_tiers(random) for i in range(3)}
    margin = {name: _rules(random) for name in ("default", "one", "two")}
    policy = Policy(
        name="drawn",
        account_currency="USD",
        assets={name: _asset(random, name) for name in names},
        instruments=_instruments(random, names, tuple(tiers), margin),
        tiers=tiers,
        margin=margin,
        pool=_pool(random),
        leverage_default=random.choice(dec("1", "3", "7.5", "20")),
    )
    check(policy)
    return policy


def switches(table: type) -> dict[str, tuple[Any, ...]]:
    """Every field of `table` that is a switch, with its members."""
    return {
        name: tuple(hint)
        for name, hint in get_type_hints(table).items()
        if isinstance(hint, type) and issubclass(hint, StrEnum)
    }


def _asset(random: Random, name: str) -> Asset:
    count = random.randint(1, 4)
    floors = [Decimal(0), *rising(random, FLOORS, count - 1)]
    ratios = sorted((random.choice(RATIOS) for _ in floors), reverse=True)
    return Asset(
        index="" if name == "USD" else f"{name}-USD",
        tiers=tuple(CollateralTier(floor=floor, ratio=it) for floor, it in zip(floors, ratios, strict=True)),
        tiers_by=random.choice(switches(Asset)["tiers_by"]),
        cap=random.choice([None, None, Decimal(0), *FLOORS]),
        collateral=chance(random, 0.9),
        liability_factor=random.choice(dec("1", "1", "1.02", "1.5")),
        borrow_tiers=_borrow_tiers(random) if chance(random, 0.4) else (),
        # no mark could say the totals of the account currency
        deposit_scale_start=None
        if name == "USD"
        else random.choice([None, None, Decimal(7000), Decimal(1000000)]),
        borrow_scale_start=None
        if name == "USD"
        else random.choice([None, None, Decimal(300), Decimal(50000)]),
    )


def _borrow_tiers(random: Random) -> tuple[BorrowTier, ...]:
    floors, initial, maintenance = _tier_columns(random)
    rows = zip(floors, initial, maintenance, strict=True)
    return tuple(BorrowTier(floor=f, initial_rate=i, maintenance_rate=m) for f, i, m in rows)


def _risk_tiers(random: Random) -> tuple[RiskTier, ...]:
    rows = zip(*_tier_columns(random), strict=True)
    return tuple(RiskTier(floor=f, initial_rate=i, maintenance_rate=m) for f, i, m in rows)


def _tier_columns(random: Random) -> tuple[list[Decimal], list[Decimal], list[Decimal]]:
    """Floors, initial and maintenance rates, all rising; no maintenance rate exceeds its initial one."""
    count = random.randint(1, 4)
    maintenance = sorted(random.choice(RATES[:9]) for _ in range(count))
    initial = sorted(max(rate, random.choice(RATES)) for rate in maintenance)
    return [Decimal(0), *rising(random, FLOORS, count - 1)], initial, maintenance


def _rules(random: Random) -> MarginRules:
    named = {name: random.choice(choices) for name, choices in switches(MarginRules).items()}
    named["margin_rounding"] = random.choice(["exact", "exact", named["margin_rounding"]])
    return MarginRules(
        **named,
        maintenance_fraction=random.choice(dec("0.5", "0.333", "1")),
        closing_fee_in_initial=chance(random, 0.5),
        taker_fee_rate=random.choice(dec("0", "0.0004", "0.00055")),
        order_loss=chance(random, 0.5),
        profit_weight=random.choice(dec("0", "0.5", "1", "1")),
        realisable_profit=chance(random, 0.4),
        notional_step=random.choice(dec("0", "0", "1", "0.01", "7")),
        margin_step=random.choice(dec("0.01", "1", "0.0003"))
        if named["margin_rounding"] != "exact"
        else Decimal(0),
    )


def _pool(random: Random) -> PoolRules:
    named = {name: random.choice(choices) for name, choices in switches(PoolRules).items()}
    return PoolRules(
        **(named | {"model": "cross"}),
        conservative_price=chance(random, 0.5),
        liquidation_fee_rate=random.choice(dec("0", "0", "0.0015")),
        orders_in_maintenance=chance(random, 0.5),
        order_requirement=random.choice(dec("0", "0", "0.75")),
        funding_accrual=chance(random, 0.5),
    )


def _instruments(
    random: Random, names: tuple[str, ...], tiers: tuple[str, ...], margin: dict[str, MarginRules]
) -> dict[str, Instrument]:
    contracts = {f"C{i}": _contract(random, names, tiers, margin) for i in range(random.randint(3, 6))}
    bases = random.sample(names[1:], min(2, len(names) - 1))
    pairs = {
        f"{base}/{settle}": Instrument(
            kind="spot", base=base, settle=settle, multiplier=random.choice(MULTIPLIERS)
        )
        for base in bases
        for settle in random.sample([it for it in names if it != base], 1)
    }
    return contracts | pairs


def _contract(
    random: Random, names: tuple[str, ...], tiers: tuple[str, ...], margin: dict[str, MarginRules]
) -> Instrument:
    kind = random.choice(["perpetual", "perpetual", "future"])
    inverse, rules = chance(random, 0.35), random.choice(list(margin))
    # a closing fee at a bankruptcy price is for prices above 0
    negative = not inverse and margin[rules].closing_fee != "bankruptcy" and chance(random, 0.4)
    return Instrument(
        kind=kind,
        base="XYZ" if negative else random.choice(["BTC", "ETH", "XYZ"]),
        negative_prices=negative,
        price_scale_min=random.choice(dec("0.5", "10", "300")) if negative else Decimal(0),
        settle=random.choice(names),
        payoff="inverse" if inverse else "linear",
        multiplier=random.choice(MULTIPLIERS),
        tiers=random.choice(tiers),
        margin=rules,
        size_rates=SizeRates(
            initial_base_rate=Decimal("0.02"),
            maintenance_base_rate=Decimal("0.01"),
            slope_per_unit=random.choice(dec("0", "0.00005", "0.003")),
        ),
        open_interest=_scaling(random) if chance(random, 0.3) else None,
        expiry=datetime(2030, 6, 28, 8, tzinfo=UTC) if kind == "future" else None,
        funding_interval_hours=random.choice(dec("8", "4", "1", "0.5")),
    )


def _scaling(random: Random) -> OpenInterestScaling:
    lower, upper = rising(random, FLOORS, 2)
    return OpenInterestScaling(
        lower_cap=lower, upper_cap=upper, rate_step=random.choice(dec("0.000001", "0.03"))
    )
