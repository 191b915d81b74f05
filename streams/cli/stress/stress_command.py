"""`unimargin stress`: who of all accounts would be condemned by a day of history or a move, and what it would cost."""

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated

import typer

from engine.policy import Policy
from streams.answers.shelf import open_counted_shelf
from streams.config.invocation import (
    ConfigOption,
    JsonOption,
    LastPricesOption,
    moves_option,
    run,
    tell_mistakes,
)
from streams.config.settings import Settings, SettingsError, load_policy, load_settings
from streams.config.stress_scenarios import load_scenario, shipped_scenarios
from streams.config.terminal import present

if TYPE_CHECKING:
    from streams.answers.stress_report import BookStressAsked, BookStressReport


@tell_mistakes
def stress(
    scenario: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|FILE", help="Scenarios; may be given several times. Default: all that ship."
        ),
    ] = None,
    moves: Annotated[
        str | None,
        typer.Option(
            metavar="-20,-10,10",
            help="Also moves of the market in percent, uniform and by beta: a list or a range.",
        ),
    ] = None,
    fund: Annotated[str, typer.Option(help="What the insurance fund can bear, in account currency.")] = "0",
    worst: Annotated[int, typer.Option(min=0, help="Name so many accounts of each scenario.")] = 5,
    last_prices: LastPricesOption = False,  # noqa: FBT002 - an option of the command line
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Show who of all accounts would be condemned, the loss beyond equity, and what of it the fund would bear.

    Every pool below the liquidation line in that market counts, whole; nobody's liquidation moves the market further.

    Examples:
      unimargin stress --fund 2500000
      unimargin stress --moves -30..30/10 --worst 20
    """
    # here, because its book needs the compiler's start, and a mistake or a question for help should not wait for that
    from streams.answers.stress_report import BookStressAsked  # noqa: PLC0415
    from streams.cli.stress.stress_tables import renderables  # noqa: PLC0415

    settings = load_settings(config)
    policy = load_policy(settings.policy_file)
    asked_moves = () if moves is None else moves_option("--moves", moves)
    asked = BookStressAsked(
        scenarios=tuple(load_scenario(name) for name in scenario) if scenario else tuple(shipped_scenarios()),
        moves=asked_moves,
        fund=_amount(fund),
        worst_max=worst,
    )
    report = run(_read(settings, policy, asked, last_prices=last_prices))
    present(report, renderables, as_json=as_json)


def _amount(text: str) -> float:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal(-1)
    if not amount.is_finite() or amount < 0:
        raise SettingsError(f"--fund {text!r}: an amount of account currency, such as 2500000")
    return float(amount)


async def _read(
    settings: Settings, policy: Policy, asked: "BookStressAsked", *, last_prices: bool
) -> "BookStressReport":
    from streams.answers.stress_report import read_stress  # noqa: PLC0415 - as above

    async with open_counted_shelf(settings) as shelf:
        return await read_stress(shelf, policy, asked, last_prices=last_prices)
