"""The composition root: every part of a worker, built and wired in one function, every option explicit."""

import asyncio
import gc
import signal
import sys
import time
from importlib.metadata import version
from typing import Any

import faust
import structlog
from aiokafka import AIOKafkaProducer
from mode import CrashingSupervisor
from yarl import URL

from engine.book.columnar import ColumnarBook
from engine.book.mark_batch import MarkEncoder
from engine.inputs import Topic
from engine.marks import MarkBook
from streams.agents import add_input_agent, add_marks_agent
from streams.cascade import Cascade
from streams.crash import crash_only, end_process
from streams.health import HealthServer
from streams.heat_map import HeatMapGauges
from streams.kafka import account_partitioner, partition_counts, producer
from streams.log_ends import LogEnds
from streams.log_reader import open_log
from streams.loop_lag import measure_loop_lag
from streams.metrics import Metrics
from streams.pricing import PriceDesk, PriceReader
from streams.processor import ShardProcessor
from streams.redis_client import connect
from streams.relay import OutboxRelay
from streams.settings import Settings, SettingsError, load_policy
from streams.shard import ShardRunner
from streams.shards import Shards
from streams.store import ShardStore
from streams.watchdog import Watchdog

CLOCK_SECONDS = 1.0
SWITCH_INTERVAL_SECONDS = 0.0005
"""Faust's consumer runs in a thread of its own. At every socket write the event loop gives the interpreter away, and
with Python's default waits up to 5 ms to get it back."""
GARBAGE_THRESHOLD = 20_000
"""New objects before a young collection; the default, 700, is passed by a single batch of records."""

_log = structlog.get_logger()


def build_faust_app(settings: Settings) -> faust.App:
    """Build the Faust app with every default that matters overridden in the open."""
    credentials = None
    if "SASL" in settings.kafka_security_protocol:
        credentials = faust.SASLCredentials(
            mechanism="PLAIN",
            username=settings.kafka_sasl_username,
            password=settings.kafka_sasl_password.get_secret_value(),
        )
    elif settings.kafka_security_protocol == "SSL":
        credentials = faust.SSLCredentials()
    session = settings.kafka_session_timeout_seconds
    return faust.App(
        settings.group,
        broker=[URL(f"aiokafka://{address}") for address in settings.kafka_bootstrap_servers.split(",")],
        broker_credentials=credentials,
        broker_session_timeout=session,
        broker_heartbeat_interval=session / 5,
        broker_request_timeout=max(90.0, session + 30.0),  # Faust refuses one shorter than the session
        broker_commit_interval=1.0,
        broker_max_poll_interval=600.0,
        broker_client_id=settings.worker_id,
        # A static member keeps its shards over a quick restart. An id of its own making changes at every start, and a
        # static member never says goodbye: its shards would wait out the session for nobody.
        consumer_group_instance_id=settings.worker_id if "worker_id" in settings.model_fields_set else None,
        consumer_auto_offset_reset="earliest",
        processing_guarantee="at_least_once",
        agent_supervisor=CrashingSupervisor,
        producer_acks=-1,
        stream_wait_empty=False,  # an unacknowledged record is read again by whoever owns the shard next
        topic_allow_declare=False,
        topic_disable_leader=True,
        store="memory://",
        web_enabled=False,
        worker_redirect_stdouts=False,
        autodiscover=False,
    )


async def run_worker(settings: Settings) -> None:
    """Run one worker until SIGTERM or SIGINT. Raises `SettingsError` for a topic layout it cannot work with."""
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    gc.set_threshold(GARBAGE_THRESHOLD)
    policy = load_policy(settings.policy_file)
    # Compiles what is not in the cache on disk. Done later, inside the event loop, that would cost the membership in
    # the group, and the watchdog would end every first start.
    ColumnarBook(policy)
    topics = {Topic.FILLS: settings.topic_fills, Topic.LEDGER: settings.topic_ledger}
    partitions = await _shard_count(settings, topics)
    metrics = Metrics()
    metrics.worker_info.labels(version("unimargin"), policy.digest).set(1)
    metrics.worker_start_timestamp_seconds.set(time.time())

    redis = connect(settings.redis_url.get_secret_value())
    events = producer(settings)
    await events.start()
    marks = MarkBook(policy)
    prices_ready = asyncio.Event()
    log_ends = LogEnds(settings, topics)

    def build_shard(shard: int) -> ShardRunner:
        store = ShardStore(
            redis,
            shard,
            settings.worker_id,
            metrics,
            prefix=settings.redis_prefix,
            retry_for_s=settings.redis_retry_seconds,
        )
        processor = ShardProcessor(
            shard,
            policy,
            ColumnarBook(policy),
            partition_of=account_partitioner(partitions),
            topics=topics,
            quarantine_topic=settings.topic_quarantine,
            source=f"/unimargin/{settings.group}/{shard}",
        )
        return ShardRunner(
            processor,
            store,
            OutboxRelay(store, events, metrics, time.time_ns),
            marks,
            prices_ready,
            topics=topics,
            log_ends=log_ends,
            open_log=lambda: open_log(settings),
            cascade=Cascade(policy, marks, metrics),
            metrics=metrics,
        )

    shards = Shards(build_shard, marks, metrics, shutdown_seconds=settings.shutdown_seconds)
    watchdog = Watchdog(shards, settings, topics, metrics)
    desk = PriceDesk(
        marks,
        MarkEncoder(policy),
        topic=settings.topic_prices,
        quarantine_topic=settings.topic_quarantine,
        judge=shards.on_marks,
        quarantine=shards.quarantine,
        metrics=metrics,
        conflates=settings.marks_judged == "conflate",
    )
    app = build_faust_app(settings)
    channel = app.channel()
    price_reader = PriceReader(
        settings, lambda: channel.send(value=True), prices_ready, lambda: watchdog.beat("prices")
    )
    add_input_agent(app, Topic.FILLS, settings.topic_fills, shards)
    add_input_agent(app, Topic.LEDGER, settings.topic_ledger, shards)
    add_marks_agent(app, channel, price_reader, desk)
    app.on_partitions_assigned.connect(_assignment_handler(shards, topics), weak=False)

    health = HealthServer(
        settings.metrics_host,
        settings.metrics_port,
        metrics.registry,
        lambda: _not_ready(shards, prices_ready),
    )
    await health.start()
    heat_map = HeatMapGauges(
        lambda: shards.books,
        marks,
        policy,
        metrics,
        moves=settings.heat_map_moves,
        symbols_named=settings.heat_map_symbols,
        every_seconds=settings.heat_map_seconds,
    )
    stopping = _stop_on_signals()
    watchdog.start()
    tasks = [
        asyncio.create_task(crash_only(body)(), name=name)
        for name, body in (
            ("watchdog", watchdog.run),
            ("log-ends", log_ends.run),
            ("prices", price_reader.run),
            ("clock", _clock(shards, watchdog)),
            ("loop-lag", lambda: measure_loop_lag(metrics)),
            ("heat-map", heat_map.run),
        )
    ]
    await app.start()
    _log.info("worker_runs", worker=settings.worker_id, policy=policy.digest, shards=partitions)
    await stopping.wait()
    _log.info("worker_stops", worker=settings.worker_id)
    await _shut_down(app, shards, tasks, events, within_seconds=settings.shutdown_seconds)
    watchdog.stop()
    await redis.aclose()
    await health.stop()


async def _shard_count(settings: Settings, topics: dict[Topic, str]) -> int:
    """Partitions of the account-keyed topics, which must be equal: partition number is shard number."""
    every = await partition_counts(settings, (*topics.values(), settings.topic_prices))
    missing = [name for name, count in every.items() if not count]
    if missing:
        raise SettingsError(
            f"topics missing: {', '.join(missing)}; create them with `unimargin topics create`"
        )
    counts = {name: every[name] for name in topics.values()}
    if len(set(counts.values())) != 1:
        raise SettingsError(f"topics must have equal partition counts, found {counts}")
    return next(iter(counts.values()))


def _assignment_handler(shards: Shards, topics: dict[Topic, str]) -> Any:
    async def on_assigned(_: faust.App, assigned: set[Any], **_options: Any) -> None:
        by_topic = {
            name: {place.partition for place in assigned if place.topic == name} for name in topics.values()
        }
        first, second = by_topic.values()
        if first != second:
            end_process(f"account topics were not assigned together: {by_topic}")
        await shards.assigned(first)

    return on_assigned


def _clock(shards: Shards, watchdog: Watchdog) -> Any:
    async def tick() -> None:
        while True:
            await asyncio.sleep(CLOCK_SECONDS)
            await shards.on_clock()
            watchdog.beat("clock")

    return tick


def _not_ready(shards: Shards, prices_ready: asyncio.Event) -> dict[str, str]:
    missing = {} if prices_ready.is_set() else {"prices": "catching up"}
    if not shards.ready:
        conditions = {str(it.shard): f"{it.condition} {it.stop_reason}".strip() for it in shards.runners}
        missing["shards"] = (
            ", ".join(f"{shard}: {text}" for shard, text in conditions.items()) or "none assigned"
        )
    return missing


def _stop_on_signals() -> asyncio.Event:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return stopping


async def _shut_down(
    app: faust.App,
    shards: Shards,
    tasks: list[asyncio.Task[None]],
    events: AIOKafkaProducer,
    *,
    within_seconds: float,
) -> None:
    """Commit and publish what is in memory, tell Kafka how far, leave the group. Bounded: a kill is safe too."""
    try:
        async with asyncio.timeout(within_seconds):
            await shards.stop()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await app.stop()
            await events.stop()
    except TimeoutError:
        _log.warning("shutdown_unfinished", seconds=within_seconds)
