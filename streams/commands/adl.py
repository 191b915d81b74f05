"""`unimargin adl`: in which order the profitable holders of a contract would be deleveraged, over all accounts of all shards."""

import time
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Annotated

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from engine.accounts import AccountState
from engine.effects import AccountRisk
from engine.liquidation.adl import AdlCandidate, DeficitCover, cover_deficit, ranked
from engine.liquidation.holders import Side, adl_candidates
from engine.marks import Prices
from engine.numbers import ZERO, amount_fault, canonical, divide, exact
from engine.policy import Policy
from streams.commands.account_report import NotListed, believed, check_listed
from streams.commands.common import ConfigOption, JsonOption, Problem, run, tell_mistakes
from streams.commands.output import amount, console, json_out, printable, table
from streams.commands.redis_io import open_redis, read_state, saved_marks, shard_count
from streams.settings import Settings, SettingsError, load_policy, load_settings
from streams.store_reader import StoreReader


class HeldSide(StrEnum):
    """Of a position."""

    LONG = "long"
    SHORT = "short"


class Ranking(StrEnum):
    """What decides who is first; the largest is (`engine.liquidation.adl`)."""

    LEVERAGE = "leverage_weighted"
    PROFIT = "pnl_ratio"
    SIZE = "position_size"


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
    """What backs the position before its unrealised P&L."""
    profit_share: Decimal | None
    """Unrealised P&L / equity; None without equity of its own."""
    leverage: Decimal | None
    """Notional / equity; None without equity of its own."""
    forgone: Decimal
    """What of its profit the shortfall that was asked about takes."""


class QueueReport(msgspec.Struct, frozen=True, kw_only=True):
    """The queue of one side of a contract."""

    symbol: str
    side: HeldSide
    ranking: Ranking
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


@tell_mistakes
def adl(
    symbol: Annotated[str, typer.Argument(metavar="SYMBOL", help="The contract.", show_default=False)],
    side: Annotated[
        HeldSide,
        typer.Argument(metavar="long|short", help="Whose: a liquidated long is closed against the shorts."),
    ],
    shortfall: Annotated[
        str, typer.Option(help="Account currency that a takeover would leave unpaid: who bears it?")
    ] = "0",
    fund: Annotated[
        str, typer.Option(help="Account currency in the insurance fund, which pays first.")
    ] = "0",
    ranking: Annotated[Ranking, typer.Option(help="What decides who is first.")] = Ranking.LEVERAGE,
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many.")] = 20,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Show the auto-deleveraging queue of a contract, by default by profit times leverage.

    With --shortfall: what the insurance fund would pay of it, and which holders would give up how much.
    """
    settings = load_settings(config)
    policy = load_policy(settings.policy_file)
    listed = policy.instruments.get(symbol)
    if listed is None or listed.kind == "spot":
        raise SettingsError(f"SYMBOL {symbol!r}: not a contract of this policy")
    deficit, in_fund = _payable("--shortfall", shortfall), _payable("--fund", fund)
    now_ns = time.time_ns()
    candidates = run(_candidates(settings, policy, symbol, side.value, now_ns))
    report = _report(candidates, symbol, side, ranking, deficit, in_fund, limit, policy, now_ns)
    if as_json:
        json_out(report)
        return
    out = console()
    out.print(_table(report))
    for line in _summary(report):
        out.print(line)


async def _candidates(
    settings: Settings, policy: Policy, symbol: str, side: Side, now_ns: int
) -> list[AdlCandidate]:
    """Of all accounts, by name: equal ranks keep that order."""
    found: dict[str, list[AdlCandidate]] = {}
    named = msgspec.json.encode(symbol)[1:-1]
    async with open_redis(settings) as client:
        store = StoreReader(client, settings.redis_prefix)
        for shard in range(await shard_count(client, settings.redis_prefix)):
            prices = believed(await saved_marks(store, shard), policy, now_ns)
            async for account, data in store.accounts(shard):
                # most accounts hold nothing of it, and need not be read
                if named in data:
                    found[account] = _of_account(read_state(account, data), symbol, side, prices, policy)
    return [candidate for _, candidates in sorted(found.items()) for candidate in candidates]


def _of_account(
    state: AccountState, symbol: str, side: Side, prices: Prices, policy: Policy
) -> list[AdlCandidate]:
    try:
        check_listed(state, AccountRisk(state.account), policy)
    except NotListed as error:
        raise Problem(f"{error}. Is UNIMARGIN_POLICY_FILE the policy that the workers use?") from None
    return adl_candidates(state, symbol, side, prices, policy)


def _report(
    candidates: list[AdlCandidate],
    symbol: str,
    side: HeldSide,
    ranking: Ranking,
    shortfall: Decimal,
    fund: Decimal,
    limit: int,
    policy: Policy,
    now_ns: int,
) -> QueueReport:
    queue = ranked(candidates, ranking.value)
    with exact():
        profit = sum((winner.unrealised_pnl for winner in queue), ZERO)
    cover = cover_deficit(shortfall, fund, queue)
    # cuts are in the order of the queue, for as many as it takes
    forgone = [cut.forgone for cut in cover.cuts]
    forgone += [ZERO] * (len(queue) - len(forgone))
    return QueueReport(
        symbol=symbol,
        side=side,
        ranking=ranking,
        currency=policy.account_currency,
        policy=policy.name,
        policy_digest=policy.digest,
        read_at_ns=now_ns,
        holders=len(candidates),
        in_profit=len(queue),
        profit=profit,
        cover=cover,
        queue=tuple(
            _row(rank, winner, lost)
            for rank, (winner, lost) in enumerate(zip(queue[:limit], forgone, strict=False), 1)
        ),
    )


def _row(rank: int, winner: AdlCandidate, forgone: Decimal) -> QueueRow:
    backed = winner.equity > 0
    return QueueRow(
        rank=rank,
        account=winner.account,
        position=winner.position,
        mode="isolated" if winner.isolated else "cross",
        quantity=winner.quantity,
        notional=winner.notional,
        unrealised_pnl=winner.unrealised_pnl,
        equity=winner.equity,
        profit_share=divide(winner.unrealised_pnl, winner.equity) if backed else None,
        leverage=divide(winner.notional, winner.equity) if backed else None,
        forgone=forgone,
    )


def _table(report: QueueReport) -> Table:
    numbers = ["#", "contracts", "notional", "unrealised P&L", "P&L / equity", "leverage", "gives up"]
    title = f"Auto-deleveraging queue: {printable(report.symbol)} {report.side.value}s, in {report.currency}"
    shown = table(title, ["#", "account", "mode", *numbers[1:]], numbers)
    for row in report.queue:
        shown.add_row(
            str(row.rank),
            printable(row.account),
            row.mode,
            amount(row.quantity),
            amount(row.notional, _PLACES),
            amount(row.unrealised_pnl, _PLACES),
            amount(row.profit_share, _RATIO_PLACES),
            amount(row.leverage, _PLACES),
            amount(row.forgone or None, _PLACES),
        )
    return shown


def _summary(report: QueueReport) -> list[Text]:
    profit = amount(report.profit, _PLACES)
    said = [Text(f"{report.in_profit} of {report.holders} positions are in profit, by {profit} together")]
    cover = report.cover
    if cover.deficit:
        said.append(
            Text(
                f"of {amount(cover.deficit, _PLACES)} the fund pays {amount(cover.from_fund, _PLACES)}, "
                f"{len(cover.cuts)} holders give up {amount(cover.deficit - cover.from_fund - cover.uncovered, _PLACES)}"
            )
        )
    if cover.uncovered:
        said.append(Text(f"{amount(cover.uncovered, _PLACES)} remain unpaid", style="bold red"))
    return said


def _payable(option: str, text: str) -> Decimal:
    """An amount of money, 0 or more. Raises `SettingsError`."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise SettingsError(f"{option}: {text!r} is not a number; write it like 0.25") from None
    fault = amount_fault(value) or ("is below 0" if value < 0 else None)
    if fault is not None:
        raise SettingsError(f"{option}: {text!r} {fault}")
    return canonical(value)


_PLACES, _RATIO_PLACES = 2, 4
