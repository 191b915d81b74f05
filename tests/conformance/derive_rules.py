"""Derive's parameters as portfolio rules of the engine; what a case leaves out is as in its public test cases."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from engine.numbers import ZERO, divide, to_step
from engine.policy.rules.portfolio_rules import (
    DeltaOneCharge,
    DiscountStep,
    ExpiryDiscount,
    ForwardShock,
    OptionRules,
    OracleConfidence,
    PortfolioRules,
    Rates,
    Scenario,
    ShortOptionCharge,
    SkewShock,
    SkewStep,
    StablecoinPeg,
    UnitRules,
    VolatilityShock,
    VolatilityStep,
)
from engine.policy.rules.portfolio_switches import ScenarioGroup
from tests.conformance.registry import Inputs, number

GRID = [
    ["1.18", "Up", 1],
    *[
        [price, way, 1]
        for price in ("1.135", "1.09", "1.045", "1", "0.955", "0.91", "0.865")
        for way in ("Down", "None", "Up")
    ],
    ["0.82", "Up", 1],
]
TAILS = [
    ["0.34", "Up", "0.054545454545454536"],
    ["0.67", "Up", "0.10909090909090907"],
    ["1.5", "Up", "0.072"],
    ["2", "Up", "0.036"],
    ["3", "Up", "0.018"],
    ["4", "Up", "0.012"],
]
SKEWS = [[1, "LINEAR", 1], [1, "ABS", 1]]
SKEW_SHOCK = SkewShock(
    linear_cap=Decimal("0.15"),
    absolute_cap=Decimal("0.15"),
    linear_cap_slope=Decimal("-0.05"),
    absolute_cap_slope=Decimal("-0.05"),
    width_min=Decimal("0.01"),
    width_scale=Decimal(4),
    width_volatility=Decimal("0.6"),
    width_volatility_slope=Decimal("-0.1"),
)
VOLATILITY = {
    "VOLRANGEUP": "0.5",
    "VOLRANGEDOWN": "0.275",
    "MIN_VOL_EVAL_SHOCKED": "0.45",
    "SHORTTERMPOWER": "0.3",
    "LONGTERMPOWER": "0.13",
    "DTE_FLOOR": 1,
}
MARGIN = {
    "MM_LOSS_FACTOR": "0.8",
    "IM_LOSS_FACTOR": 1,
    "LONG_RATE_MULTSCALE": 1,
    "LONG_RATE_ADDSCALE": "0.08",
    "SHORT_RATE_MULTSCALE": "0.5",
    "SHORT_RATE_ADDSCALE": "0.08",
    "BASE_STATIC_DISCOUNT": "0.95",
    "BASE_STATIC_DISCOUNT_NEG": "1.04",
}
OTHER = {
    "PEG_LOSS_THRESHOLD": "0.98",
    "PEG_LOSS_FACTOR": 2,
    "CONF_THRESHOLD": "0.55",
    "CONF_MARGIN": 1,
    "MM_PERP_PERCENT": "0.015",
    "IM_PERP_PERCENT_NORMAL": "0.02",
    "MM_OPTION_PERCENT": "0.003",
    "IM_OPTION_PERCENT_NORMAL": "0.005",
}
BASIS = {
    "SCENARIO_SPOT_UP": "1.045",
    "SCENARIO_SPOT_DOWN": "0.955",
    "BASIS_CONT_ADD_FACTOR": "0.5",
    "BASIS_CONT_MULT_FACTOR": 2,
}
STANDARD = PortfolioRules(
    units={
        "default": UnitRules(
            delta_one=DeltaOneCharge(
                rate=Rates(maintenance=Decimal("0.05"), initial=Decimal("0.065")), price="mark"
            ),
            confidence=OracleConfidence(
                threshold=Decimal("0.4"),
                rate=Rates(initial=Decimal("0.4")),
                options="short",
                futures_bind_options=False,
            ),
            options=OptionRules(
                initial_rate=Decimal("0.15"),
                initial_floor_rate=Decimal("0.1"),
                call_maintenance_rate=Decimal("0.075"),
                put_maintenance_rate=Decimal("0.075"),
                put_maintenance_value_rate=Decimal("0.075"),
                put_initial_of_maintenance=Decimal("1.05"),
                spreads="max_loss",
                unpaired_calls=Rates(maintenance=Decimal("1.1"), initial=Decimal("1.2")),
            ),
        )
    },
    peg=StablecoinPeg(threshold=Decimal("0.98"), rate=Rates(initial=Decimal("1.2")), on="shorts"),
)
SKEW_KEYS = ("linear_mult_cap", "abs_mult_cap", "k_star")
SETTLEMENT_SECONDS = Decimal(1800)
BASE_HAIRCUT = Decimal("0.9")


def portfolio_rules(
    scenarios: Iterable[Sequence[Any]],
    volatility: VolatilityShock,
    discount: ExpiryDiscount,
    margin: dict[str, Any],
    other: dict[str, Any],
    basis: dict[str, Any],
    skew: SkewShock = SKEW_SHOCK,
) -> PortfolioRules:
    unit = UnitRules(
        scenarios=tuple(_scenarios(scenarios)),
        rate_min=ZERO,
        settlement_seconds=SETTLEMENT_SECONDS,
        volatility=volatility,
        skew=skew,
        expiry_discount=discount,
        forward=ForwardShock(
            prices=(number(basis["SCENARIO_SPOT_UP"]) - 1, number(basis["SCENARIO_SPOT_DOWN"]) - 1),
            factor_base=number(basis["BASIS_CONT_ADD_FACTOR"]),
            factor_per_year=number(basis["BASIS_CONT_MULT_FACTOR"]),
        ),
        loss_factor=_rates(margin, "MM_LOSS_FACTOR", "IM_LOSS_FACTOR"),
        delta_one=DeltaOneCharge(rate=_rates(other, "MM_PERP_PERCENT", "IM_PERP_PERCENT_NORMAL")),
        short_option=ShortOptionCharge(rate=_rates(other, "MM_OPTION_PERCENT", "IM_OPTION_PERCENT_NORMAL")),
        confidence=OracleConfidence(
            threshold=number(other["CONF_THRESHOLD"]), rate=Rates(initial=number(other["CONF_MARGIN"]))
        ),
    )
    peg = StablecoinPeg(
        threshold=number(other["PEG_LOSS_THRESHOLD"]), rate=Rates(initial=number(other["PEG_LOSS_FACTOR"]))
    )
    return PortfolioRules(units={"default": unit}, peg=peg)


def _rates(table: dict[str, Any], maintenance: str, initial: str) -> Rates:
    return Rates(maintenance=number(table[maintenance]), initial=number(table[initial]))


def _scenarios(rows: Iterable[Sequence[Any]]) -> Iterable[Scenario]:
    """(factor on the price, way of the volatility or kind of skew, weight); the grid has weight 1."""
    for factor, way, weight in rows:
        price, weighted = number(factor) - 1, number(weight)
        if way.upper() in {"LINEAR", "ABS"}:
            skew = "linear" if way.upper() == "LINEAR" else "absolute"
            yield Scenario(price=price, skew=skew, weight=weighted, group="skew")
        else:
            group: ScenarioGroup = "grid" if weighted == 1 else "tail"
            yield Scenario(price=price, volatility=way.lower(), weight=weighted, group=group)


def volatility_shock(table: dict[str, Any]) -> VolatilityShock:
    return VolatilityShock(
        up=number(table["VOLRANGEUP"]),
        down=number(table["VOLRANGEDOWN"]),
        up_volatility_min=number(table["MIN_VOL_EVAL_SHOCKED"]),
        short_term_power=number(table["SHORTTERMPOWER"]),
        long_term_power=number(table["LONGTERMPOWER"]),
        floor_days=number(table["DTE_FLOOR"]),
    )


def expiry_discount(table: dict[str, Any], steps: tuple[DiscountStep, ...] = ()) -> ExpiryDiscount:
    return ExpiryDiscount(
        long_factor=number(table["BASE_STATIC_DISCOUNT"]),
        long_rate_multiplier=number(table["LONG_RATE_MULTSCALE"]),
        long_rate_addition=number(table["LONG_RATE_ADDSCALE"]),
        short_factor=number(table["BASE_STATIC_DISCOUNT_NEG"]),
        short_rate_multiplier=number(table["SHORT_RATE_MULTSCALE"]),
        short_rate_addition=number(table["SHORT_RATE_ADDSCALE"]),
        steps=steps,
    )


def given_volatility(inputs: Inputs, terms: Sequence[Decimal]) -> VolatilityShock:
    """Factors on volatility, one each for the options' `terms`; a single one where all options share an expiry."""
    up, down = (_by_term(inputs.get(key), terms) for key in ("vol_up_factor", "vol_down_factor"))
    if not up or not down:
        return volatility_shock(VOLATILITY)
    steps = sorted(zip(_floors(list(up)), up.values(), down.values(), strict=True))
    return VolatilityShock(
        up_volatility_min=number(VOLATILITY["MIN_VOL_EVAL_SHOCKED"]),
        steps=tuple(
            VolatilityStep(days_floor=floor, up=rise - 1, down=1 - fall) for floor, rise, fall in steps
        ),
    )


def _by_term(factors: Any, terms: Sequence[Decimal]) -> dict[Decimal, Decimal]:
    """The factor of each expiry, from one for each option, one for each expiry in their order, or one for all."""
    expiries = list(dict.fromkeys(terms))
    given = factors if isinstance(factors, list) else [] if factors is None else [factors]
    for keys in (terms, expiries):
        if len(given) == len(keys):
            return dict(zip(keys, map(number, given), strict=True))
    return {}


def given_discount(factors: Sequence[Sequence[Any]], terms: Sequence[Decimal]) -> ExpiryDiscount:
    expiries = list(dict.fromkeys(terms))
    if len(factors) != len(expiries):
        return expiry_discount(MARGIN)
    steps = sorted(
        (floor, number(a), number(b)) for floor, (a, b) in zip(_floors(expiries), factors, strict=True)
    )
    return expiry_discount(
        MARGIN, tuple(DiscountStep(days_floor=floor, long=a, short=b) for floor, a, b in steps)
    )


def given_skew(options: Sequence[Mapping[str, Any]]) -> SkewShock:
    """Caps and widths of the skew by expiry, where the options state them."""
    by_term = {number(one["Expiry"]): one for one in options if one.keys() >= set(SKEW_KEYS)}
    if len(by_term) != len({number(one["Expiry"]) for one in options}):
        return SKEW_SHOCK
    steps = sorted(
        (floor, *(number(one[key]) for key in SKEW_KEYS))
        for floor, one in zip(_floors(list(by_term)), by_term.values(), strict=True)
    )
    return msgspec.structs.replace(
        SKEW_SHOCK,
        steps=tuple(
            SkewStep(days_floor=floor, linear_cap=linear, absolute_cap=absolute, width=width)
            for floor, linear, absolute, width in steps
        ),
    )


def _floors(terms: Sequence[Decimal]) -> list[Decimal]:
    """Each term in days, the shortest as 0, so that a table by term finds exactly it."""
    days = [to_step(divide(term, Decimal(86_400)), Decimal("0.000001"), "down") for term in terms]
    return [ZERO if day == min(days) else day for day in days]
