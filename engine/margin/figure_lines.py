"""Figures of positions and assets as named lines."""

from collections.abc import Iterable
from decimal import Decimal

from engine.ledger.accounts import AccountState
from engine.margin.cross.asset_equity import PooledAsset
from engine.margin.figures import Line
from engine.margin.funding_accrual import funding_accrued
from engine.margin.position_margin import PositionMargin
from engine.margin.quotes import realisable_share
from engine.marks.mark_book import Prices
from engine.numbers import ZERO
from engine.policy import Policy
from engine.policy.rules.policy_switches import ClosingFee, InitialRule, InstrumentKind, MaintenanceRule

_INITIAL_FORMULAS = {
    InitialRule.LEVERAGE_OR_TIER: "max(N / leverage, tier initial rate * N)",
    InitialRule.LEVERAGE: "N / leverage",
    InitialRule.TIER: "tier initial rate * N",
    InitialRule.TIER_OVER_LEVERAGE: "tier initial rate * N / leverage",
    InitialRule.SIZE: "(base rate + slope * size) * N",
}
_MAINTENANCE_FORMULAS = {
    MaintenanceRule.TIER: "tier maintenance rate * N - deduction",
    MaintenanceRule.TIER_OVER_LEVERAGE: "tier maintenance rate * N / leverage",
    MaintenanceRule.FRACTION_OF_INITIAL: "fraction * tier initial rate * N",
    MaintenanceRule.SIZE: "(base rate + slope * size) * N",
}

ACCRUED = "- value * funding rate * elapsed part of the interval * index"


def position_lines(margin: PositionMargin, price: Decimal, policy: Policy) -> list[Line]:
    """The requirement lines of one position, in account currency; `price` converts its settle asset."""
    rules = policy.margin_rules(margin.symbol)
    inputs = {"notional": margin.notional, "mark": margin.mark, "price": price}
    initial, maintenance = _INITIAL_FORMULAS[rules.initial], _MAINTENANCE_FORMULAS[rules.maintenance]
    if rules.closing_fee is not ClosingFee.NONE:
        inputs["closing_fee"] = margin.closing_fee
        maintenance += " + closing fee"
        initial += " + closing fee" if rules.closing_fee_in_initial else ""
    return [
        Line(
            "initial_margin",
            margin.key,
            f"({initial}) * price",
            {**inputs, "leverage": margin.leverage, "initial_rate": margin.initial_rate},
            margin.initial_margin * price,
        ),
        Line(
            "maintenance_margin",
            margin.key,
            f"({maintenance}) * price",
            {**inputs, "maintenance_rate": margin.maintenance_rate, "deduction": margin.deduction},
            margin.maintenance_margin * price,
        ),
    ]


def asset_lines(
    asset: PooledAsset, held: list[PositionMargin], state: AccountState, prices: Prices, policy: Policy
) -> list[Line]:
    """The equity, collateral and borrow lines of one asset of a shared pool."""
    lines, index = [], asset.index
    if asset.wallet:
        inputs = {"wallet": asset.wallet, "index": index}
        lines.append(Line("equity", asset.asset, "wallet * index", inputs, asset.wallet * index))
    for margin in held:
        if margin.settle == asset.asset:
            lines += _profit_lines(margin, index, state, prices, policy)
    inputs = {"asset_equity": asset.wallet + asset.counted_profit, "index": index}
    uncounted = uncounted_profit(it for it in held if it.settle == asset.asset)
    if uncounted:
        inputs["uncounted_profit"] = uncounted
    lines.append(Line("collateral_value", asset.asset, _value_formula(asset), inputs, asset.collateral_value))
    owed = {
        "initial_margin": (asset.borrow_initial_margin, "borrow tiers of the amount owed * rate * index"),
        "maintenance_margin": (
            asset.borrow_maintenance_margin,
            "borrow tiers of the amount owed * rate * index",
        ),
    }
    for figure, (margin_value, formula) in owed.items():
        if margin_value:
            lines.append(Line(figure, asset.asset, formula, inputs, margin_value))
        if asset.liability_value:
            owing = "amount owed * index * liability factor"
            lines.append(Line(figure, asset.asset, owing, inputs, asset.liability_value))
    return lines


def uncounted_profit(held: Iterable[PositionMargin]) -> Decimal:
    """What of these positions' profits does not count as collateral, in settle asset. Inside `numbers.exact()`."""
    return sum((it.unrealised_pnl - it.counted_pnl for it in held if not it.option), ZERO)


def realisable_input(margin: PositionMargin, prices: Prices, policy: Policy) -> dict[str, Decimal]:
    """The share of a profit that its losing side can pay, as an input of its line; nothing where it caps no profit."""
    share = realisable_share(margin.symbol, prices) if margin.symbol in policy.profit_capped else None
    return {} if share is None or margin.unrealised_pnl <= 0 else {"realisable_share": share}


def _profit_lines(
    margin: PositionMargin, index: Decimal, state: AccountState, prices: Prices, policy: Policy
) -> list[Line]:
    instrument = policy.instruments[margin.symbol]
    formula = "(entry value - value) * index" if instrument.inverse else "(value - entry value) * index"
    if instrument.kind is InstrumentKind.OPTION:
        formula = "value * index"
    profit = margin.unrealised_pnl
    inputs = {"unrealised_pnl": profit, "mark": margin.mark, "index": index}
    inputs |= realisable_input(margin, prices, policy)
    lines = [Line("equity", margin.key, formula, inputs, profit * index)]
    accrued = funding_accrued(margin, state, prices, policy)
    if accrued:
        inputs = {"accrued": accrued, "index": index}
        lines.append(Line("equity", margin.key, ACCRUED, inputs, accrued * index))
    return lines


def _value_formula(asset: PooledAsset) -> str:
    if asset.liability_value:
        return "0: a liability counts as a requirement"
    if asset.wallet + asset.counted_profit < 0:
        return "asset equity * index * liability factor"
    return "asset equity by tiers * ratio * index" if asset.fresh else "0: index price is stale"
