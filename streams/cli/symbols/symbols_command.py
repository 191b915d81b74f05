"""`unimargin symbols`: what is believed of each price symbol, and what was refused last."""

import time
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from engine.marks.fact_checks import facts_of
from engine.marks.mark_book import NANOSECONDS
from engine.marks.notices import Notice
from streams.answers.shelf import open_shelf
from streams.answers.symbols_report import SymbolView, read_symbols
from streams.config.invocation import ConfigOption, JsonOption, run, tell_mistakes
from streams.config.near_names import did_you_mean, near_names
from streams.config.problem import Problem
from streams.config.settings import Settings, load_policy, load_settings
from streams.config.terminal import amount, console, json_out, printable, table
from streams.prices.symbol_beliefs import LastRefusal

app = typer.Typer(no_args_is_help=True, help="What is believed of each price symbol.")

AGE_PLACES = 1
NS_PER_MS = 1_000_000


@app.callback()
def symbols() -> None:
    """What is believed of each price symbol."""


@app.command()
@tell_mistakes
def show(
    symbol: Annotated[str | None, typer.Argument(help="Only this one, with every detail.")] = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Show mark, age, doubt, second source and the newest refusal of every listed symbol, or of one.

    Examples:
      unimargin symbols show
      unimargin symbols show BTC-USDT-PERP
    """
    views = run(_read(load_settings(config)))
    if symbol is not None:
        known = [view.symbol for view in views]
        views = [view for view in views if view.symbol == symbol]
        if not views:
            near = did_you_mean(map(printable, near_names(symbol, known)), "names are as in the policy file")
            raise Problem(
                f"{printable(symbol)!r} is no price symbol of the policy, and none such was refused; {near}"
            )
    if as_json:
        json_out(views if symbol is None else views[0])
    elif symbol is None:
        console().print(_table(views))
    else:
        console().print(_details(views[0]))


async def _read(settings: Settings) -> list[SymbolView]:
    policy = load_policy(settings.policy_file)
    async with open_shelf(settings) as shelf:
        return await read_symbols(shelf, policy, time.time_ns())


def _table(views: list[SymbolView]) -> Table:
    rows = table(
        "Price symbols",
        ["symbol", "price", "age s", "", "second source", "newest refusal", "refused at"],
        right=["price", "age s"],
    )
    for view in views:
        refusal = view.refusal
        rows.add_row(
            printable(view.symbol),
            amount(view.price),
            amount(view.age_seconds, AGE_PLACES),
            _state(view),
            _source(view),
            "-" if refusal is None else refusal.reason.value,
            "-" if refusal is None else _at(refusal.received_ns),
        )
    return rows


def _details(view: SymbolView) -> Table:
    rows = table(printable(view.symbol), ["what", ""])
    mark = view.mark
    rows.add_row("price in force", amount(view.price))
    if mark is not None:
        rows.add_row("sequence", f"{mark.sequence} of epoch {mark.epoch}")
        rows.add_row("time", f"{_at(mark.time_ns)}, {amount(view.age_seconds, AGE_PLACES)} s ago")
        for name, value in facts_of(mark):
            rows.add_row(name.replace("_", " "), str(value))
    rows.add_row("state", _state(view))
    rows.add_row("second source", _source(view))
    rows.add_row("newest refusal", _refusal(view.refusal))
    rows.add_row("newest notice", _notice(view.notice))
    return rows


def _state(view: SymbolView) -> Text:
    if view.price is None:
        return Text("never quoted" if view.stale else "not listed", style="red")
    words = ["stale"] if view.stale else []
    if view.doubt is not None:
        words.append("worthless" if view.doubt.worthless else f"within {view.doubt.haircut.normalize():%}")
    return Text(", ".join(words) or "fresh", style="yellow" if words else "green")


def _source(view: SymbolView) -> str:
    source = view.second_source
    if source is None:
        return "-"
    said = f"quoted {amount(source.quoted)}, other {amount(source.other)}"
    return f"{said}, doubted since {_at(source.since_ns)}" if source.doubt is not None else said


def _refusal(refusal: LastRefusal | None) -> str:
    if refusal is None:
        return "-"
    return (
        f"{refusal.reason.value}: {printable(refusal.detail)} ({printable(refusal.symbol)} sequence {refusal.sequence} of "
        f"epoch {refusal.epoch}, dated {_at(refusal.time_ns)}, received {_at(refusal.received_ns)}; {refusal.refused} refused so far)"
    )


def _notice(notice: Notice | None) -> str:
    return (
        "-" if notice is None else f"{notice.kind.value} at {_at(notice.time_ns)}: {printable(notice.detail)}"
    )


def _at(time_ns: int) -> str:
    try:
        when = datetime.fromtimestamp(time_ns // NS_PER_MS * NS_PER_MS / NANOSECONDS, UTC)
    except (ValueError, OverflowError, OSError):
        return f"{time_ns} ns"
    return when.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
