"""Deribit's former margins, counted in coin: portfolio margin of 2018 and futures of one rate."""

from decimal import Decimal

from engine.margin.options.black76 import to_places
from engine.margin.portfolio import Exposure
from engine.margin.portfolio.contingencies import basis_charge, short_option_charge
from engine.margin.portfolio.exposure import ExposureKind
from engine.margin.portfolio.shocks import FACTOR_PLACES, SECONDS_PER_DAY, volatility_shocks
from engine.numbers import ONE, exact
from engine.policy import MarginRules
from engine.policy.rules.portfolio_rules import BasisRisk, Rates, ShortOptionCharge, VolatilityShock
from tests.conformance.build import opened
from tests.conformance.position import SYMBOL, margin_at, single
from tests.conformance.registry import Answer, Inputs, adapter, number
from tests.conformance.rules.option_contingency import gross_option_contingency


@adapter("portfolio margin contingencies (legacy)")
def contingencies(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """All options; a long future that a short one of another expiry offsets; net short options of a strike."""
    offset, short = number(inputs["fut_offset_btc"]), number(inputs["net_short_per_strike"])
    futures = [_held("linear", offset, "A"), _held("linear", offset.copy_negate(), "B")]
    basis = BasisRisk(move_min=number(inputs["fut_rate"]), netting="hedged")
    strikes = ShortOptionCharge(rate=Rates(maintenance=number(inputs["short_rate"])))
    with exact():
        return {
            "option_cont_btc": gross_option_contingency(
                [_held("option", number(inputs["options_count"]))], number(inputs["opt_rate"])
            ),
            "futures_cont_btc": basis_charge(futures, basis).maintenance,
            "short_strike_cont_btc": short_option_charge(
                [_held("option", short.copy_negate())], strikes
            ).maintenance,
        }


def _held(kind: ExposureKind, coins: Decimal, expiry: str = "") -> Exposure:
    """So many coins, at a price of 1: everything is counted in the coin."""
    return Exposure(
        symbol=SYMBOL, underlying=SYMBOL, kind=kind, quantity=coins, mark=ONE, index=ONE, expiry=expiry
    )


@adapter("portfolio margin volatility shock scaling (legacy)")
def volatility_scaling(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """The largest move of volatility by days to expiry: base * (30 / days) ^ power."""
    rules = VolatilityShock(up=number(inputs["base"]), short_term_power=number(inputs["power"]))
    answer = {}
    for days in inputs["dte"]:
        with exact():
            up, _ = volatility_shocks(rules, number(days) * SECONDS_PER_DAY)
        answer[f"iv{days}"] = to_places(up, FACTOR_PLACES)
    return answer


@adapter("legacy futures MM")
def futures_maintenance(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """One rate on the position."""
    policy = single(MarginRules(), mmr=inputs["mm_rate"])
    position = opened(inputs["position_btc"], ONE, policy.instruments[SYMBOL])
    return {"mm_btc": margin_at(policy, position, ONE).maintenance_margin}
