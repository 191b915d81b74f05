"""What assets count as collateral: one ratio, or tiers of the amount."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from engine.ledger.accounts import AccountState
from engine.margin import exact_arithmetic
from engine.margin.collateral import collateral_value
from engine.margin.margin_model import shared_figures
from engine.numbers import ONE, ZERO, exact
from engine.policy import Asset, CollateralTier, Policy
from engine.policy.rules.asset_terms import asset_terms
from tests.conformance.build import QUOTE, at_marks, first
from tests.conformance.registry import Answer, Inputs, adapter, number


@adapter("Multi-Assets collateral value ratio")
def collateral_ratios(inputs: Inputs, wanted: frozenset[str]) -> Answer:
    """A market value at each asset's ratio (Binance), or at the ratio of each purpose (BingX)."""
    value = number(first(inputs, "market_value", "value"))
    ratios = inputs.get("ratio")
    if isinstance(ratios, Mapping):
        return {asset: _counted(value, ratio) for asset, ratio in ratios.items()}
    risk = first(inputs, "collateral_value_ratio", "ratio", "ltv")
    return {
        "available_margin_value": _counted(value, first(inputs, "ltv", "collateral_value_ratio", "ratio")),
        "risk_value": _counted(value, risk),
        **{key: _counted(value, risk) for key in wanted if key == inputs.get("asset")},
    }


@adapter(
    "multi-currency: tiered discount rate",
    "multi-currency: first two BTC tiers (API sample)",
)
def tiered(inputs: Inputs, wanted: frozenset[str]) -> Answer:
    """Marginal tiers given as [upper end, ratio]; no upper end is no limit, above the last end nothing counts.

    A figure named after dollars is at the price, any other counts coins.
    """
    asset, amount = _tiered_asset(inputs["tiers"]), number(inputs["amount"])
    with exact():
        value = _value(asset, amount, number(inputs.get("price", 1)))
        coins = _value(asset, amount, ONE)
    return {key: value if key.endswith("usd") else coins for key in wanted | {"adjusted_usd"}}


@adapter("multi-currency: zero-discount coin")
def several_coins(inputs: Inputs, wanted: frozenset[str]) -> Answer:
    """Several coins, each with one ratio or with tiers."""
    coins = {name: held for name, held in inputs.items() if isinstance(held, Mapping)}
    policy = Policy(
        name="case",
        account_currency=QUOTE,
        assets={QUOTE: Asset(), **{name: _coin(name, held) for name, held in coins.items()}},
        instruments={},
    )
    state = AccountState(
        account="case", balances={name: number(held["amount"]) for name, held in coins.items()}
    )
    prices = at_marks({name: held.get("price", 1) for name, held in coins.items()})
    value = shared_figures(state, prices, policy).collateral_value
    return dict.fromkeys(wanted | {"adjusted_usd"}, value)


def _coin(name: str, held: Mapping[str, Any]) -> Asset:
    if "tiers" in held:
        return _tiered_asset(held["tiers"], index=name)
    return Asset(index=name, tiers=(CollateralTier(floor=ZERO, ratio=number(held["rate"])),))


def _tiered_asset(rows: list[list[Any]], index: str = "") -> Asset:
    ends = [row[0] for row in rows]
    floors = [ZERO, *(number(end) for end in ends[:-1])]
    return Asset(
        index=index,
        tiers=tuple(
            CollateralTier(floor=floor, ratio=number(row[1])) for floor, row in zip(floors, rows, strict=True)
        ),
        cap=None if ends[-1] is None else number(ends[-1]),
    )


def _counted(value: Decimal, ratio: Any) -> Decimal:
    asset = Asset(tiers=(CollateralTier(floor=ZERO, ratio=number(ratio)),))
    with exact():
        return _value(asset, value, ONE)


def _value(asset: Asset, amount: Decimal, price: Decimal) -> Decimal:
    return collateral_value(asset_terms(asset), amount, price, price, exact_arithmetic, pledged=True)
