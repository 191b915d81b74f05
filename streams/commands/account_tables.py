"""How a report of an account looks on a terminal."""

from collections.abc import Iterator

import msgspec
from rich.console import RenderableType
from rich.text import Text

from streams.commands.account_report import AccountReport, PoolView
from streams.commands.output import amount, band_text, every_digit, printable, table

RATIO_PLACES = 4


def renderables(report: AccountReport) -> Iterator[RenderableType]:
    """The report from the most important down."""
    yield _heading(report)
    yield _figures(report)
    for pool in report.pools:
        if pool.degraded:
            yield Text(f"{_name(pool)} is degraded: {'; '.join(pool.degraded_reasons)}", style="yellow")
        if pool.band is not pool.band_at_figures:
            yield Text(
                f"{_name(pool)}: these figures alone say {pool.band_at_figures}; a pool gets worse with the next "
                "judgement, and better only past the exit line for the hold time",
                style="dim",
            )
    if report.positions:
        yield _positions(report)
    yield _balances(report)
    yield _marks(report)
    for pool in report.pools:
        if pool.lines is not msgspec.UNSET:
            yield _lines(report, pool)


def _heading(report: AccountReport) -> Text:
    text = Text()
    text.append(f"Account {printable(report.account)}", style="bold")
    text.append(
        f"   shard {report.shard}   inputs applied to fills {report.inputs.fills}, ledger {report.inputs.ledger}"
        f"   policy {report.policy} {report.policy_digest}"
    )
    for topic, stop in report.stops.items():
        text.append(
            f"\nSTOPPED in {topic} since offset {stop.offset}: {stop.code}. Repair the cause, then `unimargin "
            "account resume`",
            style="bold red",
        )
    return text


def _figures(report: AccountReport) -> RenderableType:
    rows = table(
        f"Figures in {report.currency}", ["", *map(_name, report.pools)], [*map(_name, report.pools)]
    )
    rows.add_row("band", *(band_text(pool.band) for pool in report.pools))
    rows.add_row("ratio (collateral / MM)", *(amount(pool.ratio, RATIO_PLACES) for pool in report.pools))
    rows.add_row("ratio to IM", *(amount(pool.initial_ratio, RATIO_PLACES) for pool in report.pools))
    for label, field in (
        ("equity", "equity"),
        ("collateral value", "collateral_value"),
        ("initial margin", "initial_margin"),
        ("maintenance margin", "maintenance_margin"),
        ("available margin", "available_margin"),
        ("shortfall to call", "shortfall_to_call"),
        ("shortfall to liquidation", "shortfall_to_liquidation"),
    ):
        rows.add_row(label, *(amount(getattr(pool, field)) for pool in report.pools))
    return rows


def _positions(report: AccountReport) -> RenderableType:
    numbers = ["quantity", "entry price", "mark", "uPnL", "notional", "MM", "IM", "leverage", "own margin"]
    rows = table(
        "Positions (uPnL, notional, MM and IM in the settle asset)",
        ["symbol", "mode", "settle", *numbers],
        numbers,
    )
    for it in report.positions:
        rows.add_row(
            it.symbol,
            it.mode.value,
            it.settle,
            amount(it.quantity),
            amount(it.entry_price),
            Text(amount(it.mark), style="" if it.mark_fresh else "yellow"),
            Text(amount(it.unrealised_pnl), style="red" if it.unrealised_pnl < 0 else ""),
            amount(it.notional),
            amount(it.maintenance_margin),
            amount(it.initial_margin),
            amount(it.leverage),
            amount(it.isolated_margin),
        )
    return rows


def _balances(report: AccountReport) -> RenderableType:
    rows = table("Balances", ["asset", "wallet"], ["wallet"])
    for asset, balance in report.balances.items():
        rows.add_row(asset, Text(amount(balance), style="red" if balance < 0 else ""))
    for symbol, margin in report.idle_isolated_margin.items():
        rows.add_row(f"isolated margin of {symbol}, no contracts", amount(margin))
    return rows


def _marks(report: AccountReport) -> RenderableType:
    rows = table(
        "Marks as last saved in Redis (workers save them once a second)",
        ["symbol", "price", "sequence", "age", ""],
        ["price", "sequence", "age"],
    )
    for symbol, mark in report.marks.items():
        stale = Text("stale", style="yellow") if mark.stale else ""
        rows.add_row(symbol, amount(mark.price), str(mark.sequence), f"{mark.age_seconds:.1f} s", stale)
    for symbol in report.missing_marks:
        rows.add_row(symbol, "-", "-", "-", Text("no price", style="yellow"))
    return rows


def _lines(report: AccountReport, pool: PoolView) -> RenderableType:
    rows = table(
        f"How the figures of {_name(pool)} come about, in {report.currency}",
        ["figure", "item", "formula", "inputs", "value"],
        ["value"],
    )
    lines = () if pool.lines is msgspec.UNSET else pool.lines
    for figure in ("equity", "collateral_value", "initial_margin", "maintenance_margin"):
        for line in lines:
            if line.figure == figure:
                inputs = ", ".join(f"{name} {every_digit(value)}" for name, value in line.inputs.items())
                rows.add_row(figure, line.item, line.formula, inputs, every_digit(line.value))
        rows.add_row(
            figure, "total", "", "", every_digit(getattr(pool, figure)), style="bold", end_section=True
        )
    return rows


def _name(pool: PoolView) -> str:
    return "cross pool" if pool.position is None else f"isolated {pool.position}"
