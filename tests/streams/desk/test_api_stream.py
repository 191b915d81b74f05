"""Events through the API: the stream, its resumption at another process, its bounds; and Redis that goes away."""

import socket
import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from engine.events.effects import EventType, RiskEvent, Stream
from engine.ladder import Band
from streams.contract.cloudevents import outbox_entry
from streams.embedded.embedded_redis import EmbeddedRedis
from tests.streams.cli.test_cli_events import publish, said_of
from tests.streams.conftest import SHARDS
from tests.streams.desk.conftest import MakeApi
from tests.support.api_process import KEYS, ApiProcess, ApiRole, StreamReader
from tests.support.builders import account
from tests.support.cli_state import leave_state, marks_now
from tests.support.kafka_server import RealKafka
from tests.support.waiting import wait_for

pytestmark = pytest.mark.system

CALL, ENTERED = EventType.CALL_OPENED, EventType.LIQUIDATION_ENTERED


def say(kafka: RealKafka, *events: RiskEvent, partition: int = 0) -> None:
    publish(kafka, [outbox_entry(event, partition, "/test") for event in events])


def test_stream_when_something_is_said_then_heard_once_in_order_with_what_was_published(
    api: ApiProcess, cli_kafka: RealKafka, unique: Callable[[str], str]
) -> None:
    name = unique("account")
    with api.listen() as everything, api.listen(f"?kinds=liquidation&account={name}") as some:
        assert everything.response.getheader("content-type", "").startswith("text/event-stream")
        assert [everything.next().event, some.next().event] == ["ready", "ready"]
        say(cli_kafka, said_of(name, 1, CALL), said_of(name, 2, ENTERED))
        heard = [everything.next(), everything.next()]
        assert {it.event for it in heard} == {"band", "liquidation"}
        by_kind = {it.event: it.data for it in heard}
        assert by_kind["band"]["event"]["id"] == f"{name}/x/1"
        assert by_kind["liquidation"]["topic"] == Stream.LIQUIDATIONS
        say(cli_kafka, said_of(unique("other"), 1, ENTERED), said_of(name, 3, ENTERED))
        assert [some.next().data["event"]["sequence"] for _ in range(2)] == [2, 3]


def test_stream_when_resumed_at_another_process_then_nothing_is_missed_or_told_twice(
    make_api: MakeApi, cli_kafka: RealKafka, unique: Callable[[str], str]
) -> None:
    name, first = unique("account"), make_api()
    with first.listen(f"?account={name}") as reader:
        reader.until("ready")
        for number in range(1, 5):
            say(cli_kafka, said_of(name, number, CALL), partition=number % SHARDS)
        heard = [reader.next() for _ in range(4)]
        assert {it.data["event"]["sequence"] for it in heard} == {1, 2, 3, 4}
        assert first.terminate() == 0
        assert reader.until("dropped")[-1].data == {"reason": "closing"}
    for number in range(5, 8):
        say(cli_kafka, said_of(name, number, CALL), partition=number % SHARDS)
    second = make_api("second")
    for taken in range(5):
        last_id = heard[taken - 1].id if taken else ""
        if not taken:
            continue
        with second.listen(f"?account={name}", last_id) as reader:
            missed = [it.data["event"]["sequence"] for it in reader.until("ready")[:-1]]
        assert sorted([it.data["event"]["sequence"] for it in heard[:taken]] + missed) == list(range(1, 8))


def test_stream_when_the_id_is_older_than_memory_or_none_then_told_to_load_anew(
    make_api: MakeApi, cli_kafka: RealKafka, unique: Callable[[str], str]
) -> None:
    api, name = make_api(API_STREAM_BUFFER_EVENTS="16"), unique("account")
    with api.listen(f"?account={name}") as reader:
        old = reader.until("ready")[-1].id
    say(cli_kafka, *(said_of(name, number, CALL) for number in range(1, 41)))
    wait_for("all are read", lambda: api.ask(f"/events?account={name}").data["newest"] == 40)
    for last_id in (old, "no id", "9" * 5000, old.replace("-", ".", 1), "999999999" + old):
        with api.listen(f"?account={name}", last_id) as reader:
            assert reader.next().event == "reload", last_id
    events = api.ask(f"/events?account={name}&since=10").data
    assert (events["missing"], events["newest"]) == (True, 40)
    assert [it["sequence"] for it in events["events"]] == list(range(25, 41))
    told = api.ask(f"/events?account={name}&since=38").data
    assert (told["missing"], [it["event"]["id"] for it in told["events"]]) == (
        False,
        [f"{name}/x/39", f"{name}/x/40"],
    )
    nothing = api.ask(f"/events?account={name}&since=40").data
    assert (nothing["missing"], nothing["events"]) == (False, [])


def test_stream_when_nothing_happens_then_comments_come(make_api: MakeApi) -> None:
    api = make_api(API_STREAM_HEARTBEAT_SECONDS="0.1")
    with api.listen("?kinds=adl") as reader:
        reader.until("ready")
        lines = [reader.response.readline() for _ in range(4)]
    assert lines.count(b": still here\n") == 2


def test_listeners_when_200_take_nothing_then_others_are_served_and_the_slow_are_dropped(
    make_api: MakeApi, cli_kafka: RealKafka, unique: Callable[[str], str]
) -> None:
    api, name = make_api(API_STREAM_WRITE_SECONDS="1"), unique("account")
    address = api.address()
    assert address is not None
    host, _, port = address.rpartition(":")
    asked = f"GET /stream HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {KEYS[ApiRole.VIEWER]}\r\n\r\n"
    with ExitStack() as stack:
        for _ in range(200):
            slow = socket.socket()
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.connect((host, int(port)))
            slow.sendall(asked.encode())
            stack.callback(slow.close)
        quick = stack.enter_context(StreamReader(address, f"?account={name}", None))
        quick.until("ready")
        wait_for("200 listen", lambda: api.metric("margin_api_stream_clients") == 201)
        # some 3 MB for each: more than the kernel keeps for who reads nothing
        heard = 0
        for burst in range(10):
            first = 200 * burst + 1
            say(cli_kafka, *(said_of(name, number, CALL) for number in range(first, first + 200)))
            while heard < first + 199:
                heard = quick.next().data["event"]["sequence"]
            begun_s = time.monotonic()
            assert api.ask("/symbols").status == 200
            assert time.monotonic() - begun_s < 5
        wait_for("the slow are dropped", lambda: api.metric("margin_api_stream_clients") == 1)
        assert api.metric("margin_api_streams_dropped_total", reason="slow") == 200
        say(cli_kafka, said_of(name, 5001, CALL))
        assert quick.next().data["event"]["sequence"] == 5001


def test_redis_when_away_then_503_soon_and_when_back_then_answers_with_what_is_new(
    make_api: MakeApi, real_redis: EmbeddedRedis, redis_url_db: str
) -> None:
    leave_state(redis_url_db, 0, [account({"USD": 5}, name="one")], marks=marks_now({"USDT-USD": 1}))
    api = make_api(API_STALE_SECONDS="1")
    assert wait_for("it is known", lambda: api.ask("/accounts/one").status == 200)
    real_redis.stop()
    try:
        said = wait_for("503", lambda: (it := api.ask("/accounts/one")).status == 503 and it, 20)
        assert said.headers["content-type"] == "application/problem+json"
        assert int(said.headers["retry-after"]) >= 1
        for path in ("/health", "/accounts", "/symbols", "/liquidations", "/heat-map", "/events?account=one"):
            away = api.ask(path)
            assert (away.status, away.headers["content-type"]) == (503, "application/problem+json"), path
        assert api.ask("/livez", key=None).status == 200
    finally:
        real_redis.start()
    wait_for("it answers again", lambda: api.ask("/accounts/one").status == 200)
    leave_state(redis_url_db, 0, [account({"USD": 7}, name="one"), account({"USD": 1}, name="two")])
    wait_for("the new state", lambda: api.ask("/accounts/one").data["balances"] == {"USD": "7"})
    assert api.ask("/accounts/two").status == 200
    assert api.statuses == []


def test_copy_when_a_shard_is_written_then_followed_and_when_redis_is_emptied_then_forgotten(
    api: ApiProcess, real_redis: EmbeddedRedis, redis_url_db: str
) -> None:
    for amount in (1, 2, 3):
        leave_state(redis_url_db, 2, [account({"USD": amount}, name="one")], marks=marks_now({"USDT-USD": 1}))
        wait_for(
            f"a balance of {amount}",
            lambda amount=amount: (
                (it := api.ask("/accounts/one")).status == 200 and it.data["balances"] == {"USD": str(amount)}
            ),
        )
    assert api.ask("/accounts").data["items"][0]["band"] == Band.HEALTHY
    real_redis.stop()
    real_redis.start()
    wait_for("it is there again", lambda: api.ask("/accounts/one").status == 200)
