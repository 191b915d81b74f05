"""What a simulation has to say of itself, to a script and to a person. Nothing in it comes from a wall clock but the lateness."""

from decimal import Decimal

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from engine.liquidation.adl_score import AdlScore, adl_score
from engine.numbers import canonical
from streams.exchange.clearing.tally import CascadeSecond
from streams.exchange.clearing.verdicts import Hold
from streams.exchange.simulation import Simulation

SECONDS_SHOWN = 10
"""The worst seconds of a cascade, for a person."""


class Conservation(msgspec.Struct, frozen=True):
    """The equation of one asset; all but `difference` sum to `deposits`."""

    customers: Decimal
    customers_unrealised: Decimal
    street: Decimal
    fund: Decimal
    fees: Decimal
    deposits: Decimal
    difference: Decimal


class SimulationSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What has happened so far. Notionals in account currency."""

    phase: str
    """seeding, moving, settling or ended."""
    source: str
    """Name of the scenario, or the recording's file."""
    seed: int
    accounts: int
    seconds: float
    """Of the market."""
    steps: int
    ledger_entries: int
    fills: int
    ticks: int
    late_seconds_max: float
    """How far behind its own timetable the exchange was at worst; 0 offline."""
    orders: int
    """Of agents."""
    calls: int
    calls_met: int
    """By a deposit, or by closing something."""
    liquidations_taken: int
    liquidations_executed: int
    liquidations_replaced: int
    """By a newer request of the same pool."""
    liquidations_refused: dict[str, int]
    liquidations_open: int
    pools_cured: int
    """Completed liquidations, as the engine said."""
    takeovers: int
    """Positions."""
    deleveragings: int
    """Winners' positions closed."""
    liquidated_notional: dict[str, float]
    deleveraged_notional: dict[str, float]
    adl: AdlScore
    """What the deleveragings took, and what of it was needed."""
    fund_start: Decimal
    fund_low: Decimal
    fund_equity: Decimal
    funding_settlements: int
    prices: dict[str, tuple[Decimal, Decimal]]
    """First and last."""
    events: dict[str, int]
    """What the engine has said, by type."""
    accounts_called: int
    """Or put into reduce-only."""
    accounts_degraded: int
    """Told that a doubted price hangs over them."""
    liquidations_requested: int
    """Pools that came to liquidation or bankruptcy from a better band."""
    accounts_liquidated: int
    """Their accounts."""
    wrongly_liquidated: int
    """Accounts of those that stood above the liquidation line by true prices and books (`clearing.verdicts`)."""
    doubted: tuple[str, ...]
    """Price symbols whose doubt or staleness an event has named."""
    holds: tuple[Hold, ...]
    """Openings of the breaker."""
    conserved: bool
    """Whether the equation has held, exactly, at every step."""
    conservation: dict[str, Conservation]
    """By asset, after the last step."""
    cascade: list[CascadeSecond] = []
    """Every second in which something was liquidated; only at the end."""


def summarised(
    simulation: Simulation, source: str, phase: str, *, late_seconds_max: float = 0.0, cascade: bool = False
) -> SimulationSummary:
    """The state of things. `cascade`: with the list of seconds."""
    tally, said = simulation.tally, simulation.verdicts
    return SimulationSummary(
        phase=phase,
        source=source,
        seed=simulation.population.seed,
        accounts=simulation.population.accounts,
        seconds=round(simulation.second, 3),
        steps=tally.steps,
        ledger_entries=tally.ledger_entries,
        fills=tally.fills,
        ticks=tally.marks,
        late_seconds_max=late_seconds_max,
        orders=tally.agent_orders,
        calls=tally.calls,
        calls_met=tally.calls_met,
        liquidations_taken=tally.taken,
        liquidations_executed=tally.executed,
        liquidations_replaced=tally.replaced,
        liquidations_refused={reason.value: count for reason, count in sorted(tally.refused.items())},
        liquidations_open=simulation.liquidations_open,
        pools_cured=tally.cured,
        takeovers=tally.takeovers,
        deleveragings=tally.deleveragings,
        liquidated_notional=_rounded(tally.liquidated),
        deleveraged_notional=_rounded(tally.deleveraged_by),
        adl=adl_score(tally.deleveraged_takeovers),
        fund_start=round(tally.fund_start, 2),
        fund_low=round(tally.fund_low, 2),
        fund_equity=round(tally.fund_equity, 2),
        funding_settlements=tally.funding_settlements,
        prices={
            symbol: (simulation.path.start_prices[symbol], price)
            for symbol, price in simulation.prices.items()
        },
        events=dict(sorted(said.by_type.items())),
        accounts_called=len(said.called),
        accounts_degraded=len(said.degraded),
        liquidations_requested=said.requests,
        accounts_liquidated=len(said.liquidated),
        wrongly_liquidated=len(said.wrongly),
        doubted=tuple(sorted(said.doubted)),
        holds=tuple(said.holds[place] for place in sorted(said.holds)),
        conserved=all(not balance.difference for balance in simulation.balances.values()),
        conservation={
            asset: Conservation(*map(canonical, (*balance, balance.difference)))
            for asset, balance in simulation.balances.items()
        },
        cascade=tally.cascade if cascade else [],
    )


def print_summary(summary: SimulationSummary, console: Console) -> None:
    """Tables for a person: what happened, by symbol, the worst seconds, and the line of conservation."""
    console.print(_counts(summary))
    if summary.liquidated_notional:
        console.print(_by_symbol(summary))
        console.print(_worst_seconds(summary))
    for asset, line in summary.conservation.items():
        if line.deposits:
            console.print(conservation_line(asset, line), highlight=False, soft_wrap=True)
    held = f"held exactly at each of {summary.steps:,} steps" if summary.conserved else "BROKEN"
    console.print(f"conservation {held}", style="green" if summary.conserved else "bold red")


def conservation_line(asset: str, line: Conservation) -> str:
    """The equation of one asset, rounded to cents for reading."""
    parts = (
        f"customers {line.customers:,.2f}",
        f"unrealised {line.customers_unrealised:+,.2f}",
        f"street {line.street:+,.2f}",
        f"insurance fund {line.fund:+,.2f}",
        f"fees {line.fees:+,.2f}",
    )
    equation = f"{asset}: {'  '.join(parts)}  =  deposits {line.deposits:,.2f}"
    return f"{equation}  (difference {line.difference})"


def _counts(summary: SimulationSummary) -> Table:
    table = Table(box=box.SIMPLE, show_header=False, title="what happened", title_justify="left")
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    refused = ", ".join(f"{reason} {count:,}" for reason, count in summary.liquidations_refused.items())
    fund = f"{summary.fund_start:,.0f} at the start, lowest {summary.fund_low:,.0f}, now {summary.fund_equity:,.0f}"
    doubted = ", ".join(summary.doubted) or "no price"
    rows = {
        "market": f"{summary.source}, {summary.seconds:g} s, {summary.accounts:,} accounts, seed {summary.seed}",
        "sent": f"{summary.ticks:,} marks, {summary.fills:,} fills, {summary.ledger_entries:,} ledger entries",
        "margin calls": f"{summary.calls:,}, met {summary.calls_met:,}",
        "liquidations": f"{summary.liquidations_taken:,} taken, {summary.liquidations_executed:,} executed, "
        f"{summary.liquidations_replaced:,} replaced, {summary.liquidations_open:,} open",
        "condemned": f"{summary.accounts_liquidated:,} accounts, wrongly {summary.wrongly_liquidated:,}",
        "degraded": f"{summary.accounts_degraded:,} accounts, for {doubted}",
        "held": "; ".join(map(_hold, summary.holds)) or "nothing",
        "refused": refused or "none",
        "pools cured": f"{summary.pools_cured:,}",
        "taken over": f"{summary.takeovers:,} positions",
        "deleveraged": _deleveraged(summary),
        "insurance fund": fund,
    }
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def _deleveraged(summary: SimulationSummary) -> str:
    score = summary.adl
    said = f"{summary.deleveragings:,} positions of {score.accounts:,} winners"
    if not score.takeovers:
        return said
    return f"{said} gave {score.taken:,.0f} of {score.needed:,.0f} needed, {score.overshoot:,.0f} beyond it"


def _hold(hold: Hold) -> str:
    batches = (
        f"{it.topic} {it.first_offset}..{it.last_offset} ({', '.join(it.kinds)})" for it in hold.cause.inputs
    )
    names = ", ".join((*batches, *(it.symbol for it in hold.cause.symbols)))
    end = f"{hold.ended}: {hold.why}" if hold.ended else "open"
    return f"{hold.held.accounts:,} accounts at {hold.second:g} s for {hold.share:.0%} of {hold.limit} ({names}), {end}"


def _by_symbol(summary: SimulationSummary) -> Table:
    table = Table(box=box.SIMPLE, title="by symbol", title_justify="left")
    table.add_column("symbol")
    for name in ("liquidated", "deleveraged", "price"):
        table.add_column(name, justify="right")
    by_size = sorted(summary.liquidated_notional.items(), key=lambda item: -item[1])
    for symbol, notional in by_size:
        first, last = summary.prices[symbol]
        table.add_row(
            symbol,
            f"{notional:,.0f}",
            f"{summary.deleveraged_notional.get(symbol, 0.0):,.0f}",
            f"{float(last / first - 1):+.1%}",
        )
    return table


def _worst_seconds(summary: SimulationSummary) -> Table:
    table = Table(box=box.SIMPLE, title="worst seconds of the cascade", title_justify="left")
    table.add_column("second", justify="right")
    table.add_column("liquidated", justify="right")
    table.add_column("most of it")
    table.add_column("insurance fund after", justify="right")
    worst = sorted(summary.cascade, key=lambda it: -sum(it.notional.values()))[:SECONDS_SHOWN]
    for second in sorted(worst, key=lambda it: it.second):
        total = sum(second.notional.values())
        symbol, most = max(second.notional.items(), key=lambda item: item[1])
        table.add_row(
            f"{second.second}", f"{total:,.0f}", f"{symbol} {most / total:.0%}", f"{second.fund_equity:,.0f}"
        )
    return table


def _rounded(notionals: dict[str, float]) -> dict[str, float]:
    return {symbol: round(notional, 2) for symbol, notional in sorted(notionals.items())}
