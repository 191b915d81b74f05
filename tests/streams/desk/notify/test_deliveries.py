"""One target's queue against a real Redis and real receivers: told once, digests, dead letters, quiet hours, incidents."""

import asyncio
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.request import urlopen

import aiohttp
import msgspec
import pytest

from engine.events.effects import EventType, RiskEvent
from engine.ladder import Band
from streams.config.settings import SettingsError
from streams.desk.notify.channels import channel_of
from streams.desk.notify.deliveries import Pending, TargetQueue
from streams.desk.notify.desk_notices import notice_of
from streams.desk.notify.notify_metrics import NotifyMetrics
from streams.desk.notify.notify_rules import QuietHours, SecretSource, TargetKind, TargetRules
from streams.desk.notify.told_store import ToldStore
from streams.store.redis_client import connect
from tests.streams.cli.test_cli_events import said_of
from tests.support.hook_receiver import SECRET, HookReceiver
from tests.support.waiting import wait_for

WAIT_S = 30.0
HOOK = TargetRules(
    kind=TargetKind.WEBHOOK, url=SecretSource(env="HOOK_URL"), secret=SecretSource(env="HOOK_SECRET"),
    timeout_seconds=0.5, give_up_seconds=30, digest_above=1000,
)  # fmt: skip


class Desk:
    """A queue at work."""

    def __init__(self, queue: TargetQueue, store: ToldStore, metrics: NotifyMetrics) -> None:
        self.queue, self.store, self.metrics, self.done = queue, store, metrics, 0

    def say(self, *events: RiskEvent) -> None:
        for event in events:
            self.queue.offer(Pending(notice_of(event, "a-rule"), lambda: True, self._count))

    def _count(self) -> None:
        self.done += 1

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, {"target": "desk", **labels}) or 0.0

    async def until(self, wanted: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not wanted():  # noqa: ASYNC110 - what it waits for is another process's or a counter
                await asyncio.sleep(0.02)


@pytest.fixture
def receiver(monkeypatch):
    with HookReceiver() as it:
        monkeypatch.setenv("HOOK_URL", it.url)
        monkeypatch.setenv("HOOK_SECRET", SECRET)
        yield it


@asynccontextmanager
async def desk_of(redis_url: str, rules: TargetRules) -> AsyncIterator[Desk]:
    client = connect(redis_url)
    async with aiohttp.ClientSession() as http:
        store, metrics = ToldStore(client, "test", 1), NotifyMetrics()
        queue = TargetQueue("desk", rules, channel_of("desk", rules, http), store, metrics)
        task = asyncio.ensure_future(queue.run())
        try:
            yield Desk(queue, store, metrics)
        finally:
            task.cancel()
            (ended,) = await asyncio.gather(task, return_exceptions=True)
            await client.aclose()
    assert isinstance(ended, asyncio.CancelledError), ended


async def test_webhook_when_it_fails_hangs_and_restarts_then_every_event_once(receiver, redis_url_db):
    async with desk_of(redis_url_db, HOOK) as desk:
        receiver.status = 503
        desk.say(
            *(
                msgspec.structs.replace(said_of("a", number, EventType.CALL_UPDATED), time_ns=number)
                for number in range(1, 4)
            )
        )
        await desk.until(lambda: receiver.attempts > 0)
        assert (receiver.got, desk.done) == ([], 0)
        receiver.status, receiver.hang_s = 500, 2.0
        await desk.until(lambda: desk.count("margin_notify_failed_total") >= 2)
        receiver.stop()
        await desk.until(lambda: desk.count("margin_notify_failed_total") >= 3)
        receiver.status, receiver.hang_s = 200, 0.0
        receiver.start()
        await desk.until(lambda: desk.done == 3)
    assert receiver.event_ids == [f"a/x/{number}" for number in range(1, 4)]
    assert desk.count("margin_notify_sent_total") == 3


async def test_event_when_it_comes_again_to_another_process_then_suppressed_and_counted(
    receiver, redis_url_db
):
    event = said_of("a", 1, EventType.CALL_OPENED)
    for _ in range(2):
        async with desk_of(redis_url_db, HOOK) as desk:
            desk.say(event)
            await desk.until(lambda desk=desk: desk.done == 1)
    assert len(receiver.got) == 1
    assert desk.count("margin_notify_suppressed_total", reason="already_told") == 1


async def test_change_when_both_topics_tell_of_it_then_one_message(receiver, redis_url_db):
    opened = msgspec.structs.replace(
        said_of("a", 1, EventType.REDUCE_ONLY_OPENED), episode_id="e", previous_band=Band.HEALTHY
    )
    entered = msgspec.structs.replace(opened, type=EventType.LIQUIDATION_ENTERED, id="a/y/1")
    async with desk_of(redis_url_db, HOOK) as desk:
        desk.say(opened, entered)
        await desk.until(lambda: desk.done == 2)
    assert receiver.event_ids == ["a/x/1"]
    assert desk.count("margin_notify_suppressed_total", reason="same_change") == 1


@pytest.mark.parametrize("status", [400, 404, 503])
async def test_message_when_refused_or_never_taken_then_a_dead_letter_without_any_secret(
    receiver, redis_url_db, status
):
    receiver.status = status
    async with desk_of(redis_url_db, msgspec.structs.replace(HOOK, give_up_seconds=0)) as desk:
        desk.say(said_of("a", 1, EventType.CALL_OPENED), said_of("b", 1, EventType.CALL_OPENED))
        await desk.until(lambda: desk.done == 2)
        letters = await desk.store.dead_letters()
    assert [it.notice.id for it in letters] == ["a/x/1", "b/x/1"]
    assert letters[0].error == f"HTTP status {status}"
    assert desk.count("margin_notify_dead_total") == 2
    assert receiver.url.encode() not in msgspec.json.encode(letters)


async def test_cascade_of_5000_events_when_told_then_a_handful_of_messages_that_count_them_all(
    receiver, redis_url_db
):
    rules = msgspec.structs.replace(HOOK, digest_above=3, digest_seconds=2)
    async with desk_of(redis_url_db, rules) as desk:
        desk.say(*(said_of(f"a{number}", 1, EventType.LIQUIDATION_ENTERED) for number in range(5000)))
        await desk.until(lambda: desk.done == 5000)
    assert len(receiver.got) <= 12
    assert len(receiver.event_ids) == len(set(receiver.event_ids)) == 5000
    told = [it.body["data"]["types"]["liquidation.entered"] for it in receiver.got]
    assert sum(told) == 5000
    digested = sum(it for it in told if it > 1)
    assert desk.count("margin_notify_digested_total") == digested


async def test_digest_when_the_process_ends_before_it_then_nothing_in_it_is_done(receiver, redis_url_db):
    rules = msgspec.structs.replace(HOOK, digest_above=1, digest_seconds=3600)
    async with desk_of(redis_url_db, rules) as desk:
        desk.say(*(said_of(f"a{number}", 1, EventType.CALL_OPENED) for number in range(5)))
        await desk.until(lambda: desk.done == 1)
        await asyncio.sleep(0.3)
        assert desk.done == 1
    assert receiver.event_ids == ["a0/x/1"]


async def test_change_when_held_and_its_partition_goes_then_the_other_event_of_it_is_told(
    receiver, redis_url_db
):
    opened = msgspec.structs.replace(
        said_of("a", 1, EventType.REDUCE_ONLY_OPENED), episode_id="e", previous_band=Band.HEALTHY
    )
    entered = msgspec.structs.replace(opened, type=EventType.LIQUIDATION_ENTERED, id="a/y/1")
    ours = True
    async with desk_of(redis_url_db, msgspec.structs.replace(HOOK, digest_above=1, digest_seconds=1)) as desk:
        desk.say(said_of("first", 1, EventType.CALL_OPENED))
        desk.queue.offer(Pending(notice_of(opened, "a-rule"), lambda: ours, desk._count))
        desk.say(entered)
        await desk.until(lambda: desk.count("margin_notify_suppressed_total", reason="same_change") == 1)
        assert desk.done == 1
        ours = False
        await desk.until(lambda: desk.done == 2)
    assert receiver.event_ids == ["first/x/1", "a/y/1"]


async def test_quiet_hours_when_on_then_only_what_is_never_quiet_is_told(receiver, redis_url_db):
    now = datetime.now(UTC)
    hours = QuietHours(f"{now - timedelta(hours=1):%H:%M}", f"{now + timedelta(hours=1):%H:%M}", "UTC")
    async with desk_of(redis_url_db, msgspec.structs.replace(HOOK, quiet=hours)) as desk:
        desk.say(said_of("a", 1, EventType.CALL_OPENED), said_of("b", 1, EventType.LIQUIDATION_ENTERED))
        await desk.until(lambda: desk.done == 2)
    assert receiver.event_ids == ["b/x/1"]
    assert desk.count("margin_notify_suppressed_total", reason="quiet") == 1


async def test_pagerduty_when_an_episode_runs_then_one_incident_from_trigger_to_resolve(
    monkeypatch, redis_url_db
):
    monkeypatch.setenv("KEY", "routing")
    told = [
        msgspec.structs.replace(
            said_of("a", number, kind), episode_id="the-episode", band=band, time_ns=number
        )
        for number, (kind, band) in enumerate(
            (
                (EventType.CALL_OPENED, Band.MARGIN_CALL),
                (EventType.CALL_UPDATED, Band.MARGIN_CALL),
                (EventType.CALL_RESOLVED, Band.HEALTHY),
            ),
            start=1,
        )
    ]
    with HookReceiver(signed=False) as events:
        rules = TargetRules(
            kind=TargetKind.PAGERDUTY, routing_key=SecretSource(env="KEY"), endpoint=events.url, digest_above=2
        )  # fmt: skip
        async with desk_of(redis_url_db, rules) as desk:
            desk.say(*told)
            await desk.until(lambda: desk.done == 3)
            late = msgspec.structs.replace(told[0], type=EventType.LIQUIDATION_ENTERED, id="a/y/1", time_ns=9)
            desk.say(late)
            await desk.until(lambda: desk.done == 4)
        assert desk.count("margin_notify_suppressed_total", reason="episode_over") == 1
    bodies = [it.body for it in events.got]
    assert [it["event_action"] for it in bodies] == ["trigger", "trigger", "resolve"]
    assert {it["dedup_key"] for it in bodies} == {"the-episode"}
    assert {it["routing_key"] for it in bodies} == {"routing"}
    assert bodies[0]["payload"]["severity"] == "error"


async def test_apprise_when_its_service_is_away_then_tried_again_until_it_took_it(monkeypatch, redis_url_db):
    with HookReceiver(signed=False) as service:
        monkeypatch.setenv("CHAT", f"json://127.0.0.1:{service.port}/hook")
        rules = TargetRules(kind=TargetKind.APPRISE, url=SecretSource(env="CHAT"))
        service.status = 500
        async with desk_of(redis_url_db, rules) as desk:
            desk.say(said_of("a", 1, EventType.CALL_OPENED))
            await desk.until(lambda: desk.count("margin_notify_failed_total") >= 1)
            service.status = 200
            await desk.until(lambda: desk.done == 1)
    assert "a/x/1" in service.got[-1].body["message"]


async def test_alertmanager_when_many_events_come_then_counts_by_type_and_no_account(
    monkeypatch, redis_url_db, tmp_path
):
    with real_alertmanager(tmp_path) as url:
        monkeypatch.setenv("ALERTS", url)
        rules = TargetRules(kind=TargetKind.ALERTMANAGER, url=SecretSource(env="ALERTS"), digest_seconds=3)
        async with desk_of(redis_url_db, rules) as desk:
            desk.say(*(said_of(f"acc{number}", 1, EventType.CALL_OPENED) for number in range(40)))
            desk.say(said_of("acc99", 1, EventType.LIQUIDATION_ENTERED))
            await desk.until(lambda: desk.done == 41)
        async with aiohttp.ClientSession() as http, http.get(f"{url}/api/v2/alerts") as said:
            alerts = await said.json()
    assert desk.count("margin_notify_sent_total") == 1
    assert {it["annotations"]["summary"] for it in alerts} == {
        "40 x margin.call.opened",
        "1 x liquidation.entered",
    }
    assert {it["labels"]["alertname"] for it in alerts} == {"UnimarginEvents"}
    assert "acc" not in str(alerts)


@contextmanager
def real_alertmanager(directory: Path) -> Iterator[str]:
    config = directory / "alertmanager.yml"
    config.write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    binary = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    assert binary, "alertmanager is not installed (Debian package: prometheus-alertmanager)"
    command = [binary, f"--config.file={config}", f"--storage.path={directory / 'data'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"

    def is_ready() -> bool:
        with suppress(OSError):
            urlopen(f"{url}/-/ready", timeout=1).close()
            return True
        return False

    try:
        wait_for("alertmanager is ready", is_ready)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=10)


@pytest.mark.parametrize(
    ("variable", "value"),
    [("HOOK_SECRET", "whsec_"), ("HOOK_SECRET", "no base64!"), ("HOOK_URL", "ftp://there")],
)
async def test_channel_when_its_secret_is_unusable_then_refused_without_saying_it(
    receiver, monkeypatch, variable, value
):
    assert receiver.port
    monkeypatch.setenv(variable, value)
    async with aiohttp.ClientSession() as http:
        with pytest.raises(SettingsError, match=r"\[targets.desk\]") as error:
            channel_of("desk", HOOK, http)
    assert value not in str(error.value)
