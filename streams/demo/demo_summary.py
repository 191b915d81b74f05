"""What the demo says at its end, to a person or to a script."""

from decimal import Decimal

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from engine.events.effects import RiskEvent
from streams.config.settings import Settings
from streams.demo.collector import LATENCY_DEFINITION
from streams.demo.demo_view import held_words, milliseconds, shortfall
from streams.exchange.simulation_report import Conservation, SimulationSummary, conservation_line


class Latency(msgspec.Struct, frozen=True):
    """Quantiles in seconds; None when no tick caused an event."""

    p50: float | None
    p99: float | None
    measured: str = LATENCY_DEFINITION
    """From where to where, over what."""


class NamedEvent(msgspec.Struct, frozen=True):
    """An event worth a look."""

    account: str
    type: str
    id: str
    ratio: Decimal | None
    shortfall: Decimal


class ExchangeOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What the simulated exchange did about it, and whether its books balance."""

    late_seconds_max: float
    """How far behind its own timetable it was at worst."""
    margin_calls: int
    margin_calls_met: int
    liquidations_executed: int
    pools_cured: int
    positions_taken_over: int
    positions_deleveraged: int
    liquidated_notional: float
    insurance_fund_start: Decimal
    insurance_fund: Decimal
    conserved: bool
    """Balances + unrealised + fees + insurance fund = deposits, exactly, at every step."""
    conservation: dict[str, Conservation]


class DemoSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a run. Counts as the workers and the event topics tell them."""

    completed: bool
    """False when it was ended early."""
    source: str
    """synthetic, or the recording's file."""
    seed: int
    accounts: int
    workers: int
    market_seconds: float
    ticks: int
    fills: int
    ledger_entries: int
    events: int
    events_by_type: dict[str, int]
    latency_seconds: Latency
    accounts_by_band: dict[str, int]
    accounts_degraded: int
    breakers_open: int
    liquidations_held: int
    marks_refused: dict[str, int]
    quarantined: int
    events_missed: int
    """Events that the broker had dropped before the demo read them; they are in no count above."""
    worker_restarts: int
    exchange: ExchangeOutcome | None
    """None before it has said anything."""
    newest: NamedEvent | None
    """The newest liquidation or call."""
    kafka: str
    metrics: tuple[str, ...]


def exchanged(progress: SimulationSummary) -> ExchangeOutcome:
    """What the summary says of the exchange."""
    return ExchangeOutcome(
        late_seconds_max=progress.late_seconds_max,
        margin_calls=progress.calls,
        margin_calls_met=progress.calls_met,
        liquidations_executed=progress.liquidations_executed,
        pools_cured=progress.pools_cured,
        positions_taken_over=progress.takeovers,
        positions_deleveraged=progress.deleveragings,
        liquidated_notional=round(sum(progress.liquidated_notional.values()), 2),
        insurance_fund_start=progress.fund_start,
        insurance_fund=progress.fund_equity,
        conserved=progress.conserved,
        conservation={asset: it for asset, it in progress.conservation.items() if it.deposits},
    )


def named(event: RiskEvent) -> NamedEvent:
    """What the summary says of an event."""
    return NamedEvent(event.account, event.type, event.id, event.ratio, shortfall(event))


def print_summary(summary: DemoSummary, console: Console) -> None:
    """What happened, for a person."""
    table = Table(box=box.SIMPLE, show_header=False, title="what happened", title_justify="left")
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for name, value in _rows(summary):
        table.add_row(name, value)
    console.print(table)


def print_next(
    summary: DemoSummary, settings: Settings, console: Console, *, running: bool, board: str | None
) -> None:
    """Where to look next; `running`: the services still run, so the commands can be tried at once."""
    account = summary.newest.account if summary.newest else "ACCOUNT"
    lines = ["where to look next", ""]
    if running:
        lines += [
            "In another terminal, while this one holds the market open at its last prices:",
            "",
            f"  export UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS={summary.kafka}",
            f"  export UNIMARGIN_REDIS_URL={settings.redis_url.get_secret_value()}",
            f"  export UNIMARGIN_FUND_TOPIC_ENABLED={settings.fund_topic_enabled}",
        ]
    else:
        lines += ["All of it has stopped. Start it with --keep, and these work in another terminal:", ""]
    lines += [
        f"  unimargin account show {account} --explain    every number of one called account",
        "  unimargin events tail --from-beginning        what the engine said",
    ]
    if summary.breakers_open:
        lines += [
            "  unimargin breaker show                        why liquidations are held: too many were due at once",
            "  unimargin breaker release --who ME --why WHY  let them go on: an operator's decision",
        ]
    if running:
        lines += [f"  curl {address}" for address in summary.metrics]
        lines += [f"  {board}" for _ in range(board is not None)]
        lines += ["", "Ctrl-C ends everything."]
    else:
        lines += ["", "README.md says how it works; deploy/runbooks what to do when it does not."]
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)


def _rows(summary: DemoSummary) -> list[tuple[str, str]]:
    quantiles = summary.latency_seconds
    ended = "complete" if summary.completed else "ended early"
    rows = [
        ("run", f"{ended}: {summary.source}, {summary.market_seconds:.0f} s, seed {summary.seed}"),
        ("ticks", f"{summary.ticks:,}"),
        ("inputs", f"{summary.fills:,} fills, {summary.ledger_entries:,} ledger entries"),
        ("events", f"{summary.events:,}"),
        *((f"  {kind}", f"{count:,}") for kind, count in summary.events_by_type.items()),
        ("tick to event", f"p50 {milliseconds(quantiles.p50)}, p99 {milliseconds(quantiles.p99)}"),
        ("", quantiles.measured),
        ("accounts", _counts(summary.accounts_by_band)),
        ("refused marks", _counts(summary.marks_refused)),
        *(
            [("breaker", held_words(summary.breakers_open, summary.liquidations_held))]
            if summary.breakers_open
            else []
        ),
        *(_exchange_rows(summary.exchange) if summary.exchange else ()),
    ]
    if summary.newest is not None:
        newest = summary.newest
        rows.append(("newest", f"{newest.type} of {newest.account}, short of {newest.shortfall:,.2f}"))
    worries = {
        "quarantined": summary.quarantined,
        "degraded": summary.accounts_degraded,
        "worker restarts": summary.worker_restarts,
        "events missed": summary.events_missed,
    }
    return rows + [(name, f"{count:,}") for name, count in worries.items() if count]


def _exchange_rows(exchange: ExchangeOutcome) -> list[tuple[str, str]]:
    fund = exchange.insurance_fund
    return [
        ("exchange", f"late by at most {milliseconds(exchange.late_seconds_max)}"),
        (
            "  margin calls",
            f"{exchange.margin_calls:,}, {exchange.margin_calls_met:,} met by their customers",
        ),
        (
            "  liquidations",
            f"{exchange.liquidations_executed:,} executed, {exchange.pools_cured:,} pools cured",
        ),
        (
            "  taken over",
            f"{exchange.positions_taken_over:,} positions, {exchange.positions_deleveraged:,} of winners closed",
        ),
        ("  insurance fund", f"{exchange.insurance_fund_start:,.0f} at the start, {fund:,.0f} now"),
        *(("  conserved", conservation_line(asset, line)) for asset, line in exchange.conservation.items()),
    ]


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in counts.items()) or "none"
