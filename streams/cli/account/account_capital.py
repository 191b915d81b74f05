"""`unimargin account capital`: what the account would tie up segregated, in cross margin and under portfolio margin."""

from decimal import Decimal

import msgspec
from rich.console import RenderableType
from rich.text import Text

from engine.analytics.capital import ModelCapital, capital_by_model
from engine.events.pools import CROSS, pool_figures
from engine.margin.margin_model import model_of
from engine.numbers import divide
from engine.policy.rules.policy_switches import MarginModel
from streams.answers.account_read import AccountReading, read_account
from streams.answers.account_report import why_degraded
from streams.config.invocation import AccountArgument, ConfigOption, JsonOption, run, tell_mistakes
from streams.config.settings import load_settings
from streams.config.terminal import amount, console, json_out, printable, table

_PERCENT_PLACES = 1


class CapitalReport(msgspec.Struct, frozen=True, kw_only=True):
    """The shared pool under each margin model; amounts in account currency."""

    account: str
    currency: str
    policy: str
    policy_digest: str
    margin_model: MarginModel
    """The one that the account is under."""
    degraded_reasons: tuple[str, ...]
    """Why the figures cannot be trusted; empty where they can."""
    models: tuple[ModelCapital, ...]


@tell_mistakes
def capital(
    account: AccountArgument,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Compare the capital that the shared pool's positions tie up under each margin model.

    Segregated, each position stands alone: no profit of one helps another. Open orders and isolated positions are left out.

    Examples:
      unimargin account capital alice
    """
    report = _report(run(read_account(load_settings(config), account)))
    if as_json:
        json_out(report)
        return
    out = console()
    out.print(_table(report))
    for remark in _remarks(report):
        out.print(remark)


def _report(read: AccountReading) -> CapitalReport:
    state, prices, policy = read.state, read.prices, read.policy
    figures = pool_figures(state, CROSS, prices, policy)
    return CapitalReport(
        account=state.account,
        currency=policy.account_currency,
        policy=policy.name,
        policy_digest=policy.digest,
        margin_model=model_of(state, policy),
        degraded_reasons=why_degraded(figures, state, CROSS, prices, policy),
        models=capital_by_model(state, prices, policy),
    )


def _table(report: CapitalReport) -> RenderableType:
    numbers = ["IM", "MM", "capital", "freed", "share"]
    rows = table(
        f"Capital of {printable(report.account)} in {report.currency}: IM and the losses to carry",
        ["margin model", *numbers],
        numbers,
    )
    segregated = report.models[0].capital
    for it in report.models:
        rows.add_row(
            it.model,
            amount(it.initial_margin),
            amount(it.maintenance_margin),
            amount(it.capital),
            amount(it.freed),
            _percent(it.freed, segregated),
            style="bold" if it.model == report.margin_model else "",
        )
    return rows


def _percent(part: Decimal, whole: Decimal) -> str:
    return f"{amount(divide(part * 100, whole), _PERCENT_PLACES)} %" if whole else "-"


def _remarks(report: CapitalReport) -> list[Text]:
    remarks = [Text(f"the account is under {report.margin_model} margin", style="dim")]
    if not any(it.model == MarginModel.PORTFOLIO for it in report.models):
        remarks.append(Text(f"policy {report.policy} has no portfolio margin", style="dim"))
    if report.degraded_reasons:
        remarks.append(Text(f"degraded: {'; '.join(report.degraded_reasons)}", style="yellow"))
    return remarks
