"""Health of Mango v4: one number from weights, reserves of spot orders and crowded assets."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from engine.inputs import Mark
from engine.ledger.accounts import AccountState, OpenOrder, Position
from engine.margin.cross.cross_pool import cross_positions
from engine.margin.health.weighted_health import health
from engine.margin.margin_model import shared_figures
from engine.marks.mark_book import Prices
from engine.numbers import ONE, exact
from engine.policy import Asset, Instrument, Policy, PoolRules
from engine.policy.rules.health_weights import AssetWeights, ContractWeights, HealthRules, Weights
from tests.conformance.build import (
    QUOTE,
    amount,
    booked,
    deposit,
    first,
    index_symbol,
    mark_with_average,
    perpetuals,
    side_orders,
)
from tests.conformance.registry import Answer, Inputs, adapter, number

# Mango v4: one number from weights

_MANGO_TOKENS = (
    {"name": "t1", "price": 1, "init_asset_weight": "0.8", "init_liab_weight": "1.2"},
    {"name": "t2", "price": 5, "init_asset_weight": "0.5", "init_liab_weight": "1.5"},
    {"name": "t3", "price": 10, "init_asset_weight": "0.5", "init_liab_weight": "1.5"},
)
"""What `mango_skip_stale` refers to instead of listing it."""


_TEST_WEIGHTS = {
    "perp_asset_w": "0.8",
    "perp_liab_w": "1.2",
    "overall_w": "0.95",
    "settle_asset_w": "0.8",
    "settle_liab_w": "1.2",
}
"""What its cases of a long perpetual alone leave out."""


@adapter("mango_health", "mango_skip_stale")
def mango_health(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """Health by both pairs of weights; "error" where a liability has no price."""
    tokens = inputs.get("tokens", _MANGO_TOKENS)
    policy, prices = _mango_policy(inputs, tokens), _mango_prices(inputs, tokens)
    state = _mango_state(inputs, tokens, policy)
    if _unpriced(state, prices, policy):
        return dict.fromkeys(("init_health", "health", "maint_health"), "error")
    figures = shared_figures(state, prices, policy)
    with exact():
        # health = C - IM, C - MM
        initial = figures.collateral_value - figures.initial_margin
        maintenance = figures.collateral_value - figures.maintenance_margin
    return {"init_health": initial, "health": initial, "maint_health": maintenance}


def _unpriced(state: AccountState, prices: Prices, policy: Policy) -> bool:
    """Whether something is owed that never had a price: the product counts it one for one and calls the pool degraded."""
    with exact():
        held, _ = cross_positions(state, prices, policy)
        return bool(health(state, held, prices, policy, "maintenance").unpriced)


def _mango_policy(inputs: Inputs, tokens: Sequence[Mapping[str, Any]]) -> Policy:
    banks = inputs.get("banks", [{}] * len(tokens))
    assets, weights = {QUOTE: Asset()}, {}
    for token, bank in zip(tokens, banks, strict=True):
        name = str(token["name"])
        assets[name] = Asset(
            index=index_symbol(name),
            deposit_scale_start=_optional(bank, "deposit_scale_start", "deposit_weight_scale_start"),
            borrow_scale_start=_optional(bank, "borrow_scale_start", "borrow_weight_scale_start"),
        )
        weights[name] = AssetWeights(
            initial=_weights(token, "init_asset_weight", "init_liab_weight"),
            maintenance=_weights(
                token, "maint_asset_weight", "maint_liab_weight", "init_asset_weight", "init_liab_weight"
            ),
        )
    instruments = {
        symbol: Instrument(kind="spot", base=str(pair["base"]), settle=str(pair["quote"]))
        for symbol, pair in _pairs(inputs).items()
    }
    contracts = {}
    for symbol, perp in perpetuals(inputs).items():
        settle = str(perp.get("settle", tokens[0]["name"]))
        lot = amount(perp, "base_lot", "base_lot_size", default=ONE)
        instruments[symbol] = Instrument(kind="perpetual", base=symbol, settle=settle, multiplier=lot)
        share = amount(perp, "overall_asset_weight", default=ONE)
        contracts[symbol] = ContractWeights(
            initial=_weights(perp, "base_asset_weight", "base_liab_weight"),
            maintenance=_weights(
                perp,
                "maint_base_asset_weight",
                "maint_base_liab_weight",
                "base_asset_weight",
                "base_liab_weight",
            ),
            initial_profit=share,
            maintenance_profit=amount(perp, "maint_overall_asset_weight", default=share),
        )
    return Policy(
        name="case",
        account_currency=QUOTE,
        assets=assets,
        instruments=instruments,
        pool=PoolRules(model="health", conservative_price=True),
        health=HealthRules(assets=weights, contracts=contracts),
    )


def _weights(mapping: Mapping[str, Any], *keys: str) -> Weights:
    """Asset and liability weight under the first two keys, or under the next two."""
    return Weights(
        asset=amount(mapping, *keys[::2], default=ONE), liability=amount(mapping, *keys[1::2], default=ONE)
    )


def _optional(mapping: Mapping[str, Any], *keys: str) -> Decimal | None:
    value = first(mapping, *keys)
    return None if value is None else number(value)


def _pairs(inputs: Inputs) -> dict[str, Mapping[str, Any]]:
    return {f"pair {place}": pair for place, pair in enumerate(inputs.get("spot_orders", ()))}


def _mango_prices(inputs: Inputs, tokens: Sequence[Mapping[str, Any]]) -> Prices:
    missing = {str(name) for name in inputs.get("missing", ())}
    banks = dict(zip((str(token["name"]) for token in tokens), inputs.get("banks", ()), strict=False))
    marks = [
        _index_mark(token, banks.get(str(token["name"]), {}))
        for token in tokens
        if str(token["name"]) not in missing
    ]
    marks += [
        mark_with_average(symbol, number(perp["price"]), perp.get("stable_price"))
        for symbol, perp in perpetuals(inputs).items()
    ]
    stale = frozenset(index_symbol(name) for name in missing)
    return Prices({mark.symbol: mark for mark in marks}, stale)


def _index_mark(token: Mapping[str, Any], bank: Mapping[str, Any]) -> Mark:
    """The index price of a token, with what its bank holds and lends."""
    mark = mark_with_average(
        index_symbol(str(token["name"])), number(token["price"]), token.get("stable_price")
    )
    return msgspec.structs.replace(
        mark,
        deposits=amount(bank, "deposits"),
        borrows=amount(bank, "borrows"),
        potential_deposits=amount(bank, "potential_tokens", "potential_serum_tokens"),
    )


def _mango_state(inputs: Inputs, tokens: Sequence[Mapping[str, Any]], policy: Policy) -> AccountState:
    listed = inputs["balances"]
    if not isinstance(listed, Mapping):
        listed = {token["name"]: held for token, held in zip(tokens, listed, strict=True)}
    prices = {str(token["name"]): number(token["price"]) for token in tokens}
    orders, positions, reserved = {}, {}, []
    for symbol, pair in _pairs(inputs).items():
        base, quote = amount(pair, "reserved_base"), amount(pair, "reserved_quote")
        reserved += [deposit(str(pair["base"]), base), deposit(str(pair["quote"]), quote)]
        orders |= _reserving(symbol, pair, base, quote, prices, policy)
    for symbol, perp in perpetuals(inputs).items():
        positions[symbol] = Position(amount(perp, "base_lots"), amount(perp, "quote").copy_negate())
        sides = {"bids": perp.get("bid_lots", 0), "asks": perp.get("ask_lots", 0)}
        orders |= side_orders(symbol, sides, number(perp["price"]))
    balances = {str(name): number(held) for name, held in listed.items()}
    # Mango keeps what orders reserved outside of the balance, the engine inside
    return booked(
        AccountState("case", balances=balances, positions=positions, orders=orders), policy, reserved
    )


def _reserving(
    symbol: str,
    pair: Mapping[str, Any],
    base: Decimal,
    quote: Decimal,
    prices: Mapping[str, Decimal],
    policy: Policy,
) -> dict[str, OpenOrder]:
    """A sell and a buy that reserve these amounts, at the extreme prices of the case (default: the oracle price)."""
    instrument = policy.instruments[symbol]
    with exact():
        # an oracle price in quote coins
        oracle = instrument.quantity(prices[instrument.base], prices[instrument.settle])
        ask = amount(pair, "lowest_ask", default=oracle) or oracle
        bid = amount(pair, "highest_bid", default=oracle) or oracle
        sides = {"sell": (base.copy_negate(), ask), "buy": (instrument.quantity(quote, bid), bid)}
    return {
        f"{symbol} {side}": OpenOrder(symbol, quantity, price)
        for side, (quantity, price) in sides.items()
        if quantity
    }


@adapter("unified health, perp only (weighted positive pnl)", "unified health, negative perp pnl")
def mango_perpetual(inputs: Inputs, wanted: frozenset[str]) -> Answer:
    """A perpetual alone; lots priced in the settle token."""
    token = {
        "name": "settle",
        "price": amount(inputs, "settle_price", default=ONE),
        "init_asset_weight": amount(inputs, "settle_asset_w", default=ONE),
        "init_liab_weight": amount(inputs, "settle_liab_w", default=ONE),
    }
    perp = {
        "price": number(inputs["lot_quote"]),
        "base_lots": number(inputs["perp_base_lots"]),
        "quote": number(inputs["quote"]),
        "bid_lots": amount(inputs, "bids", "bid_lots"),
        "ask_lots": amount(inputs, "asks", "ask_lots"),
        "base_asset_weight": amount(inputs, "perp_asset_w", default=ONE),
        "base_liab_weight": amount(inputs, "perp_liab_w", default=ONE),
        "overall_asset_weight": amount(inputs, "overall_w", default=ONE),
    }
    balances = [amount(inputs, "token1", "balance", "settle_balance")]
    return mango_health({"tokens": [token], "balances": balances, "perp": perp}, wanted)


@adapter("unified health, long perp in profit", "unified health, long perp")
def mango_long(inputs: Inputs, wanted: frozenset[str]) -> Answer:
    """The perpetual alone, with the weights that the test (`test_health1`) gives its market and token 1."""
    return mango_perpetual({**_TEST_WEIGHTS, **inputs}, wanted)


@adapter("unified health: deposits, borrow, spot orders and perp orders together")
def mango_together(inputs: Inputs, wanted: frozenset[str]) -> Answer:
    """Tokens 1..3, `oo_1_N` = [quote, base] reserved in the pair token N / token 1, one perpetual settled in token 1."""
    names = [f"token{place}" for place in (1, 2, 3) if f"token{place}" in inputs]
    tokens = []
    for name in names:
        asset_weight, liability_weight = inputs.get(f"{name}_weights", (ONE, ONE))
        tokens.append(
            {
                "name": name,
                "price": amount(inputs, f"{name}_price", default=ONE),
                "init_asset_weight": asset_weight,
                "init_liab_weight": liability_weight,
            }
        )
    pairs = [
        {"base": name, "quote": "token1", "reserved_quote": reserved[0], "reserved_base": reserved[1]}
        for name in names
        if (reserved := inputs.get(f"oo_1_{name[-1]}")) is not None
    ]
    case = {"tokens": tokens, "balances": [inputs[name] for name in names], "spot_orders": pairs}
    perp = inputs.get("perp")
    if perp is not None:
        asset_weight, liability_weight = inputs.get("perp_weights", (ONE, ONE))
        case["perp"] = {
            "price": number(inputs["lot_quote"]),
            "base_lots": amount(perp, "base_lots"),
            "quote": amount(perp, "quote"),
            "bid_lots": amount(perp, "bids"),
            "ask_lots": amount(perp, "asks"),
            "base_asset_weight": asset_weight,
            "base_liab_weight": liability_weight,
            "overall_asset_weight": amount(inputs, "overall_w", default=ONE),
        }
    return mango_health(case, wanted)
