"""The worker's own liquidation heat map: of its shards, as gauges, computed in parts so that no mark waits for it.

Workers add up: each tells what its shards hold. The largest symbols are named and the rest is "other"; a symbol that
is among the largest of one worker only is in the "other" of the rest, so a sum by symbol may lack what they hold of it.
"""

import asyncio
from collections.abc import Callable, Sequence
from decimal import Decimal

import structlog

from engine.analytics.heat_map import market_points
from engine.book.account_book import AccountBook
from engine.book.heat_map_parts import Heat, nothing
from engine.marks.mark_book import MarkBook
from engine.policy import Policy
from streams.observe.metrics import Metrics

ROUTED_MAX = 8
"""Accounts of a shard that are computed exactly in one round: some ten milliseconds each, one at a time."""
OTHER = "other"
"""Label of all symbols that are not named."""

_log = structlog.get_logger()


class HeatMapGauges:
    """Keeps the gauges of the heat map up to date."""

    def __init__(
        self,
        books: Callable[[], Sequence[AccountBook]],
        marks: MarkBook,
        policy: Policy,
        metrics: Metrics,
        *,
        moves: tuple[Decimal, ...],
        symbols_named: int,
        every_seconds: float,
    ) -> None:
        """`books`: those of the shards that run here. A round begins `every_seconds` after the last one ended; 0 for never."""
        self._books, self._marks, self._policy, self._metrics = books, marks, policy, metrics
        self._moves, self._symbols_named, self._every_seconds = moves, symbols_named, every_seconds

    def rule_by(self, policy: Policy) -> None:
        """Another policy is in force: a round under way is given up, for its points are of the other one."""
        self._policy = policy

    async def run(self) -> None:
        """Refresh until cancelled. A picture that cannot be computed must not end a worker: its timestamp tells."""
        if self._every_seconds:
            self._metrics.heat_map_timestamp_seconds.set_to_current_time()  # from now on its age can be watched
        while self._every_seconds:
            await asyncio.sleep(self._every_seconds)
            try:
                await self.refresh()
            except Exception:  # noqa: BLE001 - told, and seen by the age of the gauges
                _log.exception("heat_map_failed")

    async def refresh(self) -> None:
        """One round: present prices at each move, then every account at these."""
        points, policy = [], self._policy
        for point in market_points(self._moves, self._marks.prices, policy):
            points.append(point)
            await asyncio.sleep(0)
        heat = nothing(len(points), policy)
        for book in self._books() if policy is self._policy else ():
            for part in book.heat_map_in_parts(points, ROUTED_MAX):
                if policy is not self._policy:
                    return
                heat += part
                await asyncio.sleep(0)
        self._tell([str(point.move) for point in points], list(policy.price_symbols), heat)
        self._metrics.heat_map_timestamp_seconds.set_to_current_time()

    def _tell(self, moves: list[str], symbols: list[str], heat: Heat) -> None:
        metrics, by_symbol = self._metrics, heat.notional.sum(axis=0)
        largest = by_symbol.argsort()[::-1][: self._symbols_named]
        named = [number for number in largest.tolist() if by_symbol[number] > 0]
        metrics.heat_map_notional.clear()
        for place, move in enumerate(moves):
            at_move = heat.notional[place]
            for number in named:
                metrics.heat_map_notional.labels(move, symbols[number]).set(at_move[number])
            others = at_move.sum() - at_move[named].sum()
            metrics.heat_map_notional.labels(move, OTHER).set(max(0.0, others))
            metrics.heat_map_pools.labels(move).set(heat.pools[place])
        metrics.heat_map_withheld_pools.set(heat.withheld)
        metrics.heat_map_late_accounts.set(heat.late)
        metrics.heat_map_omitted_accounts.set(heat.omitted)
