"""How a what-if report looks on a terminal."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal

from rich.console import RenderableType
from rich.text import Text

from engine.ladder import Band
from engine.numbers import divide, exact
from streams.answers.whatif_report import (
    Asked,
    MovesCompared,
    PoolCompared,
    PoolSide,
    PositionCompared,
    PositionSide,
    WhatIfReport,
)
from streams.cli.account.account_moves import percent
from streams.config.terminal import amount, band_text, printable, table

_RATIO_PLACES = 4
_PRICE_PLACES = 6


def renderables(report: WhatIfReport) -> Iterator[RenderableType]:
    """The report from the most important down."""
    changed = report.asked != Asked()
    yield _heading(report, changed=changed)
    for pool in report.pools:
        yield _figures(report, pool, changed=changed)
        yield from _remarks(pool, changed=changed)
    if report.positions:
        yield _positions(report.positions, changed=changed)
    if report.prices:
        yield _prices(report)
    if report.not_repriced:
        kept = ", ".join(report.not_repriced)
        yield Text(f"keep their mark, as volatility or forward are not known: {kept}", style="yellow")
    yield _market_moves(report.market_moves, "every underlying alike", changed=changed)
    yield _market_moves(report.beta_moves, "every underlying by its beta", changed=changed)


def _heading(report: WhatIfReport, *, changed: bool) -> Text:
    text = Text()
    text.append(f"Account {printable(report.account)}", style="bold")
    text.append(f"   {report.margin_model} margin   policy {report.policy} {report.policy_digest}")
    if not changed:
        text.append(
            "\nnothing is asked: the figures now (--shock, --order, --deposit change them)", style="dim"
        )
    asked = report.asked
    for deposit in asked.deposits:
        text.append(f"\ndeposit {amount(deposit.amount)} {printable(deposit.asset)}")
    for order in asked.orders:
        leg = f" {order.leg}" if order.leg else ""
        text.append(
            f"\n{order.side} {amount(order.quantity)} {printable(order.symbol)}{leg} "
            f"at {amount(order.price, _PRICE_PLACES)}, filled whole, without a fee"
        )
    for shock in asked.shocks:
        text.append(f"\n{printable(shock.target)} {percent(shock.move)}")
    return text


def _figures(report: WhatIfReport, pool: PoolCompared, *, changed: bool) -> RenderableType:
    name = f"{pool.model} pool" if pool.position is None else f"isolated {pool.position}"
    columns = ["now", "then", "change"] if changed else ["now"]
    rows = table(f"Figures of the {name} in {report.currency}", ["", *columns], columns)
    sides = [pool.before, pool.after] if changed else [pool.before]
    rows.add_row("band by these figures", *(band_text(side.band) for side in sides))
    rows.add_row("ratio", *(amount(side.ratio, _RATIO_PLACES) for side in sides))
    for label, value in _AMOUNTS:
        values = [value(side) for side in sides]
        if label == "liquidation fee" and not any(values):
            continue
        cells = [Text(amount(it), style="red" if it < 0 else "") for it in values]
        rows.add_row(label, *cells, *([_change(*values)] if changed else []))
    return rows


_AMOUNTS: tuple[tuple[str, Callable[[PoolSide], Decimal]], ...] = (
    ("equity", lambda it: it.equity),
    ("collateral value", lambda it: it.collateral_value),
    ("initial margin (IM)", lambda it: it.initial_margin),
    ("maintenance margin (MM)", lambda it: it.maintenance_margin),
    ("liquidation fee", lambda it: it.liquidation_fee),
    ("available margin", lambda it: it.available_margin),
    ("shortfall to call", lambda it: it.shortfall_to_call),
    ("shortfall to liquidation", lambda it: it.shortfall_to_liquidation),
)


def _change(before: Decimal, after: Decimal) -> str:
    with exact():
        change = after - before
    return f"{'+' if change > 0 else ''}{amount(change)}" if change else ""


def _remarks(pool: PoolCompared, *, changed: bool) -> Iterator[Text]:
    if changed:
        yield _crossed(pool)
    if pool.band is not pool.before.band:
        yield Text(
            f"the engine has it in {pool.band}: it gets better only past the exit line for the hold time",
            style="dim",
        )
    for when, side in (("now", pool.before), ("then", pool.after)):
        if side.degraded_reasons and (when == "now" or side.degraded_reasons != pool.before.degraded_reasons):
            yield Text(f"degraded {when}: {'; '.join(side.degraded_reasons)}", style="yellow")


def _crossed(pool: PoolCompared) -> Text:
    if pool.entered:
        return Text(f"falls below: {_names(pool.entered)}", style="bold red")
    if pool.left:
        return Text(f"comes back above: {_names(pool.left)}", style="bold green")
    return Text("crosses no line", style="dim")


def _names(bands: Sequence[Band]) -> str:
    return ", ".join(bands)


def _positions(positions: Sequence[PositionCompared], *, changed: bool) -> RenderableType:
    legs = ["leg"] if any(it.leg for it in positions) else []
    whens = ("now", "then") if changed else ("now",)
    fields = ("quantity", "mark", "uPnL", "liq. price")
    numbers = [f"{field} {when}" if changed else field for field in fields for when in whens]
    rows = table(
        "Positions (uPnL in settle asset, of an option its value; liquidation price: every other price held)",
        ["symbol", *legs, "mode", *numbers],
        numbers,
    )
    for it in positions:
        sides = (it.before, it.after) if changed else (it.before,)
        cells = [_CELLS[field](side) for field in fields for side in sides]
        rows.add_row(it.symbol, *([it.leg or "-"] if legs else []), it.mode.value, *cells)
    return rows


def _cell(
    value: Callable[[PositionSide], Decimal | None], missing: str, places: int
) -> Callable[[PositionSide | None], str]:
    def cell(side: PositionSide | None) -> str:
        if side is None:
            return "-"
        shown = value(side)
        return missing if shown is None else amount(shown, places)

    return cell


_CELLS = {
    "quantity": _cell(lambda it: it.quantity, "-", 8),
    "mark": _cell(lambda it: it.mark, "-", _PRICE_PLACES),
    "uPnL": _cell(lambda it: it.unrealised_pnl, "-", 8),
    "liq. price": _cell(lambda it: it.liquidation_price, "none", _PRICE_PLACES),
}


def _prices(report: WhatIfReport) -> RenderableType:
    numbers = ["now", "then", "move"]
    rows = table("Prices that move", ["symbol", *numbers], numbers)
    for symbol, it in report.prices.items():
        with exact():
            move = percent(divide(it.after, it.before) - 1) if it.before else "-"
        rows.add_row(symbol, amount(it.before, _PRICE_PLACES), amount(it.after, _PRICE_PLACES), move)
    return rows


def _market_moves(moves: Mapping[Band, MovesCompared], how: str, *, changed: bool) -> RenderableType:
    whens = ("now", "then") if changed else ("now",)
    numbers = [f"{way} {when}" if changed else way for when in whens for way in ("down", "up")]
    rows = table(
        f"Move of the whole market ({how}) that brings the shared pool to a line",
        ["line", "ratio", *numbers],
        ["ratio", *numbers],
    )
    for band, it in moves.items():
        sides = (it.before, it.after) if changed else (it.before,)
        cells = [percent(move) for side in sides for move in (side.down, side.up)]
        note = " (back from below)" if sides[-1].crossed else ""
        rows.add_row(Text(f"{band}{note}"), amount(it.before.line, _RATIO_PLACES), *cells)
    return rows
