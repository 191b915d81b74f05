"""How a report of an account looks on a terminal of 100 columns or more."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

from rich.console import RenderableType
from rich.text import Text

from engine.ladder import Band
from engine.ladder.states import CallKind
from engine.marks.fact_checks import FACTS
from engine.policy import RatioDisplay
from engine.policy.rules.policy_switches import InstrumentKind, MarginModel, RatioDirection
from streams.answers.account_positions import OrderView, PositionView
from streams.answers.account_report import AccountReport, MarkView, PoolView, resume_hint
from streams.cli.account.account_lines import explained
from streams.cli.account.account_moves import moves_lines
from streams.cli.account.outlook_words import call_words, outlook_words
from streams.config.terminal import amount, band_text, every_digit, printable, table

RATIO_PLACES = 4
GREEK_PLACES = 4
PRICE_PLACES = 6
POOLS_ABREAST = 3

_BELOW_LIQUIDATION = {Band.LIQUIDATION, Band.BANKRUPT}
_SHOWN_AS = {
    RatioDirection.COLLATERAL_OVER_MAINTENANCE: "collateral / MM",
    RatioDirection.MAINTENANCE_OVER_COLLATERAL: "MM / collateral",
}


def renderables(report: AccountReport) -> Iterator[RenderableType]:
    """The report from the most important down."""
    yield _heading(report)
    for first in range(0, len(report.pools), POOLS_ABREAST):
        yield _figures(report, report.pools[first : first + POOLS_ABREAST])
    yield from _remarks(report)
    yield moves_lines(report.market_moves, report.beta_moves)
    contracts = [it for it in report.positions if it.kind is not InstrumentKind.OPTION]
    options = [it for it in report.positions if it.kind is InstrumentKind.OPTION]
    if contracts:
        yield _contracts(contracts)
        yield _requirements(report, contracts)
    if options:
        yield _options(options)
        yield _greeks(options, report.currency)
    if report.orders:
        yield _orders(report.orders)
    yield _balances(report)
    yield _marks(report)
    for pool in report.pools:
        if pool.lines:
            yield explained(pool, report.currency, report.policy_digest)


def pool_name(pool: PoolView) -> str:
    """A pool in words."""
    return f"{pool.model} pool" if pool.position is None else f"isolated {pool.position}"


def _heading(report: AccountReport) -> Text:
    text = Text()
    text.append(f"Account {printable(report.account)}", style="bold")
    text.append(
        f"   {report.margin_model} margin   policy {report.policy} {report.policy_digest}\n"
        f"shard {report.shard}   inputs applied to fills {report.inputs.fills}, ledger {report.inputs.ledger}"
    )
    for topic, stop in report.stops.items():
        text.append(
            f"\nSTOPPED in {topic} since offset {stop.offset}: {stop.code}. Repair the cause, then "
            f"`{resume_hint(report.account, topic)}`",
            style="bold red",
        )
    return text


def _remarks(report: AccountReport) -> Iterator[Text]:
    for pool in report.pools:
        if pool.call is not CallKind.NONE:
            call = call_words(pool.call, pool.outstanding, pool.deadline_ns, report.currency)
            yield Text(f"{pool_name(pool)}, call {call}", style="bold")
        yield Text(f"{pool_name(pool)}, what follows: {outlook_words(pool.follows)}", style="dim")
        if pool.degraded:
            yield Text(f"{pool_name(pool)} is degraded: {'; '.join(pool.degraded_reasons)}", style="yellow")
        if pool.held_by is not None:
            yield Text(
                f"{pool_name(pool)}: its liquidation is held by the breaker (opening {pool.held_by}); `unimargin breaker show` says why",
                style="bold yellow",
            )
        if pool.band is not pool.band_at_figures:
            yield Text(
                f"{pool_name(pool)}: these figures alone say {pool.band_at_figures}; a pool gets worse with the next "
                "judgement, and better only past the exit line for the hold time",
                style="dim",
            )
        if pool.band_at_figures in _BELOW_LIQUIDATION:
            yield Text(
                f"{pool_name(pool)} is below the liquidation line: the prices below are where it would come back to it",
                style="dim",
            )


def _figures(report: AccountReport, pools: Sequence[PoolView]) -> RenderableType:
    names = [*map(pool_name, pools)]
    rows = table(f"Figures in {report.currency}", ["", *names], names)
    fees = any(pool.liquidation_fee for pool in pools)
    rows.add_row("band", *(band_text(pool.band) for pool in pools))
    rows.add_row("controls", *(pool.controls.value for pool in pools))
    rows.add_row(
        f"ratio (collateral / {'(MM + fee)' if fees else 'MM'})",
        *(amount(pool.ratio, RATIO_PLACES) for pool in pools),
    )
    if report.ratio_display != RatioDisplay():
        label = f"as shown ({_SHOWN_AS[report.ratio_display.direction]})"
        rows.add_row(label, *(shown(pool.shown_ratio, report.ratio_display.digits) for pool in pools))
    rows.add_row("ratio to IM", *(amount(pool.initial_ratio, RATIO_PLACES) for pool in pools))
    if report.ratio_display != RatioDisplay():
        rows.add_row(
            "ratio to IM as shown",
            *(shown(pool.shown_initial_ratio, report.ratio_display.digits) for pool in pools),
        )
    for label, field in (
        ("equity", "equity"),
        ("collateral value", "collateral_value"),
        ("initial margin (IM)", "initial_margin"),
        ("maintenance margin (MM)", "maintenance_margin"),
        *((("liquidation fee", "liquidation_fee"),) if fees else ()),
        ("available margin", "available_margin"),
        ("shortfall to call", "shortfall_to_call"),
        ("shortfall to liquidation", "shortfall_to_liquidation"),
    ):
        rows.add_row(label, *(amount(getattr(pool, field)) for pool in pools))
    return rows


def shown(ratio: Decimal | None, digits: int | None) -> str:
    """A margin ratio with exactly the digits that the policy shows."""
    if ratio is None:
        return "-"
    if ratio.is_infinite():
        return "∞"
    return every_digit(ratio) if digits is None else f"{ratio:,.{digits}f}"


def _contracts(contracts: Sequence[PositionView]) -> RenderableType:
    legs = _leg_column(contracts)
    # a column of its own only where some profit counts in part
    partly = any(it.uncounted_profit for it in contracts)
    numbers = ["quantity", "entry price", "mark", "uPnL", "liq. price", "bankr. price"]
    if partly:
        numbers.insert(4, "not counted")
    rows = table(
        "Positions (liquidation and bankruptcy price: of the pool, every other price held)",
        ["symbol", *legs, "kind", "mode", *numbers],
        numbers,
    )
    for it in contracts:
        rows.add_row(
            it.symbol,
            *([it.leg or "-"] if legs else []),
            it.kind,
            it.mode.value,
            amount(it.quantity),
            amount(it.entry_price, PRICE_PLACES),
            _mark(it),
            _signed(it.unrealised_pnl),
            *([amount(it.uncounted_profit)] if partly else []),
            _solved(it.liquidation_price),
            _solved(it.bankruptcy_price),
        )
    return rows


def _solved(price: Decimal | None) -> str:
    return "none" if price is None else amount(price, PRICE_PLACES)


def _requirements(report: AccountReport, contracts: Sequence[PositionView]) -> RenderableType:
    legs = _leg_column(contracts)
    numbers = ["notional", "leverage", "IM", "MM", "own margin"]
    title = "What each requires by itself, in its settle asset"
    if report.margin_model is MarginModel.PORTFOLIO:
        title += "; the pool is judged on net risk"
    rows = table(title, ["symbol", *legs, "settle", *numbers], numbers)
    for it in contracts:
        rows.add_row(
            it.symbol,
            *([it.leg or "-"] if legs else []),
            it.settle,
            amount(it.notional),
            amount(it.leverage),
            amount(it.initial_margin),
            amount(it.maintenance_margin),
            amount(it.isolated_margin),
        )
    return rows


def _options(options: Sequence[PositionView]) -> RenderableType:
    numbers = ["quantity", "entry price", "mark", "value", "liq. price", "bankr. price"]
    rows = table(
        "Options (value in the settle asset; short ones are margined per underlying; prices of the option itself)",
        ["option", *numbers, "settle"],
        numbers,
    )
    for it in options:
        # what an option adds to equity is its whole value
        value = _signed(it.unrealised_pnl)
        entry = amount(it.entry_price, PRICE_PLACES)
        solved = (_solved(it.liquidation_price), _solved(it.bankruptcy_price))
        rows.add_row(it.key, amount(it.quantity), entry, _mark(it), value, *solved, it.settle)
    return rows


def _mark(it: PositionView) -> Text:
    return Text(amount(it.mark), style="" if it.mark_fresh else "yellow")


def _signed(value: Decimal) -> Text:
    return Text(amount(value), style="red" if value < 0 else "")


def _greeks(options: Sequence[PositionView], currency: str) -> RenderableType:
    numbers = ["volatility", "delta", "gamma", "vega", "theta"]
    rows = table(
        f"Greeks of the whole position (delta in coins, vega in {currency} a point, theta in {currency} a day)",
        ["option", *numbers],
        numbers,
    )
    for it in options:
        if it.greeks is None:
            rows.add_row(it.key, Text("unknown", style="yellow"), "-", "-", "-", "-")
            continue
        rows.add_row(
            it.key,
            f"{amount(it.greeks.volatility * 100)} %",
            amount(it.greeks.delta, GREEK_PLACES),
            amount(it.greeks.gamma),
            amount(it.greeks.vega_per_point, GREEK_PLACES),
            amount(it.greeks.theta, GREEK_PLACES),
        )
    return rows


def _orders(orders: Sequence[OrderView]) -> RenderableType:
    legs = _leg_column(orders)
    numbers = ["quantity", "price"]
    rows = table("Open orders", ["order", "symbol", *legs, "mode", "side", *numbers, ""], numbers)
    for it in orders:
        rows.add_row(
            printable(it.order_id),
            it.symbol,
            *([it.leg or "-"] if legs else []),
            it.mode.value,
            it.side,
            amount(it.quantity),
            amount(it.price),
            "reduce only" if it.reduce_only else "",
        )
    return rows


def _leg_column(items: Iterable[PositionView | OrderView]) -> list[str]:
    """Only an account in hedge mode has legs to show."""
    return ["leg"] if any(it.leg for it in items) else []


def _balances(report: AccountReport) -> RenderableType:
    idle = report.idle_isolated_margin
    remarks = [""] if idle or set(report.collateral_off) & set(report.balances) else []
    rows = table("Balances", ["asset", "wallet", *remarks], ["wallet"])
    for asset, balance in report.balances.items():
        pledged = "not pledged as collateral" if asset in report.collateral_off else ""
        rows.add_row(asset, _signed(balance), *([Text(pledged, style="dim")] if remarks else []))
    for key, margin in idle.items():
        rows.add_row(key, _signed(margin), Text("isolated margin, no contracts", style="dim"))
    return rows


def _marks(report: AccountReport) -> RenderableType:
    facts = _facts(report.marks.values())
    numbers = ["price", "sequence", "age", *facts.values()]
    doubtful = [""] if report.missing_marks or any(mark.stale for mark in report.marks.values()) else []
    rows = table(
        "Marks as last saved in Redis (workers save them once a second)",
        ["symbol", *numbers, *doubtful],
        numbers,
    )
    for symbol, mark in report.marks.items():
        rows.add_row(
            symbol,
            amount(mark.price),
            str(mark.sequence),
            f"{mark.age_seconds:.1f} s",
            *(amount(getattr(mark, field)) for field in facts),
            *([Text("stale" if mark.stale else "", style="yellow")] if doubtful else []),
        )
    for symbol in report.missing_marks:
        rows.add_row(symbol, *itertools.repeat("-", len(numbers)), Text("no price", style="yellow"))
    return rows


def _facts(marks: Iterable[MarkView]) -> dict[str, str]:
    """Which optional facts the marks carry: field and heading."""
    known = {name: name.replace("_", " ") for name in FACTS} | {"average_price": "average"}
    return {
        field: heading
        for field, heading in known.items()
        if any(getattr(mark, field) is not None for mark in marks)
    }
