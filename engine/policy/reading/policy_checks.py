"""The rules that every policy keeps. `check` raises `PolicyError` at the first one broken."""

import itertools
import re
from decimal import Decimal

from engine.numbers import QUOTIENT_DIGITS, amount_fault, exact
from engine.policy.reading.instrument_checks import check_instrument, check_prices
from engine.policy.rules.asset_rules import Asset
from engine.policy.rules.breaker_rules import faults as breaker_faults
from engine.policy.rules.deleveraging_rules import faults as deleveraging_faults
from engine.policy.rules.document import Policy
from engine.policy.rules.health_weights import faults as health_faults
from engine.policy.rules.input_rules import faults as input_faults
from engine.policy.rules.instrument_rules import RiskTier
from engine.policy.rules.liquidation_rules import faults as liquidation_faults
from engine.policy.rules.margin_rules import MarginRules
from engine.policy.rules.policy_switches import InstrumentKind, MarginModel, Rounding
from engine.policy.rules.portfolio_rules import faults
from engine.policy.rules.price_rules import Ladder, PriceRules
from engine.policy.rules.requirements import PolicyError, amounts_of, check_floors, require, require_listed
from engine.policy.rules.stress_rules import faults as stress_faults

__all__ = ["LINK_PLACEHOLDERS", "PolicyError", "check"]

LINK_PLACEHOLDERS = frozenset({"{account}", "{episode_id}", "{event_id}", "{type}"})
_PLACEHOLDER = re.compile(r"{[^}]*}?")


def check(policy: Policy) -> None:
    """Raise `PolicyError` naming the key and the rule that `policy` breaks."""
    for key, amount in amounts_of("", policy):
        require(amount_fault(amount) is None, key, "must be finite and within the digit bounds")
    require_listed(policy.account_currency, "assets", policy.assets, "account_currency")
    for name, asset in policy.assets.items():
        _check_asset(f"assets.{name}", asset, needs_index=name != policy.account_currency)
    _check_second_sources(policy)
    _check_scales(policy)
    for name, tiers in policy.tiers.items():
        _check_tiers(f"tiers.{name}", tiers, policy.deductions[name])
    for name, rules in policy.margin.items():
        _check_rules(f"margin.{name}", rules)
    for key, amount in amounts_of("option_margin", policy.option_margin):
        require(amount >= 0, key, "must be >= 0")
    for symbol, instrument in policy.instruments.items():
        check_instrument(policy, symbol, instrument)
    _check_pool(policy)
    _check_portfolio(policy)
    _check_health(policy)
    _check_price_rules(policy.prices)
    require(not policy.prices.reference, "prices.reference", "each symbol has its own: say it in its `price`")
    _check_ladder(policy.ladder)
    _check_liquidation(policy)
    for key, rule in breaker_faults(policy.breaker) if policy.breaker else ():
        raise PolicyError(f"breaker.{key}: {rule}")
    _check_stress(policy)
    for key, rule in input_faults(policy.inputs):
        raise PolicyError(f"inputs.{key}: {rule}")
    require(policy.leverage_default >= 1, "leverage_default", "must be >= 1")
    for name, address in policy.links.items():
        unknown = set(_PLACEHOLDER.findall(address)) - LINK_PLACEHOLDERS
        require(not unknown, f"links.{name}", f"knows only {', '.join(sorted(LINK_PLACEHOLDERS))}")


def _check_stress(policy: Policy) -> None:
    priced = frozenset(name for name, asset in policy.assets.items() if asset.index)
    for key, rule in stress_faults(policy.stress, policy.underlyings | priced):
        raise PolicyError(f"stress.{key}: {rule}")


def _check_price_rules(prices: PriceRules) -> None:
    check_prices("prices", prices)
    require(
        not prices.zero_allowed,
        "prices.zero_allowed",
        "only an option may be worth nothing: say it in its own `price`",
    )
    for name in ("instant_wait_ms", "outage_hold_seconds", "feed_resume_seconds"):
        require(getattr(prices, name) >= 0, f"prices.{name}", "must be >= 0")
    require(0 < prices.feed_stale_share <= 1, "prices.feed_stale_share", "must lie above 0, up to 1")


def _check_asset(key: str, asset: Asset, *, needs_index: bool) -> None:
    require(
        bool(asset.index) == needs_index, f"{key}.index", "needed by every asset but the account currency"
    )
    require(
        asset.liability_factor >= 1,
        f"{key}.liability_factor",
        "must be >= 1",
    )
    require(asset.dust >= 0, f"{key}.dust", "must be >= 0")
    require(asset.step > 0, f"{key}.step", "must be > 0")
    check_floors(f"{key}.tiers", [tier.floor for tier in asset.tiers])
    ratios = [tier.ratio for tier in asset.tiers]
    require(all(0 <= r <= 1 for r in ratios), f"{key}.tiers", "ratio must lie in 0..1")
    require(ratios == sorted(ratios, reverse=True), f"{key}.tiers", "ratios must not rise with the amount")
    require(asset.cap is None or asset.cap >= 0, f"{key}.cap", "must be >= 0")
    for name in ("deposit_scale_start", "borrow_scale_start"):
        start = getattr(asset, name)
        require(start is None or start > 0, f"{key}.{name}", "must be > 0")
    if asset.borrow_tiers:
        check_floors(f"{key}.borrow_tiers", [tier.floor for tier in asset.borrow_tiers])
        for row, tier in enumerate(asset.borrow_tiers):
            _check_rates(f"{key}.borrow_tiers[{row}]", tier.maintenance_rate, tier.initial_rate)
        _check_rising(f"{key}.borrow_tiers", [tier.maintenance_rate for tier in asset.borrow_tiers])
        _check_rising(f"{key}.borrow_tiers", [tier.initial_rate for tier in asset.borrow_tiers])


def _check_second_sources(policy: Policy) -> None:
    by_index: dict[str, str] = {}
    for name, asset in policy.assets.items():
        source = asset.second_source
        if source is None:
            continue
        key = f"assets.{name}.second_source"
        require(bool(asset.index), key, "needs an index to hold against it")
        named = [bool(source.symbol), source.redemption is not None, source.floor is not None]
        require(sum(named) == 1, key, "needs one of symbol, redemption and floor")
        require(source.symbol != asset.index, f"{key}.symbol", "must be another symbol than the index")
        for field in ("redemption", "floor"):
            price = getattr(source, field)
            require(price is None or price > 0, f"{key}.{field}", "must be > 0")
        require(0 <= source.divergence_max < 1, f"{key}.divergence_max", "must lie in 0..1, below 1")
        require(source.heal_seconds >= 0, f"{key}.heal_seconds", "must be >= 0")
        other = by_index.setdefault(asset.index, name)
        require(other == name, key, f"{asset.index!r} has one already, of {other!r}")


def _check_scales(policy: Policy) -> None:
    """What scales an asset comes with the marks of its index, which have to be those of one such asset."""
    by_index: dict[str, str] = {}
    for name, asset in policy.assets.items():
        for field in ("deposit_scale_start", "borrow_scale_start"):
            if getattr(asset, field) is None:
                continue
            key = f"assets.{name}.{field}"
            require(
                bool(asset.index), key, "needs an index, whose marks say what the exchange holds and owes"
            )
            other = by_index.setdefault(asset.index, name)
            require(other == name, key, f"marks of {asset.index!r} already say the totals of {other!r}")


def _check_rates(key: str, maintenance: Decimal, initial: Decimal) -> None:
    require(
        0 < maintenance <= initial <= 1,
        key,
        "need 0 < maintenance_rate <= initial_rate <= 1",
    )


def _check_rising(key: str, rates: list[Decimal]) -> None:
    require(rates == sorted(rates), key, "rates must not fall with the amount")


def _check_tiers(key: str, tiers: tuple[RiskTier, ...], deductions: tuple[Decimal, ...]) -> None:
    check_floors(key, [tier.floor for tier in tiers])
    for row, tier in enumerate(tiers):
        _check_rates(f"{key}[{row}]", tier.maintenance_rate, tier.initial_rate)
    rates = [tier.maintenance_rate for tier in tiers]
    require(rates == sorted(rates), key, "maintenance rates must not fall with the notional")
    initial = [tier.initial_rate for tier in tiers]
    require(initial == sorted(initial), key, "initial rates must not fall with the notional")
    require(not deductions[0], key, "the first tier's deduction must be 0")
    with exact():
        for (below, cut), (tier, deduction) in itertools.pairwise(zip(tiers, deductions, strict=True)):
            joining = cut + tier.floor * (tier.maintenance_rate - below.maintenance_rate)
            require(
                deduction == joining,
                key,
                f"deduction {deduction} at floor {tier.floor} makes maintenance margin jump; {joining} would join",
            )


def _check_rules(key: str, rules: MarginRules) -> None:
    for name in ("taker_fee_rate", "notional_step", "margin_step"):
        amount = getattr(rules, name)
        require(amount >= 0, f"{key}.{name}", "must be >= 0")
    require(
        0 < rules.maintenance_fraction <= 1,
        f"{key}.maintenance_fraction",
        "must lie in 0..1",
    )
    require(
        0 <= rules.profit_weight <= 1,
        f"{key}.profit_weight",
        "must lie in 0..1",
    )
    require(
        (rules.margin_rounding is Rounding.EXACT) == (not rules.margin_step),
        f"{key}.margin_rounding",
        "needs a margin_step, and a margin_step needs it",
    )


def _check_pool(policy: Policy) -> None:
    for name in ("liquidation_fee_rate", "order_requirement"):
        amount = getattr(policy.pool, name)
        require(amount >= 0, f"pool.{name}", "must be >= 0")
    digits = policy.ratio.digits
    require(
        digits is None or 0 <= digits <= QUOTIENT_DIGITS, "ratio.digits", f"must lie in 0..{QUOTIENT_DIGITS}"
    )


def _check_portfolio(policy: Policy) -> None:
    rules = policy.portfolio
    if rules is None:
        require(
            policy.pool.model is not MarginModel.PORTFOLIO, "pool.model", "portfolio margin needs [portfolio]"
        )
        return
    for key, rule in faults(rules):
        raise PolicyError(f"portfolio.{key}: {rule}")
    if rules.peg is not None and rules.peg.asset:
        require_listed(rules.peg.asset, "assets", policy.assets, "portfolio.peg.asset")
    if "default" not in rules.units:
        for symbol, instrument in policy.instruments.items():
            known = instrument.kind is InstrumentKind.SPOT or instrument.base in rules.units
            require(known, "portfolio.units", f"none for {instrument.base!r}, the underlying of {symbol!r}")


def _check_health(policy: Policy) -> None:
    rules = policy.health
    if rules is None:
        require(policy.pool.model is not MarginModel.HEALTH, "pool.model", "health needs [health]")
        return
    for key, rule in health_faults(rules):
        raise PolicyError(f"health.{key}: {rule}")
    for asset in policy.assets:
        require(asset in rules.assets, "health.assets", f"none for {asset!r}")
    for symbol, instrument in policy.instruments.items():
        require(
            instrument.kind is not InstrumentKind.OPTION,
            f"instruments.{symbol}.kind",
            "no options under health",
        )
        known = instrument.kind is InstrumentKind.SPOT or symbol in rules.contracts
        require(known, "health.contracts", f"none for {symbol!r}")


def _check_liquidation(policy: Policy) -> None:
    for key, rule in liquidation_faults(policy.liquidation, frozenset(policy.instruments)):
        raise PolicyError(f"liquidation.{key}: {rule}")
    for key, rule in deleveraging_faults(policy.deleveraging):
        raise PolicyError(f"deleveraging.{key}: {rule}")


def _check_ladder(ladder: Ladder) -> None:
    lines = [ladder.warning, ladder.margin_call, ladder.reduce_only, ladder.liquidation]
    require(
        all(a > b for a, b in itertools.pairwise(lines)) and lines[-1] > 0,
        "ladder",
        "need warning > margin_call > reduce_only > liquidation > 0",
    )
    require(ladder.exit_band >= 0, "ladder.exit_band", "must be >= 0")
    require(
        ladder.exit_hold_seconds >= 0,
        "ladder.exit_hold_seconds",
        "must be >= 0",
    )
    for name in ("degraded_hold_seconds", "liquidation_confirm_ms"):
        require(getattr(ladder, name) >= 0, f"ladder.{name}", "must be >= 0")
    for name in ("call_deadline_seconds", "urgent_call_deadline_seconds"):
        deadline = getattr(ladder, name)
        require(deadline is None or deadline > 0, f"ladder.{name}", "must be > 0")
    require(ladder.update_shortfall_change >= 0, "ladder.update_shortfall_change", "must be >= 0")
    require(ladder.update_check_seconds > 0, "ladder.update_check_seconds", "must be > 0")
    require(
        ladder.update_seconds >= ladder.update_check_seconds,
        "ladder.update_seconds",
        "must be >= update_check_seconds",
    )
