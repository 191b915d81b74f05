"""What stands between the mark book and the shards of a worker: a silent feed is one fact, and so is each symbol's outage."""

from collections.abc import Iterable
from decimal import Decimal

import msgspec
import pytest

from engine.book.columnar_book import ColumnarBook
from engine.book.hearing import SLICE_ACCOUNTS
from engine.events.effects import EventType, RiskEvent
from engine.events.price_events import PriceEvent
from engine.inputs import Topic
from engine.ladder import Band
from engine.ledger.accounts import AccountState, encode
from engine.marks.instants import Instant, MarksRecord
from engine.marks.mark_book import MarkBook
from engine.marks.outages import OutageKind
from streams.contract.cloudevents import read_event
from streams.contract.commit import Commit, merge
from streams.contract.record import Record
from streams.shards import price_watch
from streams.shards.price_watch import SILENT_SLICES_MAX, PriceWatch
from streams.shards.processor import ShardProcessor
from tests.support.builders import account, mark, sample, seconds
from tests.support.inputs import deposit

POLICY = sample()
CALM = {"BTC-PERP": 100, "BTC-USD": 100, "USDT-USD": 1, "ETH-PERP": 50, "ADA-PERP": 1, "USD-PERP": 100}
LONGS = [account({"USD": 160}, {"BTC-PERP": (10, 100)}, name=f"a-{number}") for number in range(4)]
"""With 160 of margin for a notional of 1,000: healthy, and bankrupt below 84."""
QUIET = account({"USD": 300}, name="b-0")


class Worker:
    """Two shards and the prices that they are judged at."""

    def __init__(self) -> None:
        self.marks, self.numbers = MarkBook(POLICY), iter(range(1, 10**6))
        self.watch = PriceWatch(POLICY, self.marks)
        self.shards = [self._shard(number) for number in range(2)]
        self.quote(0, CALM)
        for shard in self.shards:
            list(shard.start_judging(self.marks.prices))

    def _shard(self, number: int) -> ShardProcessor:
        shard = ShardProcessor(
            number,
            POLICY,
            ColumnarBook(POLICY),
            partition_of=lambda key: 1 if key.startswith(b"symbol/") else 0,
            topics={topic: topic.value for topic in Topic},
            quarantine_topic="quarantine",
            source="/test",
        )
        held = [*LONGS[number::2], *([QUIET] if number else [])]
        shard.load([encode(it) for it in held], {}, {}, None)
        return shard

    def quote(self, at: float, prices: dict[str, float]) -> list[RiskEvent | PriceEvent]:
        """All of these prices at once."""
        return said(self.watch.on_instants([self.believe(at, prices)], self.judging))

    def believe(self, at: float, prices: dict[str, float]) -> Instant:
        """What the mark book makes of them."""
        made = tuple(
            mark(symbol, Decimal(str(it)), next(self.numbers), at=at) for symbol, it in prices.items()
        )
        instant, refused = self.marks.accept(MarksRecord(made), seconds(str(at)))
        assert not refused
        assert instant is not None
        return instant

    def pass_time(self, at: float) -> list[RiskEvent | PriceEvent]:
        return said(self.watch.on_clock(seconds(str(at)), self.shards))

    @property
    def judging(self) -> list[ShardProcessor]:
        """While the feed is silent none of them judges, but all run."""
        return self.shards if self.watch.silent else [it for it in self.shards if it.judging]


def said(told: Iterable[tuple[ShardProcessor, list[Commit]]]) -> list[RiskEvent | PriceEvent]:
    return [read_event(it.value) for _, commits in told for commit in commits for it in commit.outbox]


def without(symbol: str) -> dict[str, float]:
    return {name: price for name, price in CALM.items() if name != symbol}


def test_feed_when_no_price_comes_then_that_is_said_once_and_nobody_is_judged():
    worker = Worker()
    assert worker.pass_time(10) == []
    (event,) = worker.pass_time(11)
    assert isinstance(event, PriceEvent)
    assert (event.type, event.subject, event.outage.since_ns) == (OutageKind.FEED_STALE, "feed", 0)
    assert (event.accounts, event.equity, event.shards) == (5, 940, (0, 1))
    assert not any(shard.judging for shard in worker.shards)
    assert [worker.pass_time(at) for at in (12, 60, 3600)] == [[], [], []]


def test_feed_when_prices_come_again_then_everybody_is_judged_at_them_at_once():
    worker = Worker()
    worker.pass_time(11)
    # less than a jump: 160 - 90 is more than 1.5 times 45.5
    assert [it.type for it in worker.quote(30, fallen(0.91))] == [OutageKind.FEED_RECOVERED]
    assert all(shard.judging for shard in worker.shards)
    assert len(worker.pass_time(41)) == 1
    *fell, over = worker.quote(60, fallen(0.83))
    # 160 - 170 < 0: every holder, and each at that instant
    assert sorted({it.account for it in fell}) == [it.account for it in LONGS]
    assert {(it.instant.time_ns, it.marks["BTC-PERP"].price) for it in fell} == {(seconds(60), 83)}
    assert over.type is OutageKind.FEED_RECOVERED


def fallen(part: float) -> dict[str, float]:
    return {symbol: price * part if symbol == "BTC-PERP" else price for symbol, price in CALM.items()}


def test_feed_when_prices_come_again_with_a_dip_that_is_over_in_the_same_batch_then_the_dip_is_judged():
    worker = Worker()
    worker.pass_time(11)
    # one symbol is not enough to end the silence; at the second instant all are there
    batch = [
        worker.believe(30, {"BTC-PERP": 91}),
        worker.believe(31, fallen(0.83)),
        worker.believe(32, {"BTC-PERP": 91}),
    ]
    fell = [it for it in said(worker.watch.on_instants(batch, worker.judging)) if isinstance(it, RiskEvent)]
    assert sorted({it.account for it in fell}) == [it.account for it in LONGS]
    assert {it.instant.time_ns for it in fell if it.type is EventType.ACCOUNT_BANKRUPT} == {seconds(31)}
    assert {it.band for it in fell if it.instant.time_ns == seconds(31)} == {Band.BANKRUPT}


def test_feed_when_one_symbol_alone_comes_again_then_everybody_is_judged_after_a_bounded_wait():
    worker = Worker()
    worker.pass_time(11)
    assert worker.quote(30, {"BTC-PERP": 91}) == []
    assert worker.quote(31, {"BTC-PERP": 83}) == []
    assert worker.pass_time(31.9) == []
    fell = worker.pass_time(32)
    assert fell[0].type is OutageKind.FEED_RECOVERED
    assert {it.account for it in fell[1:]} == {it.account for it in LONGS}
    # the wait begins anew with each silence
    assert [it.type for it in of_prices(worker.pass_time(60))] == [OutageKind.FEED_STALE]
    assert worker.quote(70, {"BTC-PERP": 83}) == []


def test_feed_when_one_symbol_still_comes_then_it_is_not_silent():
    worker = Worker()
    worker.quote(11, {"USD-PERP": 100})
    assert all(not isinstance(it, PriceEvent) for it in worker.pass_time(11.5))
    assert not worker.watch.silent


def test_symbol_when_its_price_stays_away_then_that_is_said_once_with_whom_it_concerns():
    worker = Worker()
    worker.quote(9, without("BTC-PERP"))
    worker.quote(15, without("BTC-PERP"))
    assert of_prices(worker.pass_time(15)) == []
    worker.quote(24, without("BTC-PERP"))
    assert of_prices(worker.pass_time(24.9)) == []
    (event,) = of_prices(worker.pass_time(25))
    assert (event.type, event.outage.symbol, event.subject) == (
        OutageKind.SYMBOL_DEGRADED,
        "BTC-PERP",
        "symbol/BTC-PERP",
    )
    # the holders of both shards, and not who holds none of it
    assert (event.accounts, event.equity, event.outage.since_ns) == (4, 640, 0)
    worker.quote(26, CALM)
    assert of_prices(worker.pass_time(26)) == []
    worker.quote(35, CALM)
    assert of_prices(worker.pass_time(35)) == []
    (event,) = of_prices(worker.pass_time(36))
    assert (event.type, event.sequence) == (OutageKind.SYMBOL_RECOVERED, 2)
    assert event.id == f"symbol/BTC-PERP/margin-events/{seconds(36)}"


def test_symbol_when_its_feed_stutters_then_nothing_is_said():
    worker = Worker()
    for round_ in range(5):
        at = 20 * round_
        for later in (9, 18):
            worker.quote(at + later, without("BTC-PERP"))
            assert of_prices(worker.pass_time(at + later)) == []
        worker.quote(at + 19, CALM)
        assert of_prices(worker.pass_time(at + 19.5)) == []


@pytest.mark.parametrize("at", [11, 30])
def test_feed_when_a_shard_joins_while_it_is_silent_then_it_waits_like_the_others(at):
    worker = Worker()
    worker.pass_time(11)
    worker.shards.append(worker._shard(1))
    assert worker.pass_time(at) == []
    assert not worker.shards[-1].judging


def of_prices(events: list[RiskEvent | PriceEvent]) -> list[PriceEvent]:
    return [it for it in events if isinstance(it, PriceEvent)]


def crowd(letter: str) -> list[AccountState]:
    """Accounts that are bankrupt at 90: 99 - 100 < 0."""
    held = {"BTC-PERP": (10, 100)}
    return [account({"USD": 99}, held, name=f"{letter}-{number:02}") for number in range(3 * SLICE_ACCOUNTS)]


def test_shards_when_an_instant_makes_all_of_them_speak_then_they_do_so_slice_by_slice_in_turn():
    worker = Worker()
    for shard, letter in zip(worker.shards, "cd", strict=True):
        shard.book.put_all(crowd(letter))
    told = worker.watch.on_instants([worker.believe(1, fallen(0.9))], worker.judging)
    spoke = [processor.shard for processor, commits in told if commits]
    assert len(spoke) >= 6
    assert spoke == [0, 1] * (len(spoke) // 2)


def test_shards_when_one_has_much_to_put_in_order_then_it_speaks_as_soon_as_it_can_and_keeps_no_other_waiting():
    slow = [[]] * (2 * SILENT_SLICES_MAX + 1) + [["slow"], ["slow"]]
    quick = [[], ["quick"], ["quick"], ["quick"]]
    turns = [name for name, _ in price_watch._in_turn([("slow", iter(slow)), ("quick", iter(quick))])]
    many = ["slow"] * SILENT_SLICES_MAX
    assert turns == [*many, "quick", "quick", *many, "quick", "slow", "slow", "quick", "slow"]
    ready = [[], ["a"], ["a"]]
    assert [
        name for name, parts in price_watch._in_turn([("a", iter(ready)), ("b", iter(ready))]) if parts
    ] == list("abab")


def test_processor_when_an_input_is_applied_between_two_slices_then_it_is_judged_only_when_it_is_settled():
    worker = Worker()
    shard = worker.shards[0]
    late = crowd("c")
    shard.book.put_all(late)
    slices = shard.on_instants([worker.believe(1, fallen(0.9))])
    before = next(parts for parts in slices if parts)
    last = late[-1].account
    assert last not in merge(before).risks
    record = Record(0, last.encode(), msgspec.json.encode(deposit(last, asset="USD")))
    assert shard.apply(Topic.LEDGER, shard.decode(Topic.LEDGER, [record])).applied == 1

    of_it = [it for it in said((shard, parts) for parts in slices) if it.account == last]
    assert {(it.band, it.inputs.ledger) for it in of_it} == {(Band.BANKRUPT, -1)}
    said((shard, parts) for parts in shard.settle())
    assert shard.book.state(last).ledger.offset == 0


def test_join_when_marks_came_from_the_store_then_each_is_as_old_as_it_is_and_nothing_false_is_said():
    """A second worker takes shards over: what is quoted every two seconds has no mark newer than those in the store."""
    worker = Worker()
    newcomer = Worker.__new__(Worker)
    newcomer.marks, newcomer.numbers = MarkBook(POLICY), iter(range(100, 10**6))
    newcomer.watch = PriceWatch(POLICY, newcomer.marks)
    newcomer.believe(8, {"ETH-PERP": 50})
    for it in worker.marks.prices.marks.values():
        newcomer.marks.prime(msgspec.structs.replace(it, time_ns=seconds("8.5")))
    shard = newcomer._shard(0)
    assert said((shard, parts) for parts in newcomer.watch.join(shard, seconds("9.5"))) == []
    assert shard.judging
    assert newcomer.marks.prices.time_ns == seconds("9.5"), (
        "judged at the prices of now, not of the last tick"
    )


def test_join_when_the_feed_has_been_silent_since_then_nobody_is_judged_before_it_is_over():
    worker = Worker()
    newcomer = Worker.__new__(Worker)
    newcomer.marks, newcomer.numbers = MarkBook(POLICY), iter(range(100, 10**6))
    newcomer.watch = PriceWatch(POLICY, newcomer.marks)
    for it in worker.marks.prices.marks.values():
        newcomer.marks.prime(it)
    newcomer.shards = [newcomer._shard(0)]
    (shard,) = newcomer.shards
    assert list(newcomer.watch.join(shard, seconds(3600))) == []
    assert not shard.judging
    newcomer.pass_time(3601)
    assert not shard.judging
    newcomer.quote(3602, CALM)
    assert shard.judging
