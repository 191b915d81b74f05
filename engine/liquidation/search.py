"""The moves that bring a pool out of liquidation, as few lots of them as are enough.

One move at a time, the one with the largest (gap after - gap before) / expected cost; where no single move helps, as in a
pool whose positions hedge each other, the same share of every position.
"""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import NamedTuple

from engine.accounts import AccountState
from engine.liquidation.cross_probe import CrossProbe
from engine.liquidation.lots import Lots, least, lot_of
from engine.liquidation.lots import Probe as LotProbe
from engine.liquidation.moves import Move, Reduction, repayments
from engine.liquidation.slices import Slice, schedule
from engine.liquidation.standing import PoolProbe, Probe, Standing, standing
from engine.liquidation.trades import positions_of, reduced
from engine.margin.quotes import mark_price
from engine.marks import Prices
from engine.numbers import ONE, divide
from engine.policy import Policy
from engine.position_keys import symbol_of

MOVES_MAX = 256
"""Single moves of one plan; a pool that needs more is closed by shares of all its positions."""


class Taken(NamedTuple):
    """A move that is part of the plan."""

    move: Move
    lots: int
    freed: Decimal
    """Requirement that it frees."""
    round: int


def probe_of(state: AccountState, pool: str, prices: Prices, policy: Policy) -> Probe:
    """The cheapest probe that is right for the pool. Inside `numbers.exact()`."""
    if not pool and CrossProbe.fits(state, prices, policy):
        return CrossProbe(state, prices, policy)
    return PoolProbe(state, pool, prices, policy)


class Search:
    """The search for one pool. Everything inside `numbers.exact()`."""

    def __init__(self, pool: str, line: Decimal, prices: Prices, policy: Policy) -> None:
        """`line` is the ratio to reach."""
        self._pool, self._line, self._prices, self._policy = pool, line, prices, policy
        self.taken: list[Taken] = []
        """What was found, in order."""

    def reduced(self, probe: Probe) -> Standing:
        """Moves until the pool is out, or no single move brings it nearer; then shares of all positions."""
        rules, round_, used = self._policy.liquidation, 1, 0
        share = rules.share_per_round_max
        # contracts of each position that one round may close
        per_round = {
            key: share * abs(it.quantity) for key, it in positions_of(probe.state, self._pool).items()
        }
        budget = dict(per_round)
        while len(self.taken) < MOVES_MAX:
            best = self._best(self._moves(probe, budget), probe.now) if used < rules.steps_max else None
            if best is None:
                if not used:
                    break
                round_, used, budget = round_ + 1, 0, dict(per_round)
                continue
            lots, after = self._lots(best, probe.now)
            self.taken.append(Taken(best, lots, probe.now.requirement - after.requirement, round_))
            if after.out(self._line):
                return after
            if isinstance(best, Reduction):
                budget[best.name] -= best.quantity(lots)
            probe = probe_of(best.applied(lots), self._pool, self._prices, self._policy)
            used += 1
        return self._sliced(probe)

    def _moves(self, probe: Probe, budget: dict[str, Decimal]) -> Iterator[Move]:
        for key in positions_of(probe.state, self._pool):
            if budget[key] > 0:
                yield Reduction(probe, self._pool, key, budget[key], self._prices, self._policy)
        if not self._pool:
            yield from repayments(probe, self._prices, self._policy)

    def _best(self, moves: Iterable[Move], now: Standing) -> Move | None:
        """The move with the largest gain per cost; those that cost nothing go first, by gain per value traded."""
        found: list[tuple[tuple[bool, Decimal], Move]] = []
        for move in moves:
            for count in dict.fromkeys((move.sizes[0], move.sizes[-1])):
                gain = move.standing(count).gap(self._line) - now.gap(self._line)
                if gain > 0:
                    found.append((_efficiency(move, count, gain), move))
                    break
        if not found:
            return None
        first = min(efficiency for efficiency, _ in found)
        return min((move for efficiency, move in found if efficiency == first), key=lambda it: it.rank)

    def _lots(self, move: Move, now: Standing) -> tuple[int, Standing]:
        """The least lots that are enough; where none are, the size that brings the pool nearest to the line."""
        short, short_gap = 0, now.gap(self._line)
        nearest, nearest_gap, nearest_standing = 0, short_gap, now
        for lots in move.sizes:
            after = move.standing(lots)
            gap = after.gap(self._line)
            if after.out(self._line):
                found = least(lambda at: self._lot_probe(move.standing(at)), short, short_gap, lots, gap)
                return found, move.standing(found)
            short, short_gap = lots, gap
            if gap > nearest_gap:
                nearest, nearest_gap, nearest_standing = lots, gap, after
        return nearest, nearest_standing

    def _lot_probe(self, after: Standing) -> LotProbe:
        return LotProbe(after.gap(self._line), after.out(self._line))

    def _sliced(self, probe: Probe) -> Standing:
        """The same share of every position, as small as is enough; where the pool stands if nothing is."""
        legs = [Reduction(probe, self._pool, key, held.quantity.copy_abs(), self._prices, self._policy)
                for key, held in positions_of(probe.state, self._pool).items()]  # fmt: skip
        legs.sort(key=lambda leg: leg.rank)
        rounds_before = self.taken[-1].round if self.taken else 0
        for sixteenths in range(1, 17):
            slices = schedule(legs, sixteenths, self._policy.liquidation.share_per_round_max)
            if self._after(probe.state, slices).out(self._line):
                return self._take(probe, self._trimmed(probe.state, slices), rounds_before)
        return probe.now

    def closed(self, probe: Probe) -> Standing:
        """Every position whole, those that free most per cost first; where the pool stands if that is not enough."""
        gap = probe.now.gap(self._line)
        legs = []
        for key, held in positions_of(probe.state, self._pool).items():
            leg = Reduction(probe, self._pool, key, abs(held.quantity), self._prices, self._policy)
            gain = leg.standing(leg.whole).gap(self._line) - gap
            legs.append((*_efficiency(leg, leg.whole, gain), *leg.rank, leg))
        ordered = [it[-1] for it in sorted(legs, key=lambda it: it[:-1])]
        slices = schedule(ordered, 16, self._policy.liquidation.share_per_round_max)
        if not self._after(probe.state, slices).out(self._line):
            return probe.now
        return self._take(probe, slices, 0)

    def _after(self, state: AccountState, slices: Iterable[Slice]) -> Standing:
        """Where the pool stands after these slices, executed one by one."""
        for it in slices:
            held, symbol = positions_of(state, self._pool)[it.key], symbol_of(it.key)
            mark, _ = mark_price(symbol, held, self._prices, self._policy)
            lots = Lots(abs(held.quantity), lot_of(self._policy.instruments[symbol].quantity_step))
            state = reduced(state, self._pool, it.key, lots.amount_of(it.lots), mark, self._policy)
        return standing(state, self._pool, self._prices, self._policy)

    def _trimmed(self, state: AccountState, slices: list[Slice]) -> list[Slice]:
        """Without what is not needed of the last slices: one lot less of what is left does not reach."""
        # known: `short` slices are not enough, `enough` are
        short, enough = 0, len(slices)
        short_gap = standing(state, self._pool, self._prices, self._policy).gap(self._line)
        while enough - short > 1:
            middle = (short + enough) // 2
            after = self._after(state, slices[:middle])
            if after.out(self._line):
                enough = middle
            else:
                short, short_gap = middle, after.gap(self._line)
        *others, last = slices[:enough]

        def probe(count: int) -> LotProbe:
            return self._lot_probe(self._after(state, [*others, last._replace(lots=count)]))

        count = least(probe, 0, short_gap, last.lots, probe(last.lots).gap)
        return [*others, last._replace(lots=count)]

    def _take(self, probe: Probe, slices: Iterable[Slice], rounds_before: int) -> Standing:
        for it in slices:
            leg = self._leg(probe, it)
            after: Probe = PoolProbe(leg.applied(it.lots), self._pool, self._prices, self._policy)
            freed = probe.now.requirement - after.now.requirement
            self.taken.append(Taken(leg, it.lots, freed, rounds_before + it.round))
            probe = after
        return probe.now

    def _leg(self, probe: Probe, it: Slice) -> Reduction:
        held = positions_of(probe.state, self._pool)[it.key]
        return Reduction(probe, self._pool, it.key, abs(held.quantity), self._prices, self._policy)


def _efficiency(move: Move, count: int, gain: Decimal) -> tuple[bool, Decimal]:
    """Sorts what gains most per cost first, and what costs nothing before all else."""
    cost = move.cost(count)
    # gain / cost, or gain / value where it costs nothing
    return bool(cost), -divide(gain, cost or move.value(count) or ONE)
