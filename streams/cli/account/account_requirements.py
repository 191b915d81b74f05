"""`unimargin account requirements`: the account under every margin model, of its policy and of any others."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import RenderableType
from rich.text import Text

from engine.analytics.model_requirements import ModelFigures, PolicyFigures, other_figures, policy_figures
from engine.margin.margin_model import model_of
from engine.policy import Policy
from engine.policy.rules.policy_switches import MarginModel
from streams.answers.account_read import AccountReading, read_account
from streams.config.invocation import AccountArgument, ConfigOption, JsonOption, run, tell_mistakes
from streams.config.settings import load_policy, load_settings
from streams.config.terminal import amount, band_text, every_digit, present, printable, table

_MARGINS = {"initial_margin", "maintenance_margin", "liquidation_fee"}
_RATIO_PLACES = 4
_PLACES = 2


class RequirementsReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the command shows."""

    account: str
    margin_model: MarginModel
    """The one that the account is under."""
    policies: tuple[PolicyFigures, ...]
    """That in force first."""


@tell_mistakes
def requirements_command(
    account: AccountArgument,
    policy: Annotated[
        list[Path] | None,
        typer.Option(help="Also under this policy file; may be given several times.", show_default=False),
    ] = None,
    explain: Annotated[  # noqa: FBT002 - an option of the command line
        bool, typer.Option("--explain", help="Also the lines that sum to each margin.")
    ] = False,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Show what the account would have to hold segregated, in cross margin and under portfolio margin, by any policies.

    Open orders count. Isolated positions are left out. Another policy's contracts are found by their terms, whatever it calls them.

    Examples:
      unimargin account requirements alice --policy bybit.toml --policy okx.toml
    """
    others = [load_policy(file) for file in policy or ()]
    read = run(read_account(load_settings(config), account))
    report = _report(read, others, explain=explain)
    present(report, _renderables, as_json=as_json)


def _report(read: AccountReading, others: list[Policy], *, explain: bool) -> RequirementsReport:
    state, prices, policy = read.state, read.prices, read.policy
    return RequirementsReport(
        account=state.account,
        margin_model=model_of(state, policy),
        policies=(
            policy_figures(state, prices, policy, explain=explain),
            *(other_figures(state, prices, policy, it, explain=explain) for it in others),
        ),
    )


def _renderables(report: RequirementsReport) -> Iterator[RenderableType]:
    title = f"Requirements of {printable(report.account)}"
    yield figures_table(title, report.policies, report.margin_model)
    for of in report.policies:
        yield from _remarks(of)
    for of in report.policies:
        for it in of.models:
            if it.lines:
                yield _lines(of, it)


def _remarks(of: PolicyFigures) -> Iterator[RenderableType]:
    name = printable(of.policy)
    if of.unlisted:
        yield Text(f"{name} has nothing for {', '.join(of.unlisted)}", style="yellow")
    if of.names:
        pairs = ", ".join(f"{here} as {there}" for here, there in of.names.items())
        yield Text(f"{name} takes {pairs}", style="dim")
    if of.missing_prices:
        yield Text(f"{name} has no price of {', '.join(of.missing_prices)}", style="yellow")


def _lines(of: PolicyFigures, it: ModelFigures) -> RenderableType:
    rows = table(f"{printable(of.policy)}, {it.model}", ["margin", "item", "value", "formula"], ["value"])
    for line in it.lines or ():
        if line.figure in _MARGINS:
            rows.add_row(line.figure.replace("_", " "), line.item, every_digit(line.value), line.formula)
    return rows


def figures_table(title: str, policies: Sequence[PolicyFigures], model: MarginModel) -> RenderableType:
    """Every model of every policy; the one in force, of the first policy, stands out."""
    numbers = ["IM", "MM", "equity", "collateral", "available", "ratio"]
    rows = table(title, ["policy", "margin model", *numbers, "band"], numbers)
    for place, of in enumerate(policies):
        for number, it in enumerate(of.models):
            in_force = not place and it.model == model
            rows.add_row(
                "" if number else f"{printable(of.policy)} ({of.currency})",
                f"{it.model} (in force)" if in_force else it.model,
                amount(it.initial_margin, _PLACES),
                amount(it.maintenance_margin, _PLACES),
                amount(it.equity, _PLACES),
                amount(it.collateral_value, _PLACES),
                amount(it.available_margin, _PLACES),
                amount(it.ratio, _RATIO_PLACES),
                "-" if it.band is None else band_text(it.band),
                style="bold" if in_force else "",
            )
        if of.unlisted:
            rows.add_row(printable(of.policy), Text("cannot value it", style="yellow"))
    return rows
