"""The rules that every listed instrument of a policy keeps."""

from decimal import Decimal

from engine.policy.rules.document import Policy
from engine.policy.rules.instrument_rules import Instrument, OpenInterestScaling
from engine.policy.rules.policy_switches import (
    ClosingFee,
    InitialRule,
    InstrumentKind,
    MaintenanceRule,
    Payoff,
)
from engine.policy.rules.price_rules import PriceCheck
from engine.policy.rules.requirements import amounts_of, require, require_listed
from engine.position_keys import LEG_SEPARATOR

_TIER_STRATEGIES = frozenset({"leverage_or_tier", "tier", "tier_over_leverage"})
_FUNDING_HOURS_MIN = Decimal("0.001")
"""3.6 seconds: an interval is counted in nanoseconds and divided by."""


def check_instrument(policy: Policy, symbol: str, instrument: Instrument) -> None:
    """Raise `PolicyError` naming the key and the rule that the instrument breaks."""
    require(bool(symbol), "instruments", "a symbol must not be empty")
    require(LEG_SEPARATOR not in symbol, f"instruments.{symbol}", f"must not contain {LEG_SEPARATOR!r}")
    key = f"instruments.{symbol}"
    require_listed(instrument.settle, "assets", policy.assets, f"{key}.settle")
    require(instrument.multiplier > 0, f"{key}.multiplier", "must be > 0")
    if instrument.margin != "default":
        require_listed(instrument.margin, "margin", policy.margin, f"{key}.margin")
    for name in ("quantity_step", "price_step", "order_quantity_min", "market_order_quantity_max"):
        step = getattr(instrument, name)
        require(step >= 0, f"{key}.{name}", "must be >= 0")
    largest, least = instrument.market_order_quantity_max, instrument.order_quantity_min
    # so that whatever may be traded can be cut into orders that may be
    enough = largest >= max(2 * least, instrument.quantity_step)
    require(
        not largest or enough,
        f"{key}.market_order_quantity_max",
        "must be >= twice order_quantity_min, and >= quantity_step",
    )
    require(
        instrument.funding_interval_hours >= _FUNDING_HOURS_MIN,
        f"{key}.funding_interval_hours",
        f"must be >= {_FUNDING_HOURS_MIN}",
    )
    require(
        0 <= instrument.funding_offset_hours < instrument.funding_interval_hours,
        f"{key}.funding_offset_hours",
        "must be >= 0, and below funding_interval_hours",
    )
    require(
        instrument.expiry is None or instrument.expiry.tzinfo is not None,
        f"{key}.expiry",
        "needs a time zone",
    )
    if instrument.kind is InstrumentKind.SPOT:
        require_listed(instrument.base, "assets", policy.assets, f"{key}.base")
        require(instrument.payoff is Payoff.LINEAR, f"{key}.payoff", "a spot pair is linear")
    elif instrument.kind is InstrumentKind.OPTION:
        _check_option(policy, key, symbol, instrument)
    else:
        _check_contract(policy, key, symbol, instrument)
    _check_negative_prices(policy, key, symbol, instrument)
    if instrument.price is not None:
        check_prices(f"{key}.price", instrument.price)
        reference = instrument.price.reference
        require(
            not reference or (reference in policy.price_symbols and reference != symbol),
            f"{key}.price.reference",
            f"{reference!r} is no other price symbol",
        )
        require(
            instrument.kind is InstrumentKind.OPTION or not instrument.price.zero_allowed,
            f"{key}.price.zero_allowed",
            "only an option may be worth nothing",
        )


def _check_contract(policy: Policy, key: str, symbol: str, instrument: Instrument) -> None:
    rules = policy.margin_rules(symbol)
    if instrument.tiers or rules.initial in _TIER_STRATEGIES or rules.maintenance in _TIER_STRATEGIES:
        require_listed(instrument.tiers, "tiers", policy.tiers, f"{key}.tiers")
    if rules.initial is InitialRule.SIZE or rules.maintenance is MaintenanceRule.SIZE:
        require(
            instrument.size_rates is not None, f"{key}.size_rates", "needed by margin rules that say size"
        )
    for path, amount in amounts_of(f"{key}.size_rates", instrument.size_rates):
        require(amount >= 0, path, "must be >= 0")
    if instrument.open_interest is not None:
        _check_scaling(f"{key}.open_interest", instrument.open_interest)
    require(
        (instrument.expiry is not None) == (instrument.kind is InstrumentKind.FUTURE),
        f"{key}.expiry",
        "needed by a delivery future, and only there (and by an option)",
    )


def _check_negative_prices(policy: Policy, key: str, symbol: str, instrument: Instrument) -> None:
    """That nothing divides by such a price, takes its logarithm, or has it for the price of a coin."""
    least = f"{key}.price_scale_min"
    if not instrument.negative_prices:
        require(not instrument.price_scale_min, least, "belongs to negative_prices = true")
        return
    key = f"{key}.negative_prices"
    futures = {InstrumentKind.PERPETUAL, InstrumentKind.FUTURE}
    require(
        instrument.kind in futures and instrument.payoff is Payoff.LINEAR,
        key,
        "only a linear perpetual or delivery future may be quoted at 0 and below",
    )
    require(
        instrument.price_scale_min > 0,
        least,
        "needed by negative_prices, > 0: a margin is a fraction of the price, and would be 0 at a price of 0",
    )
    require(
        instrument.base not in policy.assets and not instrument.forward,
        key,
        "must be on an underlying that is no listed asset and names no forward: these cost more than 0",
    )
    require(
        policy.margin_rules(symbol).closing_fee is not ClosingFee.BANKRUPTCY,
        key,
        "its margin rules may not charge the closing fee at a bankruptcy price, which may lie beyond 0",
    )
    indices = {asset.index for asset in policy.assets.values()}
    require(symbol not in indices, key, "is the index of an asset, which must stay above 0")
    require(
        symbol not in {it.symbol for it in policy.second_sources.values()},
        key,
        "is the second source of an asset, which must stay above 0",
    )
    forwards = [name for name, it in policy.instruments.items() if it.forward == symbol]
    require(not forwards, key, f"is the forward of {', '.join(forwards)}: Black-76 needs one above 0")


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
    for name in ("stale_grace_seconds", "stale_haircut_per_minute"):
        require(getattr(check, name) >= 0, f"{key}.{name}", "must be >= 0")
    require(0 <= check.stale_haircut_max <= 1, f"{key}.stale_haircut_max", "must lie in 0..1")
    for name in (
        "jump_fraction", "jump_window_seconds", "volatility_max", "volatility_jump", "funding_rate_max",
        "funding_rate_jump", "confidence_jump", "open_interest_max", "open_interest_jump", "asset_total_max",
        "asset_total_jump", "realisable_share_jump", "reference_fraction",
    ):  # fmt: skip
        require(getattr(check, name) > 0, f"{key}.{name}", "must be > 0")
    for name in ("jump_confirmations", "sequence_step_max"):
        require(getattr(check, name) >= 1, f"{key}.{name}", "must be >= 1")
    require(check.jump_confirm_spacing_ms >= 0, f"{key}.jump_confirm_spacing_ms", "must be >= 0")
    require(check.average_price_factor_max > 1, f"{key}.average_price_factor_max", "must be > 1")
