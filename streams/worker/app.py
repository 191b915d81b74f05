"""The composition root: every part of a worker, built and wired in one function, every option explicit."""

import asyncio
import gc
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeVar, cast

import structlog
from aiokafka import AIOKafkaProducer
from redis.asyncio import Redis

from engine.book.columnar_book import ColumnarBook
from engine.book.instant_batch import InstantEncoder
from engine.events.effects import Stream
from engine.inputs import Topic
from engine.marks.intake import PriceIntake
from engine.marks.mark_book import MarkBook
from streams.config.problem import Problem
from streams.config.settings import Settings, SettingsError, load_policy
from streams.contract.commit import Lane
from streams.kafka.clients import account_partitioner, relay_producer
from streams.kafka.fund_follower import FundFollower
from streams.kafka.group_removal import remove_members
from streams.kafka.kept_connections import keep_connected
from streams.kafka.log_ends import LogEnds
from streams.kafka.log_reader import FOLLOW_WAIT_MS, open_log
from streams.kafka.policy_follower import PolicyFollower
from streams.kafka.producer_epochs import raise_shard_epoch
from streams.observe.cascade import Cascade
from streams.observe.health_server import HealthServer
from streams.observe.heat_map_gauges import HeatMapGauges
from streams.observe.loop_lag import measure_loop_lag
from streams.observe.metrics import Metrics
from streams.observe.traces import NO_TRACES, Traces
from streams.outbox.relays import OutboxRelays
from streams.prices.operator_reader import OperatorReader
from streams.prices.price_desk import PriceDesk
from streams.prices.price_reader import PriceReader
from streams.prices.symbol_beliefs import SymbolBeliefs
from streams.shards.account_copies import AccountCopies, CopyPace
from streams.shards.adl_rounds import AdlRounds
from streams.shards.commit_queue import CommitQueue
from streams.shards.crash import crash_only
from streams.shards.giving_way import AfterPrices
from streams.shards.price_watch import PriceWatch
from streams.shards.processor import ShardProcessor
from streams.shards.shard import ShardRunner
from streams.shards.shard_parts import ShardParts
from streams.shards.shard_standing import Standing
from streams.shards.shards import Shards
from streams.shards.snapshot_writer import SnapshotWriter
from streams.shards.succession import Succession
from streams.store.belief_store import save_beliefs
from streams.store.redis_access import client_of
from streams.store.shard_follower import Role, ShardFollower
from streams.store.shard_store import ShardStore
from streams.store.signs_of_life import all_signs_of_life
from streams.store.unpaid_store import exchange_unpaid
from streams.worker.group_member import GroupMember
from streams.worker.policy_gate import PolicyGate
from streams.worker.policy_switch import PolicySwitch
from streams.worker.proving import Proofs
from streams.worker.stand_in import StandIn
from streams.worker.vigil import Vigil
from streams.worker.watchdog import Watchdog
from streams.worker.worker_loops import (
    as_owner,
    beats,
    clock,
    hand_on_instants,
    keep_saying_known,
    look_at_logs,
)

SWITCH_INTERVAL_SECONDS = 0.0005
"""Faust's consumer runs in a thread of its own. At every socket write the event loop gives the interpreter away, and
with Python's default waits up to 5 ms to get it back."""
GARBAGE_THRESHOLD = 20_000
"""New objects before a young collection; the default, 700, is passed by a single batch of records."""

_T = TypeVar("_T")

_log = structlog.get_logger()


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
        settings.metrics_host, settings.metrics_port, metrics.registry, partial(_not_admitted, proofs, gate)
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


class Room(NamedTuple):
    """What there is before a worker is admitted to the group."""

    settings: Settings
    topics: dict[Topic, str]
    metrics: Metrics
    redis: Redis
    gate: PolicyGate
    follower: PolicyFollower
    health: HealthServer
    stopping: asyncio.Event
    traces: Traces


async def _serve(room: Room, partitions: int, *, standby: bool) -> None:
    """Build every part of an admitted worker, and run it until it is to stop."""
    settings, topics, metrics, redis, gate, follower, health, stopping, traces = room
    metrics.shards_expected.set(partitions)
    timeline = await gate.timeline()
    ruling = timeline.at(time.time_ns())
    policy = ruling.policy
    events = {lane: relay_producer(settings) for lane in Lane}
    for lane in Lane:
        await events[lane].start()
    marks = MarkBook(policy)
    switch = PolicySwitch(timeline, ruling, follower, marks, metrics, gate.say)
    watch = PriceWatch(policy, marks)
    prices_ready = asyncio.Event()
    log_ends = LogEnds(settings, topics)
    turn, loading, snapshot_turn = asyncio.Lock(), asyncio.Lock(), asyncio.Lock()
    copy_pace = CopyPace(settings.account_state_bytes_per_second)

    # the reader is made below, and before any shard
    after_prices = AfterPrices(turn, lambda: price_reader.batches_waiting)

    def priced_until_ns() -> int:
        return price_reader.taken_until_ns(time.time_ns())

    def build_shard(shard: int) -> ShardRunner:
        store = ShardStore(
            redis,
            shard,
            settings.worker_id,
            metrics,
            prefix=settings.redis_prefix,
            role=Role.STANDBY if standby else Role.WORKER,
            retry_for_s=settings.redis_retry_seconds,
        )
        rules = switch.now.policy
        processor = ShardProcessor(
            shard,
            rules,
            ColumnarBook(rules),
            booking=timeline.booking,
            partition_of=account_partitioner(partitions),
            topics=topics,
            quarantine_topic=settings.topic_quarantine,
            source=f"/unimargin/{settings.group}/{shard}",
            operator_topic=settings.topic_operator if settings.operator_topic_enabled else None,
        )
        parts = ShardParts(
            processor=processor,
            store=store,
            relays=OutboxRelays(
                store, events, metrics, time.time_ns, partial(raise_shard_epoch, settings), traces
            ),
            queue=CommitQueue(),
            standing=Standing(),
            marks=marks,
            topics=topics,
            log_ends=log_ends,
            open_log=lambda: open_log(settings),
            open_inputs=lambda: open_log(settings, fetch_wait_ms=FOLLOW_WAIT_MS),
            turn=turn,
            cascade=Cascade(rules, marks, metrics),
            metrics=metrics,
            rulings=switch,
            traces=traces,
        )
        return ShardRunner(
            parts,
            watch,
            prices_ready,
            priced_until_ns=priced_until_ns,
            after_prices=after_prices,
            loading=loading,
            snapshots=SnapshotWriter(
                processor, store, snapshot_turn, metrics, every_seconds=settings.snapshot_seconds
            ),
            copies=AccountCopies(
                parts,
                copy_pace,
                topic=settings.topic_account_state if settings.account_state_minutes else "",
                within_seconds=60 * settings.account_state_minutes,
            ),
            succession=Succession(
                processor,
                store,
                ShardFollower(redis, shard, settings.redis_prefix),
                patience_seconds=settings.standby_patience_seconds if standby else None,
            ),
            partitions=partitions,
            wake=member.wake_inputs,  # made below, and before any shard
        )

    shards = Shards(
        build_shard,
        marks,
        watch,
        metrics,
        turn,
        priced_until_ns=priced_until_ns,
        shutdown_seconds=settings.shutdown_seconds,
        rulings=switch,
    )
    watchdog = Watchdog(shards, settings, topics, metrics)
    beliefs = SymbolBeliefs(policy.price_symbols, marks)
    desk = PriceDesk(
        PriceIntake(policy, marks),
        InstantEncoder(policy),
        topic=settings.topic_prices,
        quarantine_topic=settings.topic_quarantine,
        judge=shards.on_instants,
        quarantine=shards.quarantine,
        metrics=metrics,
        beliefs=beliefs,
        turn=turn,
        conflates=settings.marks_judged == "conflate",
        rulings=switch,
        traces=traces,
    )
    member = (
        StandIn(shards, desk, partitions) if standby else GroupMember(settings, topics, shards, desk, metrics)
    )
    price_reader = PriceReader(settings, member.wake, prices_ready, lambda: watchdog.beat("prices"), metrics)
    health.not_ready = lambda: _closed(gate) or _not_ready(shards, prices_ready)
    health.standing = lambda: "standby" if shards.only_follows else "ready"
    heat_map = HeatMapGauges(
        lambda: shards.books,
        marks,
        policy,
        metrics,
        moves=settings.heat_map_moves,
        symbols_named=settings.heat_map_symbols,
        every_seconds=settings.heat_map_seconds,
    )
    funds = FundFollower(settings, shards.quarantine)
    adl = AdlRounds(
        shards,
        marks,
        policy,
        metrics,
        funds=lambda: funds.funds,
        exchange=partial(exchange_unpaid, redis, settings.redis_prefix),
    )
    switch.attach(desk, shards, (heat_map, adl))
    follower.quarantine = shards.quarantine
    watchdog.start()
    tasks = [
        asyncio.create_task(crash_only(body)(), name=name)
        for name, body in (
            ("watchdog", watchdog.run),
            ("log-ends", log_ends.run),
            ("prices", price_reader.run),
            ("operators", OperatorReader(settings, shards.operate, shards.quarantine).run),
            ("clock", clock(shards, watchdog)),
            ("beats", beats(shards)),
            ("logs", look_at_logs(shards)),
            ("loop-lag", lambda: measure_loop_lag(metrics)),
            ("heat-map", heat_map.run),
            (
                "beliefs",
                lambda: beliefs.keep(as_owner(shards, partial(save_beliefs, redis, settings.redis_prefix))),
            ),
            ("instants", hand_on_instants(desk, lambda: switch.now.policy)),
            ("funds", funds.run),
            ("adl", adl.run),
            ("format", keep_saying_known(redis, settings)),
            ("liquidations-producer", keep_connected(events[Lane.LIQUIDATIONS], [Stream.LIQUIDATIONS])),
            ("events-producer", keep_connected(events[Lane.ORDINARY], [Stream.MARGIN_EVENTS])),
            ("policy", lambda: _stop_when(partial(gate.left, switch, turn), stopping)),
            *([] if standby else [("vigil", _vigil(room, partitions).run)]),
        )
    ]
    await member.start(price_reader)
    _log.info(
        "worker_runs",
        worker=settings.worker_id,
        policy=switch.now.policy.digest,
        shards=partitions,
        standby=standby,
    )
    await stopping.wait()
    health.not_ready = lambda: {"worker": "is stopping: it makes durable and publishes what it has"}
    _log.info("worker_stops", worker=settings.worker_id)
    await _shut_down(member, shards, tasks, events, within_seconds=settings.shutdown_seconds)
    watchdog.stop()


def _vigil(room: Room, partitions: int) -> Vigil:
    settings = room.settings
    return Vigil(
        settings.worker_id,
        partial(all_signs_of_life, room.redis, settings.redis_prefix, partitions),
        partial(remove_members, settings),
        patience_seconds=settings.owner_silence_seconds,
    )


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


async def _stop_when(left: Callable[[], Awaitable[None]], stopping: asyncio.Event) -> None:
    await left()
    stopping.set()


def _not_admitted(proofs: Proofs, gate: PolicyGate) -> dict[str, str]:
    """Why we are in no group: what is not proved, or what is in force; and once all is well, that nothing is built yet."""
    if proofs.pending:
        what, _, why = proofs.pending.partition(": ")
        return {what: why}
    return _closed(gate) or {"shards": "none assigned"}


def _closed(gate: PolicyGate) -> dict[str, str]:
    return {"policy": gate.closed} if gate.closed else {}


def _not_ready(shards: Shards, prices_ready: asyncio.Event) -> dict[str, str]:
    missing = {} if prices_ready.is_set() else {"prices": "catching up"}
    if shards.feed_silent:
        missing["prices"] = "silent: hardly any symbol has a fresh mark, so nobody is judged"
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
    member: GroupMember | StandIn,
    shards: Shards,
    tasks: list[asyncio.Task[None]],
    events: Mapping[Lane, AIOKafkaProducer],
    *,
    within_seconds: float,
) -> None:
    """Commit and publish what is in memory, tell Kafka how far, leave the group. Bounded: a kill is safe too."""

    async def end_tasks() -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    steps = {"shards": shards.stop, "tasks": end_tasks, "group": member.stop}
    steps |= {f"producer of {lane}": events[lane].stop for lane in Lane}
    under_way = ""
    try:
        async with asyncio.timeout(within_seconds):
            for step, end in steps.items():
                under_way = step
                await end()
    except TimeoutError:
        _log.warning("shutdown_unfinished", seconds=within_seconds, step=under_way)
