"""kill -9 of any worker at any moment, half of the inputs in transactions: nothing lost, nothing twice, every event recomputes."""

import itertools
import random
import threading
from collections.abc import Callable

import pytest

from engine.ladder import Band
from tests.support.cluster import PARTITIONS, Cluster
from tests.support.settling import settle_and_audit
from tests.support.traffic import Traffic
from tests.support.waiting import wait_for
from tests.support.workers import KILLED, Worker

pytestmark = pytest.mark.system

KILL_BEFORE_READY = 0.4
"""Of the kills: wherever the restarting worker happens to be."""
HOLD_DOWN = 0.3
"""Of the kills: down until the group gave all shards to the other worker."""
MOMENT_S_MAX = 1.5
NEW_IDENTITY = 0.5
"""Of the starts: as another member of the group, as after a move to another machine."""


@pytest.mark.timeout(3600)
def test_workers_when_killed_at_random_then_inputs_apply_once_and_events_recompute(
    cluster: Cluster, kills: int, seed: int, say: Callable[[str], None]
) -> None:
    rng = random.Random(seed)
    workers = [cluster.worker(name, worker_id=_identities(name, rng)) for name in ("worker-a", "worker-b")]
    with Traffic(cluster.bootstrap, seed, by_gateway=True) as traffic:
        for worker in workers:
            worker.wait_ready()
        takeovers, always = 0, rng.randrange(kills)
        for number in range(kills):
            victim, other = rng.sample(workers, 2)
            if rng.random() >= KILL_BEFORE_READY:
                victim.wait_ready()
            _random_moment(rng)
            if number == always or rng.random() < HOLD_DOWN:
                victim.kill(hold_down=True)
                _wait_for_all_shards(other)
                victim.release()
                takeovers += 1
            else:
                victim.kill()
            traffic.check()
        for worker in workers:
            worker.wait_ready()
        audited = settle_and_audit(cluster, traffic)

    ends = [status for worker in workers for status in worker.statuses]
    assert ends.count(KILLED) >= kills * 0.9, f"kills that hit a running worker: {ends}"
    assert set(ends) == {KILLED}, f"a worker ended by itself: {ends}\n{workers[0].log}\n{workers[1].log}"
    assert takeovers or kills < 10
    assert {event.band for event in audited.events} == set(Band), "traffic that visits every band"
    assert len(audited.replay.states) == 60
    assert audited.replay.duplicates, "traffic with re-sent messages"
    say(
        f"{traffic.inputs_sent} inputs, {len(audited.events)} events, {audited.repeats} of them repeated, "
        f"{len(ends)} kills, {takeovers} takeovers"
    )


def _identities(name: str, rng: random.Random) -> Callable[[], str]:
    own = random.Random(rng.random())
    numbers = itertools.count()
    current = f"{name}-0"

    def identity() -> str:
        nonlocal current
        if own.random() < NEW_IDENTITY:
            current = f"{name}-{next(numbers)}"
        return current

    return identity


def _random_moment(rng: random.Random) -> None:
    """Let the workers come to any point of their work: the one pause that no condition can stand for."""
    threading.Event().wait(rng.uniform(0.0, MOMENT_S_MAX))


def _wait_for_all_shards(worker: Worker) -> None:
    wait_for(
        f"{worker.name} runs all shards",
        lambda: worker.metric("margin_shards", condition="running") == PARTITIONS,
        seconds_max=240,
    )
