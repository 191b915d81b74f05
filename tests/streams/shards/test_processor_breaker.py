"""The breaker of one shard in memory: what a commit carries of it, and that whoever takes over goes on where it stood."""

from decimal import Decimal
from itertools import chain

import msgspec
import pytest
from msgspec.structs import replace

from engine.book.columnar_book import ColumnarBook
from engine.events.breaker_events import BreakerEvent, BreakerEventType
from engine.events.effects import AccountRisk, RiskEvent, Stream
from engine.inputs import AccountInput, FundingPayment, Topic
from engine.ladder.breaker import BreakerState, InputsTaken, Stake
from engine.marks.mark_book import NANOSECONDS
from engine.policy.rules.breaker_rules import BreakerRules
from streams.contract.cloudevents import read_event
from streams.contract.commit import Commit, merge
from streams.contract.operator_command import BreakerRelease, BreakerVoid
from streams.contract.record import Record
from streams.shards.newest import Newest
from streams.shards.processor import ShardProcessor
from tests.support.builders import mark, prices, sample, seconds
from tests.support.inputs import deposit, fill
from tests.support.instants import at as moment
from tests.support.instants import singly, together

decode = msgspec.json.decode
POLICY = replace(sample(), breaker=BreakerRules(accounts_min=3))
FRESH = prices(
    {"BTC-PERP": 50000, "BTC-USD": 50000, "USDT-USD": 1, "ETH-PERP": 3000, "ADA-PERP": 1, "USD-PERP": 1}
)
NAMES = [f"a-{number}" for number in range(8)]


class Shard:
    """Shard 3 and what its store would hold: every commit that was not lost."""

    def __init__(self) -> None:
        self.durable = Commit()
        self.offsets = dict.fromkeys(Topic, 0)
        self.start()

    def start(self) -> None:
        """A worker takes over what is durable."""
        self.processor = ShardProcessor(
            3,
            POLICY,
            ColumnarBook(POLICY),
            partition_of=lambda _: 3,
            topics={topic: topic.value for topic in Topic},
            quarantine_topic="quarantine",
            source="/test",
        )
        risks = {name: decode(data, type=AccountRisk) for name, data in self.durable.risks.items()}
        breaker = None if self.durable.breaker is None else decode(self.durable.breaker, type=BreakerState)
        self.processor.load(self.durable.accounts.values(), risks, {}, breaker)
        # the log goes on where it was
        self.processor.watermarks |= self.offsets

    def keep(self, *commits: Commit) -> list[RiskEvent | BreakerEvent]:
        """These become durable; returns what they say."""
        kept = [replace(it, advance={}) for it in commits]
        self.durable = merge([self.durable, *kept])
        return [read_event(entry.value) for commit in commits for entry in commit.outbox]

    def send(self, topic: Topic, *messages: AccountInput) -> list[RiskEvent | BreakerEvent]:
        """Apply these in one batch and judge."""
        records = [
            Record(self.offsets[topic] + number, it.account.encode(), msgspec.json.encode(it))
            for number, it in enumerate(messages)
        ]
        self.offsets[topic] += len(records)
        outcome = self.processor.apply(topic, self.processor.decode(topic, records))
        assert outcome.applied == len(messages)
        return self.keep(outcome.commit, *parts_of(self.processor.settle() if self.processor.judging else ()))

    def judge(self) -> list[RiskEvent | BreakerEvent]:
        return self.keep(*parts_of(self.processor.start_judging(FRESH)))

    def reasons(self) -> list[RiskEvent | BreakerEvent]:
        """All that is due behind the verdicts."""
        return self.keep(*self.processor.reasons(len(NAMES)))

    @property
    def state(self) -> BreakerState:
        """As it is durable."""
        return decode(self.durable.breaker or b"{}", type=BreakerState)


def funding(amount: str) -> list[FundingPayment]:
    """A job writes the same payment to everybody."""
    return [
        FundingPayment(
            account=name,
            time_ns=seconds(1),
            entry_id=f"f-{amount}-{name}",
            symbol="BTC-PERP",
            amount=Decimal(amount),
        )
        for name in NAMES
    ]


def command(kind=BreakerRelease, at=100, **fields):
    return kind(id="op-1", who="desk", why="checked", time_ns=seconds(at), **fields)


def parts_of(slices):
    return chain.from_iterable(slices)


def types(events):
    return [event.type.value for event in events]


@pytest.fixture
def shard() -> Shard:
    """Eight accounts with 1 BTC each: 8,000 of 50,000 with 5 % maintenance, ratio 3.2."""
    made = Shard()
    made.send(Topic.LEDGER, *(deposit(name, "8000") for name in NAMES))
    made.send(Topic.FILLS, *(fill(name, "1") for name in NAMES))
    assert made.judge() == []
    return made


def test_breaker_when_a_job_writes_absurd_funding_to_everybody_then_held_and_the_batch_is_named(shard):
    first, *others = shard.send(Topic.LEDGER, *funding("-7000"))
    assert isinstance(first, BreakerEvent)
    assert (first.type, first.id, first.shard) == (BreakerEventType.HELD, "breaker/3/margin-events/1", 3)
    assert first.opening.cause.kind == "batch"
    assert first.opening.cause.inputs == (InputsTaken("ledger", 8, 15, {"funding_payment": 8}),)
    assert first.opening.cause.symbols == ()
    assert first.held == Stake(8, 400_000, 64_000)
    assert types(others) == ["margin.reduce_only.opened"] * 8
    assert shard.state.opening == first.opening
    assert shard.state.held.accounts == 8
    (record,) = [it for it in shard.durable.outbox if it.key == b"breaker/3"]
    assert dict(record.headers)["ce_id"] == b"breaker/3/margin-events/1"
    assert (record.topic, record.partition) == ("margin-events", 3)


def test_breaker_when_the_entries_come_in_small_batches_then_they_count_together_and_are_named_together(
    shard,
):
    said = [event for payment in funding("-7000") for event in shard.send(Topic.LEDGER, payment)]
    opened = [event for event in said if isinstance(event, BreakerEvent)]
    # two were liquidated before they were too many: fewer than three never open it, and three of eight are beyond a fifth
    assert [event.opening.cause.kind for event in opened] == ["window"]
    assert opened[0].opening.cause.inputs == (InputsTaken("ledger", 8, 10, {"funding_payment": 3}),)
    assert types(said).count("liquidation.entered") == 2
    # the plans of these two were not made before it opened, and so they wait
    assert "liquidation.requested" not in types(shard.reasons())
    assert shard.state.held.accounts == 6


def test_breaker_when_released_then_on_record_and_everything_is_requested(shard):
    shard.send(Topic.LEDGER, *funding("-7000"))
    first, *others = shard.keep(*parts_of(shard.processor.operate(command())))
    assert (first.type, first.sequence, first.held.accounts) == (BreakerEventType.RELEASED, 2, 8)
    assert (first.who, first.why, first.command_id, first.commanded_ns) == (
        "desk",
        "checked",
        "op-1",
        seconds(100),
    )
    assert types(others) == ["liquidation.entered"] * 8
    assert types(shard.reasons()).count("liquidation.requested") == 8
    assert shard.state.opening is None
    assert shard.keep(*parts_of(shard.processor.operate(command()))) == []


def test_breaker_when_voided_after_the_repair_then_nobody_is_liquidated(shard):
    shard.send(Topic.LEDGER, *funding("-7000"))
    shard.send(Topic.LEDGER, *funding("7000"))
    said = shard.keep(*parts_of(shard.processor.operate(command(BreakerVoid))))
    assert types(said) == ["engine.liquidations_voided"]
    assert shard.state.held == Stake()
    assert shard.state.opening is None


def test_breaker_when_voided_without_a_repair_then_it_opens_again(shard):
    shard.send(Topic.LEDGER, *funding("-7000"))
    said = shard.keep(*parts_of(shard.processor.operate(command(BreakerVoid))))
    assert types(said) == ["engine.liquidations_voided", "engine.liquidations_held"]
    assert [event.sequence for event in said] == [2, 3]
    assert (shard.state.opening.number, shard.state.held.accounts) == (2, 8)


@pytest.mark.parametrize("wrong", [{"shard": 2}, {"at": 0}])
def test_breaker_when_a_command_is_of_another_shard_or_older_than_the_opening_then_nothing_happens(
    shard, wrong
):
    shard.keep(*parts_of(shard.processor.on_instants([together(mark("BTC-PERP", 43_000, 2, at=10))])))
    assert shard.state.opening.cause.kind == "instant"
    assert list(shard.processor.operate(command(**wrong))) == []
    assert shard.state.opening is not None


def test_breaker_when_another_worker_takes_over_then_everything_is_still_held_and_can_be_released(shard):
    shard.send(Topic.LEDGER, *funding("-7000"))
    shard.start()
    assert types(shard.judge()) == []
    assert shard.processor.book.breaker.hold == 1
    assert len(shard.processor.book.breaker.held) == 8
    said = shard.keep(*parts_of(shard.processor.operate(command())))
    assert types(said) == ["engine.liquidations_released", *["liquidation.entered"] * 8]
    assert types(shard.reasons()).count("liquidation.requested") == 8


def test_breaker_when_the_worker_dies_between_release_and_requests_then_the_next_one_requests_them(shard):
    shard.send(Topic.LEDGER, *funding("-7000"))
    first, *lost = parts_of(shard.processor.operate(command()))
    assert lost
    shard.keep(first)
    shard.start()
    # the newest prices and the same pools: not counted again, for an operator has decided about them
    assert types(shard.judge()) == ["liquidation.entered"] * 8
    assert types(shard.reasons()).count("liquidation.requested") == 8
    assert shard.state.opening is None


def test_processor_when_the_worker_dies_between_verdict_and_plan_then_the_next_one_plans_once(shard):
    shard.send(Topic.LEDGER, funding("-7000")[0])
    shard.start()
    # nothing is said anew of the verdict, and the plan that it makes due is
    assert shard.judge() == []
    requested, explained = shard.reasons()
    assert (requested.type, requested.verdict) == ("liquidation.requested", "a-0/liquidations/1")
    assert (explained.type, explained.verdict) == ("margin.explained", "a-0/liquidations/1")
    shard.start()
    assert [*shard.judge(), *shard.reasons()] == []


@pytest.mark.parametrize("first", [Stream.MARGIN_EVENTS, Stream.LIQUIDATIONS])
def test_processor_when_the_store_was_rewound_behind_plan_and_detail_then_neither_is_said_again(shard, first):
    before = shard.durable
    said = [*shard.send(Topic.LEDGER, funding("-7000")[0]), *shard.reasons()]
    assert types(said)[-2:] == ["liquidation.requested", "margin.explained"]
    shard.durable = replace(before, accounts=shard.durable.accounts)
    shard.start()
    newest = Newest()
    for event in sorted(said, key=lambda it: it.stream is not first):
        newest.add(event)
    shard.keep(*shard.processor.adopt(newest))
    assert [*shard.judge(), *shard.reasons()] == []


def test_breaker_when_the_worker_dies_before_it_opens_durably_then_the_next_one_opens_it_alike(shard):
    before = shard.durable
    said = shard.send(Topic.LEDGER, *funding("-7000"))
    shard.durable = replace(before, accounts=shard.durable.accounts)
    shard.start()
    again = shard.judge()
    assert types(again)[0] == "engine.liquidations_held"
    assert (again[0].id, again[0].held.accounts) == (said[0].id, 8)
    assert again[0].opening.cause.kind == "start"


def test_breaker_when_the_store_was_rewound_then_what_was_published_of_it_is_adopted(shard):
    before = shard.durable
    said = shard.send(Topic.LEDGER, *funding("-7000"))
    shard.durable = replace(before, accounts=shard.durable.accounts)
    shard.start()
    newest = Newest()
    for event in said:
        newest.add(event)
    shard.keep(*shard.processor.adopt(newest))
    assert shard.state.opening == said[0].opening
    assert types(shard.judge()) == []
    assert shard.processor.book.breaker.held.keys() == set(NAMES)


def test_breaker_when_prices_fall_slowly_then_the_condemned_of_different_windows_do_not_add_up(shard):
    requested = 0
    for number, name in enumerate(NAMES):
        shard.send(Topic.LEDGER, funding("-7000")[number])
        now_ns = (number + 1) * 20 * NANOSECONDS
        said = shard.keep(
            *parts_of(
                shard.processor.on_instants(
                    singly([mark("BTC-PERP", 50_000, number + 2, at=(number + 1) * 20)])
                )
            )
        )
        said += shard.keep(*parts_of(shard.processor.on_clock(moment(now_ns))))
        requested += name in {event.account for event in shard_events(shard)}
    assert requested == len(NAMES)
    assert shard.state.opening is None


def shard_events(shard):
    """Verdicts on liquidation so far."""
    return [
        it
        for it in map(read_event, (entry.value for entry in shard.durable.outbox))
        if it.type == "liquidation.entered"
    ]
