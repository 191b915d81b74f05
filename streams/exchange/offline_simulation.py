"""The engine in the same process as the exchange: no Kafka, no Redis, no clock, so the same arguments give the same bytes.

What a worker does, in its order: the clock moves; inputs are decoded, applied and judged; marks are believed or refused and
judged. What the engine says in one step, the exchange hears in the next.
"""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator

import msgspec

from engine.book.account_book import AccountBook
from engine.book.columnar_book import ColumnarBook
from engine.book.plain_book import PlainBook
from engine.inputs import AccountInput, Mark, Topic
from engine.marks.instants import MarksRecord
from engine.marks.mark_book import NANOSECONDS, MarkBook
from engine.policy import Policy
from streams.contract.cloudevents import Event, read_event
from streams.contract.commit import Commit
from streams.contract.operator_command import BreakerRelease, BreakerVoid, OperatorCommand
from streams.contract.record import Record
from streams.exchange.clearing.input_desk import Fence, topic_of
from streams.exchange.market.named_scenarios import Decision
from streams.exchange.simulation import Simulation
from streams.shards.price_watch import PriceWatch
from streams.shards.processor import ShardProcessor

SETTLE_SECONDS_MAX = 60.0
"""Of the market: what is waited for at its end at most."""
START_NS = 1_760_130_000 * NANOSECONDS
"""Event time of the first mark: 2025-10-10T21:00 UTC."""


class OfflineEngine:
    """One shard with every account, without what makes it durable."""

    def __init__(self, policy: Policy, *, plain: bool = False) -> None:
        """`plain` judges every holder exactly: the specification, and slow."""
        self.marks = MarkBook(policy)
        self.book: AccountBook = PlainBook(policy) if plain else ColumnarBook(policy)
        self.events: list[tuple[bytes, Event]] = []
        """Said since the last `heard`, as published and as read."""
        self._offsets = dict.fromkeys(Topic, 0)
        self._records = 0
        """Of prices, so far."""
        self._processor = ShardProcessor(
            0,
            policy,
            self.book,
            partition_of=lambda _: 0,
            topics={topic: topic.value for topic in Topic},
            quarantine_topic="quarantine",
            source="unimargin/simulate",
        )
        self._watch = PriceWatch(policy, self.marks)
        self._started = False

    def start(self, time_ns: int) -> None:
        """All accounts are opened and priced: judge them from now on."""
        self._started = True
        self._say(self._processor.start_judging(self.marks.advance(time_ns)))

    def apply(self, message: AccountInput, fence: Fence) -> None:
        """Take an input, at the next offset of its topic."""
        topic = topic_of(message)
        offset = self._offsets[topic]
        self._offsets[topic] += 1
        record = Record(offset, message.account.encode(), msgspec.json.encode(message))
        decoded = self._processor.decode(topic, [record])
        outcome = self._processor.apply(topic, decoded)
        if outcome.applied != 1:
            raise AssertionError(f"{message} was not applied: {outcome}")
        fence.acknowledged(message.account, topic, offset)

    def settle(self) -> None:
        """Judge whom inputs were applied to."""
        self._say(self._processor.settle())

    def take_marks(self, marks: list[Mark], time_ns: int) -> None:
        """Believe or refuse the marks of an instant, and judge their holders."""
        self._records += 1
        instant, _ = self.marks.accept(MarksRecord(tuple(marks), 0, self._records - 1), time_ns)
        if self._started and instant is not None:
            self._say(parts for _, parts in self._watch.on_instants([instant], [self._processor]))

    def pass_time(self, time_ns: int) -> None:
        """Move the clock: what goes stale, which holds are over."""
        self._say(parts for _, parts in self._watch.on_clock(time_ns, [self._processor]))

    def operate(self, command: OperatorCommand) -> None:
        """An operator decides about what the breaker holds."""
        self._say(self._processor.operate(command))

    def heard(self) -> list[tuple[bytes, Event]]:
        """What was said since the last call."""
        events, self.events = self.events, []
        return events

    def _say(self, slices: Iterable[list[Commit]]) -> None:
        for commit in itertools.chain(itertools.chain.from_iterable(slices), self._processor.all_reasons()):
            self.events += ((entry.value, read_event(entry.value)) for entry in commit.outbox)


def run_offline(
    simulation: Simulation,
    engine: OfflineEngine,
    on_event: Callable[[bytes], object] = lambda _: None,
) -> Iterator[None]:
    """Open the exchange and play the market to its end, a step an iteration. `on_event` gets every event as published.

    At the end the market stands still until no pool is in liquidation. Raises `NotConserved`.
    """
    options = simulation.options
    engine.take_marks(simulation.start_marks(START_NS), START_NS)
    for message in simulation.opening(START_NS):
        engine.apply(message, simulation.fence)
    simulation.open()
    engine.start(START_NS)
    decisions = deque(options.incident.decisions)
    for second in _seconds(simulation):
        said = engine.heard()
        for data, _ in said:
            on_event(data)
        simulation.take(event for _, event in said)
        time_ns = START_NS + int(second * NANOSECONDS)
        step = simulation.step(second, time_ns)
        engine.pass_time(time_ns)
        for message in step.inputs:
            engine.apply(message, simulation.fence)
        engine.settle()
        engine.take_marks(step.marks, time_ns)
        while decisions and decisions[0].at <= second / options.seconds:
            engine.operate(_command(decisions.popleft(), time_ns))
        yield
    for data, _ in engine.heard():
        on_event(data)


def _seconds(simulation: Simulation) -> Iterator[float]:
    """The second of every step of the market, and of those that bring it to rest."""
    options = simulation.options
    yield from options.timeline()
    for number in range(1, 1 + int(SETTLE_SECONDS_MAX * options.steps_per_second)):
        if simulation.at_rest:
            return
        yield options.seconds + number / options.steps_per_second


def _command(decision: Decision, time_ns: int) -> OperatorCommand:
    """The operator's decision, as `unimargin breaker` would send it."""
    kind = BreakerRelease if decision.release else BreakerVoid
    return kind(id=f"o-{time_ns}", who="simulated operator", why=decision.why, time_ns=time_ns)
