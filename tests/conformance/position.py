"""Margin of single positions, and the cost of opening one."""

from decimal import Decimal
from typing import Any

from engine.ledger.accounts import FLAT, OpenOrder, Position
from engine.ledger.booking import filled
from engine.margin.position_margin import PositionMargin, position_margin
from engine.numbers import ONE, ZERO, exact
from engine.policy import Instrument, MarginRules, OpenInterestScaling, Policy, SizeRates
from tests.conformance.build import contract, contracts_policy, first, opened, rate_tier, signed
from tests.conformance.registry import Answer, Inputs, adapter, number
from tests.conformance.rules.collateral_levels import margin_call
from tests.conformance.rules.order_cost import OrderCost, order_cost

SYMBOL = "CASE"
PPM_DIGITS = 6
USD_STEP, COIN_STEP = Decimal("0.01"), Decimal("0.00000001")


def single(
    rules: MarginRules, instrument: Instrument | None = None, *, mmr: Any = 0, imr: Any = 0, cum: Any = None
) -> Policy:
    """A policy of one contract with one risk tier."""
    return contracts_policy(
        {SYMBOL: instrument or contract(SYMBOL)}, {SYMBOL: rate_tier(mmr, cum, imr)}, rules
    )


def margin_at(
    policy: Policy, position: Position, mark: Any, leverage: Any = 1, open_interest: Any = None
) -> PositionMargin:
    """The position's margin at a mark."""
    interest = None if open_interest is None else number(open_interest)
    with exact():
        return position_margin(SYMBOL, position, number(mark), number(leverage), policy, interest)


# --- Binance


@adapter("USD-M Position Risk V3 fields")
def position_risk(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """The fields of one USD-M position."""
    policy = single(MarginRules(initial="leverage"), mmr=inputs.get("mmr", 0), cum=inputs.get("cum"))
    position = opened(inputs["positionAmt"], inputs["entryPrice"], policy.instruments[SYMBOL])
    margin = margin_at(policy, position, inputs["markPrice"], inputs.get("leverage", 1))
    with exact():
        notional = policy.instruments[SYMBOL].value(position.quantity, margin.mark)
    return {
        "notional": notional,
        "unRealizedProfit": margin.unrealised_pnl,
        "initialMargin": margin.initial_margin,
        "positionInitialMargin": margin.initial_margin,
        "maintMargin": margin.maintenance_margin,
    }


# --- Bybit


@adapter("UTA cross: positionIM/positionMM incl. estimated close fee")
def uta_position(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """Entry value; the fee to close is that at the price which consumes the initial margin."""
    return _bybit_position(inputs, "bankruptcy")


@adapter("USDC/USDT futures MM incl. close fee")
def session_position(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """Value at the session's average price; the fee to close is that of the whole value."""
    return _bybit_position(inputs, "notional")


def _bybit_position(inputs: Inputs, closing_fee: Any) -> Answer:
    rules = MarginRules(
        initial="leverage",
        notional="entry",
        closing_fee=closing_fee,
        taker_fee_rate=number(first(inputs, "taker", "taker_fee") or 0),
    )
    policy = single(rules, mmr=inputs["mmr"], cum=first(inputs, "mm_deduction", "deduction"))
    entry = first(inputs, "avgPrice", "sessionAvgPrice", "entry")
    position = opened(
        signed(first(inputs, "size", "qty"), inputs.get("side")), entry, policy.instruments[SYMBOL]
    )
    mark = first(inputs, "markPrice", "mark") or entry
    margin = margin_at(policy, position, mark, inputs.get("leverage", 1))
    return {
        "positionIM": margin.initial_margin,
        "positionMM": margin.maintenance_margin,
        "positionValue": margin.notional,
        "unrealisedPnl": margin.unrealised_pnl,
    }


@adapter("order cost USDT contract")
def linear_order_cost(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """The cost of an order in a linear contract."""
    return _order_cost(inputs, contract(SYMBOL), first(inputs, "qty", "size"))


@adapter("order cost inverse contract")
def inverse_order_cost(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """The cost of an order in a coin-margined contract of one dollar."""
    return _order_cost(inputs, contract(SYMBOL, payoff="inverse"), first(inputs, "qty_usd", "qty", "size"))


def _order_cost(inputs: Inputs, instrument: Instrument, quantity: Any) -> Answer:
    rules = MarginRules(
        initial="leverage",
        closing_fee="bankruptcy",
        taker_fee_rate=number(first(inputs, "taker", "taker_fee") or 0),
    )
    cost: OrderCost = order_cost(
        OpenOrder(SYMBOL, signed(quantity, inputs.get("side")), number(inputs["price"])),
        number(inputs.get("leverage", 1)),
        single(rules, instrument),
    )
    return {
        "im": cost.initial_margin,
        "initial_margin": cost.initial_margin,
        "open_fee": cost.open_fee,
        "close_fee": cost.close_fee,
        "order_cost": cost.total,
    }


# --- Deribit, MEXC


@adapter("standard margin, linear perpetual IM")
def deribit_initial(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """A rate that grows with the size of the whole position."""
    margin = _by_size(inputs)
    return {
        "rate": margin.initial_rate,
        "margin_usdc": margin.initial_margin,
        "margin": margin.initial_margin,
    }


@adapter("standard margin, linear perpetual MM")
def deribit_maintenance(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """The same for the maintenance margin."""
    margin = _by_size(inputs)
    return {
        "rate": margin.maintenance_rate,
        "margin_usdc": margin.maintenance_margin,
        "margin": margin.maintenance_margin,
    }


def _by_size(inputs: Inputs) -> PositionMargin:
    base = number(inputs["base_rate"])
    rates = SizeRates(
        initial_base_rate=base,
        maintenance_base_rate=base,
        slope_per_unit=number(first(inputs, "slope_per_coin", "slope") or 0),
    )
    policy = single(MarginRules(initial="size", maintenance="size"), contract(SYMBOL, size_rates=rates))
    price = first(inputs, "index", "mark", "price")
    position = opened(signed(inputs["size"], inputs.get("side")), price, policy.instruments[SYMBOL])
    return margin_at(policy, position, price)


@adapter("USDT-M position margin", "COIN-M position margin", "initial margin")
def leverage_only(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """Position value over leverage; a size in coin (`qty_btc`) has the price 1, one in dollars is an inverse contract."""
    unit, quantity = next((key, amount) for key, amount in inputs.items() if key.startswith(("qty", "size")))
    inverse = unit.endswith("_usd")
    market = contract(SYMBOL, payoff="inverse" if inverse else "linear")
    price = 1 if "_" in unit and not inverse else inputs["price"]
    policy = single(MarginRules(initial="leverage"), market)
    margin = margin_at(policy, opened(quantity, price, market), price, inputs.get("leverage", 1))
    return dict.fromkeys((*_wanted, "margin"), margin.initial_margin)


# --- peers


@adapter("dydx_imr_mmr")
def dydx_requirements(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """Integer arithmetic: base quantums, a price with its exponent, quote quantums, parts per million."""
    per_quantum = ONE.scaleb(int(inputs["exponent"]) + int(inputs["resolution"]) + PPM_DIGITS)
    rules = MarginRules(
        initial="tier",
        maintenance="fraction_of_initial",
        maintenance_fraction=number(inputs["mf_ppm"]).scaleb(-PPM_DIGITS),
        notional_step=ONE,
        margin_step=ONE,
        margin_rounding="up",
    )
    scaling = None
    if inputs.get("oi_upper_cap"):  # 0 is no cap
        scaling = OpenInterestScaling(
            lower_cap=number(inputs.get("oi_lower_cap", 0)), upper_cap=number(inputs["oi_upper_cap"])
        )
    market = contract(SYMBOL, multiplier=per_quantum, open_interest=scaling)
    policy = single(rules, market, imr=number(inputs["im_ppm"]).scaleb(-PPM_DIGITS))
    position = Position(number(inputs["quantums"]), ZERO)
    margin = margin_at(policy, position, inputs["price"], open_interest=inputs.get("open_interest"))
    return {
        "imr": margin.initial_margin,
        "mmr": margin.maintenance_margin,
        "notional": margin.notional,
    }


@adapter("nautilus_margin")
def nautilus_margin(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """Notional times rate, over the leverage in the leveraged model; rounded to the currency's precision."""
    strategy: Any = "tier" if inputs.get("model") == "standard" else "tier_over_leverage"
    inverse = inputs.get("type") == "inverse"
    in_quote = inverse and bool(first(inputs, "use_quote_for_inverse", "quoted", "in_quote"))
    step = COIN_STEP if inverse and not in_quote else USD_STEP
    rules = MarginRules(initial=strategy, maintenance=strategy, margin_step=step, margin_rounding="half_even")
    # counted in quote currency an inverse contract is its own quantity: a linear one at a price of 1
    market = contract(
        SYMBOL,
        payoff="inverse" if inverse and not in_quote else "linear",
        multiplier=ONE if in_quote else number(inputs.get("multiplier", 1)),
    )
    policy = single(rules, market, imr=inputs.get("im", 0), mmr=inputs.get("mm", 0))
    price = ONE if in_quote else number(inputs["price"])
    margin = margin_at(policy, opened(inputs["qty"], price, market), price, inputs.get("leverage", 1))
    return {"im": margin.initial_margin, "mm": margin.maintenance_margin, "notional": margin.notional}


@adapter("nautilus_hedge_netting")
def hedge_netting(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """Legs booked one after the other into one net position, margined at its average entry price."""
    policy = single(
        MarginRules(initial="tier", notional="entry"), mmr=inputs.get("mm", 0), imr=inputs.get("im", 0)
    )
    position = FLAT
    with exact():
        for quantity, price in inputs["legs"]:
            position, _ = filled(position, number(quantity), number(price), policy.instruments[SYMBOL])
    margin = margin_at(policy, position, inputs.get("mark", 1))
    return {
        "mm": margin.maintenance_margin,
        "im": margin.initial_margin,
        "net": position.quantity,
        "net_qty": position.quantity,
        "notional": margin.notional,
    }


@adapter("crypto_future_margin")
def crypto_future(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """Notional over leverage; of a coin-margined contract in coin, where its price is 1."""
    linear = inputs.get("kind", "linear") == "linear"
    price = number(inputs["price"]) if linear else ONE
    market = contract(SYMBOL, multiplier=number(inputs.get("multiplier", 1)))
    policy = single(MarginRules(initial="leverage"), market)
    margin = margin_at(policy, opened(inputs["qty"], price, market), price, inputs.get("leverage", 1))
    return {"im": margin.initial_margin}


@adapter("leverage_margin")
def leverage_margin(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """Value at the current price over leverage, and what remains of the account."""
    policy = single(MarginRules(initial="leverage"))
    price = first(inputs, "price", "entry")
    position = opened(inputs["qty"], inputs.get("entry", price), policy.instruments[SYMBOL])
    margin = margin_at(policy, position, price, inputs.get("leverage", 1))
    answer: dict[str, Any] = {"margin_used": margin.initial_margin}
    total = first(inputs, "total_value", "total", "equity")
    if total is not None:
        remaining = margin_call(number(total), margin.initial_margin, ZERO, ZERO).remaining
        answer |= {"remaining": remaining, "margin_remaining": remaining}
    return answer
