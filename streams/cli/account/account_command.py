"""`unimargin account`: where an account stands, what it may do, and an operator's word that a stopped one may go on."""

import time
from typing import Annotated

import typer

from engine.ladder import Band
from streams.answers.account_list import ListQuestion, Sort, list_accounts
from streams.answers.account_read import read_account
from streams.answers.account_report import report
from streams.cli.account.account_capital import capital
from streams.cli.account.account_concentration import concentration_command
from streams.cli.account.account_funding import funding
from streams.cli.account.account_list_table import list_renderables
from streams.cli.account.account_may_open import may_open_command
from streams.cli.account.account_requirements import requirements_command
from streams.cli.account.account_resume import resume_command
from streams.cli.account.account_stress import stress_command
from streams.cli.account.account_tables import renderables
from streams.cli.account.account_withdrawable import withdrawable_command
from streams.cli.whatif.whatif_args import WordsCommand
from streams.config.invocation import AccountArgument, ConfigOption, JsonOption, run, tell_mistakes
from streams.config.near_names import nearest_listed
from streams.config.settings import SettingsError, load_settings
from streams.config.terminal import present
from streams.store.policy_store import policy_in_use

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
    """Value an account from its state in Redis at the marks that the workers saved last.

    Examples:
      unimargin account show alice
      unimargin account show alice --explain
    """
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
app.command("may-open", cls=WordsCommand)(may_open_command)
app.command("resume")(resume_command)


@app.command("list")
@tell_mistakes
def list_command(
    sort: Annotated[
        Sort,
        typer.Option(
            help="What comes first: the worst band and in it the lowest ratio (risk), the lowest ratio, the largest shortfall to the "
            "call line, the lowest equity, or the least move of the whole market to the call line (distance)."
        ),
    ] = Sort.RISK,
    band: Annotated[
        Band | None, typer.Option(help="Only accounts with their worst pool in this band.")
    ] = None,
    symbol: Annotated[str | None, typer.Option(help="Only accounts that hold this contract.")] = None,
    stopped: Annotated[  # noqa: FBT002 - an option of the command line
        bool, typer.Option("--stopped", help="Only accounts that are stopped.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 20,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """List accounts, the riskiest first; figures are those of the pool whose band is shown.

    Every account is read at each call and valued where it may be among the first: up to half a minute for 100,000, and with --sort
    distance 10 ms for each that the filters let through. A desk that asks all day asks `unimargin api`, which keeps them ranked.

    Examples:
      unimargin account list --sort distance
      unimargin account list --sort shortfall --symbol BTC-USDT-PERP --limit 50
    """
    settings = load_settings(config)
    policy = run(policy_in_use(settings))
    if symbol is not None and symbol not in policy.instruments:
        near = nearest_listed(symbol, policy.instruments)
        raise SettingsError(f"--symbol {symbol!r} is not listed in policy {policy.name!r}; {near}")
    question = ListQuestion(sort, band, symbol, stopped, limit)
    found = run(list_accounts(settings, policy, question, time.time_ns()))
    present(found, list_renderables, as_json=as_json)
