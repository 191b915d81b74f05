"""`unimargin liquidations`: the pools that are being liquidated, the worst first: what a liquidation desk works through."""

import time
from functools import partial
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from engine.policy import Policy
from streams.answers.liquidations_read import read_liquidations
from streams.answers.liquidations_report import (
    WorkReport,
)
from streams.answers.shelf import open_counted_shelf
from streams.cli.account.account_tables import RATIO_PLACES
from streams.cli.liquidations.plan_words import plan_in_short
from streams.config.invocation import ConfigOption, JsonOption, run, tell_mistakes
from streams.config.settings import Settings, load_policy, load_settings
from streams.config.terminal import amount, band_text, console, json_out, printable, table
from streams.kafka.fund_reader import read_funds

_PLACES = 2


@tell_mistakes
def liquidations(
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many, the worst first.")] = 20,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """List the pools in liquidation, the least covered first, each with the plan that would end it now.

    Examples:
      unimargin liquidations --limit 10
    """
    settings = load_settings(config)
    policy = load_policy(settings.policy_file)
    now_ns = time.time_ns()
    report = run(_read(settings, policy, limit, now_ns))
    if as_json:
        json_out(report)
        return
    out = console()
    out.print(_table(report))
    rest = f", {len(report.items)} shown" if len(report.items) < report.pools else ""
    out.print(
        Text(
            f"{report.pools} pools in liquidation{rest}, {report.bankrupt} of them bankrupt; "
            f"expected shortfall {amount(report.expected_shortfall, _PLACES)} {report.currency}"
        )
    )


async def _read(settings: Settings, policy: Policy, limit: int, now_ns: int) -> WorkReport:
    async with open_counted_shelf(settings) as shelf:
        funds = partial(read_funds, settings) if settings.fund_topic_enabled else None
        return await read_liquidations(shelf, policy, limit, now_ns, funds)


def _table(report: WorkReport) -> Table:
    numbers = ["#", "ratio", f"equity {report.currency}", f"requirement {report.currency}"]
    shown = table(
        "Liquidations, the worst first", ["#", "account", "pool", "band", *numbers[1:], "plan"], numbers
    )
    for item in report.items:
        shown.add_row(
            str(item.rank),
            printable(item.account),
            printable(item.position or "cross"),
            band_text(item.band),
            amount(item.ratio, RATIO_PLACES),
            amount(item.equity, _PLACES),
            amount(item.requirement, _PLACES),
            "a price is stale or missing" if item.plan is None else plan_in_short(item.plan),
        )
    return shown
