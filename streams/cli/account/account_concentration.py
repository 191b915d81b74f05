"""`unimargin account concentration`: deltas by underlying, and the account's share of what is open."""

from collections.abc import Iterator
from functools import partial
from typing import Annotated

import msgspec
import typer
from rich.console import RenderableType
from rich.text import Text

from engine.analytics.concentration import (
    Concentration,
    concentration,
    open_interest_of,
    open_interest_said,
)
from engine.ledger.accounts import AccountState
from streams.answers.account_read import AccountReading, read_account
from streams.answers.shelf import open_counted_shelf
from streams.config.invocation import AccountArgument, ConfigOption, JsonOption, run, tell_mistakes
from streams.config.settings import Settings, load_settings
from streams.config.terminal import amount, every_digit, present, printable, table
from streams.store.redis_access import read_state

_PLACES = 2


class ConcentrationReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the command shows; amounts in account currency."""

    account: str
    currency: str
    policy: str
    policy_digest: str
    concentration: Concentration


@tell_mistakes
def concentration_command(
    account: AccountArgument,
    all_accounts: Annotated[  # noqa: FBT002 - an option of the command line
        bool,
        typer.Option(
            "--all-accounts",
            help="Read every account for the open interest, instead of what marks say of it.",
        ),
    ] = False,
    explain: Annotated[  # noqa: FBT002 - an option of the command line
        bool, typer.Option("--explain", help="Also the deltas that sum to each underlying's.")
    ] = False,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Show net, gross and beta-weighted delta by underlying, the largest share, and the share of open interest.

    Examples:
      unimargin account concentration alice --all-accounts
    """
    settings = load_settings(config)
    read = run(read_account(settings, account))
    open_interest = open_interest_said(read.prices)
    if all_accounts:
        open_interest |= open_interest_of(run(_everybody(settings)))
    report = _report(read, concentration(read.state, read.prices, read.policy, open_interest))
    present(report, partial(_renderables, explain=explain), as_json=as_json)


async def _everybody(settings: Settings) -> list[AccountState]:
    found = []
    async with open_counted_shelf(settings) as shelf:
        for shard in range(await shelf.shard_count()):
            found += [read_state(account, state) async for account, state in shelf.accounts(shard)]
    return found


def _report(read: AccountReading, found: Concentration) -> ConcentrationReport:
    return ConcentrationReport(
        account=read.state.account,
        currency=read.policy.account_currency,
        policy=read.policy.name,
        policy_digest=read.policy.digest,
        concentration=found,
    )


def _renderables(report: ConcentrationReport, *, explain: bool) -> Iterator[RenderableType]:
    found = report.concentration
    yield delta_table(f"Deltas of {printable(report.account)}", report.currency, found)
    if found.underlyings:
        first = found.underlyings[0]
        yield Text(
            f"largest: {first.underlying}, {amount(first.share * 100, _PLACES)} % of the gross", style="dim"
        )
    if found.degraded:
        yield Text("degraded: a price that a delta needs is missing or stale", style="yellow")
    if explain:
        yield _holdings(found)
    if found.interest:
        yield _interest(found)


def delta_table(title: str, currency: str, found: Concentration) -> RenderableType:
    """Net, gross and beta-weighted delta by underlying."""
    numbers = ["net delta", "gross delta", "beta", "net by beta", "share"]
    rows = table(
        f"{title} in {currency} (gain when the underlying doubles, to first order)",
        ["underlying", *numbers],
        numbers,
    )
    for it in found.underlyings:
        rows.add_row(
            it.underlying,
            amount(it.net, _PLACES),
            amount(it.gross, _PLACES),
            amount(it.beta),
            amount(it.beta_net, _PLACES),
            f"{amount(it.share * 100, _PLACES)} %",
        )
    totals = (amount(found.net, _PLACES), amount(found.gross, _PLACES), "", amount(found.beta_net, _PLACES))
    rows.add_row("all", *totals, "", style="bold")
    return rows


def _holdings(found: Concentration) -> RenderableType:
    rows = table("Deltas that sum to the net ones", ["underlying", "position or coin", "delta"], ["delta"])
    for underlying in found.underlyings:
        for place, it in enumerate(underlying.holdings):
            rows.add_row("" if place else underlying.underlying, printable(it.item), every_digit(it.delta))
    return rows


def _interest(found: Concentration) -> RenderableType:
    numbers = ["contracts", "open interest", "share"]
    rows = table("Share of the open interest", ["symbol", *numbers], numbers)
    for it in found.interest:
        rows.add_row(
            it.symbol,
            amount(it.contracts),
            amount(it.open_interest),
            f"{amount(it.share * 100, _PLACES)} %",
        )
    return rows
