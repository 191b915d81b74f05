"""The rules that every listed instrument of a policy keeps."""

from decimal import Decimal

from engine.policy.document import Policy
from engine.policy.instruments import Instrument, OpenInterestScaling
from engine.policy.prices import PriceCheck
from engine.policy.requirements import amounts_of, require
from engine.position_keys import LEG_SEPARATOR

_TIER_STRATEGIES = frozenset({"leverage_or_tier", "tier", "tier_over_leverage"})
_FUNDING_HOURS_MIN = Decimal("0.001")
"""3.6 seconds: an interval is counted in nanoseconds and divided by."""


def check_instrument(policy: Policy, symbol: str, instrument: Instrument) -> None:
    """Raise `PolicyError` naming the key and the rule that the instrument breaks."""
    require(bool(symbol), "instruments", "a symbol must not be empty")
    require(LEG_SEPARATOR not in symbol, f"instruments.{symbol}", f"must not contain {LEG_SEPARATOR!r}")
    key = f"instruments.{symbol}"
    require(instrument.settle in policy.assets, f"{key}.settle", f"{instrument.settle!r} is not in assets")
    require(instrument.multiplier > 0, f"{key}.multiplier", "must be > 0")
    require(
        instrument.margin == "default" or instrument.margin in policy.margin,
        f"{key}.margin",
        f"{instrument.margin!r} is not in margin",
    )
    for name in ("quantity_step", "price_step"):
        step = getattr(instrument, name)
        require(step >= 0, f"{key}.{name}", "must be >= 0")
    require(
        instrument.funding_interval_hours >= _FUNDING_HOURS_MIN,
        f"{key}.funding_interval_hours",
        f"must be >= {_FUNDING_HOURS_MIN}",
    )
    require(
        instrument.expiry is None or instrument.expiry.tzinfo is not None,
        f"{key}.expiry",
        "needs a time zone",
    )
    if instrument.kind == "spot":
        require(instrument.base in policy.assets, f"{key}.base", f"{instrument.base!r} is not in assets")
        require(instrument.payoff == "linear", f"{key}.payoff", "a spot pair is linear")
    elif instrument.kind == "option":
        _check_option(policy, key, symbol, instrument)
    else:
        _check_contract(policy, key, symbol, instrument)
    if instrument.price is not None:
        check_prices(f"{key}.price", instrument.price)
        require(
            instrument.kind == "option" or not instrument.price.zero_allowed,
            f"{key}.price.zero_allowed",
            "only an option may be worth nothing",
        )


def _check_contract(policy: Policy, key: str, symbol: str, instrument: Instrument) -> None:
    rules = policy.margin_rules(symbol)
    if instrument.tiers or rules.initial in _TIER_STRATEGIES or rules.maintenance in _TIER_STRATEGIES:
        require(instrument.tiers in policy.tiers, f"{key}.tiers", f"{instrument.tiers!r} is not in tiers")
    if "size" in {rules.initial, rules.maintenance}:
        require(
            instrument.size_rates is not None, f"{key}.size_rates", "needed by margin rules that say size"
        )
    for path, amount in amounts_of(f"{key}.size_rates", instrument.size_rates):
        require(amount >= 0, path, "must be >= 0")
    if instrument.open_interest is not None:
        _check_scaling(f"{key}.open_interest", instrument.open_interest)
    require(
        (instrument.expiry is not None) == (instrument.kind == "future"),
        f"{key}.expiry",
        "needed by a delivery future, and only there (and by an option)",
    )


def _check_option(policy: Policy, key: str, symbol: str, instrument: Instrument) -> None:
    require(instrument.expiry is not None, f"{key}.expiry", "an option needs it")
    require(instrument.right is not None, f"{key}.right", "an option needs it")
    require(
        instrument.strike is not None and instrument.strike > 0,
        f"{key}.strike",
        "an option needs it, > 0",
    )
    rules = policy.margin_rules(symbol)
    require(
        rules.option in policy.option_margin,  # under portfolio margin too: an account may choose cross
        f"{key}.margin",
        f"its rules name {rules.option!r}, which is not in option_margin",
    )
    require(
        bool(instrument.forward) or instrument.base in policy.assets,
        f"{key}.forward",
        "needed where the underlying is no listed asset",
    )


def _check_scaling(key: str, scaling: OpenInterestScaling) -> None:
    require(0 <= scaling.lower_cap < scaling.upper_cap, key, "need 0 <= lower_cap < upper_cap")
    require(scaling.rate_step > 0, f"{key}.rate_step", "must be > 0")


def check_prices(key: str, check: PriceCheck) -> None:
    """Raise `PolicyError` naming the key and the rule that the price check breaks."""
    require(
        check.stale_after_seconds > 0,
        f"{key}.stale_after_seconds",
        "> 0",
    )
    require(
        check.future_tolerance_seconds >= 0,
        f"{key}.future_tolerance_seconds",
        "must be >= 0",
    )
    require(check.jump_fraction > 0, f"{key}.jump_fraction", "must be > 0")
    require(check.jump_confirmations >= 1, f"{key}.jump_confirmations", "must be >= 1")
