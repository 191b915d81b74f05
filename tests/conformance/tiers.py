"""Risk tables: deductions that make maintenance margin continuous, and rates stated as largest leverages."""

from decimal import Decimal
from typing import Any

from engine.ledger.accounts import Position
from engine.margin.position_margin import position_margin, tier_of
from engine.numbers import ONE, ZERO, exact
from engine.policy import MarginRules, RiskTier
from tests.conformance.build import contract, contracts_policy, first, tier_by_leverage
from tests.conformance.registry import Answer, Inputs, adapter, number

SYMBOL = "CASE"
HALF = Decimal("0.5")
"""Hyperliquid: the maintenance rate is half of the initial rate at the largest leverage."""

BTCUSD_UPPER_TIERS = (
    (Decimal(100), Decimal("0.1")),
    (Decimal(200), Decimal("0.125")),
    (Decimal(400), Decimal("0.15")),
    (Decimal(1000), Decimal("0.25")),
    (Decimal(1500), Decimal("0.5")),
)
"""Binance COIN-M BTCUSD, floors in BTC: the published table above the tiers that a case states."""


@adapter("USD-M leverage brackets, full table (2021)", "USD-M leverage brackets, full table (2024-10)")
def brackets(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """Cumulative deductions of a table of floors and rates."""
    floors = first(inputs, "notional_floor", "floor", "floors")
    rates = first(inputs, "mmr", "rate", "rates")
    return {"cum": _deductions([_tier(f, r) for f, r in zip(floors, rates, strict=True)])}


@adapter("COIN-M maintenance amount (in coin)")
def coin_deduction(inputs: Inputs, wanted: frozenset[str]) -> Answer:
    """The deduction of one tier from the tier below; sizes beyond it are looked up in the published table."""
    floor, rate = number(_by_prefix(inputs, "bracket_floor")), number(inputs["mmr_n"])
    tiers = [
        _tier(ZERO, inputs["mmr_prev"], _by_prefix(inputs, "cum_prev")),
        _tier(floor, rate),
        *(_tier(f, r) for f, r in BTCUSD_UPPER_TIERS if f > floor and r > rate),
    ]
    policy = contracts_policy({SYMBOL: contract(SYMBOL)}, {SYMBOL: tuple(tiers)}, MarginRules())
    own = policy.deductions[SYMBOL][1]
    size = _by_prefix(inputs, "size_example")
    of_size = own if size is None else tier_of(policy.terms[SYMBOL], number(size)).deduction
    return {key: of_size if any(sign.isdigit() for sign in key) else own for key in wanted}


@adapter("USD-M maintenance amount (cum) recursion")
def next_deduction(inputs: Inputs, wanted: frozenset[str]) -> Answer:
    """The deduction of one tier from the published one below, and the maintenance margin of a notional in it."""
    tiers = (
        _tier(ZERO, inputs["mmr_prev"], inputs["cum_prev"]),
        _tier(inputs["bracket_floor"], inputs["mmr_n"]),
    )
    policy = contracts_policy({SYMBOL: contract(SYMBOL)}, {SYMBOL: tiers}, MarginRules())
    with exact():
        position = Position(ONE, number(inputs["example_notional"]))
        margin = position_margin(SYMBOL, position, position.entry_value, ONE, policy)
    of_notional = {key: margin.maintenance_margin for key in wanted if key.startswith("mm_of")}
    return {"cum": policy.deductions[SYMBOL][1], **of_notional}


@adapter("margin tier deduction")
def leverage_tiers(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """Rates and deductions of a table of floors and largest leverages."""
    tiers = [tier_by_leverage(number(f), number(lev), HALF) for f, lev in inputs["tiers"]]
    return {
        "mmr": [tier.maintenance_rate for tier in tiers],
        "imr": [tier.initial_rate for tier in tiers],
        "deduction": _deductions(tiers),
    }


def _tier(floor: Any, rate: Any, deduction: Any = None) -> RiskTier:
    return RiskTier(
        floor=number(floor),
        maintenance_rate=number(rate),
        initial_rate=number(rate),
        deduction=None if deduction is None else number(deduction),
    )


def _deductions(tiers: list[RiskTier]) -> list[Decimal]:
    policy = contracts_policy({SYMBOL: contract(SYMBOL)}, {SYMBOL: tuple(tiers)}, MarginRules())
    with exact():
        return list(policy.deductions[SYMBOL])


def _by_prefix(inputs: Inputs, prefix: str) -> Any:
    return next((value for key, value in inputs.items() if key.startswith(prefix)), None)
