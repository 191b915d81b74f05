"""A query of death: the engine's own code fails on one account, live and after every restart. Nobody else notices."""

import msgspec
import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from engine.inputs import Topic
from engine.ledger.accounts import AccountState
from engine.rejections import RejectionCode
from tests.support import faulty_worker
from tests.support.cli import unimargin
from tests.support.cluster import ADMIN_S, POLICY_FILE, Cluster, admin
from tests.support.inputs import deposit, fill
from tests.support.kafka_log import read_topic
from tests.support.redis_view import read_account
from tests.support.repeater import Repeater
from tests.support.sender import Sender
from tests.support.waiting import wait_for
from tests.support.workers import Worker

pytestmark = pytest.mark.system

CRASHED = 70
GUILTY, OTHER = "guilty", "other"


def env(cluster: Cluster) -> dict[str, str]:
    return {
        "UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS": cluster.bootstrap,
        "UNIMARGIN_REDIS_URL": cluster.redis.url,
        "UNIMARGIN_POLICY_FILE": str(POLICY_FILE),
    }


def applied(cluster: Cluster, account: str, **offsets: int) -> AccountState | None:
    state = read_account(cluster.redis.url, account)
    reached = state is not None and all(getattr(state, it).offset >= offsets[it] for it in offsets)
    return state if reached else None


def stopped(cluster: Cluster) -> AccountState | None:
    state = read_account(cluster.redis.url, GUILTY)
    return state if state is not None and state.stopped else None


def others_go_on(cluster: Cluster, sender: Sender, worker: Worker) -> None:
    """An account of every shard takes inputs, in the process that there was."""
    ends = list(worker.statuses)
    for number in range(8):
        account = f"{OTHER}-{number}"
        _, offset = sender.inputs(deposit(account, "1"))
        wait_for(f"{account} goes on", lambda a=account, o=offset: applied(cluster, a, ledger=o))
    assert worker.statuses == ends, worker.last_words()


def quarantined(cluster: Cluster, reason: str) -> list[str]:
    records = read_topic(cluster.bootstrap, "quarantine")
    return [it.headers["ce_id"] for it in records if it.headers["reason"] == reason]


def test_account_when_applying_its_input_raises_then_it_is_stopped_for_good_until_cured_and_loses_nothing(
    cluster: Cluster,
) -> None:
    flag = cluster.directory / "flag"
    worker = cluster.worker(
        command=faulty_worker.COMMAND, environment=faulty_worker.environment("apply", flag, GUILTY)
    )
    sender = Sender(cluster.bootstrap)
    with Repeater(sender):
        worker.wait_ready()
        _, paid = sender.inputs(deposit(GUILTY))
        _, first = sender.inputs(fill(GUILTY, "0.1"))
        wait_for("it is there", lambda: applied(cluster, GUILTY, fills=first, ledger=paid))
        flag.touch()
        partition, offset = sender.inputs(fill(GUILTY, "0.2"))
        state = wait_for("it is stopped", lambda: stopped(cluster))
        assert state.fills.stop is not None
        assert (state.fills.stop.code, state.fills.stop.offset) == (RejectionCode.ENGINE_ERROR, offset)
        assert worker.metric("margin_engine_errors_total", step="apply") == 1
        assert worker.metric("margin_quarantined_total", reason="engine_error") == 1
        (told,) = worker.events("engine_error")
        assert (told["account"], told["input"]) == (GUILTY, f"fills/{partition}/{offset}")
        assert faulty_worker.PLANTED in told["exception"]
        assert "Traceback" in told["exception"]
        others_go_on(cluster, sender, worker)
        wait_for(
            "quarantine", lambda: quarantined(cluster, "engine_error") == [f"fills/{partition}/{offset}"]
        )
        worker.kill()
        worker.wait_ready()
        sender.inputs(fill(GUILTY, "0.4"))
        # the planted fault comes before the look at the stop
        wait_for("set aside too", lambda: len(quarantined(cluster, "engine_error")) == 2)
        others_go_on(cluster, sender, worker)
        # the engine is mended, and both commands are given
        flag.unlink()
        said = unimargin("account", "resume", "--all", "--reason", "engine_error", "--json", env=env(cluster))
        assert (said.code, said.json["stops"]) == (0, {"fills": 1}), said.err
        said = unimargin("quarantine", "replay", "--account", GUILTY, env=env(cluster))
        assert said.code == 0, said.err

        def whole() -> bool:
            state = read_account(cluster.redis.url, GUILTY)
            return state is not None and str(state.positions["BTC-PERP"].quantity) == "0.7"

        wait_for("0.1 + 0.2 + 0.4", whole)
    assert not read_account(cluster.redis.url, GUILTY).stopped


def test_account_when_judging_it_raises_then_it_is_stopped_in_both_topics_and_said_so(
    cluster: Cluster,
) -> None:
    flag = cluster.directory / "flag"
    worker = cluster.worker(
        command=faulty_worker.COMMAND, environment=faulty_worker.environment("judge", flag, GUILTY)
    )
    sender = Sender(cluster.bootstrap)
    with Repeater(sender):
        worker.wait_ready()
        flag.touch()
        sender.inputs(deposit(GUILTY))
        sender.inputs(fill(GUILTY, "1"))  # 1,000 against 2,500: it has something to say
        state = wait_for("it is stopped", lambda: stopped(cluster))
        assert state.unjudged
        assert [it.stop.code for it in (state.fills, state.ledger) if it.stop] == [
            RejectionCode.ENGINE_ERROR
        ] * 2
        (told,) = worker.events("engine_error")
        assert (told["step"], told["account"]) == ("judge", GUILTY)
        record = wait_for(
            "it is said in quarantine",
            lambda: next(
                (it for it in read_topic(cluster.bootstrap, "quarantine") if it.key == b"guilty"), None
            ),
        )
        assert (record.headers["ce_type"], record.headers["reason"]) == ("account.stopped", "engine_error")
        others_go_on(cluster, sender, worker)
        worker.kill()
        worker.wait_ready()
        assert worker.events("engine_error") == []
        wait_for("counted", lambda: worker.metric("margin_accounts_stopped") == 1)
        flag.unlink()
        said = unimargin("account", "resume", "--all", "--reason", "engine_error", "--json", env=env(cluster))
        assert said.json["stops"] == {"fills": 1, "ledger": 1}

        def judged() -> bool:
            topics = ("margin-events", "liquidations")
            return any(it.key == b"guilty" for topic in topics for it in read_topic(cluster.bootstrap, topic))

        wait_for("it is judged again", judged)


def test_event_when_kafka_takes_it_for_no_price_then_set_aside_its_account_stopped_and_the_relay_goes_on(
    cluster: Cluster,
) -> None:
    bytes_max(cluster, "liquidations", 600)
    worker, sender = cluster.worker(), Sender(cluster.bootstrap)
    with Repeater(sender):
        worker.wait_ready()
        sender.inputs(deposit(GUILTY))
        sender.inputs(fill(GUILTY, "1"))  # 1,000 against 2,500: liquidation
        state = wait_for("it is stopped", lambda: stopped(cluster))
        assert state.unjudged
        record = wait_for(
            "the event is set aside",
            lambda: next(
                (
                    it
                    for it in read_topic(cluster.bootstrap, "quarantine")
                    if it.headers["ce_type"] == "event.refused"
                ),
                None,
            ),
        )
        assert (record.key, record.headers["topic"], record.headers["reason"]) == (
            GUILTY.encode(),
            "liquidations",
            "event_refused",
        )
        assert msgspec.json.decode(record.value or b"")["account"] == GUILTY
        assert worker.metric("margin_events_refused_total", topic="liquidations") >= 1
        wait_for("the outbox is empty", lambda: not worker.metric("margin_outbox_pending"))
        others_go_on(cluster, sender, worker)
        worker.kill()
        bytes_max(cluster, "liquidations", 1_000_000)
        worker.wait_ready()
        said = unimargin("account", "resume", "--all", "--reason", "engine_error", "--json", env=env(cluster))
        assert said.json["stops"] == {"fills": 1, "ledger": 1}
        sender.inputs(deposit(GUILTY, "0.5"))
        wait_for("it is served again", lambda: not read_account(cluster.redis.url, GUILTY).stopped)
        others_go_on(cluster, sender, worker)


def bytes_max(cluster: Cluster, topic: str, count: int) -> None:
    """Let the topic take records of so many bytes."""
    entry = ConfigEntry("max.message.bytes", str(count), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    client = admin(cluster.kafka)
    for future in client.incremental_alter_configs([resource]).values():
        future.result(ADMIN_S)


def test_worker_when_an_invariant_of_its_own_breaks_then_it_ends_unacknowledged(cluster: Cluster) -> None:
    flag = cluster.directory / "flag"
    flag.touch()
    worker = cluster.worker(
        command=faulty_worker.COMMAND, environment=faulty_worker.environment("protocol", flag)
    )
    sender = Sender(cluster.bootstrap)
    partition, offset = sender.inputs(deposit(OTHER))
    assert [worker.wait_end(1), worker.wait_end(2)] == [CRASHED, CRASHED]
    assert cluster.committed(Topic.LEDGER).get(partition, 0) <= offset
    flag.unlink()
    wait_for("it is applied", lambda: applied(cluster, OTHER, ledger=offset), 90)
