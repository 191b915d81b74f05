"""A worker's process: what there is before its admission, the proofs that it waits for, then `Serving`, and the end of it all."""

import asyncio
import gc
import signal
import sys
import time
from collections.abc import Coroutine
from functools import partial
from typing import Any, TypeVar, cast

from engine.book.columnar_book import ColumnarBook
from engine.inputs import Topic
from streams.config.problem import Problem
from streams.config.settings import Settings, SettingsError, load_policy
from streams.contract.commit import Lane
from streams.kafka.clients import relay_producer
from streams.kafka.policy_follower import PolicyFollower
from streams.observe.health_server import HealthServer
from streams.observe.metrics import Metrics
from streams.observe.traces import NO_TRACES, Traces
from streams.shards.crash import crash_only
from streams.store.redis_access import client_of
from streams.worker.policy_gate import PolicyGate
from streams.worker.proving import Proofs
from streams.worker.readiness import not_admitted
from streams.worker.room import Room
from streams.worker.serving import Serving

SWITCH_INTERVAL_SECONDS = 0.0005
"""Faust's consumer runs in a thread of its own. At every socket write the event loop gives the interpreter away, and
with Python's default waits up to 5 ms to get it back."""
GARBAGE_THRESHOLD = 20_000
"""New objects before a young collection; the default, 700, is passed by a single batch of records."""

_T = TypeVar("_T")


async def run_worker(settings: Settings, *, standby: bool = False) -> None:
    """Run one worker, or a standby, until SIGTERM or SIGINT.

    Raises `SettingsError` for a topic layout it cannot work with, and `Problem` for a service that stays away, or when another policy
    has come into force.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    gc.set_threshold(GARBAGE_THRESHOLD)
    policy = load_policy(settings.policy_file)
    # Compiles what is not in the cache on disk. Done later, inside the event loop, that would cost the membership in
    # the group, and the watchdog would end every first start.
    ColumnarBook(policy)
    gc.enable()
    topics = {Topic.FILLS: settings.topic_fills, Topic.LEDGER: settings.topic_ledger}
    metrics = Metrics()
    metrics.worker_start_timestamp_seconds.set(time.time())

    traces = _traces(settings)
    redis = client_of(settings)
    proofs = Proofs(settings, redis)
    follower = PolicyFollower(settings, policy)
    gate = PolicyGate(
        redis,
        settings.redis_prefix,
        policy,
        follower,
        metrics,
        retry_for_s=settings.redis_retry_seconds,
    )
    stopping = _stop_on_signals()
    health = HealthServer(
        settings.metrics_host, settings.metrics_port, metrics.registry, partial(not_admitted, proofs, gate)
    )
    await health.start()
    following: list[asyncio.Task[None]] = []

    async def admitted() -> int:
        await proofs.redis()
        await proofs.format()
        count = await proofs.topics(topics)
        following.append(asyncio.create_task(crash_only(follower.run)(), name="policies"))
        if not await proofs.policy(gate.agrees):
            await gate.passed()
        return count

    partitions = await _unless(stopping, admitted())
    if partitions is not None:
        room = Room(settings, topics, metrics, redis, gate, follower, health, stopping, traces)
        await _serve(room, partitions, standby=standby)
    for task in following:
        task.cancel()
    await asyncio.gather(*following, return_exceptions=True)
    await redis.aclose()
    await asyncio.to_thread(traces.close)
    await health.stop()
    if gate.closed and partitions is not None:
        raise Problem(gate.closed)


async def _serve(room: Room, partitions: int, *, standby: bool) -> None:
    """Run an admitted worker until it is to stop."""
    room.metrics.shards_expected.set(partitions)
    timeline = await room.gate.timeline()
    ruling = timeline.at(time.time_ns())
    events = {lane: relay_producer(room.settings) for lane in Lane}
    for lane in Lane:
        await events[lane].start()
    await Serving(room, partitions, timeline, ruling, events, standby=standby).run()


def _traces(settings: Settings) -> Traces:
    """Raises `SettingsError` where traces are asked for and what they need is not installed."""
    if not settings.traces_endpoint:
        return NO_TRACES
    try:
        from streams.observe.otlp_traces import OtlpTraces  # noqa: PLC0415 - an extra, and half a second
    except ImportError as error:
        raise SettingsError(
            f"UNIMARGIN_TRACES_ENDPOINT: install unimargin[traces] ({error.name} is missing)"
        ) from error
    return OtlpTraces(settings.traces_endpoint, settings.traces_share, settings.worker_id)


async def _unless(stopping: asyncio.Event, work: Coroutine[Any, Any, _T]) -> _T | None:
    """What `work` returns; None where we are to stop first."""
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(work), asyncio.create_task(stopping.wait())]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    if tasks[0].done():
        tasks[1].cancel()
        return cast("_T", tasks[0].result())
    tasks[0].cancel()
    await asyncio.gather(tasks[0], return_exceptions=True)
    return None


def _stop_on_signals() -> asyncio.Event:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return stopping
