"""The price at which a shared pool is liquidated when the contract of one of its positions moves, the others held."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from engine.analytics.bankruptcy_price import closing_fee_at, shared_bankruptcy_price
from engine.analytics.liquidation_price import on_tick, shared_liquidation_price
from engine.ledger.accounts import AccountState, Position
from engine.margin.cross.cross_pool import cross_positions
from engine.margin.margin_model import shared_figures
from engine.margin.quotes import average_entry_price
from engine.marks.mark_book import Prices
from engine.numbers import exact
from engine.policy import Instrument, MarginRules, Policy
from tests.conformance.build import (
    QUOTE,
    amount,
    at_marks,
    contract,
    contracts_policy,
    first,
    opened,
    rate_tier,
    signed,
)
from tests.conformance.liquidation_price import NO_MARKS, binance_isolated
from tests.conformance.position import SYMBOL, single
from tests.conformance.registry import Answer, Inputs, adapter, number

BTCUSD_TICK = Decimal("0.5")
"""Bybit, where the case states no tick."""
QUOTES = ("USDT", "USDC", "BUSD", "FDUSD", "USD")


@adapter(
    "USD-M cross, single-asset: maintenance margin per position",
    "USD-M cross liquidation price, 2 positions",
    "USD-M cross: unrealized PnL",
)
def binance_cross(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """Several positions on one wallet: maintenance and liquidation price of each."""
    held = {str(one["symbol"]): one for one in inputs["positions"]}
    state, prices, policy = _cross(held, amount(inputs, "wallet_balance", "wallet"))
    figures = shared_figures(state, prices, policy)
    answer: dict[str, Any] = {
        "mm_total": figures.maintenance_margin,
        "account_maint_margin": figures.maintenance_margin,
        "margin_balance": figures.equity,
        "margin_ratio": figures.ratio,
    }
    with exact():
        margins, _ = cross_positions(state, prices, policy)
    for margin in margins:
        coin = _base(margin.key).lower()
        answer[f"mm_{coin}"] = margin.maintenance_margin
        answer[f"upnl_{coin}"] = margin.unrealised_pnl
        answer[f"notional_{coin}"] = margin.notional
        answer[f"liq_price_{coin}"] = shared_liquidation_price(state, margin.key, prices, policy)
    return answer


@adapter("binance_liq_price")
def binance_either(inputs: Inputs, wanted: frozenset[str]) -> Answer:
    """One position, isolated, or in a cross wallet with others at their marks."""
    if inputs.get("mode") == "isolated":
        return binance_isolated(inputs, wanted)
    held: dict[str, Mapping[str, Any]] = {SYMBOL: inputs}
    held |= {f"{place}-{one.get('pair', '')}": one for place, one in enumerate(inputs.get("others", ()))}
    state, prices, policy = _cross(held, amount(inputs, "wallet", "wallet_balance"))
    return {"liq_price": shared_liquidation_price(state, SYMBOL, prices, policy)}


def _cross(held: Mapping[str, Mapping[str, Any]], wallet: Decimal) -> tuple[AccountState, Prices, Policy]:
    policy = contracts_policy(
        {key: contract(key) for key in held},
        {
            key: rate_tier(first(one, "mmr", "mm") or 0, first(one, "cum", "maint_amt", "deduction"))
            for key, one in held.items()
        },
        MarginRules(initial="leverage"),
    )
    positions = {
        key: opened(
            signed(first(one, "qty", "amount", "size"), one.get("side")),
            first(one, "entry", "entry_price", "mark_price", "mark"),
            contract(key),
        )
        for key, one in held.items()
    }
    marks = {key: _mark_of(one, positions[key], contract(key)) for key, one in held.items()}
    prices = at_marks({key: mark for key, mark in marks.items() if mark is not None})
    return AccountState(account="case", balances={QUOTE: wallet}, positions=positions), prices, policy


def _mark_of(one: Mapping[str, Any], position: Position, instrument: Instrument) -> Any:
    """The mark as stated, or the one at which the position has the notional that is stated."""
    notional = first(one, "mark_notional", "notional")
    if notional is None or "mark_price" in one or "mark" in one:
        return first(one, "mark_price", "mark")
    with exact():
        value = number(notional).copy_sign(position.quantity)
        return average_entry_price(Position(position.quantity, value), instrument)


@adapter("COIN-M cross liquidation price")
def coin_cross(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """One coin-margined position on a coin wallet; the account is counted in the coin."""
    multiplier = number(first(inputs, "multiplier_usd", "multiplier") or 1)
    market = contract(SYMBOL, payoff="inverse", multiplier=multiplier)
    cum = next((value for key, value in inputs.items() if key.startswith("cum")), None)
    policy = single(MarginRules(initial="leverage"), market, mmr=inputs["mmr"], cum=cum)
    wallet = next(value for key, value in inputs.items() if key.startswith("wallet"))
    state = _one(number(wallet), signed(inputs["contracts"], inputs.get("side")), inputs["entry"], policy)
    price = shared_liquidation_price(state, SYMBOL, _marked(inputs), policy)
    return {"liq_price_formula": price, "liq_price": price}


@adapter("inverse cross liquidation (legacy account)")
def bybit_inverse_cross(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """Maintenance of the entry value, and the fee to close at the account's own bankruptcy price."""
    rules = MarginRules(initial="leverage", notional="entry")
    policy = single(rules, contract(SYMBOL, payoff="inverse"), mmr=inputs["mmr"])
    taker = number(inputs.get("taker", 0))
    quantity = signed(inputs["qty_usd"], inputs.get("side"))
    balance = next(value for key, value in inputs.items() if key.startswith(("balance", "wallet")))
    state = _one(number(balance), quantity, inputs["entry"], policy)
    prices = _marked(inputs)
    orders = number(inputs.get("order_margin", 0))
    bankruptcy = shared_bankruptcy_price(
        state, SYMBOL, prices, policy, taker_fee_rate=taker, reserved=(orders,)
    )
    if bankruptcy is None:
        return {"bankruptcy_price": None, "liq_price": None}
    fee = closing_fee_at(policy.instruments[SYMBOL], quantity, bankruptcy, taker)
    price = shared_liquidation_price(state, SYMBOL, prices, policy, reserved=(orders, fee))
    tick = number(inputs.get("tick", BTCUSD_TICK))
    return {
        "bankruptcy_price": bankruptcy,
        "liq_price_raw": price,
        "liq_price": None if price is None else on_tick(price, quantity, tick),
    }


@adapter("account_liq_price")
def account_price(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """An account's equity at the current mark; what other positions require is reserved."""
    policy = single(MarginRules(initial="leverage"), mmr=inputs["mmr"])
    state = _one(number(inputs["equity"]), number(inputs["size"]), inputs["mark"], policy)
    reserved = (number(inputs.get("other_mm", 0)),)
    price = shared_liquidation_price(state, SYMBOL, _marked(inputs), policy, reserved=reserved)
    return {"liq_price": price}


def _one(wallet: Decimal, quantity: Decimal, entry: Any, policy: Policy) -> AccountState:
    position = opened(quantity, entry, policy.instruments[SYMBOL])
    return AccountState(account="case", balances={QUOTE: wallet}, positions={SYMBOL: position})


def _marked(inputs: Inputs) -> Prices:
    mark = first(inputs, "mark", "mark_price")
    return NO_MARKS if mark is None else at_marks({SYMBOL: mark})


def _base(symbol: str) -> str:
    return next((symbol.removesuffix(quote) for quote in QUOTES if symbol.endswith(quote)), symbol)
