"""The feed on a broker: every record where a worker expects it, nothing stale, an honest summary."""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.partitioner import DefaultPartitioner
from typer.testing import CliRunner

from engine.inputs import Fill, Mark, Topic
from engine.ledger.accounts import AccountState
from engine.ledger.applying import apply
from engine.marks.mark_book import MarkBook
from engine.policy import Policy
from engine.rejections import Rejection
from streams.cli.simulate.feed_command import feed
from streams.config.settings import Settings, load_policy, load_settings
from streams.contract.codec import decode_account_input, decode_prices
from streams.embedded.embedded_broker import EmbeddedBroker
from streams.embedded.ports import free_port
from streams.exchange.feed_errors import BrokerError
from streams.exchange.market.recording import Recording
from streams.exchange.market.scenario import FeedMark, SyntheticCrash
from streams.exchange.traders.population import Population
from streams.exchange.wire.feed import Feed, FeedOptions, FeedSummary, run_feed
from tests.support.instants import offered as accepted_one

TOPICS = {"prices": 3, "fills": 4, "ledger": 4}
T0 = 1_760_000_000_000
PACE_NS = 10_000_000
"""Longer than the window in which the tests look for jumps."""


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load_policy(None)


@pytest.fixture
def settings() -> Iterator[Settings]:
    with EmbeddedBroker(TOPICS) as broker:
        yield load_settings().model_copy(update={"kafka_bootstrap_servers": broker.bootstrap_servers})


@pytest.fixture
async def log(settings: Settings) -> AsyncIterator["Log"]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap_servers, enable_auto_commit=False, fetch_max_wait_ms=5
    )
    await consumer.start()
    yield Log(consumer)
    await consumer.stop()


class Log:
    """All records of a topic, read from its beginning."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer

    async def records(self, topic: str) -> list[Any]:
        places = [TopicPartition(topic, partition) for partition in range(TOPICS[topic])]
        self._consumer.assign(places)
        await self._consumer.seek_to_beginning(*places)
        ends = await self._consumer.end_offsets(places)
        found: list[Any] = []
        while len(found) < sum(ends.values()):
            polled = await self._consumer.getmany(timeout_ms=100)
            found += [record for records in polled.values() for record in records]
        return found


def made(policy: Policy, accounts: int = 40, seconds: float = 2) -> tuple[SyntheticCrash, Population]:
    scenario = SyntheticCrash(policy, seed=1, seconds=seconds, ticks_per_second=400)
    return scenario, Population(policy, accounts, 1, scenario.start_prices)


def quick(**options: Any) -> FeedOptions:
    return FeedOptions(settle_seconds=0, **options)


async def test_account_inputs_then_are_keyed_placed_and_applied_without_refusal(
    settings: Settings, policy: Policy, log: Log
) -> None:
    summary = await run_feed(settings, *made(policy), quick(fills_per_second=100))
    partitioner = DefaultPartitioner()
    states: dict[str, AccountState] = {}
    counts = {}
    for topic in (Topic.LEDGER, Topic.FILLS):
        records = await log.records(topic)
        counts[topic] = len(records)
        for record in records:
            message = decode_account_input(topic, record.key, record.value)
            assert not isinstance(message, Rejection)
            assert record.partition == partitioner(record.key, [0, 1, 2, 3], [0, 1, 2, 3])
            state = states.get(message.account, AccountState(message.account))
            after = apply(state, message, topic, record.offset, policy)
            assert isinstance(after, AccountState)
            states[message.account] = after
    assert len(states) == 40
    assert counts == {Topic.LEDGER: summary.ledger_entries, Topic.FILLS: summary.fills}
    opening = sum(isinstance(message, Fill) for message in made(policy)[1].inputs(0))
    assert opening + 150 < summary.fills < opening + 250


@pytest.mark.parametrize("marks_per_record", [1, 20])
async def test_prices_then_keep_each_symbol_in_one_partition_and_in_order(
    settings: Settings, policy: Policy, log: Log, marks_per_record: int
) -> None:
    summary = await run_feed(settings, *made(policy), quick(marks_per_record=marks_per_record))
    records = await log.records("prices")
    partitions = defaultdict(set)
    # a crash that is crammed into two seconds is a jump within any real moment
    hurried = msgspec.structs.replace(policy.prices, jump_window_seconds=Decimal("0.001"))
    book, refused, marks_seen = MarkBook(msgspec.structs.replace(policy, prices=hurried)), 0, 0
    for record in records:
        marks = decode_prices(record.value)
        assert not isinstance(marks, Rejection)
        assert len(marks) <= marks_per_record
        for mark in marks:
            partitions[mark.symbol].add(record.partition)
            place = DefaultPartitioner()(mark.symbol.encode(), [0, 1, 2], [0, 1, 2])
            assert record.partition == place
            assert record.key == (mark.symbol.encode() if marks_per_record == 1 else None)
            # a feed that was held up sends what it missed at once, and a crash within a moment is a jump: here it took its time
            marks_seen += 1
            paced = msgspec.structs.replace(mark, time_ns=T0 * 10**6 + marks_seen * PACE_NS)
            refused += isinstance(accepted_one(book, paced, paced.time_ns), Rejection)
    assert set(partitions) == set(policy.price_symbols)
    assert all(len(places) == 1 for places in partitions.values())
    assert marks_seen == summary.ticks + summary.repeats
    assert (len(records) == marks_seen) is (marks_per_record == 1)
    bad = sum(not mark.believable for mark in made(policy)[0])
    assert refused == bad > 0
    assert {s: book.prices.marks[s].price for s in partitions} == {
        symbol: span.last for symbol, span in summary.prices.items()
    }


async def test_a_second_feed_then_marks_above_the_first_ones_sequences(
    settings: Settings, policy: Policy, log: Log
) -> None:
    await run_feed(settings, *made(policy, accounts=1, seconds=1), quick())
    highest = max(await sequences(log))
    second = await run_feed(settings, *made(policy, accounts=1, seconds=1), quick())
    above = [sequence for sequence in await sequences(log) if sequence > highest]
    assert len(above) == second.ticks + second.repeats


async def sequences(log: Log) -> list[int]:
    return [mark.sequence for record in await log.records("prices") for mark in decoded(record.value)]


def decoded(value: bytes) -> tuple[Mark, ...]:
    marks = decode_prices(value)
    assert not isinstance(marks, Rejection)
    return marks


async def test_symbols_that_a_recording_never_marks_then_are_repeated_each_second(
    settings: Settings, policy: Policy, log: Log, tmp_path: Path
) -> None:
    path = tmp_path / "recording.csv"
    path.write_text(f"ts_ms,symbol,price,qty\n{T0},BTCUSD,90000,1\n{T0 + 2500},BTCUSD,89000,1\n")
    scenario = Recording(path, policy, speed=1)
    population = Population(policy, 5, 1, scenario.start_prices)
    summary = await run_feed(settings, scenario, population, quick())
    counts: dict[str, int] = defaultdict(int)
    for record in await log.records("prices"):
        for mark in decoded(record.value):
            counts[mark.symbol] += 1
    assert summary.ticks == 4
    assert counts["BTC-USDT-PERP"] == 3  # the start price, then the two of the recording: silence is kept
    assert all(counts[symbol] >= 3 for symbol in scenario.constant)
    assert str(summary.prices["BTC-USD"].last) == "89000"


async def test_progress_then_tells_each_phase_in_turn(settings: Settings, policy: Policy) -> None:
    told: list[FeedSummary] = []
    await run_feed(settings, *made(policy, seconds=1), quick(), told.append)
    phases = list(dict.fromkeys(summary.phase for summary in told))
    assert phases == ["seeding", "moving", "ended"]
    assert told[-1].ledger_entries > 0
    assert told[-1].ticks >= 400


async def test_a_feed_when_cancelled_then_has_delivered_what_it_says(
    settings: Settings, policy: Policy, log: Log
) -> None:
    moving = asyncio.Event()

    def on_progress(summary: FeedSummary) -> None:
        if summary.ticks > 300:
            moving.set()

    running = Feed(settings, *made(policy, seconds=60), quick(fills_per_second=50), on_progress)
    task = asyncio.ensure_future(running.run())
    await asyncio.wait_for(moving.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    summary = running.summary()
    assert summary.phase == "moving"
    assert len(await log.records("prices")) >= summary.ticks + summary.repeats
    assert len(await log.records("fills")) >= summary.fills


async def test_a_feed_with_a_time_limit_then_ends_in_the_middle(settings: Settings, policy: Policy) -> None:
    summary = await run_feed(settings, *made(policy, seconds=60), quick(seconds_max=1))
    assert summary.seconds < 5
    assert 200 <= summary.ticks <= 500


class _Avalanche:
    """More marks due at once than any machine sends in time, then the same over some seconds."""

    constant: frozenset[str] = frozenset()
    paced = True

    def __init__(self, policy: Policy) -> None:
        self.start_prices = made(policy)[0].start_prices

    def __iter__(self) -> Iterator[FeedMark]:
        price = self.start_prices["BTC-USD"]
        for sequence in range(1, 100_000_000):
            yield FeedMark(sequence / 10_000_000, "BTC-USD", price, sequence)


async def test_a_feed_that_falls_behind_then_says_how_late_it_was(settings: Settings, policy: Policy) -> None:
    population = made(policy, accounts=1)[1]
    summary = await run_feed(
        settings, _Avalanche(policy), population, quick(seconds_max=2, marks_per_record=500)
    )
    assert summary.late_seconds_max > 1
    assert summary.seconds < 6


async def test_a_feed_without_a_broker_then_says_so(policy: Policy) -> None:
    address = f"127.0.0.1:{free_port()}"
    settings = load_settings().model_copy(update={"kafka_bootstrap_servers": address})
    with pytest.raises(BrokerError, match=address):
        await run_feed(settings, *made(policy))


def command(*arguments: str) -> Any:
    app = typer.Typer()
    app.command()(feed)
    return CliRunner().invoke(app, arguments)


def test_the_command_then_prints_its_summary_as_json(settings: Settings) -> None:
    servers = settings.kafka_bootstrap_servers
    result = command("--bootstrap-servers", servers, "--accounts", "10", "--seconds", "1", "--json")
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert summary["phase"] == "ended"
    assert summary["accounts"] == 10
    assert summary["prices"]["BTC-USD"]["first"] == "113000.0"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--speed", "fast", "--data", "x.csv"], 2, "--speed 'fast': a number above 0, or max"),
        (["--from", "noon", "--data", "x.csv"], 2, "--from 'noon': not an ISO time"),
        (["--data", "absent.csv"], 2, "absent.csv, line 1: cannot be read"),
        (["--policy", "absent.toml"], 2, "policy file absent.toml"),
        (["--ticks-per-second", "1"], 2, "1 ticks per second leave symbols without a mark"),
        (["--accounts", "0"], 2, "--accounts"),
        (
            ["--bootstrap-servers", "127.0.0.1:1"],
            1,
            "Is the broker running, and is UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS its address?",
        ),
    ],
)
def test_the_command_when_misused_then_says_how_without_a_traceback(
    arguments: list[str], code: int, message: str
) -> None:
    result = command(*arguments)
    assert result.exit_code == code
    assert message in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
