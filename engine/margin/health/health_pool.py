"""The shared pool of an account under the health model, as figures that every account has.

    C    = sum over assets of weighted(amount + contract profits), where positive, + what spot orders count
    MM   = C - maintenance health
    IM   = C - initial health                                           C at maintenance weights in all three

So collateral value / maintenance margin falls below 1 exactly when maintenance health falls below 0, available margin
is the initial health, and whatever weights and orders take away from positions is a requirement.
"""

from collections.abc import Iterator
from decimal import Decimal

from engine.ledger.accounts import AccountState
from engine.margin.cross.cross_pool import cross_positions
from engine.margin.figure_lines import realisable_input
from engine.margin.figures import Figures, Line, MarginBreakdown
from engine.margin.funding_accrual import funding_accrued
from engine.margin.health.health_assets import AssetHealth
from engine.margin.health.weighted_health import Health, health
from engine.margin.position_margin import PositionMargin
from engine.margin.quotes import index_price
from engine.marks.mark_book import Prices
from engine.numbers import ZERO, exact
from engine.policy import Policy


def health_figures(state: AccountState, prices: Prices, policy: Policy) -> Figures:
    """The figures of the pool at `prices`. The policy has health weights."""
    return explain_health(state, prices, policy).figures


def explain_health(state: AccountState, prices: Prices, policy: Policy) -> MarginBreakdown:
    """The figures of the pool at `prices`, and the lines that sum to them."""
    with exact():
        held, stale = cross_positions(state, prices, policy)
        initial = health(state, held, prices, policy, "initial")
        maintenance = health(state, held, prices, policy, "maintenance")
        lines = [
            *_equity_lines(state, held, prices, policy),
            *_asset_lines(initial, maintenance),
            *_pair_lines(initial, maintenance),
        ]
        totals = dict.fromkeys(("equity", "collateral_value", "initial_margin", "maintenance_margin"), ZERO)
        for line in lines:
            totals[line.figure] += line.value
    secures = bool(held or maintenance.pairs) or any(it.effective < 0 for it in maintenance.assets)
    unsure = any(
        contract.symbol in prices.stale or contract.symbol not in prices.marks
        for contract in maintenance.contracts
    )
    stale = stale or unsure or (secures and not all(asset.fresh for asset in maintenance.assets))
    return MarginBreakdown(
        state.account,
        None,
        Figures(
            totals["equity"],
            totals["collateral_value"],
            totals["initial_margin"],
            totals["maintenance_margin"],
            degraded=stale,
        ),
        tuple(lines),
        policy.digest,
    )


def _equity_lines(
    state: AccountState, held: list[PositionMargin], prices: Prices, policy: Policy
) -> Iterator[Line]:
    for asset, wallet in state.balances.items():
        index, _ = index_price(policy, asset, prices)
        yield Line("equity", asset, "wallet * index", {"wallet": wallet, "index": index}, wallet * index)
    for margin in held:
        index, _ = index_price(policy, margin.settle, prices)
        profit = margin.unrealised_pnl
        inputs = {"unrealised_pnl": profit, "mark": margin.mark, "index": index}
        inputs |= realisable_input(margin, prices, policy)
        yield Line("equity", margin.key, "unrealised P&L * index", inputs, profit * index)
        accrued = funding_accrued(margin, state, prices, policy)
        if accrued:
            inputs = {"accrued": accrued, "index": index}
            yield Line("equity", margin.key, "funding accrued * index", inputs, accrued * index)


def _asset_lines(initial: Health, maintenance: Health) -> Iterator[Line]:
    for at_initial, asset in zip(initial.assets, maintenance.assets, strict=True):
        value = max(ZERO, asset.value(asset.unweighted))
        formula = "(wallet - reserved + contract profits) * price * asset weight, where positive"
        yield Line("collateral_value", asset.asset, formula, _inputs(asset, asset.unweighted), value)
        formula = "collateral value - (wallet - reserved + contract health) * price * weight"
        for figure, it in (("initial_margin", at_initial), ("maintenance_margin", asset)):
            yield Line(
                figure, asset.asset, formula, _inputs(it, it.effective), value - it.value(it.effective)
            )


def _inputs(asset: AssetHealth, amount: Decimal) -> dict[str, Decimal]:
    owed = amount < 0
    return {
        "amount": amount,
        "price": asset.liability_price if owed else asset.asset_price,
        "weight": asset.liability_weight if owed else asset.asset_weight,
    }


def _pair_lines(initial: Health, maintenance: Health) -> Iterator[Line]:
    for at_initial, pair in zip(initial.pairs, maintenance.pairs, strict=True):
        inputs = {"reserved_base": pair.reserved_base, "reserved_quote": pair.reserved_quote}
        formula = "smaller effect of turning what is reserved into base or into quote"
        yield Line("collateral_value", pair.symbol, formula, inputs, pair.value)
        formula = "the same at maintenance weights - at initial weights"
        yield Line("initial_margin", pair.symbol, formula, inputs, pair.value - at_initial.value)
