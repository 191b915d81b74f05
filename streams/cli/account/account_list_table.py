"""How a list of accounts looks on a terminal."""

from collections.abc import Iterator
from decimal import Decimal

from rich.console import RenderableType
from rich.text import Text

from streams.answers.account_list import AccountList, ListedAccount, Sort
from streams.cli.account.account_moves import percent
from streams.cli.account.account_tables import RATIO_PLACES
from streams.config.terminal import amount, band_text, printable, table


def list_renderables(found: AccountList) -> Iterator[RenderableType]:
    """The rows, and what is to be known of them."""
    by_distance = found.sort is Sort.DISTANCE
    numbers = [
        *("shard", "ratio"),
        *(["market to call"] if by_distance else []),
        *(f"{it} {found.currency}" for it in ("equity", "maintenance margin", "short to call")),
    ]
    shown = table(
        _title(found),
        ["account", "pool", "band", *numbers, ""],
        numbers,
    )
    for row in found.accounts:
        shown.add_row(
            printable(row.account),
            printable(row.position or "shared"),
            band_text(row.band),
            str(row.shard),
            amount(row.ratio, RATIO_PLACES),
            *([_distance(row)] if by_distance else []),
            amount(row.equity),
            amount(row.maintenance_margin),
            amount(row.shortfall_to_call or None),
            Text(" ".join(_flags(row)), style="yellow"),
        )
    yield shown
    for words in found.unreadable:
        yield Text(f"left out: {printable(words)}", style="yellow")


def _title(found: AccountList) -> str:
    words = f"Accounts: {len(found.accounts)} of {found.in_all}, by {found.sort}"
    filtered = len(found.accounts) < found.total < found.in_all
    return f"{words}; {found.total} pass the filters" if filtered else words


def _distance(row: ListedAccount) -> str:
    return percent(row.distance_to_call) if isinstance(row.distance_to_call, Decimal) else "none"


def _flags(row: ListedAccount) -> list[str]:
    return [word for word, holds in (("stopped", row.stopped), ("degraded", row.degraded)) if holds]
