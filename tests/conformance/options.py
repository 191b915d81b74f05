"""Cboe's strategy-based margins, as far as they are the engine's option rules: shares are not margined here.

Prices are per share, a contract is on `CONTRACT` shares, margins are whole amounts.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from engine.margin.options.short_options import OptionHolding, option_margin
from engine.policy.rules.portfolio_rules import OptionRules
from tests.conformance.registry import Answer, Inputs, NotApplicable, adapter, number
from tests.conformance.rules.option_combinations import combination_margin

CONTRACT = Decimal(100)
EQUITY_RATE, BROAD_INDEX_RATE, FLOOR_RATE = Decimal("0.2"), Decimal("0.15"), Decimal("0.1")


@adapter("strategy-based margin, 1 short option")
def short_option(inputs: Inputs, wanted: frozenset[str]) -> Answer:  # noqa: ARG001
    """Premium + max(rate * underlying - OTM, floor rate * underlying or strike)."""
    held = _holding(inputs["type"], inputs["strike"], inputs["price"], inputs.get("quantity", -1))
    rules = _rules(broad=inputs.get("broad_index", False), leverage=inputs.get("leverage_factor", 1))
    return {"margin": option_margin([held], number(inputs["underlying"]), {}, rules).initial_margin}


@adapter("short straddle, broad index", "short straddle", "short strangle", "short strangle, broad index")
def short_straddle(inputs: Inputs, wanted: frozenset[str]) -> Answer:  # noqa: ARG001
    """The larger side's margin with the premium of the other."""
    legs = [
        _holding(side, inputs[side]["strike"], inputs[side]["price"], -number(inputs.get("quantity", 1)))
        for side in ("call", "put")
    ]
    rules = _rules(broad=inputs.get("broad_index", True), leverage=inputs.get("leverage_factor", 1))
    return {"margin": option_margin(legs, number(inputs["underlying"]), {}, rules).initial_margin}


@adapter("iron condor", "long call butterfly (broken wing)", "butterfly", "vertical spread")
def combination(inputs: Inputs, wanted: frozenset[str]) -> Answer:  # noqa: ARG001
    """Largest loss at expiry with the net premium; legs are [strike, price, quantity]."""
    legs = [
        *_legs("put", inputs.get("puts", ())),
        *_legs("call", inputs.get("calls", ())),
        *_legs(inputs.get("type", "call"), inputs.get("legs", ())),
    ]
    margin = combination_margin(legs)
    if margin is None:
        raise NotApplicable("strategy-based option table")
    return {"margin": margin}


@adapter("put credit spread")
def put_spread(inputs: Inputs, wanted: frozenset[str]) -> Answer:
    """One long and one short put of the same expiry."""
    legs = [{**inputs["long"], "quantity": 1}, {**inputs["short"], "quantity": -1}]
    return combination({"puts": legs}, wanted)


@adapter("covered call: short call needs nothing beyond shares")
def covered_call(inputs: Inputs, wanted: frozenset[str]) -> Answer:  # noqa: ARG001
    """The share side of the table: a loan value of shares."""
    raise NotApplicable("strategy-based option table")


def _rules(*, broad: Any, leverage: Any) -> OptionRules:
    """A leveraged product scales the rates, not the distance out of the money."""
    factor = number(leverage)
    return OptionRules(
        initial_rate=(BROAD_INDEX_RATE if broad else EQUITY_RATE) * factor,
        initial_floor_rate=FLOOR_RATE * factor,
        put_floor_on="strike",
        sides="larger",
    )


def _legs(right: str, legs: Iterable[Sequence[Any] | Mapping[str, Any]]) -> Iterable[OptionHolding]:
    for leg in legs:
        if isinstance(leg, Mapping):
            yield _holding(leg.get("type", right), leg["strike"], leg["price"], leg.get("quantity", 1))
        else:
            yield _holding(right, *leg)


def _holding(right: str, strike: Any, price: Any, contracts: Any) -> OptionHolding:
    """Contracts of one series; the quantity counts shares."""
    quantity = number(contracts) * CONTRACT
    return OptionHolding(right=right, strike=number(strike), quantity=quantity, value=number(price))
