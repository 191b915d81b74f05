"""One soak: two workers, Redis with sentinels, a broker, a proxy, and faults among them."""

import asyncio
import random
import time
from pathlib import Path

import msgspec

from streams.embedded.ports import LOOPBACK, free_port
from tests.soak.soak_faults import Faults
from tests.soak.soak_sampling import Sampling
from tests.support.anomalies import count_anomalies
from tests.support.kafka_server import RealKafka
from tests.support.redis_nodes import SentinelServers, StandInCluster
from tests.support.settling import behind, settle
from tests.support.toxiproxy import Toxiproxy
from tests.support.traffic import TICK_S, Traffic
from tests.support.waiting import wait_until_none
from tests.system.test_failover import passed, progress

FAULT_EVERY_S = (30.0, 60.0)
ACCOUNTS = 200
BURST_INPUTS = 4_000
RATE_MAX = 200.0
"""Inputs in a second: one Python thread beside the workers makes them, and every event is computed anew at the end."""


class Happened(msgspec.Struct, frozen=True):
    """One fault."""

    at_s: float
    kind: str
    back_s: float
    """After its begin, until every shard had applied later inputs."""


class Ran(msgspec.Struct, frozen=True):
    """What a soak found."""

    seed: int
    minutes: float
    capacity: float
    """Inputs in a second that two workers applied of a burst."""
    rate: float
    """Inputs in a second of the load."""
    faults: list[Happened]
    anomalies: dict[str, int]
    examples: list[str]
    inputs: int
    accounts: int
    events: int
    repeats: int
    rss_mb: list[float]
    """Of the worker that is never killed, at even distances."""
    descriptors: list[int]
    ends: dict[str, list[int]]
    """How processes of each worker ended."""


def soak(directory: Path, *, minutes: float, seed: int) -> Ran:
    """Run for so long; raises AssertionError where service does not come back."""
    rng, port = random.Random(seed), free_port()
    with (
        RealKafka(directory / "kafka", proxy_port=port) as kafka,
        SentinelServers(directory / "redis") as servers,
        Toxiproxy(directory / "toxiproxy") as toxiproxy,
        StandInCluster(kafka, servers, directory) as cluster,
    ):
        proxy = toxiproxy.proxy("kafka", kafka.proxied_port, port)
        steady = cluster.worker("steady")
        mortal = cluster.worker("mortal", KAFKA_BOOTSTRAP_SERVERS=f"{LOOPBACK}:{port}")
        with Traffic(cluster.bootstrap, seed, ACCOUNTS) as traffic:
            for worker in (steady, mortal):
                worker.wait_ready()
            capacity = _capacity(cluster, traffic)
            traffic.inputs_per_tick = max(1, round(min(capacity / 2, RATE_MAX) * TICK_S))
            faults, happened = Faults(mortal, servers, kafka, proxy, rng), list[Happened]()
            began_s = time.monotonic()
            with Sampling(steady) as sampling:
                while time.monotonic() - began_s < 60 * minutes:
                    sampling.wait(rng.uniform(*FAULT_EVERY_S))
                    traffic.check()
                    happened.append(_suffer(faults, servers.url, began_s))
            took_s = time.monotonic() - began_s
            settle(cluster, traffic)
            found = count_anomalies(cluster)
        return Ran(
            seed=seed,
            minutes=round(took_s / 60, 1),
            capacity=round(capacity),
            rate=traffic.inputs_per_tick / TICK_S,
            faults=happened,
            anomalies=found.counts,
            examples=found.examples,
            inputs=found.inputs,
            accounts=found.accounts,
            events=found.events,
            repeats=found.repeats,
            rss_mb=sampling.rss_mb,
            descriptors=sampling.descriptors,
            ends={it.name: list(it.statuses) for it in (steady, mortal)},
        )


def _suffer(faults: Faults, url: str, began_s: float) -> Happened:
    kind = faults.next()
    before, at_s = asyncio.run(progress(url)), time.monotonic()
    faults.kinds[kind]()
    asyncio.run(passed(url, before))
    back_s = time.monotonic() - at_s
    return Happened(round(at_s - began_s, 1), kind, round(back_s, 1))


def _capacity(cluster: StandInCluster, traffic: Traffic) -> float:
    """How many inputs in a second two workers apply, of a burst that waits in the log."""
    traffic.hold()
    began_s = time.monotonic()
    traffic.burst(BURST_INPUTS)
    wait_until_none("the burst is applied", lambda: behind(cluster), 300)
    took_s = time.monotonic() - began_s
    traffic.resume()
    return BURST_INPUTS / took_s
