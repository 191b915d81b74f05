"""How the stress of a whole book looks on a terminal."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from streams.answers.stress_report import BookStressReport
from streams.config.terminal import amount, printable, table

_PLACES = 2
_SYMBOLS_SHOWN = 5


def renderables(report: BookStressReport) -> Iterator[RenderableType]:
    """The report from the most important down."""
    yield _markets(report)
    words = (
        f"{report.accounts:,} accounts in {report.shards} shards, {report.exactly:,} of them computed exactly"
    )
    yield Text(f"{words}; policy {report.policy} {report.policy_digest}", style="dim")
    for it in report.markets:
        if it.not_priced:
            yield Text(
                f"{printable(it.market)} names coins that the policy does not price: {', '.join(it.not_priced)}",
                style="dim",
            )
    if report.stale_symbols:
        shown = ", ".join(report.stale_symbols[:_SYMBOLS_SHOWN])
        more = len(report.stale_symbols) - _SYMBOLS_SHOWN
        yield Text(f"stale: {shown}{f' and {more} more' if more > 0 else ''}", style="yellow")
    if any(it.worst for it in report.markets):
        yield _worst(report)


def _markets(report: BookStressReport) -> RenderableType:
    numbers = ["accounts", "pools", "notional", "equity of all", "beyond equity", "fund used", "uncovered"]
    rows = table(
        f"Condemned in each market, in {report.currency}; the fund can bear {amount(report.fund, _PLACES)}",
        ["market", *numbers],
        numbers,
    )
    for it in report.markets:
        rows.add_row(
            printable(it.market),
            f"{it.accounts:,}",
            f"{it.pools:,}",
            amount(it.notional, _PLACES),
            amount(it.equity, _PLACES),
            amount(it.deficit, _PLACES),
            amount(it.fund_used, _PLACES),
            Text(amount(it.uncovered, _PLACES), style="red" if it.uncovered else ""),
        )
    return rows


def _worst(report: BookStressReport) -> RenderableType:
    numbers = ["pools", "notional", "beyond equity"]
    rows = table(
        "The largest losses beyond equity, then the largest notional",
        ["market", "account", *numbers],
        numbers,
    )
    for it in report.markets:
        for place, held in enumerate(it.worst):
            rows.add_row(
                "" if place else printable(it.market),
                printable(held.account),
                str(held.pools),
                amount(held.notional, _PLACES),
                amount(held.deficit, _PLACES),
            )
    return rows
