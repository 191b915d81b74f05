"""`unimargin account stress`: what moves of the market, of one contract, or of a day in history would do to an account."""

from decimal import Decimal
from typing import Annotated

import typer

from engine.numbers import ZERO
from streams.answers.account_read import read_account
from streams.answers.account_stress_report import DEFAULT_MOVES, DEFAULT_VOLATILITIES, account_stress_report
from streams.config.invocation import (
    AccountArgument,
    ConfigOption,
    JsonOption,
    moves_option,
    run,
    tell_mistakes,
)
from streams.config.settings import load_settings
from streams.config.stress_scenarios import load_scenario, shipped_scenarios
from streams.config.terminal import present


@tell_mistakes
def stress_command(
    account: AccountArgument,
    moves: Annotated[
        str, typer.Option(metavar="-20,-10,10", help="Moves in percent: a list, or a range like -50..50/5.")
    ] = DEFAULT_MOVES,
    volatility: Annotated[
        str,
        typer.Option(
            metavar="-30,50",
            help="Relative changes of implied volatility in percent, for accounts that hold options.",
        ),
    ] = DEFAULT_VOLATILITIES,
    scenario: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|FILE", help="Scenarios; may be given several times. Default: all that ship."
        ),
    ] = None,
    explain: Annotated[  # noqa: FBT002 - an option of the command line
        bool, typer.Option("--explain", help="Also the profit of each asset and position in each scenario.")
    ] = False,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Show what moves against the most leveraged contract, moves of the market and days of history would do to an account.

    The market moves uniformly, and by betas of the policy; currencies stay. Open orders do not fill on the way.

    Examples:
      unimargin account stress alice --scenario 2020-03-12
      unimargin account stress alice --moves -30..30/10
    """
    # here, because the tables need rich, and a mistake should not wait for it
    from streams.cli.account.account_stress_tables import renderables  # noqa: PLC0415

    settings = load_settings(config)
    asked = (_fractions("--moves", moves), _fractions("--volatility", volatility))
    scenarios = [load_scenario(name) for name in scenario] if scenario else shipped_scenarios()
    report = account_stress_report(run(read_account(settings, account)), *asked, scenarios, explain=explain)
    present(report, renderables, as_json=as_json)


def _fractions(option: str, text: str) -> tuple[Decimal, ...]:
    return tuple(sorted({*moves_option(option, text), ZERO}))
