"""`port.Totals` from what the compiled code sums over the columns and what the routed accounts add."""

from collections.abc import Sequence
from decimal import Decimal

from engine.book.account_book import Totals
from engine.book.kernels import Sums
from engine.book.ragged import Array
from engine.book.routed import RoutedSums
from engine.ladder import Band


def totals(edges: Sequence[Decimal], of_columns: Sums, of_routed: RoutedSums) -> Totals:
    """Both together; bands, flags and stops of routed accounts are in the columns already."""
    below = (of_columns.below + of_routed.below).tolist()
    return Totals(
        accounts_by_band=_by_band(of_columns.by_band),
        isolated_by_band=_by_band(of_columns.isolated_by_band),
        accounts_degraded=int(of_columns.degraded),
        accounts_stopped=int(of_columns.stopped),
        accounts_below_ratio=dict(zip(edges, below, strict=True)),
        equity=float(of_columns.equity) + of_routed.equity,
        maintenance_margin=float(of_columns.maintenance) + of_routed.maintenance_margin,
    )


def _by_band(counts: Array) -> dict[Band, int]:
    return {band: count for band, count in zip(Band, counts.tolist(), strict=True) if count}
