"""Derive: its portfolio margin (PMRM_2) and its standard margin, both as portfolio rules of the engine.

Parameters that a case leaves out are those of the public test cases of derivexyz/v2-core. A surplus (value less
requirement) is what Derive calls margin; amounts are in its stablecoin.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from engine.margin.portfolio import Exposure, PortfolioMargin, portfolio_margin
from engine.margin.portfolio.risk_unit import UnitMargin
from engine.numbers import ONE, ZERO, divide, exact
from engine.policy.rules.portfolio_rules import Scenario
from engine.policy.rules.portfolio_switches import ScenarioGroup
from tests.conformance.derive_rules import (
    BASE_HAIRCUT,
    BASIS,
    GRID,
    MARGIN,
    OTHER,
    SKEWS,
    STANDARD,
    TAILS,
    VOLATILITY,
    expiry_discount,
    given_discount,
    given_skew,
    given_volatility,
    portfolio_rules,
    volatility_shock,
)  # fmt: skip
from tests.conformance.registry import Answer, Inputs, adapter, number
from tests.conformance.rules.funding_index import profit_with_funding
from tests.support.unit_margins import ScenarioProfit, charge, worst, worst_loss

UNIT = "unit"
VOLATILITY_SIGN = {"up": 1, "none": 0, "down": -1}


@adapter("portfolio margin (PMRM_2): scenario grid + haircuts + contingencies")
def portfolio_case(inputs: Inputs, wanted: frozenset[str]) -> Answer:  # noqa: ARG001 - every figure is answered
    """A case of the public test files: `scenario` is the book, the other tables are parameters."""
    book = inputs["scenario"]
    feeds = {number(feed["FeedExpiry"]): feed for feed in book.get("OptionFeeds", ())}
    exposures = [_cash(book.get("Cash", 0))]
    spot = {"index": number(book["SpotPrice"]), "index_confidence": number(book.get("SpotConfidence", 1))}
    stable = number(book.get("StablePrice", 1))
    exposures += [
        _collateral(
            f"collateral {place}", held["Amount"], held["Price"], held.get("Confidence", 1), stable, spot,
            offsets=held.get("IsRiskCancelling", False), cuts=(held.get("MMHaircut", 0), held.get("IMHaircut", 0)),
        )
        for place, held in enumerate(book.get("Collaterals", ()))
    ]  # fmt: skip
    if number(book.get("NumPerps", 0)):
        exposures.append(
            _perpetual(
                book["NumPerps"], book.get("PerpPrice", spot["index"]), book.get("PerpConfidence", 1), spot,
                (book.get("UnrealisedPerpPNL", 0), book.get("UnrealisedFunding", 0)),
            )
        )  # fmt: skip
    for option in book.get("Options", ()):
        feed = feeds[number(option["Expiry"])]
        confidence = [
            feed.get(key, 1) for key in ("ForwardConfidence", "RateConfidence", "OptionVolConfidences")
        ]
        exposures.append(
            _option(
                option["Amount"], option["Strike"], "call" if option["IsCall"] else "put", option["MarkVol"],
                option["Expiry"], feed["Forward"], spot, rate=feed.get("Rate", 0), confidence=confidence,
            )
        )  # fmt: skip
    rules = portfolio_rules(
        inputs.get("scenarios", [*GRID, *TAILS, *SKEWS]),
        volatility_shock({**VOLATILITY, **inputs.get("vol_shock", {})}),
        expiry_discount({**MARGIN, **inputs.get("margin", {})}),
        {**MARGIN, **inputs.get("margin", {})},
        {**OTHER, **inputs.get("other", {})},
        {**BASIS, **inputs.get("basis", {})},
        given_skew(book.get("Options", ())),
    )
    margin = portfolio_margin(exposures, rules, stable)
    maintenance, initial = _surpluses(margin)
    return {**_portfolio_answer(margin), "IM": initial, "MM": maintenance}


@adapter("derive_portfolio")
def portfolio_vector(inputs: Inputs, wanted: frozenset[str]) -> Answer:  # noqa: ARG001
    """A vector of the same rule; terms may be given as the factors they come to."""
    spot = {"index": number(inputs["spot"]), "index_confidence": number(inputs.get("spot_confidence", 1))}
    stable = number(inputs.get("stable", 1))
    exposures = [_cash(inputs.get("cash", 0))]
    exposures += [
        _collateral(
            f"collateral {place}", held["amount"], held["price"], held.get("confidence", 1), stable, spot,
            offsets=held.get("offsets_risk", False), cuts=(held.get("mm_haircut", 0), held.get("im_haircut", 0)),
        )
        for place, held in enumerate(inputs.get("collateral", ()))
    ]  # fmt: skip
    if number(inputs.get("perps", 0)):
        exposures.append(
            _perpetual(
                inputs["perps"], inputs.get("perp_price", spot["index"]), inputs.get("perp_confidence", 1), spot,
                (inputs.get("perp_unrealised", 0), inputs.get("unsettled_funding", 0)),
            )
        )  # fmt: skip
    options = inputs.get("options", ())
    exposures += [
        _option(
            held["amount"], held["strike"], held["right"], held["vol"], held["seconds_to_expiry"],
            held["forward"], spot, rate=held.get("rate", 0),
            confidence=[held.get(key, 1) for key in ("vol_confidence", "forward_confidence", "rate_confidence")],
        )
        for held in options
    ]  # fmt: skip
    terms = [number(held["seconds_to_expiry"]) for held in options]
    rules = portfolio_rules(
        [*GRID, *TAILS, *SKEWS],
        given_volatility(inputs, terms),
        given_discount(inputs.get("expiry_discount_factors_long_short", ()), terms),
        MARGIN,
        OTHER,
        BASIS,
    )
    margin = portfolio_margin(exposures, rules, stable)
    maintenance, initial = _surpluses(margin)
    return {**_portfolio_answer(margin), "im": initial, "mm": maintenance}


@adapter("derive_standard")
def standard_vector(inputs: Inputs, wanted: frozenset[str]) -> Answer:  # noqa: ARG001
    """Perpetuals, base assets and options of several underlyings against one balance of cash."""
    stable = number(inputs.get("stable", 1))
    margin = portfolio_margin(_standard_exposures(inputs, ONE), STANDARD, stable)
    # the base asset is margined in USD and valued in the stablecoin
    valued = portfolio_margin(_standard_exposures(inputs, divide(ONE, stable)), STANDARD, stable)
    maintenance, initial = _surpluses(margin)
    return {"mm": maintenance, "im": initial, "mtm": valued.value}


def _standard_exposures(inputs: Inputs, base_conversion: Decimal) -> list[Exposure]:
    confidences = inputs.get("confidence", {})
    exposures = [_cash(inputs.get("cash", 0))]
    for name in sorted(key.removesuffix("_spot") for key in inputs if key.endswith("_spot")):
        spot = {
            "underlying": name.upper(),
            "index": number(inputs[f"{name}_spot"]),
            "index_confidence": number(confidences.get(f"{name}_spot", 1)),
        }
        size, base = number(inputs.get(f"{name}_perp_size", 0)), number(inputs.get(f"{name}_base", 0))
        if size:
            exposures.append(_standard_perpetual(inputs, name, size, spot))
        if base:
            exposures.append(
                Exposure(
                    symbol=f"{name}_base", kind="spot", quantity=base, mark=spot["index"], conversion=base_conversion,
                    offsets_risk=False, maintenance_haircut=BASE_HAIRCUT, initial_haircut=BASE_HAIRCUT, **spot,
                )
            )  # fmt: skip
        for held in inputs.get("options", ()):
            if held["underlying"] == spot["underlying"]:
                feeds = ("forward", "vol", "rate", "option")
                confidence = [confidences.get(f"{name}_{feed}", 1) for feed in feeds]
                confidence += [held.get(f"{feed}_confidence", 1) for feed in feeds]
                exposures.append(
                    _option(
                        held["amount"], held["strike"], held["right"], held["vol"], held["seconds_to_expiry"],
                        held["forward"], spot, confidence=confidence,
                    )
                )  # fmt: skip
    return exposures


def _standard_perpetual(inputs: Inputs, name: str, size: Decimal, spot: dict[str, Any]) -> Exposure:
    price = number(inputs.get(f"{name}_perp_price", inputs[f"{name}_spot"]))
    profit = profit_with_funding(
        size,
        price,
        number(inputs.get(f"{name}_entry", price)),
        number(inputs.get("funding_index_global", inputs.get("funding_index", 0))),
        number(inputs.get("funding_index_account", 0)),
    )
    confidence = number(inputs.get("confidence", {}).get(f"{name}_perp", 1))
    return Exposure(
        symbol=f"{name}_perp",
        kind="linear",
        quantity=size,
        mark=price,
        profit=profit,
        confidence=confidence,
        **spot,
    )


def _cash(amount: Any) -> Exposure:
    return Exposure(symbol="cash", underlying=UNIT, kind="cash", quantity=number(amount), mark=ONE)


def _collateral(
    name: str, amount: Any, price: Any, confidence: Any, stable: Decimal, spot: dict[str, Any], *,
    offsets: bool, cuts: Sequence[Any],
) -> Exposure:  # fmt: skip
    """Collateral moves by its own price; `cuts` are what MM requires of its value, and IM on top of that."""
    maintenance, further = map(number, cuts)
    return Exposure(
        symbol=name,
        underlying=UNIT,
        kind="spot",
        quantity=number(amount),
        mark=number(price),
        conversion=divide(ONE, stable),
        confidence=number(confidence),
        offsets_risk=bool(offsets),
        maintenance_haircut=maintenance,
        initial_haircut=maintenance + further,
        **spot,
    )


def _perpetual(
    amount: Any, price: Any, confidence: Any, spot: dict[str, Any], profits: Iterable[Any]
) -> Exposure:
    return Exposure(
        symbol="perpetual",
        underlying=UNIT,
        kind="linear",
        quantity=number(amount),
        mark=number(price),
        profit=sum(map(number, profits), ZERO),
        confidence=number(confidence),
        **spot,
    )


def _option(
    amount: Any, strike: Any, right: str, volatility: Any, seconds: Any, forward: Any, spot: dict[str, Any], *,
    rate: Any = 0, confidence: Iterable[Any] = (),
) -> Exposure:  # fmt: skip
    return Exposure(
        symbol=f"{seconds} {strike} {right}",
        kind="option",
        quantity=number(amount),
        strike=number(strike),
        right=right,
        volatility=number(volatility),
        seconds_to_expiry=number(seconds),
        forward=number(forward),
        rate=number(rate),
        confidence=min(map(number, confidence), default=ONE),
        **{"underlying": UNIT, **spot},
    )


def _surpluses(margin: PortfolioMargin) -> tuple[Decimal, Decimal]:
    """Value less maintenance and less initial margin: Derive calls that the margins."""
    with exact():
        return margin.value - margin.maintenance_margin, margin.value - margin.initial_margin


def _portfolio_answer(margin: PortfolioMargin) -> dict[str, Any]:
    unit = margin.units[UNIT]
    grid = _worst(unit, "grid")
    confidence = charge(unit, "confidence")
    return {
        "mtm": margin.value,
        "worst": -worst_loss(unit),
        "worst_grid_loss": grid.profit,
        "worst_grid_scenario": [grid.scenario.price, VOLATILITY_SIGN[grid.scenario.volatility]],
        "worst_tail_loss": _worst(unit, "tail").profit,
        "worst_skew_loss": _worst(unit, "skew").profit,
        "forward_contingency": -unit.forward_loss,
        "oracle_contingency": ZERO if confidence is None else -confidence.initial,
    }


def _worst(unit: UnitMargin, group: ScenarioGroup) -> ScenarioProfit:
    """The worst scenario of a group; a scenario without profit or loss where the rules have none of that group."""
    return worst(unit, group) or ScenarioProfit(Scenario(), ZERO)
