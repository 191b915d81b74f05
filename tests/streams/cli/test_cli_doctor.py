"""`unimargin doctor` against a real Kafka and a real Redis, healthy and in trouble."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from streams.contract.commit import OutboxEntry
from streams.store.copy_source import Covered
from streams.store.store_keys import COPIED, ShardKeys
from tests.streams.cli.test_cli_account import stopped
from tests.streams.cli.test_cli_events import publish
from tests.streams.conftest import SHARDS
from tests.support.builders import account, sample_text
from tests.support.cli import NOWHERE, Said, unimargin
from tests.support.cli_state import OWNER, leave_state
from tests.support.kafka_server import RealKafka

pytestmark = pytest.mark.system


@pytest.fixture
def env(redis_env: dict[str, str], own_inputs: dict[str, str]) -> dict[str, str]:
    """Everything in place, every shard taken over; fills kept for ever."""
    for shard in range(SHARDS):
        leave_state(redis_env["UNIMARGIN_REDIS_URL"], shard, [account({"USD": 1}, name=f"account-{shard}")])
    return {**redis_env, **own_inputs}


def examined(env: dict[str, str]) -> tuple[Said, dict[str, Any]]:
    said = unimargin("doctor", "--json", env=env)
    return said, {check["check"]: check for check in said.json}


def test_doctor_when_all_is_well_then_exit_0(
    env: dict[str, str], cli_kafka: RealKafka, unique: Callable[[str], str]
) -> None:
    kept = {"retention.ms": "-1", "retention.bytes": "-1"}
    for role in ("FILLS", "LEDGER"):
        env[f"UNIMARGIN_TOPIC_{role}"] = unique(role)
        cli_kafka.create_topics({env[f"UNIMARGIN_TOPIC_{role}"]: SHARDS}, kept)
    said, checks = examined(env)
    assert said.code == 0, said.out
    assert {check["status"] for check in checks.values()} == {"ok"}, said.out
    assert "sample, digest" in checks["policy"]["found"]
    assert checks["partition counts"]["found"].startswith(f"{SHARDS} ")
    assert f"owner {OWNER}" in checks[f"shard {SHARDS - 1}"]["found"]
    assert checks["stopped accounts"]["found"] == f"none of {SHARDS}"
    assert set(checks) >= {
        *(
            "broker",
            "topics",
            "redis",
            "appendonly",
            "appendfsync",
            "maxmemory-policy",
            "clock",
            "quarantine",
        ),
        *(f"retention of {name}" for name in ("margin-events", "liquidations", env["UNIMARGIN_TOPIC_FILLS"])),
    }
    assert "Doctor" in unimargin("doctor", env=env).out


def test_doctor_when_topics_differ_are_missing_or_are_cut_then_fails(
    env: dict[str, str], cli_kafka: RealKafka, unique: Callable[[str], str]
) -> None:
    env["UNIMARGIN_TOPIC_FILLS"] = unique("fills")
    env["UNIMARGIN_TOPIC_PRICES"] = unique("prices")
    cli_kafka.create_topics({env["UNIMARGIN_TOPIC_FILLS"]: 1}, {"retention.ms": "86400000"})
    said, checks = examined(env)
    assert said.code == 1
    assert checks["topics"]["status"] == "FAIL"
    assert env["UNIMARGIN_TOPIC_PRICES"] in checks["topics"]["found"]
    assert checks["partition counts"]["status"] == "FAIL"
    cut = checks[f"retention of {env['UNIMARGIN_TOPIC_FILLS']}"]
    assert cut["status"] == "FAIL"
    assert "retention.ms=86400000" in cut["found"]


def test_doctor_when_copies_are_old_or_fall_short_of_a_cut_log_then_says_so(
    env: dict[str, str], cli_kafka: RealKafka, unique: Callable[[str], str]
) -> None:
    for role in ("FILLS", "LEDGER"):
        env[f"UNIMARGIN_TOPIC_{role}"] = unique(role)
        cli_kafka.create_topics({env[f"UNIMARGIN_TOPIC_{role}"]: SHARDS})
    assert examined(env)[1]["second copies"]["found"].startswith(f"of 0 of {SHARDS} shards")
    off = examined({**env, "UNIMARGIN_ACCOUNT_STATE_MINUTES": "0"})[1]
    assert "switched off" in off["second copies"]["found"]
    fills = env["UNIMARGIN_TOPIC_FILLS"]
    admin = AdminClient({"bootstrap.servers": cli_kafka.bootstrap_servers})
    publish(cli_kafka, [OutboxEntry(fills, 0, b"a", b"{", (), "x")] * 4)
    covered = Covered(fills=2, ledger=0, topic="here", logs={}, time_ns=1)
    with redis.Redis.from_url(env["UNIMARGIN_REDIS_URL"]) as client:
        meta = ShardKeys("unimargin", 0).meta
        client.hset(meta, mapping={"watermark:fills": 4, COPIED: msgspec.json.encode(covered)})
    old = examined(env)[1]["second copies of shard 0"]
    assert (old["status"], "s old, and 600 s are given" in old["found"]) == ("warn", True)
    admin.delete_records([TopicPartition(fills, 0, 3)])[TopicPartition(fills, 0)].result(30)
    short = examined(env)[1]["second copies of shard 0"]["found"]
    assert "they reach fills 2, and its log begins at 3" in short


def test_doctor_when_shards_lag_or_are_beyond_their_log_or_nobodys_then_says_which(
    env: dict[str, str], cli_kafka: RealKafka, redis_url_db: str
) -> None:
    with redis.Redis.from_url(redis_url_db) as client:
        client.flushall()
    fills = env["UNIMARGIN_TOPIC_FILLS"]
    record = OutboxEntry(fills, 0, b"alice", b"{}", (), "none")
    publish(cli_kafka, [record] * 2)
    leave_state(redis_url_db, 0, watermarks={"fills": 1})
    leave_state(redis_url_db, 1, watermarks={"ledger": 5})
    _, checks = examined(env)
    assert checks["shard 0"]["status"] == "ok"
    assert "fills 1 of 2, ledger 0 of 0, lag 1, outbox 0" in checks["shard 0"]["found"]
    assert checks["shard 1"]["status"] == "FAIL"
    assert "ledger is beyond its log" in checks["shard 1"]["found"]
    assert "no worker has taken it over" in checks["shard 2"]["found"]


def test_doctor_when_accounts_are_stopped_then_topic_partition_offset_and_reason(
    env: dict[str, str], redis_url_db: str
) -> None:
    leave_state(redis_url_db, 2, [stopped("dora")])
    _, checks = examined(env)
    assert checks["stopped accounts"]["found"] == f"1 of {SHARDS + 1}"
    assert (
        checks["account dora"]["found"]
        == f"stopped in {env['UNIMARGIN_TOPIC_FILLS']}/2 at offset 6: sequence_gap"
    )


def test_doctor_when_what_accounts_hold_is_not_listed_or_will_not_be_then_says_what_and_how_many_hold_it(
    env: dict[str, str], cli_kafka: RealKafka, redis_url_db: str, unique: Callable[[str], str], tmp_path: Path
) -> None:
    env["UNIMARGIN_TOPIC_POLICIES"] = unique("policies")
    cli_kafka.create_topics({env["UNIMARGIN_TOPIC_POLICIES"]: 1})
    long = (1, 100)
    leave_state(redis_url_db, 1, [account({"USD": 1}, {"ETH-PERP": long}, name=f"e-{it}") for it in range(2)])
    _, checks = examined(env)
    assert checks["holdings"]["status"] == "ok", checks["holdings"]
    assert "1 contracts and 1 assets" in checks["holdings"]["found"]

    without = tmp_path / "without.toml"
    without.write_text(sample_text(("[instruments.ETH-PERP]", "[instruments.SOL-PERP]")))
    at = datetime.fromtimestamp(time.time() + 3600, UTC).isoformat()
    words = ("policy", "publish", str(without), "--who", "desk", "--why", "listed SOL", "--at", at)
    assert unimargin(*words, env=env).code == 0
    _, checks = examined(env)
    assert checks["holdings"]["status"] == "ok"
    assert checks["holdings, version 1"]["status"] == "warn"
    assert "ETH-PERP (held by 2 accounts)" in checks["holdings, version 1"]["found"]

    leave_state(redis_url_db, 2, [account({"USD": 1, "OLD": 3}, {"GONE-PERP": long}, name="g")])
    said, checks = examined(env)
    assert said.code == 1
    assert checks["holdings"]["status"] == "FAIL"
    assert "GONE-PERP (held by 1 account), OLD (held by 1 account)" in checks["holdings"]["found"]


@pytest.mark.parametrize("data", [b"{", b'{"positions":7}', b'{"fills":{"stop":7}}'])
def test_doctor_when_a_state_cannot_be_read_then_names_it_and_goes_on(
    env: dict[str, str], redis_url_db: str, data: bytes
) -> None:
    with redis.Redis.from_url(redis_url_db) as client:
        client.hset(ShardKeys("unimargin", 1).accounts, "broken", data)
    said, checks = examined(env)
    assert said.code == 1
    assert checks["account broken"]["status"] == "FAIL"
    assert "cannot be read" in checks["account broken"]["found"]
    assert checks["holdings"]["status"] == "ok"


def test_doctor_when_records_are_in_quarantine_then_warns(env: dict[str, str], cli_kafka: RealKafka) -> None:
    publish(cli_kafka, [OutboxEntry(env["UNIMARGIN_TOPIC_QUARANTINE"], 0, b"k", b"v", (), "none")])
    _, checks = examined(env)
    assert (checks["quarantine"]["status"], checks["quarantine"]["found"][:11]) == ("warn", "1 record(s)")


def test_doctor_when_redis_may_lose_or_evict_then_fails(env: dict[str, str], redis_url_db: str) -> None:
    with redis.Redis.from_url(redis_url_db) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("appendonly", "no")
        try:
            said, checks = examined(env)
        finally:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("appendonly", "yes")
    assert said.code == 1
    assert (checks["maxmemory-policy"]["status"], checks["appendonly"]["status"]) == ("FAIL", "FAIL")


def test_doctor_when_everything_is_away_then_each_is_told_and_no_password() -> None:
    env = {
        "UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS": NOWHERE,
        "UNIMARGIN_REDIS_URL": f"redis://:hunter2@{NOWHERE}",
        "UNIMARGIN_POLICY_FILE": "no/such.toml",
    }
    said, checks = examined(env)
    assert said.code == 1
    assert {name: check["status"] for name, check in checks.items()} == {
        **dict.fromkeys(("policy", "broker", "redis"), "FAIL"),
        "encryption": "ok",
    }
    assert "no/such.toml" in checks["policy"]["found"]
    assert "hunter2" not in said.out + said.err


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({}, "ok"),
        ({"UNIMARGIN_KAFKA_PLAINTEXT_ALLOWED": "true"}, "warn"),
        ({"UNIMARGIN_REDIS_PLAINTEXT_ALLOWED": "true"}, "warn"),
        ({"UNIMARGIN_KAFKA_PLAINTEXT_ALLOWED": "true", "UNIMARGIN_KAFKA_SECURITY_PROTOCOL": "SSL"}, "ok"),
    ],
)
def test_doctor_when_something_may_leave_the_machine_in_clear_then_warns(
    more: dict[str, str], status: str
) -> None:
    away = {"UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS": NOWHERE, "UNIMARGIN_REDIS_URL": f"redis://{NOWHERE}"}
    _, checks = examined({**away, **more})
    assert checks["encryption"]["status"] == status
    assert all(name in checks["encryption"]["action"] for name in more if status == "warn")
