"""The live screen of the demo, for a terminal of 100 columns and 32 lines; shorter ones show fewer rows."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from engine.events.effects import EventType, RiskEvent
from engine.marks.mark_book import NANOSECONDS
from streams.config.terminal import BAND_STYLES
from streams.demo.collector import Picture, PriceTrack
from streams.exchange.simulation_report import SimulationSummary

WIDTH_MAX = 110
FRAME_LINES = 12
"""All but the rows of the two tables that can shrink."""
PRICE_ROWS_MIN, PRICE_ROWS_MAX = 8, 9
"""The bands beside the prices need eight."""
EVENT_ROWS_MIN, EVENT_ROWS_MAX = 3, 9
SPARK_WIDTH = 14
BAR_WIDTH = 16
SPARKS = "▁▂▃▄▅▆▇█"
EIGHTHS = " ▏▎▍▌▋▊▉█"

SAID = {
    EventType.CALL_OPENED: "margin call",
    EventType.CALL_ESCALATED: "margin call",
    EventType.REDUCE_ONLY_OPENED: "reduce only",
    EventType.REDUCE_ONLY_ESCALATED: "reduce only",
    EventType.LIQUIDATION_ENTERED: "LIQUIDATION",
    EventType.ACCOUNT_BANKRUPT: "BANKRUPT",
}


class Heading(msgspec.Struct, frozen=True):
    """What the demo itself knows."""

    title: str
    phase: str
    elapsed_seconds: float
    """Of the market."""
    total_seconds: float | None
    """None while a recording of unknown length plays."""
    symbols: Sequence[str]
    """Price symbols in the order in which they are shown."""
    worker_restarts: int
    exchange: SimulationSummary | None = None
    """What the exchange says it has done; None before it says anything."""


def render(picture: Picture, heading: Heading, *, lines: int) -> RenderableType:
    """The whole screen, in at most `lines` lines where that is 22 or more."""
    spare = lines - FRAME_LINES
    price_rows = min(PRICE_ROWS_MAX, max(PRICE_ROWS_MIN, spare // 2))
    event_rows = min(EVENT_ROWS_MAX, max(EVENT_ROWS_MIN, spare - price_rows))
    middle = Table.grid(expand=True)
    middle.add_column(ratio=11)
    middle.add_column(ratio=9)
    middle.add_row(_prices(picture, heading.symbols, price_rows), _bands(picture, price_rows))
    return Group(_header(picture, heading), middle, _events(picture, event_rows), _footer(picture, heading))


def milliseconds(seconds: float | None) -> str:
    """A latency for a person, "-" when there is none."""
    return "-" if seconds is None else f"{seconds * 1000:.1f} ms"


def held_words(breakers_open: int, held: int) -> str:
    """What the breaker holds while it is open in so many shards."""
    return f"open in {breakers_open} shards, {held:,} liquidations held"


def clock(seconds: float) -> str:
    """Minutes and seconds."""
    return f"{int(seconds) // 60:02d}:{int(seconds) % 60:02d}"


def sparkline(points: Sequence[float], width: int) -> str:
    """The course of `points` in `width` characters."""
    if not points:
        return ""
    step = max(1.0, len(points) / width)
    chosen = [points[min(int(i * step), len(points) - 1)] for i in range(min(width, len(points)))]
    chosen[-1] = points[-1]
    low, high = min(chosen), max(chosen)
    if high == low:
        return SPARKS[0] * len(chosen)
    return "".join(SPARKS[int((point - low) / (high - low) * (len(SPARKS) - 1))] for point in chosen)


def bar(part: float, width: int) -> str:
    """`part` of 1 as a bar; anything above nothing is seen."""
    eighths = round(part * width * 8)
    if part > 0:
        eighths = max(eighths, 1)
    return EIGHTHS[8] * (eighths // 8) + (EIGHTHS[eighths % 8] if eighths % 8 else "")


def _header(picture: Picture, heading: Heading) -> Panel:
    top = Table.grid(expand=True, padding=(0, 2, 0, 0))
    top.add_column(min_width=18)
    top.add_column(ratio=1)
    top.add_column(justify="right")
    total = heading.total_seconds
    times = clock(heading.elapsed_seconds) + (f" / {clock(total)}" if total else "")
    style = "bold red" if heading.phase in {"crash", "bottom"} else "bold cyan"
    pulse = ProgressBar(
        total=total or None, completed=heading.elapsed_seconds, pulse=total is None and bool(picture.ticks)
    )
    top.add_row(Text(heading.phase, style), pulse, times)
    figures = Text("   ").join(
        [
            _figure("ticks", f"{picture.ticks_per_second:,.0f}/s"),
            _figure("events", f"{picture.events_per_second:,.0f}/s"),
            _figure("tick to event p50", milliseconds(picture.latency_p50_seconds)),
            _figure("p99", milliseconds(picture.latency_p99_seconds)),
            _figure("fills", f"{picture.fills:,}"),
        ]
    )
    return Panel(
        Group(top, figures, _exchange(heading.exchange)),
        title=heading.title,
        title_align="left",
        box=box.ROUNDED,
        border_style="cyan",
    )


def _exchange(told: SimulationSummary | None) -> Text:
    """What came of calls and liquidations, and that nothing was made or lost."""
    if told is None or told.phase == "seeding":
        return Text("")
    balanced = ("conserved, difference 0", "green") if told.conserved else ("NOT CONSERVED", "bold red")
    return Text("   ").join(
        [
            _figure("calls", f"{told.calls:,}"),
            _figure("executed", f"{told.liquidations_executed:,}"),
            _figure("cured", f"{told.pools_cured:,}"),
            _figure("taken over", f"{told.takeovers:,}"),
            _figure("deleveraged", f"{told.deleveragings:,}"),
            _figure("fund", f"{told.fund_equity:,.0f}"),
            Text(*balanced),
        ]
    )


def _figure(name: str, value: str) -> Text:
    return Text.assemble((f"{name} ", "dim"), (value, "bold"))


def _prices(picture: Picture, symbols: Sequence[str], rows: int) -> Panel:
    table = _table()
    table.add_column("symbol")
    for name in ("price", "change"):
        table.add_column(name, justify="right")
    table.add_column("course", width=SPARK_WIDTH)
    shown = [symbol for symbol in symbols if symbol in picture.prices][:rows]
    for symbol in shown:
        table.add_row(symbol, *_course(picture.prices[symbol]))
    return _panel(table, f"prices ({len(shown)} of {len(picture.prices)})", height=rows + 3)


def _course(track: PriceTrack) -> tuple[str, Text, Text]:
    change = float(track.last / track.first - 1)
    style = "red" if change < 0 else "green"
    return (
        f"{track.last:,f}",
        Text(f"{change:+.2%}", style),
        Text(sparkline(track.history, SPARK_WIDTH), style),
    )


def _bands(picture: Picture, rows: int) -> Panel:
    total = sum(picture.accounts_by_band.values())
    table = _table()
    table.add_column("band")
    table.add_column("accounts", justify="right")
    table.add_column(f"of {total:,}", width=BAR_WIDTH)
    for band, count in picture.accounts_by_band.items():
        style = BAND_STYLES[band]
        bars = bar(count / total if total else 0, BAR_WIDTH)
        table.add_row(Text(str(band).replace("_", " "), style), f"{count:,}", Text(bars, style))
    reasons = [f"{count} {reason.replace('_', ' ')}" for reason, count in picture.marks_refused.items()]
    refused = Text.assemble(("refused marks: ", "dim"), ", ".join(reasons) or "none")
    held = f", {picture.liquidations_held:,} held by the breaker" if picture.breakers_open else ""
    title = f"accounts by band ({picture.accounts_degraded:,} degraded{held})"
    return _panel(Group(table, refused), title, height=rows + 3)


def _events(picture: Picture, rows: int) -> Panel:
    table = _table()
    table.add_column("time (UTC)", width=12)
    table.add_column("account")
    table.add_column("what", width=11)
    table.add_column("pool")
    for name in ("ratio", "equity", "shortfall"):
        table.add_column(name, justify="right")
    newest = picture.newest[:rows]
    for event in newest:
        table.add_row(*_event(event))
    return _panel(table, "newest margin calls and liquidations", height=rows + 3)


def _event(event: RiskEvent) -> tuple[str | Text, ...]:
    moment = datetime.fromtimestamp(event.time_ns / NANOSECONDS, UTC)
    return (
        f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d}",
        event.account,
        Text(SAID[event.type], BAND_STYLES[event.band]),
        event.position or "cross",
        f"{event.ratio:.4f}" if event.ratio is not None else "-",
        _money(event.equity),
        _money(shortfall(event)),
    )


def shortfall(event: RiskEvent) -> Decimal:
    """What the pool lacks: to the liquidation line once it is being liquidated, before that to the call line."""
    seized = event.type in {EventType.LIQUIDATION_ENTERED, EventType.ACCOUNT_BANKRUPT}
    return event.shortfall_to_liquidation if seized else event.shortfall_to_call


def _money(amount: Decimal) -> str:
    return f"{amount:,.2f}"


def _footer(picture: Picture, heading: Heading) -> Text:
    words = [f"{picture.events:,} events", f"{picture.ticks:,} ticks", f"lag {picture.lag_records:,} records"]
    words += [f"{picture.outbox_pending:,} unpublished", f"{heading.worker_restarts} worker restarts"]
    return Text(" " + " · ".join(words) + " · Ctrl-C ends it", "dim")


def _table() -> Table:
    return Table(box=None, expand=True, pad_edge=False, header_style="dim", show_edge=False)


def _panel(content: RenderableType, title: str, *, height: int) -> Panel:
    return Panel(content, title=title, title_align="left", box=box.ROUNDED, border_style="dim", height=height)
