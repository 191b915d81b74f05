"""A shard in memory, driven by hand: raw records and marks in, the very records that a worker would publish out."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from itertools import chain
from types import MappingProxyType

import msgspec

from engine.book.plain_book import PlainBook
from engine.events.effects import EventType, RiskEvent
from engine.inputs import AccountInput, Mark, MarkBatch, PriceInput, Topic
from engine.ledger.accounts import encode
from engine.ledger.remembering import generations
from engine.liquidation.adl_risk import fund_exposures
from engine.liquidation.fund_groups import FundBalance
from engine.marks.instants import MarksRecord
from engine.marks.mark_book import NANOSECONDS, MarkBook
from engine.policy import Policy
from streams.config.settings import Settings
from streams.contract.account_copy import ID_BYTES, AccountCopy, CopiedIds, ShardCovered
from streams.contract.commit import Commit, OutboxEntry
from streams.contract.operator_command import AccountsResume, OperatorCommand, OperatorOutcome, OperatorRecord
from streams.contract.policy_version import PolicyVersion
from streams.contract.record import Record
from streams.shards.price_watch import PriceWatch, Told
from streams.shards.processor import ShardProcessor
from streams.store.store_format import FORMAT

START_NS = 1_767_225_600 * NANOSECONDS
"""2026-01-01T00:00:00Z."""
ACCOUNTS_MAX = 1_000
"""More than there are in any example."""
TICK_SECONDS = 5
"""Between two quotes while time passes; prices must not become stale."""


class ExampleShard:
    """Shard 0 of one, with the newest price of every symbol."""

    def __init__(self, policy: Policy, settings: Settings) -> None:
        """Empty, and already judging."""
        self.now_ns = START_NS
        self.taken: list[AccountInput | PriceInput | OperatorRecord | FundBalance | PolicyVersion] = []
        """What came in, in order."""
        self.copied: list[AccountCopy | ShardCovered] = []
        """What the topic of second copies has."""
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
        self._policy, self._marks = policy, MarkBook(policy)
        self._funds: list[FundBalance] = []
        self._watch = PriceWatch(policy, self._marks)
        self._prices: dict[str, Decimal] = {}
        self._facts: dict[str, dict[str, Decimal]] = {}
        """By symbol, what its marks state besides the price."""
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
        self._publish([outcome.commit, *chain.from_iterable(self._processor.settle())])

    def copy(self, account: str) -> None:
        """Write the second copy of an account, and how far all copies reach."""
        state = self._processor.state(account)
        if state is None:
            raise KeyError(account)
        fills, ledger = (self._processor.watermarks[topic] for topic in Topic)
        ids = {
            topic.value: [CopiedIds(number, expected, 0, bytes(range(2 * ID_BYTES)))]
            for topic in Topic
            for number, _, expected in generations(state.progress(topic))[:1]
        }
        stored = msgspec.Raw(encode(state))
        self.copied += [
            AccountCopy(account=account, format=FORMAT, fills=fills, ledger=ledger, state=stored, ids=ids),
            ShardCovered(
                shard=0,
                format=FORMAT,
                fills=fills,
                ledger=ledger,
                logs={topic.value: "5a6b4e0e-1f0b-4f53-9d57-0d4f9e1c2b7a/8" for topic in Topic},
                accounts=1,
                time_ns=self.now_ns,
            ),
        ]

    def operate(self, command: OperatorCommand) -> None:
        """An operator decides."""
        self.taken.append(command)
        self._publish(chain.from_iterable(self._processor.operate(command)))

    def hear(self, said: PolicyVersion | AccountsResume | OperatorOutcome) -> None:
        """Something is sent that changes no account of this shard."""
        self.taken.append(said)

    def state_fund(self, fund: FundBalance) -> None:
        """The exchange says what its insurance fund has."""
        self.taken.append(fund)
        self._funds = [*(it for it in self._funds if it.group != fund.group), fund]
        self.tell_adl()

    def tell_adl(self) -> None:
        """Put what liquidations leave unpaid against the funds, as a worker does once a second."""
        book = self._processor.book
        for _ in book.look_at_unpaid(ACCOUNTS_MAX):
            pass
        prices = self._marks.prices
        exposures = fund_exposures([book.unpaid], self._funds, prices, self._policy)
        self._publish([self._processor.adl.tell(exposures, (0,), prices.time_ns)])

    def quote(self, prices: Mapping[str, str] = MappingProxyType({})) -> None:
        """A second later every symbol is quoted, those named at a new price."""
        self.pass_time(1)
        self._prices |= {symbol: Decimal(price) for symbol, price in prices.items()}
        self._take(MarkBatch(tuple(self._mark(symbol) for symbol in self._prices)))

    def quote_one(self, symbol: str, price: str, **facts: str) -> None:
        """A second later a single symbol is quoted; its marks state these facts from now on."""
        self.pass_time(1)
        self._facts[symbol] = {name: Decimal(fact) for name, fact in facts.items()}
        self._prices[symbol] = Decimal(price)
        self._take(self._mark(symbol))

    def pass_time(self, seconds: int) -> None:
        """Let event time pass without any price."""
        self.now_ns += seconds * NANOSECONDS
        self._tell(self._watch.on_clock(self.now_ns, [self._processor]))

    def hold_without(self, symbol: str, seconds: int) -> None:
        """Let event time pass while all prices but one are quoted as they are."""
        for _ in range(0, seconds, TICK_SECONDS):
            self.pass_time(TICK_SECONDS)
            self._take(MarkBatch(tuple(self._mark(it) for it in self._prices if it != symbol)))

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
        mark = Mark(symbol, self._prices[symbol], self._sequence, self.now_ns)
        return msgspec.structs.replace(mark, **self._facts.get(symbol, {}))

    def _take(self, record: PriceInput) -> None:
        self.taken.append(record)
        marks = record.marks if isinstance(record, MarkBatch) else (record,)
        instant, _ = self._marks.accept(MarksRecord(marks, 0, len(self.taken) - 1), self.now_ns)
        self._tell(self._watch.on_instants([instant] if instant else [], [self._processor]))
        self.pass_time(0)

    def _tell(self, told: Iterable[Told]) -> None:
        self._publish(chain.from_iterable(commits for _, commits in told))

    def _publish(self, commits: Iterable[Commit]) -> None:
        for commit in chain(commits, self._processor.all_reasons()):
            self.said += commit.outbox
