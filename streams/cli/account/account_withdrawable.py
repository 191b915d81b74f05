"""`unimargin account withdrawable`: how much of each asset may leave the account."""

from collections.abc import Iterator
from functools import partial
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from engine.analytics.withdrawable import Bound
from streams.answers.account_read import read_account
from streams.answers.withdrawable_report import WithdrawableReport, withdrawable_report
from streams.config.invocation import AccountArgument, ConfigOption, JsonOption, run, tell_mistakes
from streams.config.settings import load_settings
from streams.config.terminal import amount, every_digit, present, printable, table

_WORDS = {
    Bound.BALANCE: "all that is in the wallet",
    Bound.INITIAL_MARGIN: "one step more and the collateral would not cover the initial margin",
    Bound.LINE: "one step more and the pool would cross a line of the ladder",
    Bound.BANKRUPTCY: "one step more and nothing would be left to cover the debts",
    Bound.ACCOUNT_STOPPED: "an input of the account was refused; see `unimargin account show`",
    Bound.CONTROLS: "its band, or doubt in its figures, allows no withdrawal; see `unimargin account show`",
    Bound.DEGRADED: "a price that the answer needs is stale or missing",
}
_SHORT_ALREADY = {
    Bound.INITIAL_MARGIN: "the collateral does not cover the initial margin now",
    Bound.LINE: "the pool is below the line of a margin call now",
    Bound.BANKRUPTCY: "the pool is bankrupt",
}


@tell_mistakes
def withdrawable_command(
    account: AccountArgument,
    asset: Annotated[
        list[str] | None, typer.Option(help="Only this asset; may be given several times. Default: all held.")
    ] = None,
    explain: Annotated[  # noqa: FBT002 - an option of the command line
        bool, typer.Option("--explain", help="Also what is left after it, and what one step more would lack.")
    ] = False,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Show the largest amount of each asset that may be withdrawn, orders counted, and what bounds it.

    After it the collateral covers the initial margin and no line of the ladder is crossed. Doubted prices count at their worse end.

    Examples:
      unimargin account withdrawable alice --asset USDT
    """
    report = withdrawable_report(run(read_account(load_settings(config), account)), asked=asset or ())
    present(report, partial(_renderables, explain=explain), as_json=as_json)


def _renderables(report: WithdrawableReport, *, explain: bool) -> Iterator[RenderableType]:
    numbers = ["wallet", "withdrawable"]
    rows = table(
        f"What {printable(report.account)} may withdraw, each asset by itself",
        ["asset", *numbers, "bound by"],
        numbers,
    )
    for it in report.assets:
        words = _WORDS[it.bound]
        if not it.amount and it.balance > 0:
            short = min(it.room_to_initial, it.room_to_line) < 0
            words = _SHORT_ALREADY.get(it.bound, words) if short else words
        rows.add_row(it.asset, amount(it.balance), every_digit(it.amount), Text(words))
    yield rows
    if explain:
        yield _explanation(report)


def _explanation(report: WithdrawableReport) -> RenderableType:
    numbers = ["C - IM", "line", "C - line * requirement", "one step more lacks"]
    rows = table(f"After it, in {report.currency}", ["asset", *numbers], numbers)
    for it in report.assets:
        beyond = "-" if it.beyond is None else every_digit(it.beyond)
        rooms = (every_digit(it.room_to_initial), every_digit(it.line), every_digit(it.room_to_line))
        rows.add_row(it.asset, *rooms, beyond)
    return rows
