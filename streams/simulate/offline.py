"""The engine in the same process as the exchange: no Kafka, no Redis, no clock, so the same arguments give the same bytes.

What a worker does, in its order: the clock moves; inputs are decoded, applied and judged; marks are believed or refused and
judged. What the engine says in one step, the exchange hears in the next.
"""

import itertools
from collections.abc import Callable, Iterator

import msgspec

from engine.book.columnar import ColumnarBook
from engine.book.plain import PlainBook
from engine.book.port import AccountBook
from engine.effects import RiskEvent
from engine.inputs import AccountInput, Mark, Topic
from engine.marks import NANOSECONDS, MarkBook
from engine.policy import Policy
from streams.commit import Commit
from streams.processor import Record, ShardProcessor
from streams.simulate.desk import Fence, topic_of
from streams.simulate.simulation import Simulation

START_NS = 1_760_130_000 * NANOSECONDS
"""Event time of the first mark: 2025-10-10T21:00 UTC."""


class OfflineEngine:
    """One shard with every account, without what makes it durable."""

    def __init__(self, policy: Policy, *, plain: bool = False) -> None:
        """`plain` judges every holder exactly: the specification, and slow."""
        self.marks = MarkBook(policy)
        self.book: AccountBook = PlainBook(policy) if plain else ColumnarBook(policy)
        self.events: list[tuple[bytes, RiskEvent]] = []
        """Said since the last `heard`, as published and as read."""
        self._decode = msgspec.json.Decoder(RiskEvent).decode
        self._offsets = dict.fromkeys(Topic, 0)
        self._processor = ShardProcessor(
            0,
            policy,
            self.book,
            partition_of=lambda _: 0,
            topics={topic: topic.value for topic in Topic},
            quarantine_topic="quarantine",
            source="unimargin/simulate",
        )

    def start(self, time_ns: int) -> None:
        """All accounts are opened and priced: judge them from now on."""
        stale = self.marks.advance(time_ns)
        self._speak(self._processor.start_judging(list(self.marks.prices.marks.values()), time_ns, stale))

    def apply(self, message: AccountInput, fence: Fence) -> None:
        """Take an input, at the next offset of its topic."""
        topic = topic_of(message)
        offset = self._offsets[topic]
        self._offsets[topic] += 1
        record = Record(offset, message.account.encode(), msgspec.json.encode(message))
        decoded = self._processor.decode(topic, [record])
        self._processor.add_windows(
            topic, {account: [] for account in self._processor.missing_windows(topic, decoded)}
        )
        outcome = self._processor.apply(topic, decoded)
        if outcome.applied != 1:
            raise AssertionError(f"{message} was not applied: {outcome}")
        fence.acknowledged(message.account, topic, offset)

    def settle(self) -> None:
        """Judge whom inputs were applied to."""
        self._speak(self._processor.settle())

    def take_marks(self, marks: list[Mark], time_ns: int) -> None:
        """Believe or refuse marks, and judge every holder."""
        believed, _ = self.marks.accept_all(marks, time_ns)
        if self._processor.judging:
            self._speak(self._processor.on_marks(believed))

    def pass_time(self, time_ns: int) -> None:
        """Move the clock: what goes stale, which holds are over."""
        self._speak(self._processor.on_clock(time_ns, self.marks.advance(time_ns)))

    def heard(self) -> list[tuple[bytes, RiskEvent]]:
        """What was said since the last call."""
        events, self.events = self.events, []
        return events

    def _speak(self, commits: list[Commit]) -> None:
        for entry in itertools.chain.from_iterable(commit.outbox for commit in commits):
            event = self._decode(entry.value)
            self.events.append((entry.value, event))


def run_offline(
    simulation: Simulation,
    engine: OfflineEngine,
    on_event: Callable[[bytes], object] = lambda _: None,
) -> Iterator[None]:
    """Open the exchange and play the market to its end, a step an iteration. `on_event` gets every event as published.

    Raises `NotConserved`.
    """
    options = simulation.options
    engine.take_marks(simulation.start_marks(START_NS), START_NS)
    for message in simulation.opening(START_NS):
        engine.apply(message, simulation.fence)
    simulation.open()
    engine.start(START_NS)
    for number in range(1, int(options.seconds * options.steps_per_second) + 1):
        said = engine.heard()
        for data, _ in said:
            on_event(data)
        simulation.take(event for _, event in said)
        second = number / options.steps_per_second
        time_ns = START_NS + int(second * NANOSECONDS)
        step = simulation.step(second, time_ns)
        engine.pass_time(time_ns)
        for message in step.inputs:
            engine.apply(message, simulation.fence)
        engine.settle()
        engine.take_marks(step.marks, time_ns)
        yield
    for data, _ in engine.heard():
        on_event(data)
