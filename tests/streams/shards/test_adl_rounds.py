"""The deleveraging risk told by workers: each knows the whole, each contract is told by one, once, whoever dies."""

from collections.abc import Mapping
from decimal import Decimal

import msgspec
import pytest

from engine.book.account_book import drained
from engine.book.columnar_book import ColumnarBook
from engine.events.adl_events import AdlEvent
from engine.inputs import Topic
from engine.ledger.accounts import AccountState
from engine.liquidation.adl_risk import AdlLevel, AdlReason, AdlState
from engine.liquidation.fund_groups import FundBalance
from engine.marks.instants import MarksRecord
from engine.marks.mark_book import MarkBook
from engine.policy import Policy
from streams.contract.cloudevents import read_event
from streams.contract.commit import Commit, merge
from streams.observe.metrics import Metrics
from streams.shards.adl_rounds import AdlRounds
from streams.shards.newest import Newest
from streams.shards.processor import ShardProcessor
from streams.shards.shard_standing import Condition
from streams.store.redis_client import StoreUnavailable
from streams.store.unpaid_store import UnpaidByShard
from tests.support.builders import account, mark, sample, seconds

D = Decimal
POLICY = sample()
CALM = {
    "BTC-PERP": "100",
    "ETH-PERP": "10",
    "BTC-USD": "100",
    "USDT-USD": "1",
    "ADA-PERP": "1",
    "USD-PERP": "1",
}
HOMES = {b"adl/BTC-PERP": 0, b"adl/ETH-PERP": 1}
"""Of what is told of contracts; everything else is at home in shard 0."""
ONE = account({"USDT": 80}, {"BTC-PERP": (10, 100)}, name="one")
"""Below 92 it is bankrupt; at 90 taking it over leaves 20 and 1.35 unpaid."""
TWO = account({"USDT": 80}, {"BTC-PERP": (10, 100)}, name="two")


def fund(amount: str, *symbols: str, group: str = "all") -> FundBalance:
    return FundBalance(group=group, symbols=symbols, balances={"USDT": D(amount)}, time_ns=seconds(1))


class Runner:
    """A shard that runs, and what its store would hold of it."""

    def __init__(self, shard: int, states: list[AccountState], durable: Commit, policy: Policy) -> None:
        self.shard, self.condition, self.durable = shard, Condition.RUNNING, durable
        self.said: list[AdlEvent] = []
        self.processor = ShardProcessor(
            shard,
            policy,
            ColumnarBook(policy),
            partition_of=lambda key: HOMES.get(key, 0),
            topics={topic: topic.value for topic in Topic},
            quarantine_topic="quarantine",
            source="/test",
        )
        self.processor.book.put_all(states)
        self.processor.adl.load(msgspec.json.decode(durable.adl or b"{}", type=dict[str, AdlState]))

    def take(self, parts: list[Commit]) -> None:
        self.durable = merge([self.durable, *parts])
        for entry in (entry for part in parts for entry in part.outbox):
            event = read_event(entry.value)
            assert isinstance(event, AdlEvent)
            # in the partition of the shard that commits it, under the contract's own key
            assert (entry.topic, entry.partition, entry.key) == (
                "margin-events",
                self.shard,
                event.subject.encode(),
            )
            self.said.append(event)


class Worker:
    """Some shards, the prices, and the entries of all shards, which workers share."""

    def __init__(
        self, entries: dict[int, Mapping[str, Decimal]], *runners: Runner, policy: Policy = POLICY
    ) -> None:
        self.entries, self.runners, self.feed_silent = entries, list(runners), False
        self.metrics, self.marks = Metrics(), MarkBook(policy)
        self.funds: list[FundBalance] | None = [fund("100")]
        self.redis_away, self._sequence = False, 0
        self.rounds = AdlRounds(
            self,  # type: ignore[arg-type] - runners and the feed are all that it asks of shards
            self.marks,
            policy,
            self.metrics,
            funds=lambda: self.funds,
            exchange=self._exchange,
        )
        self.quote(CALM, at=1)

    async def _exchange(self, own: UnpaidByShard) -> UnpaidByShard:
        if self.redis_away:
            raise StoreUnavailable("away")
        self.entries |= own
        return dict(self.entries)

    def quote(self, quotes: Mapping[str, str], at: float) -> None:
        """Every shard judges at these."""
        self._sequence += 1
        made = tuple(mark(symbol, price, self._sequence, at=str(at)) for symbol, price in quotes.items())
        instant, refused = self.marks.accept(MarksRecord(made), seconds(str(at)))
        assert instant is not None
        assert not refused
        for it in self.runners:
            drained(it.processor.book.on_instants([instant]))

    def pass_time(self, at: float) -> None:
        self.marks.advance(seconds(str(at)))

    def risks(self) -> dict[str, float]:
        """The gauge."""
        return {
            sample.labels["symbol"]: sample.value
            for family in self.metrics.adl_risk.collect()
            for sample in family.samples
        }

    def metric(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, {"group": "all"})


def runner(shard: int, *states: AccountState, durable: Commit | None = None) -> Runner:
    return Runner(shard, list(states), durable or Commit(), POLICY)


FALLEN = {"BTC-PERP": "91"}


async def test_round_when_shards_of_two_workers_leave_too_much_unpaid_then_the_home_shard_says_it_of_the_whole() -> (
    None
):
    entries: dict[int, Mapping[str, Decimal]] = {}
    here, there = Worker(entries, runner(0, ONE)), Worker(entries, runner(1, TWO))
    for worker in (there, here):
        # 80 - 90 and 1.365 to close 910
        worker.quote(FALLEN, at=2)
        worker.funds = [fund("22.73", "BTC-PERP", "ETH-PERP")]
        await worker.rounds.round()
    (event,) = here.runners[0].said
    assert (event.symbol, event.previous_level, event.level) == ("BTC-PERP", AdlLevel.NONE, AdlLevel.ACTIVE)
    assert (event.exposure.expected_shortfall, event.exposure.fund) == (2 * D("11.365"), D("22.73"))
    assert (event.shards, event.time_ns, event.reason) == ((0, 1), seconds(2), AdlReason.SHORTFALL)
    # the other one was first: it knew of its own account alone, and is the home of another contract
    assert [(it.symbol, it.level, it.shards) for it in there.runners[0].said] == [
        ("ETH-PERP", AdlLevel.SOON, (1,))
    ]
    for worker in (there, here):
        await worker.rounds.round()
    assert (len(here.runners[0].said), len(there.runners[0].said)) == (1, 1)


async def test_gauge_when_contracts_are_told_then_each_by_its_home_alone_with_what_the_fund_has() -> None:
    entries: dict[int, Mapping[str, Decimal]] = {}
    worker = Worker(entries, runner(0, ONE), runner(1))
    await worker.rounds.round()
    assert worker.risks() == {"BTC-PERP": 0, "ETH-PERP": 0, "ADA-PERP": 0, "USD-PERP": 0}
    worker.quote(FALLEN, at=2)
    worker.funds = [fund("11", "BTC-PERP", "ETH-PERP", group="all")]
    await worker.rounds.round()
    # all of the fund, by bitcoin alone; no fund pays for the others
    assert worker.risks() == {"BTC-PERP": 2, "ETH-PERP": 1}
    assert (worker.metric("margin_fund_value"), worker.metric("margin_fund_expected_shortfall")) == (
        11,
        11.365,
    )
    worker.runners.pop(0)
    await worker.rounds.round()
    assert worker.risks() == {"ETH-PERP": 1}


async def test_round_when_the_owner_dies_then_the_next_one_says_nothing_again_and_ends_it_under_the_next_number() -> (
    None
):
    entries: dict[int, Mapping[str, Decimal]] = {}
    first = Worker(entries, runner(0, ONE))
    first.quote(FALLEN, at=2)
    await first.rounds.round()
    # 11.365 of 100 is little
    assert first.runners[0].said == []
    first.funds = [fund("20", "BTC-PERP")]
    await first.rounds.round()
    (opened,) = first.runners[0].said
    assert (opened.id, opened.level) == ("adl/BTC-PERP/margin-events/1", AdlLevel.SOON)

    second = Worker(entries, runner(0, ONE, durable=first.runners[0].durable))
    second.funds = [fund("20", "BTC-PERP")]
    second.quote(FALLEN, at=3)
    await second.rounds.round()
    assert second.runners[0].said == []
    assert second.risks() == {"BTC-PERP": 1}
    second.funds = [fund("200", "BTC-PERP")]
    for at, events in ((10, 0), (69, 0), (70, 1)):
        second.pass_time(at)
        await second.rounds.round()
        assert len(second.runners[0].said) == events, at
    (over,) = second.runners[0].said
    assert (over.id, over.level, over.reason) == (
        "adl/BTC-PERP/margin-events/2",
        AdlLevel.NONE,
        AdlReason.RELIEVED,
    )


async def test_round_when_a_shard_has_no_owner_then_it_counts_with_what_was_written_last() -> None:
    entries: dict[int, Mapping[str, Decimal]] = {1: {"BTC-PERP": D(30)}}
    worker = Worker(entries, runner(0))
    await worker.rounds.round()
    said = {it.symbol: (it.level, it.shards) for it in worker.runners[0].said}
    assert said["BTC-PERP"] == (AdlLevel.SOON, (0, 1))


@pytest.mark.parametrize("trouble", ["redis", "funds", "silence", "condition"])
async def test_round_when_the_whole_is_not_known_then_nothing_is_told(trouble: str) -> None:
    worker = Worker({}, runner(0, ONE))
    worker.quote(FALLEN, at=2)
    worker.funds = [fund("1")]
    worker.redis_away = trouble == "redis"
    worker.feed_silent = trouble == "silence"
    if trouble == "funds":
        worker.funds = None
    if trouble == "condition":
        worker.runners[0].condition = Condition.RECOVERING
    await worker.rounds.round()
    assert worker.runners[0].said == []
    assert worker.risks() == {}


async def test_adopt_when_the_store_was_rewound_behind_an_event_then_its_state_is_taken_and_not_said_again() -> (
    None
):
    worker = Worker({}, runner(0, ONE))
    worker.quote(FALLEN, at=2)
    worker.funds = [fund("1", "BTC-PERP")]
    await worker.rounds.round()
    (event,) = worker.runners[0].said
    # published again after a newer one
    newer = msgspec.structs.replace(event, sequence=2, state=msgspec.structs.replace(event.state, sequence=2))
    newest = Newest()
    for it in (event, newer, event):
        newest.add(it)

    rewound = runner(0, ONE)
    (adopted,) = rewound.processor.adopt(newest)
    assert msgspec.json.decode(adopted.adl or b"", type=dict[str, AdlState]) == {"BTC-PERP": newer.state}
    assert rewound.processor.adopt(newest) == []
    after = Worker({}, rewound)
    after.funds = worker.funds
    after.quote(FALLEN, at=3)
    await after.rounds.round()
    assert rewound.said == []
