"""Driving a replay: its pace, how far it is, and the files it writes."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
from aiokafka import AIOKafkaConsumer

from engine.policy import Policy
from engine.policy.timeline import PolicyTimeline
from streams.config.invocation import warn
from streams.config.problem import Problem
from streams.config.progress_bar import progress_bar
from streams.config.settings import Settings
from streams.contract.cloudevents import rfc3339
from streams.exchange.feed_errors import RecordingError
from streams.kafka.clients import account_partitioner
from streams.kafka.policy_topic import read_versions, timeline_of
from streams.kafka.topic_access import open_reader
from streams.replay.arrivals import Arrival
from streams.replay.events_file import EventsDigest, written
from streams.replay.replay_counts import Refused
from streams.replay.replay_summary import Summary, summary
from streams.replay.runner import Replay
from streams.replay.sources import Files, open_topics

GARBAGE_THRESHOLD = 50_000
"""New objects before a young collection: a replay makes many and keeps few."""
TOLD_EVERY_NS = 100_000_000
SECONDS_SHOWN = len("2025-10-10T21:20:00")


class RunOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a run is made, whatever it reads."""

    policy: Policy
    """Of files, and of topics where it was named; else version 0 of the policy, where none was published."""
    is_named: bool = False
    """Whether it is to be in force throughout, whatever was."""
    plain: bool = False
    """Whether the plain book judges."""
    speed: float | None = None
    """Seconds of event time per second; None is as fast as it goes."""
    events: Path | None = None
    quarantine: Path | None = None


def replay_files(files: Files, options: RunOptions) -> Summary:
    """Replay files. Raises `FeedError` for a file that cannot be played, `SettingsError` for one that cannot be written."""
    timeline = PolicyTimeline.always(options.policy)
    with _driver(options, timeline, 1, lambda: files.bytes_read / max(1, files.bytes)) as driver:
        asyncio.run(driver.drive(_one_by_one(files.arrivals())))
        if not driver.arrivals:
            raise RecordingError(f"{files.path}: nothing to replay, there is no message in it")
        return driver.summary(files.rows_left_out, files.notes)


async def replay_topics(settings: Settings, options: RunOptions, *, from_first: bool) -> Summary:
    """Replay the input topics to where they end now. Raises `Problem` where they cannot be read."""
    async with open_reader(settings) as consumer:
        timeline = await _timeline(settings, consumer, options)
        topics = await open_topics(settings, consumer, from_first=from_first)
        log = topics.log
        if not log.offsets:
            raise Problem("nothing to replay: the topics of fills, ledger entries and prices are empty")
        with _driver(options, timeline, topics.partitions, lambda: log.passed / log.offsets) as driver:
            await driver.drive(log.arrivals())
            return driver.summary({}, [f"the log was trimmed: {it}" for it in topics.trimmed])


async def _timeline(settings: Settings, consumer: AIOKafkaConsumer, options: RunOptions) -> PolicyTimeline:
    if options.is_named:
        return PolicyTimeline.always(options.policy)
    timeline = timeline_of(await read_versions(settings, consumer, warn), options.policy)
    faults = [it.fault for it in timeline.versions if it.fault]
    if faults:
        raise Problem(f"{faults[0]}; say --policy FILE to replay everything by one")
    return timeline


class _Driver:
    """Gives a replay its arrivals, at its pace, and tells how far it is."""

    def __init__(
        self,
        options: RunOptions,
        timeline: PolicyTimeline,
        partitions: int,
        events: EventsDigest,
        refused: Callable[[Refused], object],
        told: Callable[[Replay], object],
    ) -> None:
        self.arrivals = 0
        self._speed, self._events, self._told = options.speed, events, told
        self._slept_ns = self._told_ns = 0
        self._began_ns = time.perf_counter_ns()
        self._replay = Replay(
            options.policy,
            partitions=partitions,
            partition_of=account_partitioner(partitions),
            plain=options.plain,
            timeline=timeline,
            say=events.say,
            clock=self._busy_ns,
        )
        self._replay.counts.on_refused = refused

    async def drive(self, arrivals: AsyncIterator[Arrival]) -> None:
        """Take all of them."""
        replay = self._replay
        async for arrival in arrivals:
            if self._speed is not None and self.arrivals:
                # event time passed / speed, in the time of the wall
                due_ns = self._began_ns + int((arrival.time_ns - replay.from_ns) / self._speed)
                await self._sleep_until(due_ns)
            replay.take(arrival)
            self.arrivals += 1
            now_ns = time.perf_counter_ns()
            if now_ns - self._told_ns > TOLD_EVERY_NS:
                self._told_ns = now_ns
                self._told(replay)
        replay.finish()

    def summary(self, rows_left_out: Mapping[str, int], notes: Sequence[str]) -> Summary:
        """What was done."""
        return summary(
            self._replay,
            events_digest=self._events.hex,
            wall_seconds=(time.perf_counter_ns() - self._began_ns) / 1e9,
            busy_seconds=(self._busy_ns() - self._began_ns) / 1e9,
            rows_left_out=rows_left_out,
            notes=notes,
        )

    async def _sleep_until(self, due_ns: int) -> None:
        began_ns = time.perf_counter_ns()
        if due_ns > began_ns:
            await asyncio.sleep((due_ns - began_ns) / 1e9)
            self._slept_ns += time.perf_counter_ns() - began_ns

    def _busy_ns(self) -> int:
        """A clock that stands still while the replay waits for its pace."""
        return time.perf_counter_ns() - self._slept_ns


@contextmanager
def _driver(
    options: RunOptions, timeline: PolicyTimeline, partitions: int, part_done: Callable[[], float]
) -> Iterator[_Driver]:
    """A driver and its files, which appear under their names when the body has ended well."""
    gc.set_threshold(GARBAGE_THRESHOLD)
    with ExitStack() as stack:
        events, refused = (
            stack.enter_context(written(path)) if path else None
            for path in (options.events, options.quarantine)
        )
        bar = stack.enter_context(progress_bar())
        task = bar.add_task("", total=1.0)

        def tell(replay: Replay) -> None:
            at = rfc3339(replay.time_ns)[:SECONDS_SHOWN]
            bar.update(task, completed=part_done(), description=f"{at}  {replay.counts.events:,} events")

        def put_aside(it: Refused) -> None:
            if refused is not None:
                refused.write(msgspec.json.encode(it) + b"\n")

        yield _Driver(options, timeline, partitions, EventsDigest(events), put_aside, tell)


async def _one_by_one(arrivals: Iterable[Arrival]) -> AsyncIterator[Arrival]:
    for arrival in arrivals:
        yield arrival
