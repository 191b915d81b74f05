"""An operator's command to real workers: it acts once, in its place among the inputs, though who has read it is killed; and a rebuild agrees."""

import pytest

from engine.inputs import Resume, Topic
from streams.contract.codec import decode_account_input
from streams.replay.digests import accounts_digest
from tests.support.audit import audit
from tests.support.cli import unimargin
from tests.support.cluster import POLICY_FILE, Cluster
from tests.support.inputs import deposit, fill
from tests.support.kafka_log import read_topic
from tests.support.redis_view import read_account, read_all
from tests.support.repeater import Repeater
from tests.support.sender import Sender
from tests.support.settling import behind
from tests.support.waiting import wait_for, wait_until_none

pytestmark = pytest.mark.system


def test_resume_when_the_worker_is_killed_with_the_command_in_hand_then_it_acts_once_and_a_rebuild_agrees(
    cluster: Cluster,
) -> None:
    env = {
        "UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS": cluster.bootstrap,
        "UNIMARGIN_REDIS_URL": cluster.redis.url,
        "UNIMARGIN_POLICY_FILE": str(POLICY_FILE),
    }
    worker, sender = cluster.worker(), Sender(cluster.bootstrap)
    with Repeater(sender):
        sender.inputs(deposit("alice", "50000"), fill("alice", "0.1", account_seq=1))
        _, gap = sender.inputs(fill("alice", "0.1", account_seq=3))
        worker.wait_ready()
        wait_for("alice is stopped", lambda: _stop(cluster) == gap)
        words = ("account", "resume", "alice", "--topic", "fills", "--next-seq", "4", "--who", "desk")
        said = unimargin(*words, "--reason", "booked by hand", "--json", env=env)
        assert said.code == 0, said.err
        worker.kill()
        worker.wait_ready()
        wait_for("alice goes on", lambda: _stop(cluster) is None)
        _, last = sender.inputs(fill("alice", "0.2", account_seq=4))
        state = wait_for("it is booked", lambda: _reached(cluster, last))
        # 0.1 + 0.2: what lies in the gap was booked elsewhere
        assert state.positions["BTC-PERP"].quantity.as_tuple().digits == (3,)
        # every worker reads all commands again at a start, and does none of them again
        worker.kill()
        worker.wait_ready()
        wait_for("it is on record", lambda: _outcomes(env) == ["applied"])
        resumes = _resumes(cluster)
        assert {it.entry_id for it in resumes} == {said.json["id"]}
        assert {it.reason for it in resumes} == {"booked by hand (by desk)"}
        again = unimargin(*words, "--reason", "once more", env=env)
        assert (again.code, "not stopped in fills" in again.err) == (1, True)
        wait_until_none("all is applied", lambda: behind(cluster))
        # Redis is lost: the accounts are built from the log alone
        before = accounts_digest(read_all(cluster.redis.url).states.values())
        worker.terminate()
        with cluster.client() as client:
            client.flushall()
        other = cluster.worker("worker-b").wait_ready()
        wait_until_none("all is applied", lambda: behind(cluster))
        assert accounts_digest(read_all(cluster.redis.url).states.values()) == before
        assert _outcomes(env) == ["applied"]
        other.terminate()
    audit(cluster)
    replayed = unimargin("replay", "--from-topics", "--json", env=env)
    assert replayed.json["digests"]["accounts"] == before


def _stop(cluster: Cluster) -> int | None:
    state = read_account(cluster.redis.url, "alice")
    return -1 if state is None else None if state.fills.stop is None else state.fills.stop.offset


def _reached(cluster: Cluster, offset: int):
    state = read_account(cluster.redis.url, "alice")
    return state if state is not None and state.fills.offset >= offset else None


def _resumes(cluster: Cluster) -> list[Resume]:
    read = [
        decode_account_input(Topic.FILLS, it.key, it.value) for it in read_topic(cluster.bootstrap, "fills")
    ]
    return [it for it in read if isinstance(it, Resume)]


def _outcomes(env: dict[str, str]) -> list[str]:
    (logged,) = unimargin("operator", "log", "--json", env=env).json
    return [it["outcome"] for it in logged["outcomes"]]
