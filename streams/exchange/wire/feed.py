"""The feed itself: an exchange's side of Kafka, from first prices to last fill.

Life of a feed
--------------
1. Every price symbol gets its start price; from then on all are repeated each second, so nothing goes stale.
2. The population is seeded: all ledger entries, then all opening fills, as fast as the broker takes them. A worker
   reads the two topics in no fixed order, so the fills wait until the entries are acknowledged, and a moment longer.
3. The market moves: the scenario's marks at their due times, dated now, and random fills at their rate. Only
   symbols that the scenario never marks are still repeated.

Rules
-----
* Accounts go by key (the partitioner is Kafka's own murmur2); a symbol always goes to the partition its name
  hashes to, alone or in a batch, so its order holds.
* A feed that falls behind does not burst: it catches up by at most `CATCH_UP_SECONDS_MAX`, moves its schedule for the
  rest, and says in its summary how late it was.
* The first message that the broker refuses ends the feed.
* `account_seq` counts from 1, so a cluster takes one population: a second run's messages are duplicates to it.
"""

import asyncio
import itertools
import math
import time
from collections.abc import Callable, Iterator
from decimal import Decimal

import msgspec

from engine.inputs import Fill, Mark
from streams.config.settings import Settings
from streams.exchange.market.scenario import FeedMark, Scenario
from streams.exchange.traders.population import Population
from streams.exchange.traders.trading import Trading
from streams.exchange.wire.exchange_writer import Writer, open_writer
from streams.exchange.wire.taken_in import until_taken_in

REPEAT_SECONDS = 1.0
"""How often constant prices are repeated, and progress is told."""
PACE_SECONDS_MIN, PACE_SECONDS_MAX = 0.002, 0.05
"""Bounds of one pause: shorter costs more than it sharpens, longer would hold up fills and repeats."""
CATCH_UP_SECONDS_MAX = 0.5
PENDING_MARKS_MAX = 512
FILLS_AT_ONCE_MAX = 100
"""Between two looks at the clock; fills due beyond it are dropped from the schedule."""
SEEDED_PER_LOOK = 256


class FeedOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How the scenario and the population are sent."""

    fills_per_second: float = 0.0
    """Random fills while the market moves."""
    seconds_max: float | None = None
    """End the moving market after this long; None plays the scenario to its end."""
    marks_per_record: int = 1
    """Above 1, marks that are due together travel as batches of at most this many."""
    await_workers: bool = False
    """Begin the moving market only when the workers' group has taken in every account."""
    settle_seconds: float = 1.0
    """Pause between the ledger entries and the opening fills."""


class PriceSpan(msgspec.Struct, frozen=True):
    """First and last believable price of a symbol."""

    first: Decimal
    last: Decimal


class FeedSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What a feed has sent so far."""

    phase: str
    """seeding, moving or ended."""
    accounts: int
    ledger_entries: int
    fills: int
    """Opening and random ones."""
    ticks: int
    """Marks of the scenario, deliberately bad ones included."""
    repeats: int
    """Start prices sent to keep symbols fresh."""
    seconds: float
    late_seconds_max: float
    """How far behind the scenario's own times the feed has been at worst."""
    prices: dict[str, PriceSpan]


ProgressCallback = Callable[[FeedSummary], None]


async def run_feed(
    settings: Settings,
    scenario: Scenario,
    population: Population,
    options: FeedOptions | None = None,
    on_progress: ProgressCallback | None = None,
) -> FeedSummary:
    """Run one feed to its end. Raises `BrokerError` when the broker cannot be used, `RecordingError` for a bad row."""
    return await Feed(settings, scenario, population, options, on_progress).run()


class Feed:
    """One run of the feed. Cancel `run` to end it early: what was sent is still delivered, `summary` still true."""

    def __init__(
        self,
        settings: Settings,
        scenario: Scenario,
        population: Population,
        options: FeedOptions | None = None,
        on_progress: ProgressCallback | None = None,
    ) -> None:
        """Nothing is connected before `run`. `on_progress` is called at least at each change of phase."""
        self._settings, self._scenario, self._population = settings, scenario, population
        self._options = options or FeedOptions()
        self._on_progress = on_progress
        self._trading = Trading(population)
        self._marks: dict[str, Mark] = {}
        self._phase = "seeding"
        self._ledger_entries = self._fills = self._ticks = self._repeats = 0
        self._late_seconds_max = 0.0
        self._began = self._repeat_at = time.monotonic()
        # A later run starts above every sequence of an earlier one: no symbol is marked a million times a second.
        self._sequence = time.time_ns() // 1_000
        self._trades_done, self._trades_began = 0, 0.0

    def summary(self) -> FeedSummary:
        """What has been sent until now."""
        return FeedSummary(
            phase=self._phase,
            accounts=self._population.accounts,
            ledger_entries=self._ledger_entries,
            fills=self._fills,
            ticks=self._ticks,
            repeats=self._repeats,
            seconds=time.monotonic() - self._began,
            late_seconds_max=self._late_seconds_max,
            prices={
                symbol: PriceSpan(self._scenario.start_prices[symbol], mark.price)
                for symbol, mark in self._marks.items()
            },
        )

    async def run(self) -> FeedSummary:
        """Send everything. Raises `BrokerError` when the broker cannot be used."""
        # The way to the first mark of a recording's window can be long: nobody should wait for it in mid-feed.
        scenario = iter(self._scenario)
        first = list(itertools.islice(scenario, 1))
        marks = itertools.chain(first, scenario)
        whole = any(mark.moment is not None for mark in first)
        async with open_writer(self._settings, None if whole else self._options.marks_per_record) as writer:
            await self._seed(writer)
            await self._move(writer, marks)
        self._enter("ended")
        return self.summary()

    async def _seed(self, writer: Writer) -> None:
        self._began = time.monotonic()
        self._enter("seeding")
        await self._repeat(writer)
        await writer.flush()
        now_ns = time.time_ns()
        await self._seed_topic(writer, now_ns, fills=False)
        settled = time.monotonic() + self._options.settle_seconds
        while time.monotonic() < settled:
            await asyncio.sleep(PACE_SECONDS_MAX)
            await self._repeat_when_due(writer)
        await self._seed_topic(writer, now_ns, fills=True)
        if self._options.await_workers:
            await until_taken_in(self._settings, lambda: self._repeat_when_due(writer))

    async def _seed_topic(self, writer: Writer, now_ns: int, *, fills: bool) -> None:
        for message in self._population.inputs(now_ns):
            if isinstance(message, Fill) is not fills:
                continue
            await writer.account_input(message)
            self._fills += fills
            self._ledger_entries += not fills
            if (self._fills + self._ledger_entries) % SEEDED_PER_LOOK == 0:
                await self._repeat_when_due(writer)
        await writer.flush()

    async def _move(self, writer: Writer, marks: Iterator[FeedMark]) -> None:
        """The scenario's marks when they are due; fills and repeats in the pauses."""
        self._enter("moving")
        began = self._trades_began = time.monotonic()
        ends = began + (math.inf if self._options.seconds_max is None else self._options.seconds_max)
        moved = 0.0
        pending: list[Mark] = []
        base, moment = self._sequence, None
        for feed_mark in marks:
            if feed_mark.moment != moment:
                await self._send(writer, pending)
                moment = feed_mark.moment
            due = began + feed_mark.at_seconds
            now = time.monotonic()
            while self._scenario.paced and now < min(due + moved, ends):
                await self._send(writer, pending)
                await asyncio.sleep(min(max(due + moved - now, PACE_SECONDS_MIN), PACE_SECONDS_MAX))
                now = time.monotonic()
            if now >= ends:
                break
            if self._scenario.paced:
                self._late_seconds_max = max(self._late_seconds_max, now - due)
                moved = max(moved, now - due - CATCH_UP_SECONDS_MAX)
            pending.append(self._mark(feed_mark, base))
            if len(pending) >= PENDING_MARKS_MAX:
                await self._send(writer, pending)
        await self._send(writer, pending)
        await writer.flush()

    def _mark(self, feed_mark: FeedMark, base: int) -> Mark:
        mark = Mark(feed_mark.symbol, feed_mark.price, base + feed_mark.sequence, time.time_ns())
        if feed_mark.believable:
            self._marks[mark.symbol] = mark
        return mark

    async def _send(self, writer: Writer, pending: list[Mark]) -> None:
        """Send and forget the pending marks, then what else is due."""
        await writer.marks(pending)
        self._ticks += len(pending)
        pending.clear()
        await self._repeat_when_due(writer)
        await self._trade(writer)

    async def _trade(self, writer: Writer) -> None:
        elapsed = time.monotonic() - self._trades_began
        due = int(elapsed * self._options.fills_per_second) - self._trades_done
        self._trades_done += due
        for _ in range(min(due, FILLS_AT_ONCE_MAX)):
            fill = self._trading.next_fill(self._marks, time.time_ns())
            if fill is not None:
                await writer.account_input(fill)
                self._fills += 1

    async def _repeat_when_due(self, writer: Writer) -> None:
        if time.monotonic() >= self._repeat_at:
            await self._repeat(writer)
            self._tell()

    async def _repeat(self, writer: Writer) -> None:
        """Send the start price of every symbol that nothing else marks now."""
        self._repeat_at = time.monotonic() + REPEAT_SECONDS
        self._sequence += 1
        prices, now_ns = self._scenario.start_prices, time.time_ns()
        symbols = self._scenario.constant if self._phase == "moving" else prices
        marks = [Mark(symbol, prices[symbol], self._sequence, now_ns) for symbol in sorted(symbols)]
        self._marks |= {mark.symbol: mark for mark in marks}
        await writer.marks(marks)
        self._repeats += len(marks)

    def _enter(self, phase: str) -> None:
        self._phase = phase
        self._tell()

    def _tell(self) -> None:
        if self._on_progress is not None:
            self._on_progress(self.summary())
