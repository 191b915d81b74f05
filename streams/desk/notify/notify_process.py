"""The process of the notifier: its tasks, its address, its end; and what its other commands do once."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from functools import partial
from typing import Any

import aiohttp
import msgspec
from aiokafka import TopicPartition
from redis.asyncio import Redis
from redis.exceptions import RedisError

from engine.events.effects import Stream
from streams.config.settings import Settings, load_policy
from streams.contract.cloudevents import rfc3339
from streams.desk.book_copy import BookCopy
from streams.desk.notify.channels import Channel, RefusedError, UndeliveredError, channel_of
from streams.desk.notify.deliveries import Pending, TargetQueue
from streams.desk.notify.desk_notices import Matcher, Notice, Urgency, notice_of
from streams.desk.notify.distance_watch import REFRESH_SECONDS, DistanceWatch, Tell
from streams.desk.notify.event_reader import EventReader, event_of
from streams.desk.notify.near_lines import NearLooker
from streams.desk.notify.near_store import NearKeeper, NearMemory, NearStore
from streams.desk.notify.notify_metrics import NotifyMetrics
from streams.desk.notify.notify_rules import NotifyRules
from streams.desk.notify.positions import PartitionPosition
from streams.desk.notify.told_store import DeadLetter, Suppressed, ToldStore
from streams.kafka.clients import open_reader, partition_counts
from streams.observe.health_server import HealthServer
from streams.store.policy_store import ruling_policy
from streams.store.redis_access import client_of, open_redis

DEAD_SECONDS = 5.0
"""How often dead letters are counted."""
POLL_MS = 200


class Attempt(msgspec.Struct, frozen=True):
    """What became of one message to one target."""

    target: str
    id: str
    error: str | None
    """None: the target took it."""


class DryLine(msgspec.Struct, frozen=True):
    """Who would be told of an event."""

    targets: dict[str, str]
    """The rule that says so, by target."""
    id: str
    summary: str


async def run_notifier(settings: Settings, rules: NotifyRules) -> None:
    """Tell until SIGTERM or SIGINT. Raises `SettingsError`."""
    metrics, stopping = NotifyMetrics(), _stop_signal()
    async with AsyncExitStack() as stack:
        channels = await stack.enter_async_context(_channels(rules))
        client = client_of(settings)
        stack.push_async_callback(client.aclose)
        store = ToldStore(client, settings.redis_prefix, settings.notify_remember_days)
        queues = {
            name: TargetQueue(name, rules.targets[name], channel, store, metrics)
            for name, channel in channels.items()
        }
        reader = EventReader(settings, Matcher(rules), queues, metrics)
        health = HealthServer(
            settings.notify_host,
            settings.notify_port,
            metrics.registry,
            lambda: {"events": reader.problem} if reader.problem else {},
        )
        await health.start()
        stack.push_async_callback(health.stop)
        near = NearStore(client, settings.redis_prefix)
        work = [
            reader.run(),
            _count_dead(store, metrics),
            *_watching(settings, rules, client, near, _teller(rules, queues), metrics),
            *(it.run() for it in queues.values()),
        ]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(it) for it in work]
            await stopping.wait()
            health.not_ready = lambda: {"notifier": "is stopping"}
            for task in tasks:
                task.cancel()


async def run_dry(settings: Settings, rules: NotifyRules, tell: Callable[[DryLine], None]) -> None:
    """Tell `tell` who would be told of what, from now on; nothing is sent, and no position is kept."""
    stopping = _stop_signal()

    def tell_of(notice: Notice, _: Callable[[], bool], done: Callable[[], None]) -> None:
        targets = dict.fromkeys(rules.rules[notice.rule].targets, notice.rule)
        tell(DryLine(targets, notice.id, notice.summary))
        done()

    client = client_of(settings)
    work = [
        _read_dry(settings, rules, tell),
        *_watching(settings, rules, client, NearMemory(), tell_of, NotifyMetrics()),
    ]
    async with aclosing(client), asyncio.TaskGroup() as group:
        tasks = [group.create_task(it) for it in work]
        await stopping.wait()
        for task in tasks:
            task.cancel()


def _watching(
    settings: Settings,
    rules: NotifyRules,
    client: Redis,
    near: NearKeeper,
    tell: Tell,
    metrics: NotifyMetrics,
) -> list[Coroutine[Any, Any, None]]:
    """What the distance rules need to be at work; nothing where there are none."""
    if all(it.within_percent is None for it in rules.rules.values()):
        return []
    looker = NearLooker(load_policy(settings.policy_file), rules)
    watch = DistanceWatch(looker, near, tell, partial(ruling_policy, client, settings.redis_prefix))
    copy = BookCopy(client, settings.redis_prefix, REFRESH_SECONDS, watch.changed)
    metrics.near_lines.set_function(lambda: watch.near_count)
    metrics.distance_round_seconds.set_function(lambda: watch.round_s)
    return [copy.run(), watch.run(copy)]


def _teller(rules: NotifyRules, queues: Mapping[str, TargetQueue]) -> Tell:
    """Hands a notice to every target of its rule."""

    def tell(notice: Notice, wanted: Callable[[], bool], done: Callable[[], None]) -> None:
        targets = set(rules.rules[notice.rule].targets)
        # a position of one record, which is done once all of its deliveries are
        one = PartitionPosition(0)
        one.read(0, len(targets))
        told = one.done_of(0)

        def told_one() -> None:
            told()
            if not one.waiting:
                done()

        for target in targets:
            queues[target].offer(Pending(notice, wanted, told_one))

    return tell


async def _read_dry(settings: Settings, rules: NotifyRules, tell: Callable[[DryLine], None]) -> None:
    matcher = Matcher(rules)
    counts = await partition_counts(settings, [*Stream])
    partitions = [TopicPartition(it.value, number) for it in Stream for number in range(counts.get(it, 0))]
    async with open_reader(settings, fetch_max_wait_ms=settings.kafka_fetch_wait_ms) as consumer:
        consumer.assign(partitions)
        earliest = settings.notify_from == "earliest"
        bounds = await (consumer.beginning_offsets if earliest else consumer.end_offsets)(partitions)
        for at, offset in bounds.items():
            consumer.seek(at, offset)
        while True:
            for at, records in (await consumer.getmany(timeout_ms=POLL_MS)).items():
                for record in records:
                    event = event_of(Stream(at.topic), record)
                    if event is not None and (targets := matcher.targets(event)):
                        tell(DryLine(targets, event.id, notice_of(event, "").summary))


async def try_rule(rules: NotifyRules, rule: str) -> list[Attempt]:
    """Send a message that says that it is a test to every target of a rule; an incident is closed at once."""
    now = time.time_ns()
    name = f"test/{rule}/{now}"
    notice = Notice(
        id=name,
        change=name,
        rule=rule,
        types={"notify.test": 1},
        subject="nobody",
        episode_id=name,
        urgency=Urgency.INFO,
        time_ns=now,
        summary=f"A test of rule {rule} at {rfc3339(now)}: no account is concerned.",
        event_ids=(name,),
    )
    found = []
    wanted = rules.rules[rule].targets
    async with _channels(rules, wanted) as channels:
        for target in dict.fromkeys(wanted):
            error = await _once(channels[target], notice)
            if error is None and channels[target].incidents:
                error = await _once(channels[target], msgspec.structs.replace(notice, resolved=True))
            found.append(Attempt(target, notice.id, error))
    return found


async def replay_dead(settings: Settings, rules: NotifyRules) -> list[Attempt]:
    """Send every dead letter once more; what is taken is a dead letter no more."""
    async with open_redis(settings) as client, AsyncExitStack() as stack:
        store = ToldStore(client, settings.redis_prefix, settings.notify_remember_days)
        letters = await store.dead_letters()
        wanted = {it.target for it in letters} & set(rules.targets)
        channels = await stack.enter_async_context(_channels(rules, wanted))
        return [Attempt(it.target, it.notice.id, await _again(it, channels, store)) for it in letters]


async def _again(letter: DeadLetter, channels: dict[str, Channel], store: ToldStore) -> str | None:
    channel = channels.get(letter.target)
    if channel is None:
        return "the rules have no such target any more"
    error = None
    over = await store.known(letter.target, letter.notice) is Suppressed.EPISODE_OVER
    if not (over and channel.incidents):
        error = await _once(channel, letter.notice)
    if error is None:
        await store.remember(letter.target, [letter.notice])
        await store.forget(letter)
    return error


async def _once(channel: Channel, notice: Notice) -> str | None:
    try:
        await channel.send(notice)
    except (UndeliveredError, RefusedError) as error:
        return str(error)
    return None


@asynccontextmanager
async def _channels(
    rules: NotifyRules, wanted: Iterable[str] | None = None
) -> AsyncIterator[dict[str, Channel]]:
    """The channels of all targets, or of those that are wanted."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        names = rules.targets if wanted is None else wanted
        yield {name: channel_of(name, rules.targets[name], http) for name in dict.fromkeys(names)}


async def _count_dead(store: ToldStore, metrics: NotifyMetrics) -> None:
    while True:
        with suppress(RedisError, OSError, TimeoutError):
            metrics.dead_letters.set(await store.dead_count())
        await asyncio.sleep(DEAD_SECONDS)


def _stop_signal() -> asyncio.Event:
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    return stopping
