"""The price at which an isolated position is liquidated."""

from decimal import Decimal
from typing import Any

from engine.analytics.bankruptcy_price import isolated_bankruptcy_price
from engine.analytics.liquidation_price import isolated_liquidation_price
from engine.inputs import IsolatedTransfer
from engine.ledger.accounts import AccountState, IsolatedPosition, Position
from engine.ledger.booking import book
from engine.margin.isolated_pool import isolated_figures
from engine.margin.quotes import average_entry_price
from engine.numbers import ZERO, exact
from engine.policy import MarginRules, Policy, RiskTier
from tests.conformance.build import (
    at_marks,
    contract,
    contracts_policy,
    first,
    opened,
    paid_for,
    rate_tier,
    signed,
    tier_by_leverage,
)
from tests.conformance.position import SYMBOL, margin_at, single
from tests.conformance.registry import Answer, Inputs, adapter, number

HALF = Decimal("0.5")
"""Hyperliquid: maintenance rate / initial rate at the largest leverage."""
NO_MARKS = at_marks({})
"""A position without a mark keeps its average entry price."""


def isolated_price(
    policy: Policy, position: Position, margin: Decimal, inputs: Inputs, leverage: Any = 1
) -> Answer:
    """Liquidation and bankruptcy price of one isolated position, with what it holds."""
    state = AccountState(
        account="case",
        isolated={SYMBOL: IsolatedPosition(position, margin)},
        leverage={SYMBOL: number(leverage)},
    )
    with exact():
        added = _number(inputs, "extra_margin", "added_margin") or ZERO
        transfer = IsolatedTransfer(account="case", entry_id="extra", time_ns=0, symbol=SYMBOL, amount=added)
        booked = book(state, transfer, policy)
    assert isinstance(booked, AccountState)
    price = isolated_liquidation_price(booked, SYMBOL, NO_MARKS, policy)
    if price is None and position.quantity > 0:
        price = ZERO  # venues write 0 for a long that no price liquidates
    at_entry = margin_at(
        policy, position, average_entry_price(position, policy.instruments[SYMBOL]), leverage
    )
    return {
        "liq_price": price,
        "liquidation_price": price,
        "bankruptcy_price": isolated_bankruptcy_price(booked, SYMBOL, NO_MARKS, policy),
        "initial_margin": at_entry.initial_margin,
        "maintenance_margin": at_entry.maintenance_margin,
    }


def _isolated(inputs: Inputs, rules: MarginRules, tier: tuple[RiskTier, ...] | None = None) -> Answer:
    """An isolated linear position; its margin as stated, else the initial margin at its leverage."""
    mmr, cum = first(inputs, "mmr", "mm"), first(inputs, "cum", "maint_amt", "mm_deduction", "deduction")
    policy = contracts_policy({SYMBOL: contract(SYMBOL)}, {SYMBOL: tier or rate_tier(mmr, cum)}, rules)
    quantity = signed(first(inputs, "qty", "amount", "size") or 1, inputs.get("side"))
    position = opened(quantity, inputs["entry"], policy.instruments[SYMBOL])
    leverage = inputs.get("leverage", 1)
    margin = _number(inputs, "isolated_wallet", "wallet", "isolated_margin", "margin", "collateral")
    if margin is None:
        margin = margin_at(policy, position, inputs["entry"], leverage).initial_margin
    return isolated_price(policy, position, margin, inputs, leverage)


@adapter("USD-M isolated liquidation price", "USD-M isolated liquidation price (small)")
def binance_isolated(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """Maintenance of the mark notional with the tier's deduction."""
    return _isolated(inputs, MarginRules(initial="leverage"))


@adapter(
    "isolated USDT perpetual liquidation price", "isolated liquidation price (freqtrade)", "bybit_liq_price"
)
def bybit_isolated(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """Maintenance of the entry value."""
    return _isolated(inputs, MarginRules(initial="leverage", notional="entry"))


@adapter("isolated liquidation price with closing fee", "okx_liq_price")
def closing_fee_isolated(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """Maintenance of the mark notional, and the fee to close it."""
    rules = MarginRules(
        initial="leverage",
        closing_fee="notional",
        closing_fee_in_initial=False,
        taker_fee_rate=number(first(inputs, "taker", "taker_fee") or 0),
    )
    return _isolated(inputs, rules)


@adapter("isolated inverse: position value and IM")
def bybit_inverse(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """A coin-margined contract of one dollar, maintenance of the entry value."""
    rules = MarginRules(initial="leverage", notional="entry")
    policy = single(rules, contract(SYMBOL, payoff="inverse"), mmr=inputs.get("mmr", 0))
    answer: dict[str, Any] = {}
    for side in ("short", "long", inputs.get("side", "long")):
        position = opened(signed(inputs["qty_usd"], side), inputs["entry"], policy.instruments[SYMBOL])
        leverage = inputs.get("leverage", 1)
        margin = margin_at(policy, position, inputs["entry"], leverage)
        answer |= isolated_price(policy, position, margin.initial_margin, inputs, leverage)
        answer |= {
            "position_value_btc": margin.notional,
            "initial_margin_btc": margin.initial_margin,
            "maintenance_margin_btc": margin.maintenance_margin,
            f"liq_price_{side}": answer["liq_price"],
        }
    return answer


@adapter("isolated/cross liquidation price, single position")
def hyperliquid(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """Half of the initial rate at the largest leverage."""
    return _isolated(inputs, MarginRules(initial="leverage"), _leverage_tiers(inputs))


@adapter("isolated position from API docs")
def hyperliquid_state(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """A position whose cost has left the raw balance beside it."""
    rules = MarginRules(initial="leverage")
    policy = contracts_policy({SYMBOL: contract(SYMBOL)}, {SYMBOL: _leverage_tiers(inputs)}, rules)
    size, instrument = number(inputs["szi"]), policy.instruments[SYMBOL]
    raw = number(inputs["rawUsd"])
    state = AccountState(account="case", isolated={SYMBOL: IsolatedPosition(paid_for(size), raw)})
    with exact():
        value = number(inputs["positionValue"])
        mark = average_entry_price(Position(size, value if size > 0 else -abs(value)), instrument)
    margin = margin_at(policy, opened(size, inputs["entryPx"], instrument), mark, inputs.get("leverage", 1))
    prices = at_marks({SYMBOL: mark})
    return {
        "liquidationPx": isolated_liquidation_price(state, SYMBOL, prices, policy),
        "marginUsed": isolated_figures(state, SYMBOL, prices, policy).equity,
        "unrealizedPnl": margin.unrealised_pnl,
        "positionValue": margin.notional,
    }


def _leverage_tiers(inputs: Inputs) -> tuple[RiskTier, ...]:
    rows = inputs.get("tiers") or [(ZERO, first(inputs, "max_leverage", "maxLeverage"))]
    return tuple(tier_by_leverage(number(floor), number(leverage), HALF) for floor, leverage in rows)


def _number(inputs: Inputs, *keys: str) -> Decimal | None:
    value = first(inputs, *keys)
    return None if value is None else number(value)
