"""A shard in memory, driven by hand: raw records and marks in, the very records that a worker would publish out."""

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType

import msgspec

from engine.book.plain import PlainBook
from engine.effects import EventType, RiskEvent
from engine.inputs import AccountInput, Mark, MarkBatch, PriceInput, Topic
from engine.marks import NANOSECONDS, MarkBook
from engine.policy import Policy
from streams.commit import Commit, OutboxEntry
from streams.processor import Record, ShardProcessor
from streams.settings import Settings

START_NS = 1_767_225_600 * NANOSECONDS
"""2026-01-01T00:00:00Z."""
TICK_SECONDS = 5
"""Between two quotes while time passes; prices must not become stale."""


class ExampleShard:
    """Shard 0 of one, with the newest price of every symbol."""

    def __init__(self, policy: Policy, settings: Settings) -> None:
        """Empty, and already judging."""
        self.now_ns = START_NS
        self.taken: list[AccountInput | PriceInput] = []
        """What came in, in order."""
        self.said: list[OutboxEntry] = []
        """What is to be published, in order."""
        self._processor = ShardProcessor(
            0,
            policy,
            PlainBook(policy),
            partition_of=lambda _key: 0,
            topics={Topic.FILLS: settings.topic_fills, Topic.LEDGER: settings.topic_ledger},
            quarantine_topic=settings.topic_quarantine,
            source=f"/unimargin/{settings.group}/0",
        )
        self._processor.judging = True
        self._marks = MarkBook(policy)
        self._prices: dict[str, Decimal] = {}
        self._sequence = 0

    def send(self, topic: Topic, *messages: AccountInput) -> None:
        """Apply messages one by one, each judged before the next."""
        for message in messages:
            self.taken.append(message)
            self.send_bytes(topic, message.account, msgspec.json.encode(message))

    def send_bytes(self, topic: Topic, account: str, value: bytes) -> None:
        """Apply one record as it would come from Kafka."""
        record = Record(self._processor.watermarks[topic], account.encode(), value)
        outcome = self._processor.apply(topic, self._processor.decode(topic, [record]))
        self._publish([outcome.commit, *self._processor.settle()])

    def quote(self, prices: Mapping[str, str] = MappingProxyType({})) -> None:
        """A second later every symbol is quoted, those named at a new price."""
        self.pass_time(1)
        self._prices |= {symbol: Decimal(price) for symbol, price in prices.items()}
        self._take(MarkBatch(tuple(self._mark(symbol) for symbol in self._prices)))

    def quote_one(self, symbol: str, price: str) -> None:
        """A second later a single symbol is quoted."""
        self.pass_time(1)
        self._prices[symbol] = Decimal(price)
        self._take(self._mark(symbol))

    def pass_time(self, seconds: int) -> None:
        """Let event time pass without any price."""
        self.now_ns += seconds * NANOSECONDS
        self._publish(self._processor.on_clock(self.now_ns, self._marks.advance(self.now_ns)))

    def hold(self, seconds: int) -> None:
        """Let event time pass while all prices are quoted as they are."""
        for _ in range(0, seconds, TICK_SECONDS):
            self.pass_time(TICK_SECONDS - 1)
            self.quote()

    def newest(self, kind: EventType) -> RiskEvent:
        """The last event of this type. Raises StopIteration if none was said."""
        entry = next(entry for entry in reversed(self.said) if entry.event_type == kind)
        return msgspec.json.decode(entry.value, type=RiskEvent)

    def _mark(self, symbol: str) -> Mark:
        self._sequence += 1
        return Mark(symbol, self._prices[symbol], self._sequence, self.now_ns)

    def _take(self, record: PriceInput) -> None:
        self.taken.append(record)
        marks = record.marks if isinstance(record, MarkBatch) else (record,)
        believed, _ = self._marks.accept_all(marks, self.now_ns)
        self._publish(self._processor.on_marks(believed))
        self.pass_time(0)

    def _publish(self, commits: list[Commit]) -> None:
        self.said += [entry for commit in commits for entry in commit.outbox]
