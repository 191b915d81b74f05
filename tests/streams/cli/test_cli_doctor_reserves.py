"""What `unimargin doctor` says of copies, memory, encryption and the group."""

from typing import Any

import pytest
import redis

from streams.cli.doctor.doctor_reserves import copies, memory
from streams.cli.doctor.doctor_security import examine_security
from streams.config.settings import Settings
from streams.contract.topic_layout import pipeline_topics
from tests.support.cli import unimargin

FILLS = "fills"
ALLOWED = {"kafka_plaintext_allowed": True, "redis_plaintext_allowed": True}


def topic(replicas: int, in_step: int, name: str = FILLS) -> list[dict[str, object]]:
    partition = {"replicas": list(range(replicas)), "isr": list(range(in_step))}
    whole = {"replicas": [0, 1, 2], "isr": [0, 1, 2]}
    return [{"topic": name, "partitions": [whole, partition]}]


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
    check = copies(Settings(), brokers, topic(replicas, in_step), {FILLS: {"min.insync.replicas": least}})
    assert check.status == ("warn" if said else "ok")
    assert said in check.found


@pytest.mark.parametrize("name", pipeline_topics(Settings()))
def test_copies_when_any_topic_of_the_pipeline_has_one_then_that_is_told(name: str) -> None:
    configs = {name: {"min.insync.replicas": "2"}, "others": {"min.insync.replicas": "2"}}
    check = copies(Settings(), 3, [*topic(1, 1, name), *topic(1, 1, "others")], configs)
    assert (check.status, check.found) == ("warn", f"{name}: one copy")


def test_copies_when_the_broker_does_not_tell_the_configuration_then_not_known_and_which_right_lacks() -> (
    None
):
    check = copies(Settings(), 3, topic(3, 3), {})
    assert (check.status, "is not known" in check.found) == ("warn", True)
    assert "min.insync.replicas=" not in check.found
    assert "DescribeConfigs" in check.action
    assert "one copy" in copies(Settings(), 3, topic(1, 1), {}).found


@pytest.mark.parametrize(
    ("told", "status", "found"),
    [
        ({"used_memory": 1e9, "maxmemory": 0}, "ok", "1000 MB, without a limit of its own"),
        ({"used_memory": 1e9, "maxmemory": 0, "total_system_memory": 24e9}, "ok", "1000 MB of 24000"),
        ({"used_memory": 23.9e9, "maxmemory": 0, "total_system_memory": 24e9}, "warn", "without a limit"),
        ({"used_memory": 23.9e9, "maxmemory": 48e9, "total_system_memory": 24e9}, "warn", "of 24000"),
        ({"used_memory": 7.9e9, "maxmemory": 8e9, "total_system_memory": 24e9}, "warn", "of 8000"),
        ({"used_memory": 5e9, "maxmemory": 8e9, "total_system_memory": 24e9}, "ok", "of 8000"),
    ],
)
def test_memory_when_close_to_the_limit_or_to_the_machines_then_warns(
    told: dict[str, float], status: str, found: str
) -> None:
    check = memory(told)
    assert check.status == status
    assert found in check.found


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
