"""The cross pool of an account: one equity, one requirement.

    E_a  = wallet_a + sum(uPnL settled in a)
    E    = sum_a E_a * index_a
    C    = sum_a value(E_a);  E_a > 0: marginal tiers of E_a in coins * ratio * index;  E_a < 0: E_a * index * liability
    MM   = sum over positions of MM * index(settle)          (IM likewise)

A price that is stale or missing: collateral in that asset counts 0, a liability keeps its last price, a position
keeps its last mark (its average entry price, where there never was one), and the pool is flagged `degraded`.
Collateral that secures nothing (neither a position nor a liability) degrades nothing. A liability that never had a price cannot be valued: its amount counts one for one in account currency.
"""

from decimal import Decimal

from engine.accounts import AccountState, Position
from engine.margin.figures import Figures, Line, MarginBreakdown
from engine.margin.position import PositionMargin, position_margin
from engine.marks import Prices
from engine.numbers import ONE, ZERO, divide, exact
from engine.policy import Asset, Policy


def cross_figures(state: AccountState, prices: Prices, policy: Policy) -> Figures:
    """The figures of the cross pool at `prices`."""
    with exact():
        held, degraded = cross_positions(state, prices, policy)
        equity = collateral = ZERO
        by_asset = asset_equity(state, held)
        secures = bool(held) or any(amount < 0 for amount in by_asset.values())
        for asset, amount in by_asset.items():
            index, fresh = index_price(policy, asset, prices)
            equity += amount * index
            collateral += collateral_value(policy.assets[asset], amount, index, fresh=fresh)
            degraded = degraded or (secures and not fresh)
        initial = maintenance = ZERO
        for margin in held:
            index, _ = index_price(policy, margin.settle, prices)
            initial += margin.initial_margin * index
            maintenance += margin.maintenance_margin * index
        return Figures(equity, collateral, initial, maintenance, degraded)


def explain_cross(state: AccountState, prices: Prices, policy: Policy) -> MarginBreakdown:
    """The same figures as lines that sum to them."""
    figures = cross_figures(state, prices, policy)
    lines: list[Line] = []
    with exact():
        held, _ = cross_positions(state, prices, policy)
        for asset, amount in asset_equity(state, held).items():
            lines += _asset_lines(state, held, asset, amount, prices, policy)
        for margin in held:
            lines += position_lines(margin, index_price(policy, margin.settle, prices)[0])
    return MarginBreakdown(state.account, None, figures, tuple(lines), policy.digest)


def cross_positions(state: AccountState, prices: Prices, policy: Policy) -> tuple[list[PositionMargin], bool]:
    """Margin of each cross position, and whether any of their marks is stale or missing."""
    held = []
    degraded = False
    for symbol, position in state.positions.items():
        mark, fresh = mark_price(symbol, position, prices, policy)
        degraded = degraded or not fresh
        leverage = state.leverage.get(symbol, policy.leverage_default)
        held.append(position_margin(symbol, position, mark, leverage, policy))
    return held, degraded


def mark_price(symbol: str, position: Position, prices: Prices, policy: Policy) -> tuple[Decimal, bool]:
    """The mark to judge `position` by, and whether it is fresh."""
    mark = prices.marks.get(symbol)
    if mark is not None:
        return mark.price, symbol not in prices.stale
    # average entry price = entry value / (quantity * multiplier)
    multiplier = policy.instruments[symbol].multiplier
    return divide(position.entry_value, position.quantity * multiplier), False


def index_price(policy: Policy, asset: str, prices: Prices) -> tuple[Decimal, bool]:
    """Index price of `asset` in account currency (1 for the account currency), and whether it is fresh."""
    symbol = policy.assets[asset].index
    if not symbol:
        return ONE, True
    mark = prices.marks.get(symbol)
    return (ONE, False) if mark is None else (mark.price, symbol not in prices.stale)


def asset_equity(state: AccountState, held: list[PositionMargin]) -> dict[str, Decimal]:
    """E_a = wallet_a + sum(uPnL settled in a), for every asset that occurs."""
    equity = dict(state.balances)
    for margin in held:
        equity[margin.settle] = equity.get(margin.settle, ZERO) + margin.unrealised_pnl
    return equity


def collateral_value(asset: Asset, amount: Decimal, index: Decimal, *, fresh: bool) -> Decimal:
    """value(E_a): marginal tiers in coins times ratio times index, or the liability at its factor."""
    if amount < 0:
        return amount * index * asset.liability_factor
    if not fresh:
        return ZERO
    value = ZERO
    for i, tier in enumerate(asset.tiers):
        if amount <= tier.floor:
            break
        ceiling = asset.tiers[i + 1].floor if i + 1 < len(asset.tiers) else amount
        value += (min(amount, ceiling) - tier.floor) * tier.ratio * index
    return value


def position_lines(margin: PositionMargin, index: Decimal) -> list[Line]:
    """The requirement lines of one position, in account currency."""
    inputs = {"notional": margin.notional, "mark": margin.mark, "index": index}
    return [
        Line(
            "initial_margin",
            margin.symbol,
            "max(notional / leverage, tier initial rate * notional) * index",
            {**inputs, "leverage": margin.leverage, "initial_rate": margin.initial_rate},
            margin.initial_margin * index,
        ),
        Line(
            "maintenance_margin",
            margin.symbol,
            "(tier rate * notional - deduction) * index",
            {**inputs, "tier_rate": margin.maintenance_rate, "deduction": margin.deduction},
            margin.maintenance_margin * index,
        ),
    ]


def _asset_lines(
    state: AccountState,
    held: list[PositionMargin],
    asset: str,
    amount: Decimal,
    prices: Prices,
    policy: Policy,
) -> list[Line]:
    index, fresh = index_price(policy, asset, prices)
    lines = []
    wallet = state.balances.get(asset, ZERO)
    if wallet:
        lines.append(
            Line("equity", asset, "wallet * index", {"wallet": wallet, "index": index}, wallet * index)
        )
    for margin in held:
        if margin.settle == asset:
            pnl = margin.unrealised_pnl
            lines.append(
                Line(
                    "equity",
                    margin.symbol,
                    "(quantity * multiplier * mark - entry value) * index",
                    {"unrealised_pnl": pnl, "mark": margin.mark, "index": index},
                    pnl * index,
                )
            )
    spec = policy.assets[asset]
    formula = (
        "asset equity by tiers * ratio * index" if amount >= 0 else "asset equity * index * liability factor"
    )
    lines.append(
        Line(
            "collateral_value",
            asset,
            formula if fresh or amount < 0 else "0: index price is stale",
            {"asset_equity": amount, "index": index},
            collateral_value(spec, amount, index, fresh=fresh),
        )
    )
    return lines
