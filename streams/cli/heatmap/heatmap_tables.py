"""`unimargin heatmap` for people: a profile over the moves, and who it is made of."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import accumulate

from rich.bar import Bar
from rich.console import RenderableType
from rich.text import Text

from engine.numbers import ZERO
from streams.answers.heatmap_report import HeatReport
from streams.cli.account.account_moves import percent
from streams.config.terminal import table

SYMBOLS_SHOWN = 5
"""Columns of the second table; the rest is one more. Together they fit a terminal of 80 columns."""
BAR_WIDTH = 26
OTHER = "other"
_HEAT = ("", "on #3b2f00", "on #5c3a00", "on #8a3b00", "on #b32b00", "bold white on #d40000")
"""From nothing to the hottest cell."""
_UNITS = ((Decimal(10) ** 9, "G"), (Decimal(10) ** 6, "M"), (Decimal(10) ** 3, "k"))
_STALE_SHOWN = 5


def renderables(report: HeatReport) -> Iterator[RenderableType]:
    """The tables and lines, in order."""
    whole = f"{report.accounts:,} accounts of {report.shards} shards, policy {report.policy}, in {report.currency}"
    yield Text(f"Liquidation heat map: {whole}", style="bold")
    if report.symbols:
        yield Text(f"only positions in {', '.join(report.symbols)}; pools are all that fall", style="dim")
    yield _profile(report)
    if len(report.by_symbol) > 1:
        yield _by_symbol(report)
    yield Text(_READING, style="dim")
    if report.withheld_pools:
        yield Text(_withheld(report), style="yellow")


_READING = (
    "A pool falls once in each direction, with all of its positions, at the first of these moves that takes it below the "
    "liquidation line; now: it is there, or its liquidation is under way. Every underlying moves alike, currencies are "
    "held."
)


def _profile(report: HeatReport) -> RenderableType:
    rows = table(
        "",
        ["market", "pools", "falls here", "by then", ""],
        right=["market", "pools", "falls here", "by then"],
    )
    hottest = max(report.total)
    for place, by_then in reversed(list(enumerate(_by_then(report.moves, report.total)))):
        move, notional = report.moves[place], report.total[place]
        rows.add_row(
            _move(move),
            f"{report.pools[place]:,}" if report.pools[place] else "-",
            compact(notional),
            compact(by_then) if move else "",
            Bar(float(hottest) or 1.0, 0, float(notional), width=BAR_WIDTH, color=_colour(move)),
        )
    return rows


def _by_then(moves: Sequence[Decimal], total: Sequence[Decimal]) -> list[Decimal]:
    """What has fallen when the market has come so far, without what is in liquidation now."""
    zero = moves.index(ZERO)
    down = list(accumulate(reversed(total[:zero])))
    return [*reversed(down), ZERO, *accumulate(total[zero + 1 :])]


def _by_symbol(report: HeatReport) -> RenderableType:
    shown = dict(list(report.by_symbol.items())[:SYMBOLS_SHOWN])
    rest = list(report.by_symbol.values())[SYMBOLS_SHOWN:]
    if rest:
        shown[OTHER] = tuple(sum(at_move, ZERO) for at_move in zip(*rest, strict=True))
    rows = table("", ["market", *shown], right=["market", *shown])
    hottest = max(max(amounts) for amounts in shown.values())
    for place, move in reversed(list(enumerate(report.moves))):
        cells = [amounts[place] for amounts in shown.values()]
        rows.add_row(_move(move), *(_cell(amount, hottest) for amount in cells))
    return rows


def _cell(amount: Decimal, hottest: Decimal) -> Text:
    """Hotter with the square root: a tenth of the hottest cell must not look like nothing."""
    part = float(amount / hottest) ** 0.5 if hottest else 0.0
    level = min(len(_HEAT) - 1, int(part * (len(_HEAT) - 1)) + (amount > 0))
    return Text(compact(amount), style=_HEAT[level])


def _move(move: Decimal) -> Text:
    return Text(percent(move) if move else "now", style=_colour(move))


def _colour(move: Decimal) -> str:
    if not move:
        return "magenta"
    return "green" if move > 0 else "red"


def _withheld(report: HeatReport) -> str:
    said = f"{report.withheld_pools:,} pools are left out: their verdict hangs on a doubted price, or their account is stopped."
    if not report.stale_symbols:
        return said
    names = ", ".join(report.stale_symbols[:_STALE_SHOWN])
    more = len(report.stale_symbols) - _STALE_SHOWN
    named = names + (f" and {more} more" if more > 0 else "")
    return f"{said}\nStale: {named}. --last-prices counts them at the last prices there are."


def compact(value: Decimal) -> str:
    """Three digits and a unit: 1.23M; "-" for nothing."""
    if not value:
        return "-"
    for unit, letter in _UNITS:
        if value >= unit * Decimal("0.9995"):
            return f"{_three_digits(value / unit)}{letter}"
    return _three_digits(value)


def _three_digits(value: Decimal) -> str:
    text = f"{value:.3g}" if value < 1 else f"{value:.{max(0, 2 - value.adjusted())}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
