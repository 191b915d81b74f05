"""`unimargin explain` against a real Kafka: every event of a small run follows from the log, and a forged one does not."""

import json
from collections.abc import Callable
from functools import partial

import msgspec
import pytest
from confluent_kafka import Producer

from engine.events.effects import EventType, Stream
from engine.inputs import Topic
from tests.support.cli import unimargin
from tests.support.cluster import POLICY_FILE, Cluster
from tests.support.inputs import MARKS, deposit, fill, mark
from tests.support.kafka_log import LogRecord, read_topic
from tests.support.sender import Sender
from tests.support.waiting import wait_for

pytestmark = pytest.mark.system

WANTED = {
    ("owner", EventType.WARNING_OPENED),
    ("owner", EventType.EXPLAINED),
    ("owner", EventType.LIQUIDATION_ENTERED),
    ("owner", EventType.LIQUIDATION_REQUESTED),
    ("owner", EventType.ACCOUNT_BANKRUPT),
    ("owner", EventType.LIQUIDATION_COMPLETED),
    ("owner", EventType.REDUCE_ONLY_RESOLVED),
    ("ringed", EventType.LIQUIDATION_REQUESTED),
    ("halted", EventType.DEGRADED),
}
CRASH = ("49000", "48000", "47400", "46800", "44500", "46000", "50000")
"""The owner's ratio: 1.63, 1.25, 1.01, 0.77, below nothing, and back."""


def said(cluster: Cluster) -> list[LogRecord]:
    return [record for stream in Stream for record in read_topic(cluster.bootstrap, stream)]


def kinds(records: list[LogRecord]) -> set[tuple[str, EventType]]:
    return {(it.headers["ce_subject"], EventType(it.headers["ce_type"])) for it in records}


def more_said(cluster: Cluster, before: int) -> bool:
    return len(said(cluster)) > before


def crash(cluster: Cluster, sender: Sender) -> list[LogRecord]:
    """One worker, three accounts, BTC falls and comes back; returns every event."""
    quotes = dict(MARKS)

    def quote() -> None:
        for symbol, price in quotes.items():
            sender.prices(mark(symbol, price), symbol)
        sender.flush()

    def quoting(wanted: Callable[[], bool]) -> Callable[[], bool]:
        def attempt() -> bool:
            quote()
            return wanted()

        return attempt

    worker = cluster.worker()
    quote()
    worker.wait_ready()
    sender.inputs(*(deposit(name, "5000") for name in ("owner", "ringed", "halted")))
    # of no account, so that offsets and counts are not the same
    sender.inputs(*(deposit(f"other-{number}", "1") for number in range(20)))
    sender.inputs(fill("owner", "0.6"), fill("owner", "0.4", fee="0.5"), fill("halted", "0.01"))
    sender.inputs(fill("ringed", "0.1", margin_mode="isolated", margin_transfer="400"))
    sender.inputs(deposit("halted", "1", "DOGE"))
    applied = "margin_inputs_applied_total"
    wait_for("every input is applied", quoting(lambda: worker.metric(applied) >= 23 + 4))
    for price in CRASH:
        quotes |= {"BTC-PERP": price, "BTC-USD": price}
        wait_for(f"events at {price}", quoting(partial(more_said, cluster, len(said(cluster)))), 30)
    wait_for("the whole story", quoting(lambda: kinds(said(cluster)) >= WANTED), 30)
    worker.close()
    return said(cluster)


def test_explain_when_a_worker_said_it_then_it_matches_and_when_forged_then_named(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> None:
    sender = Sender(cluster.bootstrap)
    records = crash(cluster, sender)
    env = {"UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS": cluster.bootstrap, "UNIMARGIN_POLICY_FILE": str(POLICY_FILE)}

    # every event, from the log alone
    cluster.redis.stop()
    for record in records:
        shown = unimargin("explain", record.headers["ce_id"], "--json", env=env)
        assert (shown.code, shown.err) == (0, ""), f"{shown.err}{shown.out}"
        assert (shown.json["matches"], shown.json["mismatches"]) == (True, [])
        assert shown.json["offset"] == record.offset
    newest = unimargin("explain", "--account", "owner", env=env)
    assert newest.code == 0, newest.err
    for words in ("MATCHES", "went from", "to healthy", "policy system", "BTC-PERP", "sum"):
        assert words in newest.out, newest.out

    halted = unimargin("explain", "--account", "halted", env=env)
    assert "degraded: ledger stopped at offset" in halted.out
    assert "unknown_asset" in halted.out

    # another policy
    lines = POLICY_FILE.read_text().replace("warning = 1.5", "warning = 1.6")
    changed = tmp_path_factory.mktemp("policy") / "changed.toml"
    changed.write_text(lines)
    some = records[0].headers["ce_id"]
    other = unimargin("explain", some, env={**env, "UNIMARGIN_POLICY_FILE": str(changed)})
    assert other.code == 1
    assert cluster.policy.digest in other.err
    assert "--policy FILE" in other.err
    told = unimargin(
        "explain", some, "--policy", str(POLICY_FILE), env={**env, "UNIMARGIN_POLICY_FILE": str(changed)}
    )
    assert told.code == 0, told.err

    # forged: a copy under its own id, and one under a new one
    check_forged(cluster, records, env)

    # the log is trimmed: nothing else takes its place
    victim = next(record for record in records if record.key == b"owner")
    cluster.trim(Topic.LEDGER, {victim.partition: 1})
    trimmed = unimargin("explain", victim.headers["ce_id"], env=env)
    assert (trimmed.code, trimmed.out) == (1, "")
    assert f"ledger/{victim.partition}" in trimmed.err
    assert "begins at offset 1" in trimmed.err


def first_of(records: list[LogRecord], kind: EventType) -> LogRecord:
    return next(record for record in records if record.headers["ce_type"] == kind)


def check_forged(cluster: Cluster, records: list[LogRecord], env: dict[str, str]) -> None:
    genuine = first_of(records, EventType.LIQUIDATION_REQUESTED)
    twin = first_of(records, EventType.WARNING_OPENED)
    forged = json.loads(genuine.value or b"")
    forged["equity"] = str(float(forged["equity"]) + 1)
    publish(cluster, genuine, forged)
    shown = unimargin("explain", genuine.headers["ce_id"], "--json", env=env)
    assert shown.code == 1
    first, second = shown.json_lines
    assert (first["matches"], second["matches"], second["mismatches"]) == (True, False, ["equity"])
    assert "another record bears this id" in first["remarks"][0]
    text = unimargin("explain", genuine.headers["ce_id"], env=env).out
    assert "DOES NOT MATCH" in text
    assert "differs in: equity" in text
    # the same record twice is no forgery
    publish(cluster, twin, json.loads(twin.value or b""))
    again = unimargin("explain", twin.headers["ce_id"], "--json", env=env)
    assert (again.code, again.json["copies"]) == (0, 2), again.out


def publish(cluster: Cluster, record: LogRecord, data: dict[str, object]) -> None:
    """Put a record into an event topic, beside the one it resembles."""
    producer = Producer({"bootstrap.servers": cluster.bootstrap})
    producer.produce(
        record.topic,
        msgspec.json.encode(data),
        record.key,
        record.partition,
        headers=[(name, value.encode()) for name, value in record.headers.items()],
    )
    assert producer.flush(30) == 0


def test_explain_when_it_cannot_then_one_line_that_says_why(cluster: Cluster) -> None:
    env = {"UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS": cluster.bootstrap, "UNIMARGIN_POLICY_FILE": str(POLICY_FILE)}
    for words, code, hint in (
        (("a/margin-events/1",), 1, "no event 'a/margin-events/1' in topic margin-events"),
        (("--account", "a"), 1, "nothing was ever said of account 'a'"),
        (("a/fills/1",), 2, "is no event id"),
        (("1",), 2, "is no event id"),
        (("\udcff/margin-events/1",), 2, "is no event id"),
        ((), 2, "say which event"),
        (("a/margin-events/1", "--account", "a"), 2, "say which event"),
    ):
        told = unimargin("explain", *words, env=env)
        assert (told.code, told.out) == (code, ""), words
        assert hint in told.err
        assert len(told.err.splitlines()) == 1
