"""`unimargin simulate-portfolio`: a portfolio from a file, judged as if somebody held it."""

import time
from pathlib import Path
from typing import Annotated

import typer

from engine.analytics.hypothetical import (
    Hypothetical,
    HypotheticalError,
    account_of,
    check_hypothetical,
    parse_hypothetical,
    prices_of,
)
from engine.inputs import Mark
from engine.marks.mark_book import Prices
from engine.policy import Policy
from streams.answers.account_report import believed
from streams.answers.portfolio_report import is_priced, needed_symbols, portfolio_report
from streams.answers.shelf import newest_marks, open_shelf
from streams.config.invocation import ConfigOption, JsonOption, run, tell_mistakes
from streams.config.problem import Problem
from streams.config.settings import Settings, SettingsError, load_policy, load_settings
from streams.config.terminal import present


@tell_mistakes
def simulate_portfolio(
    file: Annotated[
        Path,
        typer.Argument(
            help="TOML or JSON: balances, positions, orders, leverage, prices, volatilities, margin_model.",
            show_default=False,
        ),
    ],
    policy: Annotated[Path | None, typer.Option(help="Policy file; default: the setting's.")] = None,
    explain: Annotated[  # noqa: FBT002 - an option of the command line
        bool, typer.Option("--explain", help="Also the lines that sum to each figure.")
    ] = False,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Judge a portfolio from a file: every margin model, every scenario, deltas, and how far the market may move.

    No account is needed. Prices that the file does not give are those that the workers saved last.

    Examples:
      unimargin simulate-portfolio portfolio.toml --policy mine.toml --explain
    """
    # here, because the tables need rich, and a mistake should not wait for it
    from streams.cli.portfolio.portfolio_tables import renderables  # noqa: PLC0415

    settings = load_settings(config)
    rules = load_policy(policy or settings.policy_file)
    try:
        asked = parse_hypothetical(_text(file))
        check_hypothetical(asked, rules)
        prices = prices_of(asked, _at_hand(settings, asked, rules))
        state = account_of(asked, prices, rules)
    except HypotheticalError as error:
        raise SettingsError(f"portfolio file {file}: {error}") from None
    report = portfolio_report(asked, state, prices, rules, explain=explain)
    present(report, renderables, as_json=as_json)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"portfolio file {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"portfolio file {file}: not UTF-8 text") from None


def _at_hand(settings: Settings, asked: Hypothetical, policy: Policy) -> Prices:
    """The saved prices; Redis is only asked where the file leaves something open, and may then be away no more."""
    now_ns = time.time_ns()
    own = [Mark(symbol, price, sequence=0, time_ns=now_ns) for symbol, price in asked.prices.items()]
    with_own = believed(own, policy, now_ns)
    needed = needed_symbols(account_of(asked, with_own, policy), policy) if is_priced(asked) else {"more"}
    if needed <= asked.prices.keys():
        return with_own
    return believed(run(_saved(settings)), policy, now_ns)


async def _saved(settings: Settings) -> list[Mark]:
    async with open_shelf(settings) as shelf:
        newest = await newest_marks(shelf)
    if not newest:
        raise Problem("no worker has saved a price yet, and the file does not give all that are needed")
    return list(newest.values())
