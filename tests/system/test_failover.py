"""kill -9 of the primary Redis, again and again, under load: with sentinels, and in a cluster.

make test ARGS="tests/system/test_failover.py --failovers 20 --lose --seed 7"

`--lose`: before half of the kills the replicas lose the primary, so that commits are confirmed which no replica has. All that is published or stored is
right then as well, but an event that was lost before it was published is never said (deploy/redis/failover.md): such gaps in the story of a pool,
`silent`, are printed and not asserted there.
"""

import asyncio
import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from streams.store.redis_client import bounded, connect, repeat
from streams.store.store_keys import ShardKeys
from streams.store.store_reader import StoreReader
from tests.support.anomalies import count_anomalies
from tests.support.cluster import PARTITIONS
from tests.support.kafka_server import RealKafka
from tests.support.redis_nodes import ClusterServers, SentinelServers, StandInCluster
from tests.support.settling import settle
from tests.support.traffic import Traffic
from tests.support.waiting import wait_for
from tests.system.test_faults import wait_for_events

pytestmark = pytest.mark.system

FAILOVERS = 2
"""In CI."""
BACK_S_MAX = 20.0
"""Of a single one, with room for a machine that is busy just then."""
MEDIAN_BACK_S_MAX = 5.0
"""Some 3.4 s where a primary counts as gone after one."""
MEASURED_FAILOVERS = 10
"""A median of fewer says how busy the machine was."""
LOST_S = (0.1, 0.6)
"""For so long commits reach no replica before a kill that is to lose some."""
Servers = SentinelServers | ClusterServers


@pytest.fixture
def failovers(request: pytest.FixtureRequest) -> int:
    """How many primaries to kill."""
    return int(request.config.getoption("--failovers", None) or FAILOVERS)


@pytest.fixture
def lose(request: pytest.FixtureRequest) -> bool:
    """Whether some of the kills lose commits that were confirmed."""
    return bool(request.config.getoption("--lose", default=False))


@pytest.fixture(params=[SentinelServers, ClusterServers], ids=["sentinels", "cluster"])
def servers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Servers]:
    with request.param(tmp_path / "redis") as found:
        yield found


@pytest.mark.timeout(3600)
def test_redis_when_its_primary_is_killed_again_and_again_then_back_soon_and_no_anomaly(
    servers: Servers,
    system_kafka: RealKafka,
    tmp_path: Path,
    failovers: int,
    seed: int,
    say: Callable[[str], None],
    *,
    lose: bool,
) -> None:
    rng = random.Random(seed)
    took_s: list[float] = []
    with StandInCluster(system_kafka, servers, tmp_path) as cluster:
        worker = cluster.worker()
        with Traffic(cluster.bootstrap, seed) as traffic:
            worker.wait_ready()
            wait_for_events(cluster)
            pid = worker.pid
            for number in range(failovers):
                wait_for("another is in step", servers.whole)
                primary = servers.primary(ShardKeys("unimargin", rng.randrange(PARTITIONS)).fence)
                if lose and number % 2 == 0:
                    primary.shut_out_replicas()
                    threading.Event().wait(rng.uniform(*LOST_S))
                before = asyncio.run(progress(servers.url))
                killed_s = time.monotonic()
                primary.kill()
                asyncio.run(passed(servers.url, before))
                took_s.append(time.monotonic() - killed_s)
                servers.restart(primary)
                traffic.check()
            wait_for("every server knows its place", servers.whole)
            settle(cluster, traffic)
            anomalies = count_anomalies(cluster)
        rewound = len(worker.events("shard_begun_anew"))
        say(
            f"{failovers} primaries killed, back after {statistics.median(took_s):.1f} s (median), {max(took_s):.1f} s at most; "
            f"{rewound} times a shard began anew, for Redis was rewound; {anomalies}"
        )
        found = {kind for kind, count in anomalies.counts.items() if count}
        assert found <= ({"silent"} if lose else set()), "\n".join(anomalies.examples)
        assert anomalies.events > 0
        assert (worker.pid, worker.statuses) == (pid, []), "a failover is no reason to end"
        assert rewound or not lose, "commits that no replica had were lost"
        assert max(took_s) < BACK_S_MAX
        assert statistics.median(took_s) < MEDIAN_BACK_S_MAX or failovers < MEASURED_FAILOVERS


async def progress(url: str) -> list[int]:
    """By shard, how many inputs are applied."""
    async with connect(url) as client:
        reader = StoreReader(client)

        async def look() -> list[int]:
            return [sum((await reader.meta(shard)).watermarks.values()) for shard in range(PARTITIONS)]

        # on a busy machine a server may count as gone for a moment
        return await repeat(look, "reading how far shards are", retry_for_s=BACK_S_MAX)


async def passed(url: str, before: list[int]) -> None:
    """Return once every shard has got further than that."""
    async with asyncio.timeout(4 * BACK_S_MAX):
        async with connect(url) as client:
            reader, behind = StoreReader(client), dict(enumerate(before))
            while behind:
                for shard, count in list(behind.items()):
                    try:
                        watermarks = (await bounded(reader.meta(shard))).watermarks
                    except (RedisError, OSError):
                        break
                    if sum(watermarks.values()) > count:
                        del behind[shard]
                await asyncio.sleep(0.02)
