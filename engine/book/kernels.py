"""The compiled part of the book: how far prices may move before anybody could have something to say.

A tick of a symbol, step by step
--------------------------------
1. `walk` sets the price. If that makes the symbol known, fresh or stale, everybody is concerned: examine all holders.
2. Otherwise compare the price with the bounds of each block of holders; a quiet block ends here.
3. In the other blocks compare it with each holder's own bounds; whoever is inside ends here.
4. `examine` sums the account's figures anew and asks how far every price may move before anything could change
   (`headroom`). Far enough: new bounds, silence.
5. Otherwise the account is a candidate. After the mark's last holder the walk returns, the exact judge decides at
   exactly these prices, and the walk goes on with the next mark.

An account that these sums cannot express has bounds from elsewhere (`enclose`, `engine.book.boxes`): step 4 always fails.

Comparisons are sound in single precision: bounds are widened inwards and prices outwards by more than it rounds.

Why the bounds hold
-------------------
Let every price of an account lie within p * (1 - reach) .. p * (1 + reach). Each figure is monotone in each price
or a sum of such parts, so its least and greatest values over the box come from the corners (`span`):

* a position's value is monotone in its mark; its maintenance margin rises with its notional
  (rates are positive and do not fall, deductions make the tiers meet), and borrow margin with the coins owed;
* equity * index and value(E, index) rise with E for any index > 0, and are linear in the index.

So if the worst corner satisfies what a row needs to stay silent, every judgement inside the box changes nothing.
`reach` 0 is the point itself.

Rounding
--------
Let u = 2^-53. Each number read (amount, entry value, price, rate, floor) is off by at most u relative, each operation
adds at most u, and a row's sums have at most `TERMS_MAX` terms with fewer than 32 operations on the way through
each. A figure is therefore within about (TERMS_MAX + 32) * u of the sum W of the magnitudes of its parts,
W = sum of (|wallet| + |position value| + |entry value|) * index * liability factor; rates and ratios are at most 1, and
picking the neighbour of the right tier at an edge costs no more, because tiers meet there.
`EPSILON` = 2^-40 = 8192 u leaves a factor of more than three. C - line * MM is trusted when it is further from zero than
EPSILON * (1 + 4 * line) * W: maintenance margin is rate * notional - deduction, two parts of at most W each, and the
same again for what owing requires.
Nothing drifts: sums are always computed anew, never carried forward.

A position without any mark is valued at its average entry price, rounded to 18 places, so off its entry value by
less than |quantity * multiplier| * 10^-18.

All compiled code and its constants are in this one file, because that is what numba's cache on disk watches: a change
elsewhere would leave old machine code in use. Column types are part of its key.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast

import numba
import numpy as np

from engine.book.columns import Columns
from engine.book.ragged import Array

BLOCK = 64
"""Holders summarised by one pair of bounds: large enough that a quiet tick reads 1/64, small enough to rescan."""
EPSILON = 2.0**-40
"""Relative bound of the rounding errors; see above."""
TERMS_MAX = 2048
"""Terms of a row within the error bound; a larger row is always judged exactly."""
_ENTRY_ROUNDING = 1e-18
"""`numbers.divide` rounds an average entry price by at most half of this."""
REACH_MAX = 0.5
"""The widest box: wider ones would hardly ever be left later, and prices must stay positive."""
_SHRINK = 0.9
"""Part of the estimated reach to try first: headroom is nearly linear in it, but bends at tier edges."""
_ATTEMPTS_MAX = 4
"""Halvings before giving up on bounds; the account is then examined at every tick, which is cheap."""
_SINGLE = 2.0**-22
"""Relative widening: four times the rounding of single precision."""
_PRICE_LEAST = 1e-30
"""Bounds around a price of 0 (a worthless option) are those around this, which no price lies below but 0."""

# Flags of a row: what it is ...
SECURES = 1  # has positions, liabilities or orders, so a stale index degrades it
ISOLATED = 2
OPEN = 4  # an isolated position with contracts
STOPPED = 8  # its account is stopped, so it is degraded whatever the prices
DEGRADED = 16  # its last state was degraded
# ... and what must hold for it to stay silent.
NOT_BELOW = 32  # C >= low * MM
NOT_ABOVE = 64  # C < high * MM, or equity < 0
POSITIVE = 128  # equity > 0
NEGATIVE = 256  # equity < 0
EMPTY_IS_QUIET = 512  # nothing, if it has no terms
NEVER = 1024  # nothing: always exact

# Status of an account.
QUIET = 0  # its prices are within its bounds, where no judgement would change anything
HOVERING = 1  # judged at the present prices, too close to a line for bounds
UNJUDGED = 2  # changed, or a timer ran out, since it was last judged, or routed without a box: exact at the next touch

_BAND_LIQUIDATION = 4
"""`ladder.SEVERITY` of liquidation."""

Record = Any
"""One record of a column: its fields are attributes to the compiler, and unknown to the type checker."""
_P = ParamSpec("_P")
_R = TypeVar("_R")


def compiled(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Compile to machine code at the first call, cached on disk; IEEE arithmetic without re-association."""
    return cast("Callable[_P, _R]", numba.njit(cache=True, error_model="numpy")(function))


class Walked(NamedTuple):
    """How far a walk came."""

    next: int
    """The mark to go on with."""
    candidates: int
    """How many accounts of `found` are to be judged exactly, after mark `next` - 1."""
    screened: int
    """Holders answered for."""
    examined: int
    """Holders whose figures were summed."""


@compiled
def walk(columns: Columns, marks: Array, begin: int, now_ns: int, due_ns: int, found: Array) -> Walked:
    """Apply `marks` (`columns.MARK`) from `begin` until one has candidates, or until event time reaches `due_ns` *before* a mark."""
    screened = examined = 0
    for i in range(begin, len(marks)):
        mark = marks[i]
        now_ns = max(now_ns, mark.time_ns)
        if now_ns >= due_ns:
            return Walked(i, 0, screened, examined)
        symbol, price, same = mark.symbol, mark.price, mark.same != 0
        record = columns.symbols[symbol]
        # a mark dated long ago is believed, and stale at once
        fresh = now_ns - mark.time_ns <= record.stale_after_ns
        whole = record.known == 0 or (record.fresh != 0) != fresh
        record.price, record.known, record.fresh = price, 1, fresh
        first, count = columns.holder_start[symbol], columns.holder_count[symbol]
        screened += count
        low, high = np.float32(price * (1 - _SINGLE)), np.float32(price * (1 + _SINGLE))
        candidates = 0
        for block in range(first // BLOCK, (first + count + BLOCK - 1) // BLOCK):
            if not whole and low >= columns.block_floors[block] and high <= columns.block_ceilings[block]:
                continue
            for slot in range(block * BLOCK, min(block * BLOCK + BLOCK, first + count)):
                if not whole and low >= columns.floors[slot] and high <= columns.ceilings[slot]:
                    continue
                account = columns.holders[slot]
                status = columns.status[account]
                if status != UNJUDGED and same and not whole:
                    continue
                examined += status != UNJUDGED
                if status == UNJUDGED or not examine(columns, account):
                    found[candidates] = account
                    candidates += 1
            _summarise(columns.floors, columns.ceilings, columns.block_floors, columns.block_ceilings, block)
        if candidates:
            return Walked(i + 1, candidates, screened, examined)
    return Walked(len(marks), 0, screened, examined)


@compiled
def examine(columns: Columns, account: int) -> bool:
    """Give the account new bounds around the present prices; False, and no bounds, when it must be judged."""
    # columns are handed on one by one: passing the tuple would count references to all of them, again and again
    symbols, assets, tiers, rows, terms = (
        columns.symbols,
        columns.assets,
        columns.tiers,
        columns.rows,
        columns.terms,
    )
    row, term = columns.row_start[account], columns.term_start[account]
    end = row + columns.row_count[account]
    reach = 0.0
    room = _least_headroom(symbols, assets, tiers, rows, terms, row, end, term, 0.0)
    if room > 0:
        reach = REACH_MAX
        beyond = _least_headroom(symbols, assets, tiers, rows, terms, row, end, term, reach)
        if beyond <= 0:
            # headroom is nearly linear: room + (beyond - room) * reach / REACH_MAX = 0
            reach *= _SHRINK * room / (room - beyond)
            for _ in range(_ATTEMPTS_MAX):
                if _least_headroom(symbols, assets, tiers, rows, terms, row, end, term, reach) > 0:
                    break
                reach /= 2
            else:
                reach = 0.0
    columns.status[account] = QUIET if room > 0 else HOVERING
    # with reach 0 the floor lies above the ceiling: every tick comes here
    first = columns.watch_start[account]
    _set_bounds(
        columns.symbols,
        columns.watches,
        first,
        first + columns.watch_count[account],
        columns.holder_start,
        columns.floors,
        columns.ceilings,
        columns.block_floors,
        columns.block_ceilings,
        1 - reach,
        1 + reach,
    )
    return room > 0


@compiled
def dismiss(columns: Columns, account: int) -> None:
    """Mark the account as unjudged: exact at its next touch."""
    columns.status[account] = UNJUDGED
    first = columns.watch_start[account]
    _set_bounds(
        columns.symbols,
        columns.watches,
        first,
        first + columns.watch_count[account],
        columns.holder_start,
        columns.floors,
        columns.ceilings,
        columns.block_floors,
        columns.block_ceilings,
        np.inf,
        -np.inf,
    )


@compiled
def settle(columns: Columns, accounts: Array, due: Array) -> None:
    """Give accounts that changed bounds around the present prices, but for those that are `due` to be judged or must be."""
    for i in range(len(accounts)):
        if due[i] or not examine(columns, accounts[i]):
            dismiss(columns, accounts[i])


@compiled
def enclose(columns: Columns, account: int, reach: float) -> None:
    """Give the account a box that somebody else has computed: quiet within `reach` of the present prices."""
    columns.status[account] = QUIET
    first = columns.watch_start[account]
    _set_bounds(
        columns.symbols,
        columns.watches,
        first,
        first + columns.watch_count[account],
        columns.holder_start,
        columns.floors,
        columns.ceilings,
        columns.block_floors,
        columns.block_ceilings,
        1 - reach,
        1 + reach,
    )


@compiled
def disclose(columns: Columns, symbol: int) -> None:
    """End the boxes of all holders of a symbol of whose marks other facts than the price have moved."""
    first = columns.holder_start[symbol]
    for slot in range(first, first + columns.holder_count[symbol]):
        account = columns.holders[slot]
        if columns.rows[columns.row_start[account]].flags & NEVER:
            dismiss(columns, account)


@compiled
def review(columns: Columns, first: int, end: int) -> None:
    """Examine the accounts `first` to `end`, which are new or have prices that changed without a judgement."""
    for account in range(first, end):
        if not examine(columns, account):
            dismiss(columns, account)


@compiled
def enlist(columns: Columns, first: int, end: int, slots: Array) -> None:
    """Write the accounts `first` to `end` among the holders of what they watch, at the next of each symbol's `slots`."""
    for account in range(first, end):
        begin = columns.watch_start[account]
        for i in range(begin, begin + columns.watch_count[account]):
            symbol = columns.watches[i].symbol
            slot = slots[symbol]
            columns.watches[i].slot = slot
            columns.holders[columns.holder_start[symbol] + slot] = account
            slots[symbol] += 1


@compiled
def sweep(columns: Columns, symbol: int, found: Array) -> int:
    """Examine all holders of a symbol whose freshness changed; returns the number of candidates in `found`."""
    candidates = 0
    first = columns.holder_start[symbol]
    for slot in range(first, first + columns.holder_count[symbol]):
        account = columns.holders[slot]
        if columns.status[account] == UNJUDGED or not examine(columns, account):
            found[candidates] = account
            candidates += 1
    return candidates


class Sums(NamedTuple):
    """`port.Totals` in numbers."""

    by_band: Array
    isolated_by_band: Array
    below: Array
    degraded: int
    stopped: int
    equity: float
    maintenance: float


@compiled
def total(columns: Columns, accounts: int, edges: Array) -> Sums:
    """Count and sum over the first `accounts` accounts."""
    by_band, isolated = np.zeros(6, np.int64), np.zeros(6, np.int64)
    degraded = stopped = 0
    row_start, row_count, rows = columns.row_start, columns.row_count, columns.rows
    for account in range(accounts):
        first, count = row_start[account], row_count[account]
        cross = rows[first]
        by_band[cross.band] += 1
        stopped += cross.flags & STOPPED != 0
        flags = 0
        for row in range(first, first + count):
            flags |= rows[row].flags
            if rows[row].flags & OPEN:
                isolated[rows[row].band] += 1
        degraded += flags & DEGRADED != 0
    below = np.zeros(len(edges), np.int64)
    equity, maintenance = _sum(
        columns.symbols,
        columns.assets,
        columns.tiers,
        row_start,
        rows,
        columns.term_start,
        columns.terms,
        accounts,
        edges,
        below,
    )
    return Sums(by_band, isolated, below, degraded, stopped, equity, maintenance)


@compiled
def _sum(
    symbols: Array,
    assets: Array,
    tiers: Array,
    row_start: Array,
    rows: Array,
    term_start: Array,
    terms: Array,
    accounts: int,
    edges: Array,
    below: Array,
) -> tuple[float, float]:
    """Equity and MM of the shared pools, and in `below` how many stand below each edge.

    `span` without reach, in one loop: a call for each account would count references to every array. Indices are unsigned,
    because a signed one is asked at each use whether it counts from the end.
    """
    equity_sum = maintenance_sum = 0.0
    for account in range(accounts):
        equity = collateral = maintenance = 0.0
        i = np.uint64(term_start[account])
        end = i + np.uint64(rows[row_start[account]].terms)
        while i < end:
            asset = terms[i].asset
            spec = assets[np.uint32(asset)]
            held = required = 0.0
            while i < end and terms[i].asset == asset:
                term = terms[i]
                if term.symbol < 0:
                    held += term.amount
                else:
                    symbol = symbols[np.uint32(term.symbol)]
                    # value = quantity * multiplier * mark; without a mark the entry value
                    value = term.amount * symbol.price if symbol.known else term.entry
                    held += value - term.entry
                    # `_piecewise`
                    tier, highest = np.uint32(symbol.tier_first), np.uint32(symbol.tier_end - 1)
                    while tier < highest and abs(value) >= tiers[tier + np.uint32(1)].floor:
                        tier += np.uint32(1)
                    required += tiers[tier].rate * abs(value) + tiers[tier].offset
                i += np.uint64(1)
            index, fresh = 1.0, True
            if spec.symbol >= 0:
                quote = symbols[np.uint32(spec.symbol)]
                fresh = quote.fresh != 0
                index = quote.price if quote.known else 1.0
            if held < 0 and spec.borrow_first < spec.borrow_end:
                required += _piecewise(tiers, spec.borrow_first, spec.borrow_end, -held)
            equity += held * index
            collateral += _worth(tiers, spec, held, fresh) * index
            maintenance += required * index
        equity_sum += equity
        maintenance_sum += maintenance
        if maintenance > 0:
            for edge in range(len(edges)):
                below[edge] += collateral < edges[edge] * maintenance
    return equity_sum, maintenance_sum


@compiled
def _least_headroom(
    symbols: Array,
    assets: Array,
    tiers: Array,
    rows: Array,
    terms: Array,
    row: int,
    end: int,
    term: int,
    reach: float,
) -> float:
    """The least headroom of an account's rows."""
    room = np.inf
    for i in range(row, end):
        room = min(room, headroom(symbols, assets, tiers, rows, terms, i, term, reach))
        term += rows[i].terms
    return room


@compiled
def _set_bounds(
    symbols: Array,
    watches: Array,
    begin: int,
    end: int,
    starts: Array,
    floors: Array,
    ceilings: Array,
    block_floors: Array,
    block_ceilings: Array,
    low: float,
    high: float,
) -> None:
    """Silence between `low` and `high` times the present price of each of the watches `begin` to `end`."""
    for i in range(begin, end):
        symbol = watches[i].symbol
        price = max(symbols[symbol].price, _PRICE_LEAST)
        slot = starts[symbol] + watches[i].slot
        floor, ceiling = np.float32(price * low * (1 + _SINGLE)), np.float32(price * high * (1 - _SINGLE))
        floors[slot], ceilings[slot] = floor, ceiling
        block = slot // BLOCK
        block_floors[block] = max(block_floors[block], floor)
        block_ceilings[block] = min(block_ceilings[block], ceiling)


@compiled
def _summarise(
    floors: Array, ceilings: Array, block_floors: Array, block_ceilings: Array, block: int
) -> None:
    """Make the block's bounds those of its holders."""
    floor, ceiling = np.float32(-np.inf), np.float32(np.inf)
    for slot in range(block * BLOCK, block * BLOCK + BLOCK):
        floor = max(floor, floors[slot])
        ceiling = min(ceiling, ceilings[slot])
    block_floors[block], block_ceilings[block] = floor, ceiling


class Span(NamedTuple):
    """Least and greatest figures of a row over a box, in account currency."""

    equity_low: float
    equity_high: float
    collateral_low: float
    collateral_high: float
    maintenance_low: float
    maintenance_high: float
    weight: float
    """Sum of the magnitudes of everything added up: the scale of the rounding error."""
    degraded: bool


@compiled
def span(
    symbols: Array,
    assets: Array,
    tiers: Array,
    terms: Array,
    flags: int,
    first: int,
    end: int,
    reach: float,
) -> Span:
    """Figures of a row with terms `first` to `end`, with every price within `reach` of the present one."""
    equity_low = equity_high = collateral_low = collateral_high = 0.0
    maintenance_low = maintenance_high = weight = 0.0
    degraded = flags & STOPPED != 0
    i = first
    while i < end:
        asset = terms[i].asset
        spec = assets[asset]
        low = high = required_low = required_high = gross = 0.0
        while i < end and terms[i].asset == asset:
            amount, entry = terms[i].amount, terms[i].entry
            if terms[i].symbol < 0:
                low += amount
                high += amount
                gross += abs(amount)
            else:
                symbol = symbols[terms[i].symbol]
                pnl_low, pnl_high, least, most = _position(symbol, amount, entry, reach)
                low += pnl_low
                high += pnl_high
                # MM = tier rate * notional - tier deduction
                required_low += _piecewise(tiers, symbol.tier_first, symbol.tier_end, least)
                required_high += _piecewise(tiers, symbol.tier_first, symbol.tier_end, most)
                gross += most + abs(entry)
                degraded |= symbol.fresh == 0
            i += 1
        index_low = index_high = 1.0
        fresh = True
        if spec.symbol >= 0:
            index = symbols[spec.symbol]
            fresh = index.fresh != 0
            if index.known:
                index_low, index_high = index.price * (1 - reach), index.price * (1 + reach)
        degraded |= not fresh and flags & SECURES != 0
        # E = sum over assets of E_a * index_a
        equity_low += min(low * index_low, low * index_high)
        equity_high += max(high * index_low, high * index_high)
        if flags & ISOLATED:
            collateral_low, collateral_high = equity_low, equity_high
        else:
            if spec.borrow_first < spec.borrow_end:
                # borrow MM = marginal tiers of the coins owed * rate
                required_low += _piecewise(tiers, spec.borrow_first, spec.borrow_end, max(-high, 0.0))
                required_high += _piecewise(tiers, spec.borrow_first, spec.borrow_end, max(-low, 0.0))
            # C = sum over assets of value(E_a) * index_a
            worth_low = _worth(tiers, spec, low, fresh)
            worth_high = _worth(tiers, spec, high, fresh)
            collateral_low += min(worth_low * index_low, worth_low * index_high)
            collateral_high += max(worth_high * index_low, worth_high * index_high)
        # MM = sum over assets of (MM of positions settled in it + borrow MM) * index
        maintenance_low += required_low * index_low
        maintenance_high += required_high * index_high
        weight += gross * index_high * spec.liability
    return Span(
        equity_low,
        equity_high,
        collateral_low,
        collateral_high,
        maintenance_low,
        maintenance_high,
        weight,
        degraded,
    )


@compiled
def _position(symbol: Record, amount: float, entry: float, reach: float) -> tuple[float, float, float, float]:
    """Least and greatest uPnL and notional of a position, in settle asset."""
    if symbol.known:
        # value = quantity * multiplier * mark
        near, far = amount * (symbol.price * (1 - reach)), amount * (symbol.price * (1 + reach))
    else:
        slack = abs(amount) * _ENTRY_ROUNDING
        near, far = entry - slack, entry + slack
    least = min(abs(near), abs(far)) if near * far > 0 else 0.0
    # uPnL = value - entry value
    return min(near, far) - entry, max(near, far) - entry, least, max(abs(near), abs(far))


@compiled
def headroom(
    symbols: Array, assets: Array, tiers: Array, rows: Array, terms: Array, row: int, first: int, reach: float
) -> float:
    """Above zero: nothing a judgement of `row` could change anywhere within `reach`. Relative to the row's weight.

    `first` is where its terms begin.
    """
    held = rows[row]
    flags = held.flags
    if flags & NEVER:
        return -1.0
    if held.terms == 0:
        quiet = flags & EMPTY_IS_QUIET and (flags & STOPPED != 0) == (flags & DEGRADED != 0)
        return 1.0 if quiet else -1.0
    at = span(symbols, assets, tiers, terms, flags, first, first + held.terms, reach)
    if at.degraded != (flags & DEGRADED != 0):
        return -1.0
    error = EPSILON * at.weight
    room = at.weight
    if flags & NOT_BELOW:
        # C - low * MM >= 0
        above = at.collateral_low - held.low * at.maintenance_high - error * (1 + 4 * held.low)
        room = min(room, above)
    if flags & NOT_ABOVE:
        # high * MM - C > 0, or equity < 0
        line = held.high * at.maintenance_low - at.collateral_high - error * (1 + 4 * held.high)
        room = min(room, max(line, -at.equity_high - error))
    if flags & POSITIVE:
        room = min(room, at.equity_low - error)
    if flags & NEGATIVE:
        room = min(room, -at.equity_high - error)
    return room / at.weight


@compiled
def _piecewise(tiers: Array, first: int, end: int, amount: float) -> float:
    """The amount counted by the tier that holds it: rate * amount + offset."""
    i = first
    while i + 1 < end and amount >= tiers[i + 1].floor:
        i += 1
    counted: float = tiers[i].rate * amount + tiers[i].offset
    return counted


@compiled
def _worth(tiers: Array, asset: Record, amount: float, fresh: bool) -> float:  # noqa: FBT001
    """Value at index 1: marginal tiers of a positive amount (0 when stale), a liability at its factor."""
    worth = 0.0
    if amount < 0:
        worth = amount * asset.liability
    elif fresh:
        worth = _piecewise(tiers, asset.tier_first, asset.tier_end, amount)
    return worth


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
                now = span(markets[zero], assets, tiers, terms, flags, first, end, 0.0)
                if withholds and now.degraded:
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
        if _fallen(span(markets[point], assets, tiers, terms, flags, first, end, 0.0), line):
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
