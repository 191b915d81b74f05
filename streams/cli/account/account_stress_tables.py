"""How a report of stress looks on a terminal."""

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.text import Text

from engine.analytics.pool_at import SHARED
from engine.analytics.stress import GridCell, StressedPool, WorstCase
from engine.analytics.weighting import Weighting
from streams.answers.account_stress_report import ScenarioOutcome, StressReport
from streams.cli.account.account_moves import percent
from streams.config.terminal import amount, band_text, every_digit, printable, table

_PLACES = 2
_RATIO_PLACES = 4
_HOW = {Weighting.UNIFORM: "every underlying alike", Weighting.BETA: "every underlying by its beta"}
_FIGURES = ["equity", "profit", "collateral", "IM", "MM + fee", "ratio"]


def renderables(report: StressReport) -> Iterator[RenderableType]:
    """The report from the most important down."""
    yield Text(
        f"Account {printable(report.account)}   {report.margin_model} margin   policy {report.policy} "
        f"{report.policy_digest}",
        style="bold",
    )
    if report.degraded_reasons:
        yield Text(f"degraded: {'; '.join(report.degraded_reasons)}", style="yellow")
    if report.worst_case is not None:
        yield _worst(report, report.worst_case)
    for weighting, cells in report.grids.items():
        yield _grid(report, weighting, cells)
    if report.scenarios:
        yield _scenarios(report)
        yield from _explanations(report)


def _worst(report: StressReport, worst: WorstCase) -> RenderableType:
    leverage = "no equity left" if worst.leverage is None else f"leverage {amount(worst.leverage, _PLACES)}"
    rows = table(
        f"{worst.key}, the most leveraged ({amount(worst.notional, _PLACES)} {report.currency}, {leverage}), moves "
        f"alone against the {_pool_name(worst.pool)} until it is below a line",
        ["line", "ratio", "move", f"equity lost {report.currency}"],
        ["ratio", "move", f"equity lost {report.currency}"],
    )
    for band, it in zip(report.lines, worst.lines, strict=True):
        move = "below it already" if it.crossed else percent(it.move)
        rows.add_row(str(band), amount(it.line, _RATIO_PLACES), move, amount(it.equity_lost, _PLACES))
    return rows


def _grid(report: StressReport, weighting: Weighting, cells: Sequence[GridCell]) -> RenderableType:
    shaken = any(cell.volatility for cell in cells)
    pools = len(cells[0].pools) > 1
    rows = table(
        f"Moves of the market, {_HOW[weighting]}; amounts in {report.currency}",
        ["move", *(["volatility"] if shaken else []), *(["pool"] if pools else []), "band", *_FIGURES],
        ["move", "volatility", *_FIGURES],
    )
    for cell in cells:
        for place, it in enumerate(cell.pools):
            first = [percent(cell.move), *([percent(cell.volatility)] if shaken else [])]
            rows.add_row(
                *(first if not place else [""] * len(first)),
                *([_pool_name(it.pool)] if pools else []),
                *_cells(it),
            )
    return rows


def _scenarios(report: StressReport) -> RenderableType:
    pools = any(len(it.pools) > 1 for it in report.scenarios)
    rows = table(
        f"Days of history; amounts in {report.currency}",
        ["scenario", "until (UTC)", *(["pool"] if pools else []), "band", *_FIGURES],
        _FIGURES,
    )
    for scenario in report.scenarios:
        for place, it in enumerate(scenario.pools):
            first = ["", ""] if place else [printable(scenario.name), f"{scenario.ends:%Y-%m-%d %H:%M}"]
            rows.add_row(*first, *([_pool_name(it.pool)] if pools else []), *_cells(it))
    return rows


def _cells(it: StressedPool) -> list[Text | str]:
    return [
        band_text(it.band),
        amount(it.equity, _PLACES),
        Text(amount(it.profit, _PLACES), style="red" if it.profit < 0 else ""),
        amount(it.collateral_value, _PLACES),
        amount(it.initial_margin, _PLACES),
        amount(it.requirement, _PLACES),
        amount(it.ratio, _RATIO_PLACES),
    ]


def _explanations(report: StressReport) -> Iterator[RenderableType]:
    for scenario in report.scenarios:
        for pool, profits in (scenario.profit_by_item or {}).items():
            yield _explanation(scenario, pool, {item: every_digit(it) for item, it in profits.items()})


def _explanation(scenario: ScenarioOutcome, pool: str, profits: dict[str, str]) -> RenderableType:
    rows = table(
        f"{printable(scenario.name)}, {_pool_name(pool)}", ["asset or position", "profit"], ["profit"]
    )
    for item, profit in profits.items():
        rows.add_row(printable(item), profit)
    total = next(it.profit for it in scenario.pools if it.pool == pool)
    rows.add_row("sum", every_digit(total), style="bold")
    return rows


def _pool_name(pool: str) -> str:
    return "shared pool" if pool == SHARED else f"isolated {pool}"
