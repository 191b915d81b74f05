"""Pools of several weighted assets with open orders (Drift, Lean)."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from engine.inputs import Mark
from engine.ledger.accounts import AccountState, Position
from engine.margin.cross.asset_equity import pooled_assets
from engine.margin.cross.cross_pool import cross_positions
from engine.margin.cross.spot_orders import asset_changes, worse_fill
from engine.margin.margin_model import shared_figures
from engine.marks.mark_book import Prices
from engine.numbers import ONE, ZERO, exact
from engine.policy import Asset, Instrument, MarginRules, Policy, PoolRules, RiskTier
from tests.conformance.build import (
    QUOTE,
    amount,
    booked,
    deposit,
    first,
    index_symbol,
    mark_with_average,
    opened,
    perpetuals,
    side_orders,
    signed,
    tier_by_leverage,
    weighted_asset,
    withdrawal,
)
from tests.conformance.registry import Answer, Inputs, adapter, number
from tests.conformance.rules.health_percent import health_percent
from tests.conformance.rules.liquidation_lines import reached

ORDER_REQUIREMENT = Decimal("0.01")
"""Drift: quote units that every open order requires."""

SETTLE = "QUOTE"
"""The quote asset of a Drift account; its price need not be 1."""


def _fresh(marks: Iterable[Mark]) -> Prices:
    return Prices({mark.symbol: mark for mark in marks}, frozenset())


@adapter("drift_health")
def drift_health(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """The cross pool with liabilities as requirement, spot orders as filled, and profits beside the balance."""
    policy = _drift_policy(inputs)
    figures = shared_figures(_drift_state(inputs, policy), _drift_prices(inputs), policy)
    return {
        "collateral": figures.collateral_value,
        "total_collateral": figures.collateral_value,
        "requirement": figures.requirement,
        "margin_requirement": figures.requirement,
        "free_collateral": figures.available_margin,
        "equity": figures.equity,
        "liquidatable": reached(figures.collateral_value, figures.requirement, ONE),
        "meets": not reached(figures.collateral_value, figures.requirement, ONE),
        "health_pct": health_percent(figures),
        "health": health_percent(figures),
    }


@adapter("drift_worst_case_orders")
def drift_worst_case_orders(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """One spot balance with orders on both sides."""
    case = {"strict": inputs.get("strict", False), "spot": [{"symbol": "X", **inputs}]}
    policy, prices = _drift_policy(case), _drift_prices(case)
    state = _drift_state(case, policy)
    with exact():
        held, _ = cross_positions(state, prices, policy)
        assets = pooled_assets(state, held, prices, policy, options_count=False)
        changes = asset_changes(state, assets, prices, policy)
        fill = worse_fill("X/QUOTE", list(state.orders.values()), changes, prices, policy)
        return {
            "token_amount": fill.asset.amount,
            "token_value": fill.value,
            "weighted_value": fill.weighted_value,
            "weighted_token_value": fill.weighted_value,
            "orders_value": fill.orders_value,
            "free_collateral_contribution": fill.contribution,
        }


def _drift_policy(inputs: Inputs) -> Policy:
    spot, perps = inputs.get("spot", ()), perpetuals(inputs)
    assets = {QUOTE: Asset(), SETTLE: weighted_asset(SETTLE)}
    instruments, tiers, margin = {}, {}, {}
    for token in spot:
        name = _name(token)
        weight, factor = (
            amount(token, "asset_weight", default=ONE),
            amount(token, "liability_weight", default=ONE),
        )
        assets[name] = weighted_asset(name, weight, factor)
        instruments[f"{name}/{SETTLE}"] = Instrument(kind="spot", base=name, settle=SETTLE)
    for symbol, perp in perps.items():
        # profit and loss of markets do not net before they are priced: each settles in a pocket of quote of its own
        assets[_pocket(symbol)] = weighted_asset(SETTLE)
        instruments[symbol] = Instrument(
            kind="perpetual", base=symbol, settle=_pocket(symbol), tiers=symbol, margin=symbol
        )
        rate = amount(perp, "margin_ratio")
        tiers[symbol] = (RiskTier(floor=ZERO, maintenance_rate=rate, initial_rate=rate),)
        margin[symbol] = MarginRules(initial="tier", profit_weight=amount(perp, "pnl_weight", default=ONE))
    return Policy(
        name="case",
        account_currency=QUOTE,
        assets=assets,
        instruments=instruments,
        tiers=tiers,
        margin=margin,
        pool=PoolRules(
            haircut_on="wallet",
            liabilities="requirement",
            conservative_price=bool(inputs.get("strict", False)),
            orders_in_maintenance=True,
            spot_orders="filled",
            order_requirement=ORDER_REQUIREMENT,
        ),
    )


def _pocket(symbol: str) -> str:
    return f"{SETTLE} of {symbol}"


def _name(token: Mapping[str, Any]) -> str:
    return str(first(token, "symbol", "name") or "X")


def _drift_prices(inputs: Inputs) -> Prices:
    marks = [
        mark_with_average(
            index_symbol(SETTLE), amount(inputs, "quote_price", default=ONE), inputs.get("quote_twap")
        )
    ]
    marks += [
        mark_with_average(
            index_symbol(_name(token)), number(token["oracle"]), first(token, "twap", "oracle_twap")
        )
        for token in inputs.get("spot", ())
    ]
    marks += [
        mark_with_average(symbol, number(perp["oracle"])) for symbol, perp in perpetuals(inputs).items()
    ]
    return _fresh(marks)


def _drift_state(inputs: Inputs, policy: Policy) -> AccountState:
    balances = {_name(token): amount(token, "balance") for token in inputs.get("spot", ())}
    positions, orders = {}, {}
    for token in inputs.get("spot", ()):
        orders |= side_orders(f"{_name(token)}/{SETTLE}", token, number(token["oracle"]))
    for symbol, perp in perpetuals(inputs).items():
        positions[symbol] = Position(amount(perp, "base"), amount(perp, "quote").copy_negate())
        orders |= side_orders(symbol, perp, number(perp["oracle"]))
    state = AccountState("case", balances=balances, positions=positions, orders=orders)
    return booked(
        state,
        policy,
        [
            deposit(SETTLE, amount(inputs, "quote_deposit")),
            withdrawal(SETTLE, amount(inputs, "quote_borrow")),
        ],
    )


@adapter("shared_collateral_pool")
def shared_collateral_pool(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """Available margin of the cross pool that holds the other positions; a requirement may be given as such."""
    assets, marks, balances = {QUOTE: Asset()}, [], {QUOTE: amount(inputs, "cash", "base_cash")}
    for entry in inputs.get("assets", ()):
        name = f"asset {entry['name']}"
        assets[name] = weighted_asset(name, amount(entry, "ratio", default=ONE))
        balances[name] = number(entry["amount"])
        marks.append(mark_with_average(index_symbol(name), amount(entry, "price", default=ONE)))
    instruments, tiers, positions = {}, {}, {}
    for place, other in enumerate(first(inputs, "other_positions", "positions") or ()):
        symbol = f"{place}"
        quantity, price, multiplier, tier = _other_position(other)
        instruments[symbol] = Instrument(
            kind="perpetual",
            base=symbol,
            settle=QUOTE,
            tiers=symbol,
            multiplier=multiplier,
        )
        tiers[symbol] = (tier,)
        marks.append(mark_with_average(symbol, price))
        positions[symbol] = opened(quantity, price, instruments[symbol])
    policy = Policy(
        name="case",
        account_currency=QUOTE,
        assets=assets,
        instruments=instruments,
        tiers=tiers,
        margin={"default": MarginRules(initial="tier")},
    )
    state = AccountState("case", balances=balances, positions=positions)
    figures = shared_figures(state, _fresh(marks), policy)
    return {"buying_power": figures.available_margin, "maintenance_margin": figures.maintenance_margin}


def _other_position(other: Any) -> tuple[Decimal, Decimal, Decimal, RiskTier]:
    """Quantity, price, multiplier and risk tier of a position, or of one that requires exactly the margin stated."""
    if not isinstance(other, Mapping):
        other = {"maintenance_margin": other}
    stated = first(other, "maintenance_margin", "mm", "maintenance", "margin")
    if stated is not None:
        return ONE, number(stated), ONE, RiskTier(floor=ZERO, maintenance_rate=ONE, initial_rate=ONE)
    quantity = signed(first(other, "qty", "quantity", "amount", "size"), other.get("side"))
    price = number(first(other, "price", "mark", "mark_price", "entry"))
    multiplier = amount(other, "multiplier", default=ONE)
    rate = first(other, "maintenance_rate", "mm_rate", "mmr", "rate")
    if rate is None:
        leverage = amount(other, "leverage", default=ONE)
        return quantity, price, multiplier, tier_by_leverage(ZERO, leverage, ONE)
    tier = RiskTier(floor=ZERO, maintenance_rate=number(rate), initial_rate=number(rate))
    return quantity, price, multiplier, tier
