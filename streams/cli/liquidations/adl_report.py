"""The deleveraging queue of one side of a contract as a report, and as a table."""

from decimal import Decimal
from enum import StrEnum

import msgspec
from rich.table import Table
from rich.text import Text

from engine.liquidation.adl import ranked
from engine.liquidation.adl_risk import AdlState
from engine.liquidation.deficit_cover import DeficitCover, cover_deficit
from engine.liquidation.deleveraging import Closing
from engine.numbers import ZERO, canonical, divide, exact
from engine.policy import Policy
from engine.policy.rules.deleveraging_rules import DeleveragingRules
from streams.answers.holders import Held
from streams.cli.liquidations.adl_words import standing_in_words
from streams.config.terminal import amount, printable, table


class HeldSide(StrEnum):
    """Of a position."""

    LONG = "long"
    SHORT = "short"


class QueueRow(msgspec.Struct, frozen=True, kw_only=True):
    """One position in the queue; amounts in account currency."""

    rank: int
    account: str
    position: str
    mode: str
    quantity: Decimal
    """Signed contracts."""
    notional: Decimal
    unrealised_pnl: Decimal
    equity: Decimal
    """Of the pool that the position is in, as `unimargin account show` has it."""
    backing: Decimal
    """What backs the position before its unrealised P&L: that equity without it, and of an isolated one without funding not settled yet."""
    profit_share: Decimal | None
    """Unrealised P&L / backing; None without backing of its own."""
    leverage: Decimal | None
    """Notional / backing; None without backing of its own."""
    neutral: bool
    """Hedged in the underlying; asked only where the policy cuts such accounts last."""
    closed: Decimal
    """Contracts that the shortfall that was asked about closes."""
    price: Decimal | None
    """At which they are closed."""
    forgone: Decimal
    """What of its profit that takes."""


class QueueReport(msgspec.Struct, frozen=True, kw_only=True):
    """The queue of one side of a contract."""

    symbol: str
    side: HeldSide
    risk: AdlState | None
    """How near its winners are to being asked, as workers say; None where no fund is stated that pays for it."""
    rules: DeleveragingRules
    currency: str
    policy: str
    policy_digest: str
    read_at_ns: int
    holders: int
    """Positions on this side."""
    in_profit: int
    """Those of them that are in profit: the whole queue."""
    profit: Decimal
    """What all of them could give up."""
    cover: DeficitCover
    """Who would bear the shortfall that was asked about."""
    queue: tuple[QueueRow, ...]


def queue_report(
    holders: Held,
    symbol: str,
    side: HeldSide,
    risk: AdlState | None,
    shortfall: Decimal,
    fund: Decimal,
    closing: Closing | None,
    limit: int,
    policy: Policy,
    now_ns: int,
) -> QueueReport:
    """`closing`: what is taken over; None where nothing is asked about. `limit`: rows of the queue."""
    rules, candidates = policy.deleveraging, holders.by_side[symbol, side.value]
    queue = ranked(candidates, rules.ranking)
    with exact():
        profit = canonical(sum((winner.unrealised_pnl for winner in queue), ZERO))
    cover = cover_deficit(shortfall, fund, [] if closing is None else [(closing, candidates)], rules)
    cuts = {(cut.account, cut.position, cut.isolated): cut for cut in cover.cuts}
    rows = []
    for rank, winner in enumerate(queue[:limit], 1):
        cut = cuts.get((winner.account, winner.position, winner.isolated))
        backed = winner.equity > 0
        rows.append(QueueRow(
            rank=rank,
            account=winner.account,
            position=winner.position,
            mode="isolated" if winner.isolated else "cross",
            quantity=winner.quantity,
            notional=winner.notional,
            unrealised_pnl=winner.unrealised_pnl,
            equity=holders.equities[winner.account, winner.position, winner.isolated],
            backing=winner.equity,
            profit_share=divide(winner.unrealised_pnl, winner.equity) if backed else None,
            leverage=divide(winner.notional, winner.equity) if backed else None,
            neutral=winner.neutral,
            closed=cut.quantity if cut else ZERO,
            price=cut.price if cut else None,
            forgone=cut.forgone if cut else ZERO,
        ))  # fmt: skip
    return QueueReport(
        symbol=symbol,
        side=side,
        risk=risk,
        rules=rules,
        currency=policy.account_currency,
        policy=policy.name,
        policy_digest=policy.digest,
        read_at_ns=now_ns,
        holders=len(candidates),
        in_profit=len(queue),
        profit=profit,
        cover=cover,
        queue=tuple(rows),
    )


def queue_table(report: QueueReport) -> Table:
    """The queue, the first to be closed first."""
    numbers = [
        "#",
        "contracts",
        "notional",
        "unrealised P&L",
        "equity",
        "P&L / backing",
        "leverage",
        "closes",
        "at",
        "gives up",
    ]
    title = f"Auto-deleveraging queue: {printable(report.symbol)} {report.side.value}s, in {report.currency}"
    shown = table(title, ["#", "account", "mode", *numbers[1:]], numbers)
    for row in report.queue:
        shown.add_row(
            str(row.rank),
            printable(row.account),
            f"{row.mode}, hedged" if row.neutral else row.mode,
            amount(row.quantity),
            amount(row.notional, _PLACES),
            amount(row.unrealised_pnl, _PLACES),
            amount(row.equity, _PLACES),
            amount(row.profit_share, _RATIO_PLACES),
            amount(row.leverage, _PLACES),
            amount(row.closed or None),
            amount(row.price),
            amount(row.forgone or None, _PLACES),
        )
    return shown


def queue_summary(report: QueueReport) -> list[Text]:
    """What the table comes to, in lines."""
    profit = amount(report.profit, _PLACES)
    said = [
        Text(standing_in_words(report.risk)),
        Text(f"{report.in_profit} of {report.holders} positions are in profit, by {profit} together"),
    ]
    cover = report.cover
    if cover.deficit:
        with exact():
            given = sum((cut.forgone for cut in cover.cuts), ZERO)
        words = f"{len(cover.cuts)} positions give up {amount(given, _PLACES)}"
        if cover.overshoot:
            words += f", {amount(cover.overshoot, _PLACES)} more than is needed"
        rule = f"{report.rules.rule.value} by {report.rules.size.value}"
        paid = f"of {amount(cover.deficit, _PLACES)} the fund pays {amount(cover.from_fund, _PLACES)}"
        said.append(Text(f"{paid}, {words} ({rule})"))
    if cover.uncovered:
        said.append(Text(f"{amount(cover.uncovered, _PLACES)} remain unpaid", style="bold red"))
    return said


_PLACES, _RATIO_PLACES = 2, 4
