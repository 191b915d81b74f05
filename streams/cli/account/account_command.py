"""`unimargin account`: where an account stands, what it may do, and an operator's word that a stopped one may go on."""

import time
from typing import Annotated

import typer
from rich.text import Text

from engine.ladder import Band
from streams.answers.account_read import read_account
from streams.answers.account_report import report
from streams.answers.account_rows import AccountRow
from streams.cli.account.account_capital import capital
from streams.cli.account.account_concentration import concentration_command
from streams.cli.account.account_funding import funding
from streams.cli.account.account_list import list_accounts
from streams.cli.account.account_may_open import may_open_command
from streams.cli.account.account_requirements import requirements_command
from streams.cli.account.account_resume import resume_command
from streams.cli.account.account_stress import stress_command
from streams.cli.account.account_tables import RATIO_PLACES, renderables
from streams.cli.account.account_withdrawable import withdrawable_command
from streams.config.invocation import AccountArgument, ConfigOption, JsonOption, run, tell_mistakes
from streams.config.settings import load_policy, load_settings
from streams.config.terminal import amount, band_text, console, json_out, present, printable, table

app = typer.Typer(no_args_is_help=True, help="Accounts: where they stand and what they may do.")


@app.command()
@tell_mistakes
def show(
    account: AccountArgument,
    explain: Annotated[  # noqa: FBT002 - an option of the command line
        bool, typer.Option("--explain", help="Also the lines that sum to each figure.")
    ] = False,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Value an account from its state in Redis at the marks that the workers saved last."""
    settings = load_settings(config)
    read = run(read_account(settings, account))
    shown = report(*read, explain=explain)
    present(shown, renderables, as_json=as_json)


app.command()(capital)
app.command()(funding)
app.command("requirements")(requirements_command)
app.command("stress")(stress_command)
app.command("withdrawable")(withdrawable_command)
app.command("concentration")(concentration_command)
app.command("may-open")(may_open_command)
app.command("resume")(resume_command)


@app.command("list")
@tell_mistakes
def list_command(
    band: Annotated[
        Band | None, typer.Option(help="Only accounts with their worst pool in this band.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the worst bands first.")] = 20,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """List accounts, the worst bands first."""
    settings = load_settings(config)
    policy = load_policy(settings.policy_file)
    rows = run(list_accounts(settings, policy, band, limit, time.time_ns()))
    if as_json:
        for row in rows:
            json_out(row)
        return
    console().print(_list_table(rows, policy.account_currency))


def _list_table(rows: list[AccountRow], currency: str) -> object:
    numbers = ["shard", "ratio", f"equity {currency}", f"maintenance margin {currency}"]
    shown = table("Accounts", ["account", "band", *numbers, ""], numbers)
    for row in rows:
        flags = [word for word, holds in (("stopped", row.stopped), ("degraded", row.degraded)) if holds]
        shown.add_row(
            printable(row.account),
            band_text(row.band),
            str(row.shard),
            amount(row.ratio, RATIO_PLACES),
            amount(row.equity),
            amount(row.maintenance_margin),
            Text(" ".join(flags), style="yellow"),
        )
    return shown
