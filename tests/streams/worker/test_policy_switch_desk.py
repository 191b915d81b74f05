"""The switch of one worker on a real desk and real shards: what comes before a version is judged by the one before, what comes from it on by it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from itertools import count

import msgspec
import pytest

from engine.book.instant_batch import EncodedInstants, InstantEncoder
from engine.inputs import Mark
from engine.marks.intake import PriceIntake
from engine.marks.mark_book import NANOSECONDS, MarkBook
from engine.policy.timeline import PolicyTimeline, Ruling
from streams.config.problem import Problem
from streams.config.settings import Settings
from streams.kafka.policy_follower import PolicyFollower, lead_seconds
from streams.observe.metrics import Metrics
from streams.prices.price_desk import PriceDesk
from streams.prices.price_reader import PriceRecord
from streams.prices.symbol_beliefs import SymbolBeliefs
from streams.shards.price_watch import PriceWatch
from streams.shards.shards import Shards
from streams.worker.policy_switch import PolicySwitch
from tests.support.builders import sample

OLD = sample()
NEW = sample(("[instruments.ETH-PERP]", "[instruments.SOL-PERP]"))
STEP_NS = NANOSECONDS // 1_000


class Surroundings:
    """A worker without shards, Kafka or Redis, whose desk hands on what is judged."""

    def __init__(self, from_ns: int, fault: str = "") -> None:
        self.said: list[int] = []
        self.judged: list[tuple[str, str, int]] = []
        """Symbol, digest and event time of every mark."""
        metrics, turn = Metrics(), asyncio.Lock()
        self.marks = MarkBook(OLD)
        timeline = PolicyTimeline([Ruling(0, 0, OLD)])
        follower = PolicyFollower(Settings(), OLD)
        self.switch = PolicySwitch(timeline, timeline.at(0), follower, self.marks, metrics, self.says)
        self.turn = turn
        timeline.add(Ruling(1, from_ns, NEW, fault))
        watch = PriceWatch(OLD, self.marks)
        shards = Shards(
            _no_shard, self.marks, watch, metrics, turn, priced_until_ns=time.time_ns, shutdown_seconds=1
        )
        self.desk = PriceDesk(
            PriceIntake(OLD, self.marks),
            InstantEncoder(OLD),
            topic="prices",
            quarantine_topic="quarantine",
            judge=self.judge,
            quarantine=lambda _: None,
            metrics=metrics,
            beliefs=SymbolBeliefs(OLD.price_symbols, self.marks),
            turn=turn,
            rulings=Known(self.switch),
        )
        self.switch.attach(self.desk, shards, ())
        self._offsets = count()

    async def says(self, ruling: Ruling) -> None:
        self.said.append(ruling.version)

    async def judge(self, instants: EncodedInstants) -> None:
        digest = self.switch.now.policy.digest
        self.judged += [(it.symbol, digest, it.time_ns) for it in instants.marks]

    def record(self, symbol: str, time_ns: int) -> PriceRecord:
        offset = next(self._offsets)
        sent = Mark(symbol, Decimal(100), offset + 1, time_ns)
        return PriceRecord(0, offset, b"k", msgspec.json.encode(sent))


class Known:
    """The switch of a worker that has heard all there is."""

    are_known = True

    def __init__(self, switch: PolicySwitch) -> None:
        self.begins_by: Callable[[int], bool] = switch.begins_by
        self.reach: Callable[[int], Awaitable[None]] = switch.reach

    async def known(self) -> None:
        """It is."""


def _no_shard(_: int) -> object:
    raise AssertionError("there is none")


def test_batch_when_a_version_begins_within_it_then_what_is_dated_before_is_judged_by_the_one_before():
    from_ns = time.time_ns()
    it = Surroundings(from_ns)
    times = [from_ns - STEP_NS, from_ns, from_ns - 2 * STEP_NS]
    records = [it.record("BTC-PERP", at) for at in times]
    records[1:1] = [it.record("SOL-PERP", times[0])]
    records.append(it.record("SOL-PERP", from_ns + STEP_NS))
    asyncio.run(it.desk.on_records(records))
    assert it.judged == [
        ("BTC-PERP", OLD.digest, times[0]),
        # not listed yet, and of the others event time never goes back
        ("BTC-PERP", NEW.digest, times[1]),
        ("BTC-PERP", NEW.digest, times[2]),
        ("SOL-PERP", NEW.digest, from_ns + STEP_NS),
    ]
    assert it.said == [1]
    assert it.marks.time_ns >= from_ns


def test_mark_when_dated_further_ahead_than_any_may_be_then_it_brings_no_version_on():
    from_ns = time.time_ns() + 60 * NANOSECONDS
    it = Surroundings(from_ns)
    asyncio.run(
        it.desk.on_records([it.record("BTC-PERP", from_ns + 1), it.record("BTC-PERP", time.time_ns())])
    )
    assert [digest for _, digest, _ in it.judged] == [OLD.digest]
    assert it.said == []


def test_version_when_this_edition_cannot_judge_by_it_then_nothing_is_judged_from_its_time_on():
    it = Surroundings(time.time_ns(), fault="version 1 of the policy is of another edition")
    with pytest.raises(Problem, match="another edition"):
        asyncio.run(it.desk.on_records([it.record("BTC-PERP", time.time_ns())]))
    assert it.judged == []


def test_clock_when_it_reaches_a_version_then_event_time_is_not_before_it_even_if_the_clock_goes_back():
    from_ns = time.time_ns() - 5 * NANOSECONDS
    it = Surroundings(from_ns)

    async def pass_time() -> None:
        async with it.turn:
            await it.switch.reach(from_ns - 1)
            assert it.said == []
            await it.switch.reach(from_ns)
            await it.switch.reach(from_ns - NANOSECONDS)

    asyncio.run(pass_time())
    assert (it.said, it.marks.time_ns, it.switch.now.version) == ([1], from_ns, 1)


def test_lead_when_marks_may_be_dated_ahead_then_a_version_is_published_so_much_earlier():
    # 2.5 s since the topic was heard, 1.5 s between two clocks, and the sample's 2 s of tolerance
    assert lead_seconds(OLD) == 6
