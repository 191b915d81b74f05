"""The moves that bring a pool out of liquidation, as few lots of them as are enough.

One move at a time, the one with the largest (gap after - gap before) / expected cost; where no single move helps, as in a
pool whose positions hedge each other, the same share of every position.
"""

import itertools
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import NamedTuple

from engine.ledger.accounts import AccountState
from engine.liquidation.cross_probe import CrossProbe
from engine.liquidation.lots import least, lot_of
from engine.liquidation.moves import Move, Reduction, repayments
from engine.liquidation.portfolio_probe import PortfolioProbe
from engine.liquidation.slices import Slice, schedule
from engine.liquidation.standing import PoolProbe, Probe
from engine.liquidation.trades import positions_of
from engine.margin.cross.cross_sums import CrossSums
from engine.margin.figures import Standing
from engine.margin.portfolio.portfolio_pool import portfolio_pool
from engine.margin.quotes import index_price
from engine.marks.mark_book import Prices
from engine.numbers import ONE, ZERO, divide, whole_steps
from engine.policy import Policy
from engine.position_keys import symbol_of

MOVES_MAX = 256
"""Single moves of one plan; a pool that needs more is closed by shares of all its positions."""


ORDERS_MAX = 1_000
"""Orders of one plan, which an event has to carry; the next plan has the rest."""


class Taken(NamedTuple):
    """A move that is part of the plan."""

    move: Move
    lots: int
    round: int
    sliced: bool = False
    """Whether the moves of its round are a share of every position, which only helps together."""

    @property
    def orders(self) -> int:
        """How many steps of the plan it is."""
        return self.move.orders(self.lots)


def probe_of(state: AccountState, pool: str, prices: Prices, policy: Policy) -> Probe:
    """The cheapest probe that is right for the pool. Inside `numbers.exact()`."""
    if not pool and CrossProbe.fits(state, prices, policy):
        return CrossProbe(state, CrossSums(state, prices, policy), prices, policy)
    if not pool and PortfolioProbe.fits(state, prices, policy):
        return PortfolioProbe(state, portfolio_pool(state, prices, policy), prices, policy)
    return PoolProbe(state, pool, prices, policy)


class Search:
    """The search for one pool. Everything inside `numbers.exact()`."""

    def __init__(self, pool: str, line: Decimal, prices: Prices, policy: Policy) -> None:
        """`line` is the ratio to reach."""
        self._pool, self._line, self._prices, self._policy = pool, line, prices, policy
        self.taken: list[Taken] = []
        """What was found, in order."""
        self._deep: dict[str, Decimal] = {}
        """Of positions that are worth more than the depth of their book, how many contracts there were at first."""

    def reduced(self, probe: Probe) -> Standing:
        """Moves until the pool is out, or no single move brings it nearer; then shares of all positions."""
        self._note_deep(probe)
        rules, round_, used = self._policy.liquidation, 1, 0
        share = rules.share_per_round_max
        # contracts of each position that one round may close
        per_round = {key: abs(it.quantity) for key, it in positions_of(probe.state, self._pool).items()}
        if share != ONE:
            per_round = {key: share * size for key, size in per_round.items()}
        budget = dict(per_round)
        while len(self.taken) < MOVES_MAX:
            best = self._best(self._moves(probe, budget), probe.now) if used < rules.steps_max else None
            if best is None:
                if not used:
                    break
                round_, used, budget = round_ + 1, 0, dict(per_round)
                continue
            lots, after = self._lots(best, probe.now)
            self.taken.append(Taken(best, lots, round_))
            if after.out(self._line):
                return after
            if isinstance(best, Reduction):
                budget[best.name] -= best.quantity(lots)
            probe = best.applied(lots)
            used += 1
        return self._sliced(probe)

    def _moves(self, probe: Probe, budget: dict[str, Decimal]) -> Iterator[Move]:
        """What may be done; of positions not what surely gains less per cost than another."""
        held = positions_of(probe.state, self._pool)
        limits = {key: limit for key in held if (limit := budget[key]) > ZERO}
        for key in [key for key in self._deep if key in limits]:
            yield self._within_level(probe, key, limits.pop(key))
        for key in probe.foremost(limits):
            yield Reduction(probe, self._pool, key, limits[key], self._prices, self._policy)
        if not self._pool:
            yield from repayments(probe, self._line, self._prices, self._policy)

    def _best(self, moves: Iterable[Move], now: Standing) -> Move | None:
        """The move with the largest gain per cost; those that cost nothing go first, by gain per value traded."""
        first: list[Move] = []
        best, gap = None, now.gap(self._line)
        for move in moves:
            sizes = move.sizes
            for count in sizes if len(sizes) == 1 else (sizes[0], sizes[-1]):
                gain = move.standing(count).gap(self._line) - gap
                if gain > ZERO:
                    efficiency = _efficiency(move, count, gain)
                    if best is None or efficiency < best:
                        best, first = efficiency, [move]
                    elif efficiency == best:
                        first.append(move)
                    break
        return first[0] if len(first) == 1 else min(first, key=lambda it: it.rank, default=None)

    def _lots(self, move: Move, now: Standing) -> tuple[int, Standing]:
        """The least lots that are enough; where none are, the size that brings the pool nearest to the line."""
        short, short_gap = 0, now.gap(self._line)
        nearest, nearest_gap, nearest_standing = 0, short_gap, now
        for lots in move.sizes:
            after = move.standing(lots)
            gap = after.gap(self._line)
            if gap >= 0 and not after.bankrupt:
                found = least(lambda at: self._lot_probe(move.standing(at)), short, short_gap, lots, gap)
                found = move.tradable(found)
                return found, move.standing(found)
            short, short_gap = lots, gap
            if gap > nearest_gap:
                nearest, nearest_gap, nearest_standing = lots, gap, after
        tradable = move.tradable(nearest)
        return (nearest, nearest_standing) if tradable == nearest else (tradable, move.standing(tradable))

    def _lot_probe(self, after: Standing) -> tuple[Decimal, bool]:
        gap = after.gap(self._line)
        return gap, gap >= 0 and not after.bankrupt

    def _sliced(self, probe: Probe) -> Standing:
        """The same share of every position, as small as is enough; where the pool stands if nothing is."""
        legs = sorted(self._legs(probe), key=lambda leg: leg.rank)
        rounds_before = self.taken[-1].round if self.taken else 0
        for sixteenths in range(1, 17):
            slices = schedule(legs, sixteenths, self._policy.liquidation.share_per_round_max)
            if self._after(probe, slices).out(self._line):
                return self._take(probe, self._trimmed(probe, slices), rounds_before).now
        return probe.now

    def closed(self, probe: Probe) -> Standing:
        """Every position whole, those that free most per cost first; where the pool stands if that is not enough."""
        self._note_deep(probe)
        gap = probe.now.gap(self._line)
        legs: list[tuple[bool, Decimal, Decimal, str, Reduction]] = []
        for leg in self._legs(probe):
            gain = leg.standing(leg.whole).gap(self._line) - gap
            legs.append((*_efficiency(leg, leg.whole, gain), *leg.rank, leg))
        ordered = [it[-1] for it in sorted(legs, key=lambda it: it[:-1])]
        slices = schedule(ordered, 16, self._policy.liquidation.share_per_round_max)
        if not self._after(probe, slices).out(self._line):
            return probe.now
        return self._take(probe, slices, 0).now

    def settled(self, probe: Probe) -> Standing:
        """Every position, then every debt out of what is held: where a pool ends that is closed at market.

        What was found before is dropped. A pool whose equity pays for that is out, whatever its assets count as collateral.
        """
        self.taken = []
        self._note_deep(probe)
        legs = sorted(self._legs(probe), key=lambda leg: leg.rank)
        slices = schedule(legs, 16, self._policy.liquidation.share_per_round_max)
        if self._after(probe, slices).out(self._line):
            return self._take(probe, self._trimmed(probe, slices), 0).now
        probe = self._take(probe, slices, 0)
        round_ = 1 + (slices[-1].round if slices else 0)
        while not (self._pool or probe.now.out(self._line)):
            repayment = next(repayments(probe, None, self._prices, self._policy), None)
            if repayment is None:
                break
            lots = repayment.sizes[-1]
            if repayment.standing(lots).out(self._line):
                lots, _ = self._lots(repayment, probe.now)
            probe = self._taken(repayment, lots, round_)
        return probe.now

    def shortened(self, after: Standing) -> Standing:
        """Cut what was found to `ORDERS_MAX` orders: where the pool stands then, `after` where nothing had to be cut."""
        found, room = self.taken, ORDERS_MAX
        if sum(it.orders for it in found) <= room:
            return after
        self.taken = []
        for _, part in itertools.groupby(found, key=_together):
            group = list(part)
            orders = sum(it.orders for it in group)
            if orders > room:
                return after if self.taken else self._cut(group, orders)
            self.taken += group
            room -= orders
            after = group[-1].move.standing(group[-1].lots)
        return after

    def _cut(self, group: list[Taken], orders: int) -> Standing:
        """The same share of each of these moves, at least an order of each."""
        probe = group[0].move.probe
        for it in group:
            # whole orders of what would be so many
            lots = it.lots * max(1, it.orders * ORDERS_MAX // orders) // it.orders
            probe = self._taken(self._leg(probe, it.move.name), lots, it.round)
        return probe.now

    def _taken(self, move: Move, lots: int, round_: int, *, sliced: bool = False) -> Probe:
        """The pool after the next move of the plan."""
        self.taken.append(Taken(move, lots, round_, sliced))
        return move.applied(lots)

    def _after(self, probe: Probe, slices: Iterable[Slice]) -> Standing:
        """Where the pool stands after these slices, executed one by one."""
        for it in slices:
            probe = self._leg(probe, it.key).applied(it.lots)
        return probe.now

    def _trimmed(self, probe: Probe, slices: list[Slice]) -> list[Slice]:
        """Without what is not needed of the last slices: one lot less of what is left does not reach, or cannot be traded."""
        # known: `short` slices are not enough, `enough` are
        short, enough = 0, len(slices)
        short_gap = probe.now.gap(self._line)
        while enough - short > 1:
            middle = (short + enough) // 2
            after = self._after(probe, slices[:middle])
            if after.out(self._line):
                enough = middle
            else:
                short, short_gap = middle, after.gap(self._line)
        *others, last = slices[:enough]
        for it in others:
            probe = self._leg(probe, it.key).applied(it.lots)
        leg = self._leg(probe, last.key)

        def lot_probe(count: int) -> tuple[Decimal, bool]:
            return self._lot_probe(leg.standing(count))

        count = least(lot_probe, 0, short_gap, last.lots, lot_probe(last.lots)[0])
        sized = leg.tradable(count)
        if sized != count:
            # more may be too much, of positions that hedge each other
            count = sized if lot_probe(sized)[1] else last.lots
        return [*others, last._replace(lots=count)]

    def _take(self, probe: Probe, slices: Iterable[Slice], rounds_before: int) -> Probe:
        for it in slices:
            probe = self._taken(self._leg(probe, it.key), it.lots, rounds_before + it.round, sliced=True)
        return probe

    def _leg(self, probe: Probe, key: str) -> Reduction:
        """All of a position."""
        closed = self._closed(probe, key)
        return Reduction(probe, self._pool, key, None, self._prices, self._policy, closed)

    def _note_deep(self, probe: Probe) -> None:
        """Find positions of which not every contract costs the same to close."""
        rules = self._policy.liquidation
        for key, held in positions_of(probe.state, self._pool).items():
            instrument = self._policy.instruments[symbol_of(key)]
            index, _ = index_price(self._policy, instrument.settle, self._prices)
            _, ceiling = rules.level(symbol_of(key), ZERO)
            if instrument.notional(held.quantity, probe.mark(key)) * index > ceiling:
                self._deep[key] = abs(held.quantity)

    def _closed(self, probe: Probe, key: str) -> Decimal:
        """Contracts of a deep position that what was found closes; of others it does not matter."""
        whole = self._deep.get(key)
        return ZERO if whole is None else whole - abs(positions_of(probe.state, self._pool)[key].quantity)

    def _within_level(self, probe: Probe, key: str, limit: Decimal) -> Reduction:
        """As much of a deep position as costs the same, but at least a lot."""
        instrument, closed = self._policy.instruments[symbol_of(key)], self._closed(probe, key)
        index, _ = index_price(self._policy, instrument.settle, self._prices)
        mark, lot = probe.mark(key), lot_of(instrument.quantity_step)
        value = instrument.notional(closed, mark) * index
        _, ceiling = self._policy.liquidation.level(symbol_of(key), value)
        room = instrument.quantity(divide(ceiling - value, index), instrument.scale(mark))
        lots = max(ONE, whole_steps(room, lot, "down"))
        limit = min(limit, lots * lot)
        return Reduction(probe, self._pool, key, limit, self._prices, self._policy, closed)

    def _legs(self, probe: Probe) -> list[Reduction]:
        return [self._leg(probe, key) for key in positions_of(probe.state, self._pool)]


def _together(taken: Taken) -> tuple[bool, int]:
    """Equal of neighbours that are of the same slices."""
    return taken.sliced, taken.round if taken.sliced else id(taken)


def _efficiency(move: Move, count: int, gain: Decimal) -> tuple[bool, Decimal]:
    """Sorts what gains most per cost first, and what costs nothing before all else."""
    cost = move.cost(count)
    # gain / cost, or gain / value where it costs nothing
    return bool(cost), -divide(gain, cost or move.value(count) or ONE)
