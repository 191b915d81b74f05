"""How a judged portfolio looks on a terminal."""

import itertools
from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from engine.analytics.risk_matrix import RiskMatrix, UnitMatrix
from streams.answers.portfolio_report import PortfolioReport
from streams.cli.account.account_concentration import delta_table
from streams.cli.account.account_moves import moves_lines
from streams.cli.account.account_requirements import figures_table
from streams.config.terminal import amount, every_digit, printable, table

_PLACES = 2


def renderables(report: PortfolioReport) -> Iterator[RenderableType]:
    """The report from the most important down."""
    yield figures_table(f"Portfolio {printable(report.name)}", [report.figures], report.margin_model)
    if report.missing_prices:
        yield Text(f"no price of {', '.join(report.missing_prices)}", style="yellow")
    yield moves_lines(report.market_moves, report.beta_moves)
    yield delta_table("Deltas", report.figures.currency, report.concentration)
    if report.matrix is None:
        yield Text("the policy has no portfolio margin, so there is no risk matrix", style="dim")
    else:
        for unit in report.matrix.units:
            yield _profits(unit, report.figures.currency)
            yield _charges(unit)
        yield _totals(report.matrix)
    if report.lines:
        yield _lines(report)


def _profits(unit: UnitMatrix, currency: str) -> RenderableType:
    rows = table(
        f"{unit.underlying}: profit in each scenario, weighted, in {currency}",
        ["scenario", "profit"],
        ["profit"],
    )
    # of a unit without options only the price matters: what comes out the same is one row
    for (price, profit), alike in itertools.groupby(unit.scenarios, key=lambda it: (it.price, it.profit)):
        names = [it.scenario for it in alike]
        style = "bold red" if unit.worst in names and profit < 0 else ""
        words = names[0] if len(names) == 1 else f"price {price:+f}, any volatility"
        rows.add_row(Text(words, style=style), Text(amount(profit, _PLACES), style=style))
    return rows


def _charges(unit: UnitMatrix) -> RenderableType:
    rows = table(
        f"{unit.underlying}: what is required of it, before the account's factors",
        ["part", "maintenance", "initial", "formula"],
        ["maintenance", "initial"],
    )
    for it in unit.charges:
        rows.add_row(
            it.name.replace("_", " "),
            amount(it.maintenance, _PLACES),
            amount(it.initial, _PLACES),
            it.formula,
        )
    if unit.minimum:
        rows.add_row("minimum charge", amount(unit.minimum, _PLACES), amount(unit.minimum, _PLACES), "")
    totals = (amount(unit.maintenance_margin, _PLACES), amount(unit.initial_margin, _PLACES))
    rows.add_row("requirement", *totals, "", style="bold")
    return rows


def _totals(matrix: RiskMatrix) -> RenderableType:
    numbers = ["maintenance", "initial"]
    rows = table("All underlyings", ["", *numbers], numbers)
    for unit in matrix.units:
        rows.add_row(
            unit.underlying, amount(unit.maintenance_margin, _PLACES), amount(unit.initial_margin, _PLACES)
        )
    for it in matrix.credits:
        cells = (f"-{amount(credit, _PLACES)}" if credit else "0" for credit in (it.maintenance, it.initial))
        rows.add_row(f"credit {it.first} / {it.second}", *cells)
    rows.add_row("factor", amount(matrix.maintenance_factor), amount(matrix.initial_factor))
    totals = (amount(matrix.maintenance_margin, _PLACES), amount(matrix.initial_margin, _PLACES))
    rows.add_row("margin of the net risk", *totals, style="bold")
    return rows


def _lines(report: PortfolioReport) -> RenderableType:
    rows = table("How the figures come about", ["figure", "item", "value", "formula"], ["value"])
    for line in report.lines or ():
        rows.add_row(line.figure.replace("_", " "), line.item, every_digit(line.value), line.formula)
    return rows
