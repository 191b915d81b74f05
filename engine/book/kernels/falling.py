"""Who falls at each move of the market, for the heat map."""

from engine.book.columns import Columns
from engine.book.kernels.compiling import compiled
from engine.book.kernels.row_flags import DEGRADED
from engine.book.kernels.spans import Span, span
from engine.book.ragged import Array

_BAND_LIQUIDATION = 4
"""`ladder.SEVERITY` of liquidation."""


@compiled
def heat(
    columns: Columns,
    markets: Array,
    zero: int,
    begin: int,
    routed: Array,
    line: float,
    withholds: bool,  # noqa: FBT001
    notional: Array,
    pools: Array,
) -> int:
    """Add up what falls at each point (`analytics.heat_map`), of the accounts from `begin` that are not `routed`.

    `markets` are the symbols at each point, `zero` is the point of no move, `line` the liquidation line. Returns how many
    pools are withheld.
    """
    assets, tiers, rows, terms = columns.assets, columns.tiers, columns.rows, columns.terms
    withheld = 0
    for account in range(begin, begin + len(routed)):
        if routed[account - begin]:
            continue
        first_row, term = columns.row_start[account], columns.term_start[account]
        for row in range(first_row, first_row + columns.row_count[account]):
            flags, first, end = rows[row].flags, term, term + rows[row].terms
            term = end
            if first == end and row != first_row:
                continue  # an isolated position that is judged no more
            under_way = rows[row].band >= _BAND_LIQUIDATION
            if not under_way:
                now = span(markets[zero], assets, tiers, terms, flags, first, end, False)  # noqa: FBT003 - compiled
                if withholds and flags & DEGRADED:
                    withheld += 1
                    continue
                under_way = _fallen(now, line)
            if under_way:
                pools[zero] += 1
                _add_notional(markets[zero], assets, terms, first, end, notional[zero])
                continue
            for way in (-1, 1):
                point = _first_fallen(markets, assets, tiers, terms, flags, first, end, zero + way, way, line)
                if point >= 0:
                    pools[point] += 1
                    _add_notional(markets[point], assets, terms, first, end, notional[point])
    return withheld


@compiled
def _first_fallen(
    markets: Array,
    assets: Array,
    tiers: Array,
    terms: Array,
    flags: int,
    first: int,
    end: int,
    point: int,
    way: int,
    line: float,
) -> int:
    """The first point, from `point` on, at which the pool with these terms falls; -1 if none is."""
    while 0 <= point < len(markets):
        at = span(markets[point], assets, tiers, terms, flags, first, end, False)  # noqa: FBT003 - compiled
        if _fallen(at, line):
            return point
        point += way
    return -1


@compiled
def _fallen(at: Span, line: float) -> bool:
    """Whether these figures, of a single point, are below the liquidation line. Who is bankrupt is: C <= E."""
    return at.collateral_low < line * at.maintenance_low


@compiled
def _add_notional(symbols: Array, assets: Array, terms: Array, first: int, end: int, notional: Array) -> None:
    """Add the positions among these terms by symbol, in account currency."""
    for i in range(first, end):
        held = terms[i]
        if held.symbol >= 0:
            symbol, index = symbols[held.symbol], assets[held.asset].symbol
            value = held.amount * symbol.price if symbol.known else held.entry
            # |value(mark)| * index(settle); an index that was never seen counts 1
            notional[held.symbol] += abs(value) * (symbols[index].price if index >= 0 else 1.0)
