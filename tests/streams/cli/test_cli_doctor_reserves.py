"""What `unimargin doctor` says of copies, memory, encryption and the group."""

from typing import Any

import pytest
import redis

from streams.cli.doctor.doctor_reserves import copies
from streams.cli.doctor.doctor_security import examine_security
from streams.config.settings import Settings
from tests.support.cli import unimargin

FILLS = "fills"
ALLOWED = {"kafka_plaintext_allowed": True, "redis_plaintext_allowed": True}


def topic(replicas: int, in_step: int) -> list[dict[str, object]]:
    partition = {"replicas": list(range(replicas)), "isr": list(range(in_step))}
    whole = {"replicas": [0, 1, 2], "isr": [0, 1, 2]}
    return [{"topic": FILLS, "partitions": [whole, partition]}]


@pytest.mark.parametrize(
    ("brokers", "replicas", "in_step", "least", "said"),
    [
        (1, 1, 1, "1", ""),
        (3, 3, 3, "2", ""),
        (3, 1, 1, "1", "one copy"),
        (3, 3, 2, "2", "2 of 3 copies in step"),
        (3, 3, 3, "1", "min.insync.replicas=1"),
        (2, 2, 2, "2", "one that is away stops writes"),
    ],
)
def test_copies_when_a_topic_does_not_outlive_a_broker_then_warns_which_and_why(
    brokers: int, replicas: int, in_step: int, least: str, said: str
) -> None:
    check = copies(brokers, topic(replicas, in_step), {FILLS: {"min.insync.replicas": least}})
    assert check.status == ("warn" if said else "ok")
    assert said in check.found


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ({}, ""),
        ({"kafka_bootstrap_servers": "[::1]:9092,localhost:9092", "redis_url": "redis://127.0.0.2/0"}, ""),
        (
            {"kafka_bootstrap_servers": "127.0.0.1:9092,kafka:9092", "kafka_plaintext_allowed": True},
            "none to Kafka,",
        ),
        (
            {"kafka_bootstrap_servers": "kafka:9092", "redis_url": "redis://:secret@10.0.0.1/0", **ALLOWED},
            "none to Kafka and to Redis",
        ),
        (
            {
                "kafka_bootstrap_servers": "kafka:9092",
                "redis_url": "redis+cluster://:secret@127.0.0.1,10.0.0.1",
                **ALLOWED,
            },
            "none to Kafka and to Redis",
        ),
    ],
)
def test_encryption_when_plain_text_leaves_the_machine_then_warns_where_to(
    given: dict[str, Any], plain: str
) -> None:
    check = examine_security(Settings(**given))
    assert check.status == ("warn" if plain else "ok")
    assert plain in check.found
    assert "secret" not in check.found


@pytest.mark.system
def test_doctor_when_redis_is_nearly_full_then_warns_and_a_group_that_nobody_joined_is_said(
    redis_env: dict[str, str], own_inputs: dict[str, str], redis_url_db: str
) -> None:
    with redis.Redis.from_url(redis_url_db) as client:
        client.set("ballast", bytes(20_000_000))
        client.config_set("maxmemory", 26_000_000)
        try:
            said = unimargin(
                "doctor", "--json", env={**redis_env, **own_inputs, "UNIMARGIN_GROUP": "nobodys"}
            )
        finally:
            client.config_set("maxmemory", 0)
            client.delete("ballast")
    checks = {check["check"]: check for check in said.json}
    assert checks["redis memory"]["status"] == "warn", said.out
    assert " MB of " in checks["redis memory"]["found"]
    assert (checks["group"]["status"], checks["group"]["found"]) == (
        "ok",
        "nobodys: no worker has joined yet",
    )
    assert checks["copies"]["status"] == checks["encryption"]["status"] == "ok"
