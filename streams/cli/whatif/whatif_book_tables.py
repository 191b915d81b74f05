"""How the accounts that a market move brings into another band look on a terminal."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from streams.answers.whatif_book import WhatIfBook
from streams.cli.account.account_moves import percent
from streams.config.terminal import amount, band_text, printable, table

_RATIO_PLACES, _PLACES = 4, 2


def book_renderables(report: WhatIfBook) -> Iterator[RenderableType]:
    """How many change band, and who."""
    moves = ", ".join(f"{printable(it.target)} {percent(it.move)}" for it in report.shocks)
    yield Text(f"{moves}: {report.total} of {report.read} accounts come into another band", style="bold")
    if report.changes:
        counts = table("By their figures alone", ["now", "then", "accounts"], ["accounts"])
        for it in report.changes:
            counts.add_row(band_text(it.before), band_text(it.after), str(it.accounts))
        yield counts
        numbers = ["ratio now", "ratio then", "equity now", "equity then", "short to call", "to liquidation"]
        title = f"The riskiest {len(report.accounts)} of them, in {report.currency}"
        rows = table(title, ["account", "pool", "now", "then", *numbers, ""], numbers)
        for row in report.accounts:
            rows.add_row(
                printable(row.account),
                printable(row.position or "shared"),
                band_text(row.band_before),
                band_text(row.band_after),
                amount(row.ratio_before, _RATIO_PLACES),
                amount(row.ratio_after, _RATIO_PLACES),
                amount(row.equity_before, _PLACES),
                amount(row.equity_after, _PLACES),
                amount(row.shortfall_to_call or None, _PLACES),
                amount(row.shortfall_to_liquidation or None, _PLACES),
                Text("degraded" if row.degraded else "", style="yellow"),
            )
        yield rows
    if report.not_repriced:
        kept = ", ".join(report.not_repriced)
        yield Text(f"keep their mark, as volatility or forward are not known: {kept}", style="yellow")
    for words in report.unreadable:
        yield Text(f"left out: {printable(words)}", style="yellow")
