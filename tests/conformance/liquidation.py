"""Who is liquidated first, how much is closed and at what value, and margin-call lines and levels."""

from decimal import Decimal
from typing import Any

from engine.ledger.accounts import AccountState
from engine.liquidation.priority import PoolRisk, compare_risk
from engine.margin.margin_model import shared_figures
from engine.numbers import ONE
from engine.policy import MarginRules
from tests.conformance.build import QUOTE, at_marks, first, linear_policy, paid_for, signed
from tests.conformance.registry import Answer, Inputs, adapter, number
from tests.conformance.rules.bankruptcy_value import closing_change, closing_value
from tests.conformance.rules.collateral_levels import collateral_levels, margin_call
from tests.conformance.rules.liquidation_lines import asset_rate, early_price, exit_test
from tests.conformance.rules.sizing import freed_per_unit, quantity_above, quantity_to_cover, value_to_sell

QUOTE_STEP = Decimal("0.000001")
BASE_STEP = Decimal("0.000000001")
WARNING_FRACTION = Decimal("0.05")
CALL_BUFFER = Decimal("0.1")


# --- lines and levels


@adapter("drift_liq_buffer")
def drift_liq_buffer(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """Entering and leaving liquidation with a buffer."""
    test = exit_test(
        deposits=number(first(inputs, "deposit", "deposits", "collateral") or 0),
        perpetual_pnl=number(inputs.get("perp_pnl", 0)),
        requirement=number(inputs.get("requirement", 0)),
        liability_value=number(inputs.get("liability_value", 0)),
        buffer=number(inputs["buffer"]),
    )
    return {
        "collateral": test.collateral,
        "requirement": test.requirement,
        "collateral_plus_buffer": test.collateral_with_buffer,
        "requirement_plus_buffer": test.requirement_with_buffer,
        "meets": test.meets,
        "meets_with_buffer": test.may_leave,
        "can_exit": test.may_leave,
        "enters": not test.meets,
    }


@adapter("liq_buffer")
def liq_buffer(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """A liquidation price with a safety buffer."""
    return {
        "buffered": early_price(
            number(inputs["liq_price"]),
            number(inputs["entry"]),
            number(inputs["buffer"]),
            int(signed(1, inputs["side"])),
        )
    }


@adapter("vega_levels")
def vega_levels(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """Margin levels of one maintenance figure."""
    levels = collateral_levels(
        number(inputs["mm"]),
        number(inputs.get("search", 1)),
        number(inputs.get("initial", 1)),
        number(inputs.get("release", 1)),
        number(inputs.get("step", 1)),
    )
    answer: dict[str, Any] = {
        "maintenance": levels.maintenance,
        "search": levels.search,
        "initial": levels.initial,
        "release": levels.release,
    }
    if "balance" in inputs:
        balance = number(inputs["balance"])
        answer["top_up"] = levels.top_up(balance)
        answer["released"] = levels.excess(balance)
        answer["close_out"] = levels.closes_out(balance)
    return answer


@adapter("lean_margin_call")
def lean_margin_call(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """Warning and call by margin remaining; holdings are positions whose cost has left the cash."""
    holdings = inputs.get("positions") or inputs.get("holdings") or [inputs]
    keys = {str(held.get("symbol", place)): held for place, held in enumerate(holdings)}
    policy = linear_policy(dict.fromkeys(keys, 0), MarginRules(initial="leverage"))
    state = AccountState(
        account="case",
        balances={QUOTE: number(inputs["cash"])},
        positions={key: paid_for(held["qty"]) for key, held in keys.items() if held["qty"]},
        leverage={key: number(held.get("leverage", inputs.get("leverage", 1))) for key, held in keys.items()},
    )
    figures = shared_figures(state, at_marks({key: held["price"] for key, held in keys.items()}), policy)
    verdict = margin_call(
        figures.equity,
        figures.initial_margin,
        number(inputs.get("warning_fraction", WARNING_FRACTION)),
        number(inputs.get("buffer", CALL_BUFFER)),
    )
    return {
        "total_value": figures.equity,
        "margin_used": figures.initial_margin,
        "remaining": verdict.remaining,
        "margin_remaining": verdict.remaining,
        "warning": verdict.warning,
        "orders": len(state.positions) if verdict.call else 0,
        "to_free": verdict.to_free,
    }


@adapter("spot margin risk rate", "risk rate", "margin risk rate")
def risk_rate(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """Assets over liabilities. A bare coin is owned; borrowed_<coin> and interest_<coin> are owed."""
    owned: list[tuple[Decimal, Decimal]] = []
    owed: list[tuple[Decimal, Decimal]] = []
    for key, amount in inputs.items():
        word, _, coin = key.rpartition("_")
        if key == "price" or word == "price":
            continue
        entry = (number(amount), _coin_price(inputs, coin))
        (owed if word in {"borrowed", "interest", "debt", "loan"} else owned).append(entry)
    rate = asset_rate(owned, owed)
    return {
        "total_assets": rate.assets,
        "total_asset": rate.assets,
        "total_liabilities": rate.liabilities,
        "risk_rate": rate.rate,
    }


def _coin_price(inputs: Inputs, coin: str) -> Decimal:
    """The pair's price where it quotes this coin; stablecoins are the unit of account of these cases."""
    if coin.upper() in {"USDT", "USDC", "USD", "BUSD"}:
        return ONE
    return number(inputs.get(f"price_{coin}", inputs.get("price")))


# --- order and size


@adapter("dydx_risk_order")
def dydx_risk_order(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """Which of two accounts is liquidated first."""
    a, b = (
        PoolRisk(number(inputs[name].get("nc", 0)), number(inputs[name].get("mmr", 0))) for name in ("a", "b")
    )
    return {"cmp": compare_risk(a, b)}


@adapter("drift_partial_liq_size")
def drift_partial_liq_size(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """Base to close for a margin shortage."""
    freed = freed_per_unit(
        number(inputs["price"]),
        number(inputs.get("quote_price", 1)),
        number(inputs["margin_ratio"]),
        number(inputs.get("liquidator_fee", 0)),
        number(inputs.get("insurance_fee", 0)),
    )
    return {"base_to_close": quantity_to_cover(number(inputs.get("shortage", 0)), freed, BASE_STEP)}


@adapter("legacy forced partial liquidation size")
def okx_partial_size(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """One cut down to the lowest tier."""
    ceiling = number(first(inputs, "tier1_max", "tier_max"))
    return {"to_close": quantity_above(number(inputs["contracts"]), ceiling)}


@adapter("Multi-Assets auto-exchange", "Multi-Assets auto-exchange (newer threshold)")
def auto_exchange(inputs: Inputs, wanted: frozenset[str]) -> Answer:
    """Value of another asset sold to pay a deficit; the case names the assets in its keys."""
    deficit = next(value for key, value in inputs.items() if key.startswith("deficit"))
    factor = next(value for key, value in inputs.items() if key.endswith(("factor", "ratio", "rate")))
    return dict.fromkeys(wanted, value_to_sell(number(deficit), number(factor)))


@adapter("dydx_bankruptcy_price")
def dydx_bankruptcy_price(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """Quote change for closing a part of one position at the account's bankruptcy price."""
    positions = {str(place): held for place, held in enumerate(inputs["positions"])}
    rules = MarginRules(notional_step=QUOTE_STEP, margin_step=QUOTE_STEP, margin_rounding="up")
    policy = linear_policy({key: held["mm"] for key, held in positions.items()}, rules)
    state = AccountState(
        account="case",
        balances={QUOTE: number(inputs.get("quote", 0))},
        positions={key: paid_for(held["size"]) for key, held in positions.items()},
    )
    figures = shared_figures(state, at_marks({key: held["price"] for key, held in positions.items()}), policy)
    key = str(inputs["close"].get("index", 0))
    change = closing_change(
        key,
        state.positions[key],
        number(inputs["close"]["delta"]),
        number(positions[key]["price"]),
        policy.leverage_default,
        policy,
    )
    return {
        "bankruptcy_quote": closing_value(figures.equity, figures.maintenance_margin, change, QUOTE_STEP),
        "nc": figures.equity,
        "mmr": figures.maintenance_margin,
    }
