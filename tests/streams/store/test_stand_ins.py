"""The store on servers that stand in for each other: what a client does when the primary is lost, demoted, cut off, or its slots move."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from io import BytesIO

import pytest
import redis.exceptions
from redis.asyncio import Redis
from redis.crc import key_slot

from engine.ledger.accounts import AccountState, encode
from engine.policy import parse
from streams.cli.doctor.doctor_failover import examine_failover
from streams.cli.doctor.doctor_redis import examine_redis
from streams.config.settings import Settings
from streams.contract.commit import Commit
from streams.embedded.embedded_redis import EmbeddedRedis
from streams.observe.metrics import Metrics
from streams.store import redis_client
from streams.store.backup import backup_restoring
from streams.store.backup.backup_creating import write_backup
from streams.store.backup.backup_restoring import look_around, restore
from streams.store.policy_store import PolicyInForce, policy_in_force, put_first, put_in_force
from streams.store.redis_access import shard_count
from streams.store.redis_client import connect, repeat, scan_keys, servers
from streams.store.shard_store import ShardStore
from streams.store.store_keys import ShardKeys
from streams.store.store_reader import StoreReader
from tests.support.cluster import POLICY_FILE
from tests.support.redis_nodes import ClusterServers, RedisNode, SentinelServers

BACK_S_MAX = 20.0
"""A failover takes some 2.5 s where a primary counts as gone after one: far more on a busy machine."""
Servers = SentinelServers | ClusterServers
KINDS = [SentinelServers, ClusterServers]


@pytest.fixture(scope="module", params=KINDS, ids=lambda it: it.__name__)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with request.param(tmp_path_factory.mktemp("nodes")) as found:
        yield found


@pytest.fixture
async def nodes(shared: Servers) -> Servers:
    """All up, nothing in them."""
    for node in shared.nodes:
        if not node.running:
            shared.restart(node)
    async with asyncio.timeout(60):
        while not shared.whole():  # noqa: ASYNC110 - servers tell nobody
            await asyncio.sleep(0.05)
    async with connect(shared.url) as client:
        for server in await servers(client):
            await server.flushall()
            await server.script_flush()
            await server.execute_command("WAIT", 1, 1000)
    return shared


@pytest.fixture
async def client(nodes: Servers) -> AsyncIterator[Redis]:
    async with connect(nodes.url) as client:
        yield client


def store_of(client: Redis, shard: int) -> ShardStore:
    return ShardStore(client, shard, "worker-a", Metrics(), retry_for_s=60)


def fills(number: int) -> Commit:
    return Commit(advance={"fills": (number, number + 1)}, accounts={"alice": b"{%d}" % number})


def fence_of(shard: int) -> str:
    return ShardKeys("unimargin", shard).fence


async def test_client_when_its_primary_is_demoted_alive_then_leaves_it(nodes: Servers, client: Redis) -> None:
    """A connection to a server that has become a replica goes on working, and refuses every write."""
    store = store_of(client, 1)
    await store.take_over()
    primary = nodes.primary(fence_of(1))
    fail_over(nodes, primary)
    commits = 0
    async with asyncio.timeout(BACK_S_MAX):
        while nodes.primary(fence_of(1)) is primary:
            await store.commit(fills(commits))
            commits += 1
    await store.commit(fills(commits))
    assert (await StoreReader(client).meta(1)).watermarks == {"fills": commits + 1}


@pytest.mark.parametrize("shared", [ClusterServers], indirect=True)
async def test_client_when_its_primary_stands_still_then_the_next_takes_the_commit(
    nodes: Servers, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither an answer nor a broken connection: the call ends by its bound, and the next one must not go there again."""
    monkeypatch.setattr(redis_client, "CALL_TIMEOUT_S", 1.0)
    store = store_of(client, 1)
    await store.take_over()
    await store.commit(fills(0))
    primary = nodes.primary(fence_of(1))
    with primary.client() as at:
        at.execute_command("WAIT", 1, 5000)
    primary.pause()
    try:
        await store.commit(fills(1))
    finally:
        primary.resume()
    assert nodes.primary(fence_of(1)) is not primary


async def test_connections_when_the_name_leads_elsewhere_then_none_is_left_to_the_server_of_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One in use meanwhile as well: a shard must not be taken over at one server and read at another."""
    with EmbeddedRedis() as old, EmbeddedRedis() as new:
        leads_to = [old.port]

        def resolve(*_: object, **__: object) -> list[tuple[object, ...]]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", leads_to[0]))]

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        async with connect("redis://primary.test:6379/0") as client, connect(old.url) as at_old:
            waiting = asyncio.create_task(client.blpop(["nothing"], timeout=1))
            await client.set("where", b"old")
            leads_to[0] = new.port
            await at_old.execute_command("CLIENT KILL", "ID", await client.client_id())
            await repeat(lambda: client.set("where", b"new"), "writing", retry_for_s=BACK_S_MAX)
            await waiting
            assert await asyncio.gather(*(client.get("where") for _ in range(4))) == [b"new"] * 4


async def test_scripts_when_the_new_primary_knows_none_then_given_to_it(client: Redis) -> None:
    store = store_of(client, 2)
    await store.take_over()
    for server in await servers(client):
        await server.script_flush()
    await store.commit(fills(0))


async def test_policy_when_put_in_force_then_read_back_and_another_writer_is_seen(client: Redis) -> None:
    policy = parse(POLICY_FILE.read_text())
    await put_first(client, "unimargin", policy, 1)
    newer = PolicyInForce(policy.digest, policy.name, 1, 2, "me")
    assert await put_in_force(client, "unimargin", policy, newer) == newer
    assert await policy_in_force(client, "unimargin") == newer
    async with client.pipeline(transaction=True) as pipe:
        await pipe.watch("unimargin:{policy}:in-force")
        await client.set("unimargin:{policy}:in-force", b"other")
        pipe.multi()
        pipe.set("unimargin:{policy}:in-force", b"ours")
        with pytest.raises(redis.exceptions.WatchError):
            await pipe.execute()


async def test_commands_on_many_shards_when_sent_together_then_each_goes_to_its_node(client: Redis) -> None:
    for shard in range(20):
        await store_of(client, shard).take_over()
    assert await shard_count(client, "unimargin") == 20
    keys = [key async for some in scan_keys(client, "unimargin:*:fence") for key in some]
    assert sorted(keys) == sorted(fence_of(shard).encode() for shard in range(20))


async def test_backup_when_restored_over_what_is_there_then_every_shard_is_as_it_was(
    client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup_restoring, "LISTEN_SECONDS", 0.0)
    names = [f"account-{shard}" for shard in range(3)]
    for shard, name in enumerate(names):
        store = store_of(client, shard)
        await store.take_over()
        await store.commit(Commit(accounts={name: encode(AccountState(name))}))
    file = BytesIO()
    await write_backup(
        client, "unimargin", (0, 1, 2), file, edition="e", now_ns=1, on_accounts=lambda _: None
    )
    await store_of(client, 3).take_over()
    file.seek(0)
    found = await look_around(client, "unimargin")
    assert [it.shard for it in found] == [0, 1, 2, 3]
    ends = await restore(client, "unimargin", file, found, lambda _: None)
    assert [it.accounts for it in ends] == [1, 1, 1]
    assert await shard_count(client, "unimargin") == 3
    for shard, name in enumerate(names):
        stored = await StoreReader(client).account(name, 3)
        assert stored is not None
        assert (stored.shard, stored.state) == (shard, encode(AccountState(name)))


@pytest.mark.parametrize("shared", [ClusterServers], indirect=True)
async def test_slot_when_moved_to_another_node_under_a_commit_then_followed(
    nodes: ClusterServers, client: Redis
) -> None:
    store = store_of(client, 1)
    await store.take_over()
    source, target = nodes.primary(fence_of(1)), nodes.primary(fence_of(2))
    assert source is not target
    async with connect(nodes.url) as other:
        await other.get(fence_of(1))  # it has the map of before
        with moving_slot(fence_of(1), source, target):
            # keys that are there, and others that are not yet: neither node may carry that out
            waiting = asyncio.create_task(store.commit(fills(0)))
            assert await client.get(f"{ShardKeys('unimargin', 1).root}:not-there") is None, (
                "asked at the target"
            )
            await asyncio.sleep(0.2)
            assert not waiting.done()
        await waiting
        await store.commit(fills(1))
        pipe = other.pipeline(transaction=True)
        pipe.get(fence_of(1)).hget(ShardKeys("unimargin", 1).meta, "commit")
        assert await pipe.execute() == [b"1", b"2"]
        pipe = other.pipeline(transaction=False)
        pipe.get(fence_of(1)).get(fence_of(2))
        assert await pipe.execute() == [b"1", None]
    assert nodes.primary(fence_of(1)) is target


async def test_doctor_when_redis_has_stand_ins_then_how_the_primary_is_found_and_what_is_missing(
    nodes: Servers, client: Redis
) -> None:
    settings = Settings(redis_url=nodes.url)
    found = "3 sentinels, 2 must agree; replicas: "
    if isinstance(nodes, ClusterServers):
        found = "cluster of 3 primaries, ok; replicas: 1, 1, 1; "
    [check] = await examine_failover(client, settings)
    assert (check.status, check.found.startswith(found)) == ("warn", True), check
    assert "; min-replicas-to-write: 0; " in check.found
    assert "min-replicas-to-write 1" in check.action
    for server in await servers(client):
        await server.config_set("min-replicas-to-write", "1")
    try:
        assert [it.status for it in await examine_failover(client, settings)] == ["ok"]
    finally:
        for server in await servers(client):
            await server.config_set("min-replicas-to-write", "0")
    replica = next(it for it in nodes.nodes if it.replication()["role"] == "slave")
    url = f"redis://127.0.0.1:{replica.port}"
    async with connect(url) as beside:
        assert [it.status for it in await examine_failover(beside, Settings(redis_url=url))] == ["FAIL"]


async def test_doctor_when_one_of_the_primaries_is_nearly_full_then_that_one_is_named(
    nodes: Servers, client: Redis
) -> None:
    primaries = await servers(client)
    full = primaries[-1]
    for server in primaries:
        await server.config_set("maxmemory", 1_000_000_000)
    await full.config_set("maxmemory", (await full.info("memory"))["used_memory"])
    try:
        checks = await examine_redis(Settings(redis_url=nodes.url), {}, None)
    finally:
        for server in primaries:
            await server.config_set("maxmemory", 0)
    told = [(it.check, it.status.value) for it in checks if it.check.startswith("redis memory")]
    several = [(f"redis memory {number}/3", "warn" if number == 3 else "ok") for number in (1, 2, 3)]
    assert told == (several if isinstance(nodes, ClusterServers) else [("redis memory", "warn")])


@contextmanager
def moving_slot(key: str, source: RedisNode, target: RedisNode) -> Iterator[None]:
    """As `redis-cli --cluster reshard` moves one; within, no key has moved yet."""
    slot = key_slot(key.encode())
    with source.client() as old, target.client() as new:
        ids = [str(it.execute_command("CLUSTER MYID"), "ascii") for it in (old, new)]
        new.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", ids[0])
        old.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", ids[1])
        yield
        keys = old.execute_command("CLUSTER GETKEYSINSLOT", slot, 1000)
        old.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
        for at in (new, old):
            at.execute_command("CLUSTER SETSLOT", slot, "NODE", ids[1])


def follows(node: RedisNode, primary: RedisNode) -> bool:
    return node.replication().get("master_port") == primary.port


def fail_over(nodes: Servers, primary: RedisNode) -> None:
    """Have a replica take over from a primary that lives."""
    if isinstance(nodes, SentinelServers):
        with nodes.sentinels[0].client() as at:
            at.execute_command("SENTINEL FAILOVER", "margin")
        return
    replica = next(it for it in nodes.nodes if follows(it, primary))
    with replica.client() as at:
        at.execute_command("CLUSTER FAILOVER")
