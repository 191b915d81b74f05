"""The rule book of an exchange as one validated, frozen value with a digest.

A policy is parsed from TOML text. Unknown keys are refused, decimals are read as written (never through a
float), and every rule below is checked at load: a policy that loads is a policy the engine can compute with.
Any change of content changes `digest`, which every event carries.
"""

import hashlib
import itertools
import tomllib
from decimal import Decimal
from functools import cached_property
from typing import Literal

import msgspec

from engine.numbers import ONE, ZERO, amount_fault, exact


class PolicyError(ValueError):
    """The policy text breaks a rule; the message names the key and the rule."""


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A TOML table: unknown keys are refused."""


class PriceCheck(_Table, frozen=True, kw_only=True):
    """When a mark is believed."""

    stale_after_seconds: Decimal = Decimal(10)
    """A symbol without a newer mark for longer than this is stale."""
    future_tolerance_seconds: Decimal = Decimal(2)
    """A mark dated further ahead of its receipt is refused."""
    jump_fraction: Decimal = Decimal("0.1")
    """A mark further than this fraction from the last accepted one waits for confirmation."""
    jump_confirmations: int = 3
    """Marks near the first far one (itself included) that make the jump believed."""


class RiskTier(_Table, frozen=True, kw_only=True):
    """One marginal tier of a risk limit table; it holds from `floor` up to the next tier's floor."""

    floor: Decimal
    """Notional in settle asset."""
    maintenance_rate: Decimal
    initial_rate: Decimal


class Instrument(_Table, frozen=True, kw_only=True):
    """A listed contract (or a spot pair) whose price symbol is its own symbol."""

    kind: Literal["spot", "perpetual"]
    base: str
    settle: str
    """Asset in which P&L, fees and margin of the contract are counted; the quote asset of a spot pair."""
    multiplier: Decimal = ONE
    tiers: str = ""
    """Name of a table under `tiers`; needed by a perpetual."""
    price: PriceCheck | None = None
    """Overrides `prices` for this symbol."""


class CollateralTier(_Table, frozen=True, kw_only=True):
    """One marginal tier of collateral value; it holds from `floor` coins up to the next tier's floor."""

    floor: Decimal
    ratio: Decimal
    """Collateral ratio, 1 - haircut."""


class Asset(_Table, frozen=True, kw_only=True):
    """An asset that may stand in a wallet."""

    index: str = ""
    """Price symbol of the index price in account currency; empty only for the account currency itself."""
    tiers: tuple[CollateralTier, ...] = (CollateralTier(floor=ZERO, ratio=ONE),)
    liability_factor: Decimal = ONE
    """A negative balance counts at index price times this; 1 or more."""


class Ladder(_Table, frozen=True, kw_only=True):
    """The lines of the ladder as portfolio margin ratios (collateral value / maintenance margin)."""

    warning: Decimal = Decimal("1.5")
    margin_call: Decimal = Decimal("1.2")
    reduce_only: Decimal = Decimal("1.05")
    liquidation: Decimal = Decimal(1)
    exit_band: Decimal = Decimal("0.02")
    """A state is left only at its entry line plus this."""
    exit_hold_seconds: Decimal = Decimal(5)
    """... held for this long in event time."""
    withhold_liquidation_when_degraded: bool = True


class Policy(_Table, frozen=True, dict=True, kw_only=True):
    """The whole rule book. Build it with `parse`."""

    name: str
    account_currency: str
    assets: dict[str, Asset]
    instruments: dict[str, Instrument]
    tiers: dict[str, tuple[RiskTier, ...]]
    prices: PriceCheck = PriceCheck()
    ladder: Ladder = Ladder()
    leverage_default: Decimal = Decimal(10)

    @cached_property
    def digest(self) -> str:
        """First 16 hex digits of the SHA-256 of the content."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()[:16]

    @cached_property
    def deductions(self) -> dict[str, tuple[Decimal, ...]]:
        """Per tier table, each tier's deduction, which makes maintenance margin continuous at the edges.

        deduction_n = deduction_(n-1) + floor_n * (rate_n - rate_(n-1))
        """
        with exact():
            return {name: _deductions(tiers) for name, tiers in self.tiers.items()}

    @cached_property
    def price_symbols(self) -> dict[str, PriceCheck]:
        """Every price symbol the engine listens to, with its check."""
        checks = {asset.index: self.prices for asset in self.assets.values() if asset.index}
        checks |= {
            symbol: it.price or self.prices for symbol, it in self.instruments.items() if it.kind != "spot"
        }
        return checks


def parse(text: str) -> Policy:
    """Read and check a policy. Raises `PolicyError` naming the key and the rule it breaks."""
    try:
        policy = msgspec.convert(tomllib.loads(text, parse_float=Decimal), Policy)
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(f"not valid TOML: {error}") from None
    except msgspec.ValidationError as error:
        raise PolicyError(str(error)) from None
    _check(policy)
    return policy


def _deductions(tiers: tuple[RiskTier, ...]) -> tuple[Decimal, ...]:
    deductions = [ZERO]
    for below, tier in itertools.pairwise(tiers):
        deductions.append(deductions[-1] + tier.floor * (tier.maintenance_rate - below.maintenance_rate))
    return tuple(deductions)


def _require(holds: bool, key: str, rule: str) -> None:  # noqa: FBT001 - reads as a sentence at each call
    if not holds:
        raise PolicyError(f"{key}: {rule}")


def _check(policy: Policy) -> None:
    _check_assets(policy)
    for name, tiers in policy.tiers.items():
        _check_tiers(f"tiers.{name}", tiers)
    for symbol, instrument in policy.instruments.items():
        _require(bool(symbol), "instruments", "a symbol must not be empty")
        _check_instrument(policy, f"instruments.{symbol}", instrument)
    _check_prices("prices", policy.prices)
    _check_ladder(policy.ladder)
    _require(
        _usable(policy.leverage_default) and policy.leverage_default >= 1, "leverage_default", "must be >= 1"
    )


def _usable(amount: Decimal) -> bool:
    return amount_fault(amount) is None


def _check_assets(policy: Policy) -> None:
    _require(
        policy.account_currency in policy.assets,
        "account_currency",
        f"{policy.account_currency!r} is not in assets",
    )
    for name, asset in policy.assets.items():
        key = f"assets.{name}"
        needs_index = name != policy.account_currency
        _require(
            bool(asset.index) == needs_index, f"{key}.index", "needed by every asset but the account currency"
        )
        _require(
            _usable(asset.liability_factor) and asset.liability_factor >= 1,
            f"{key}.liability_factor",
            "must be >= 1",
        )
        _check_floors(f"{key}.tiers", [tier.floor for tier in asset.tiers])
        ratios = [tier.ratio for tier in asset.tiers]
        _require(all(_usable(r) and 0 <= r <= 1 for r in ratios), f"{key}.tiers", "ratio must lie in 0..1")
        _require(
            ratios == sorted(ratios, reverse=True), f"{key}.tiers", "ratios must not rise with the amount"
        )


def _check_floors(key: str, floors: list[Decimal]) -> None:
    _require(bool(floors) and floors[0] == 0, key, "the first tier must have floor 0")
    _require(all(map(_usable, floors)), key, "floors must be finite")
    _require(all(a < b for a, b in itertools.pairwise(floors)), key, "floors must rise")


def _check_tiers(key: str, tiers: tuple[RiskTier, ...]) -> None:
    _check_floors(key, [tier.floor for tier in tiers])
    for tier in tiers:
        _require(
            _usable(tier.maintenance_rate)
            and _usable(tier.initial_rate)
            and 0 < tier.maintenance_rate <= tier.initial_rate <= 1,
            key,
            "need 0 < maintenance_rate <= initial_rate <= 1",
        )
    rates = [tier.maintenance_rate for tier in tiers]
    _require(rates == sorted(rates), key, "maintenance rates must not fall with the notional")


def _check_instrument(policy: Policy, key: str, instrument: Instrument) -> None:
    _require(instrument.settle in policy.assets, f"{key}.settle", f"{instrument.settle!r} is not in assets")
    _require(_usable(instrument.multiplier) and instrument.multiplier > 0, f"{key}.multiplier", "must be > 0")
    if instrument.kind == "spot":
        _require(instrument.base in policy.assets, f"{key}.base", f"{instrument.base!r} is not in assets")
    else:
        _require(instrument.tiers in policy.tiers, f"{key}.tiers", f"{instrument.tiers!r} is not in tiers")
    if instrument.price is not None:
        _check_prices(f"{key}.price", instrument.price)


def _check_prices(key: str, check: PriceCheck) -> None:
    _require(
        _usable(check.stale_after_seconds) and check.stale_after_seconds > 0,
        f"{key}.stale_after_seconds",
        "> 0",
    )
    _require(
        _usable(check.future_tolerance_seconds) and check.future_tolerance_seconds >= 0,
        f"{key}.future_tolerance_seconds",
        "must be >= 0",
    )
    _require(_usable(check.jump_fraction) and check.jump_fraction > 0, f"{key}.jump_fraction", "must be > 0")
    _require(check.jump_confirmations >= 1, f"{key}.jump_confirmations", "must be >= 1")


def _check_ladder(ladder: Ladder) -> None:
    lines = [ladder.warning, ladder.margin_call, ladder.reduce_only, ladder.liquidation]
    _require(all(map(_usable, lines)), "ladder", "lines must be finite")
    _require(
        all(a > b for a, b in itertools.pairwise(lines)) and lines[-1] > 0,
        "ladder",
        "need warning > margin_call > reduce_only > liquidation > 0",
    )
    _require(_usable(ladder.exit_band) and ladder.exit_band >= 0, "ladder.exit_band", "must be >= 0")
    _require(
        _usable(ladder.exit_hold_seconds) and ladder.exit_hold_seconds >= 0,
        "ladder.exit_hold_seconds",
        "must be >= 0",
    )
