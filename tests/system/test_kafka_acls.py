"""The shipped table of rights on a real authorizer: each role may do its work, and every other operation is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaException, Producer, TopicCollection
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewPartitions,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from tests.support.cli import unimargin
from tests.support.secure_kafka import SecureKafka
from tests.support.waiting import wait_for
from tests.system.conftest import EVERY_TOPIC, ROLES

pytestmark = pytest.mark.system

ADMIN_S = 30.0
TOPICS = (
    *("prices", "fills", "ledger", "operator", "fund", "policies"),
    *("margin-events", "liquidations", "quarantine", "account-state"),
)
LETTERS = {
    "R": {"READ", "DESCRIBE"},
    "W": {"WRITE", "DESCRIBE"},
    "D": {"DESCRIBE"},
    "C": {"DESCRIBE_CONFIGS"},
}
# in the order of TOPICS: Read, Write, Describe, describe the Configuration, - nothing
ON_TOPICS = {
    "worker": "R RW RW RW R R RW RW W RW",
    "exchange": "W W W - W - R R - -",
    "api": "- - - W R R R R - -",
    "notifier": "- - - - - - R R - -",
    "operator": "RC RWC RWC RWC RC RWC RC RC RC RC",
    "prometheus": "D D D D D D D D D D",
}
ON_GROUPS = {
    "worker": {"unimargin": "R"},
    "exchange": {"unimargin": "D"},
    "api": {},
    "notifier": {"unimargin-notify": "R"},
    "operator": {"unimargin": "D", "unimargin-notify": "D"},
    "prometheus": {"unimargin": "D", "unimargin-notify": "D"},
}
REFUSALS = {
    "TOPIC_AUTHORIZATION_FAILED",
    "GROUP_AUTHORIZATION_FAILED",
    "CLUSTER_AUTHORIZATION_FAILED",
    "TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
}


@pytest.fixture(scope="module")
def kafka(secure_kafka: SecureKafka) -> SecureKafka:
    present = set(secure_kafka.describe_topics())
    secure_kafka.create_topics(dict.fromkeys(set(TOPICS) - present, 1))
    return secure_kafka


def admin_of(kafka: SecureKafka, role: str) -> AdminClient:
    return AdminClient(kafka.librdkafka(role))


def operations(letters: str) -> set[str]:
    return set().union(*(LETTERS[it] for it in letters if it != "-"))


def allowed(ask: Callable[[], Any]) -> set[str]:
    """What the broker says that we may do; nothing where it does not even show us what we asked for."""

    def answered() -> list[set[str]]:
        try:
            return [{it.name for it in ask().result(ADMIN_S).authorized_operations or ()}]
        except KafkaException as error:
            refused = error.args[0]
        return [set()] if refused.name() in REFUSALS else []

    return wait_for("the broker answers", answered)[0]


@pytest.mark.parametrize("role", ROLES)
def test_role_when_the_broker_is_asked_for_every_operation_on_every_topic_then_those_of_the_table(
    kafka: SecureKafka, role: str
) -> None:
    admin = admin_of(kafka, role)
    for topic, letters in zip(TOPICS, ON_TOPICS[role].split(), strict=True):

        def ask(topic: str = topic) -> Any:
            (answer,) = admin.describe_topics(
                TopicCollection([topic]), include_authorized_operations=True, request_timeout=ADMIN_S
            ).values()
            return answer

        assert allowed(ask) == operations(letters), topic


@pytest.mark.parametrize("role", ROLES)
def test_role_when_the_broker_is_asked_for_groups_and_cluster_then_those_of_the_table(
    kafka: SecureKafka, role: str
) -> None:
    admin = admin_of(kafka, role)
    for group in ("unimargin", "unimargin-notify", "unimargin-other"):

        def ask(group: str = group) -> Any:
            (answer,) = admin.describe_consumer_groups(
                [group], include_authorized_operations=True, request_timeout=ADMIN_S
            ).values()
            return answer

        assert allowed(ask) == operations(ON_GROUPS[role].get(group, "")), group
    on_cluster = allowed(
        lambda: admin.describe_cluster(include_authorized_operations=True, request_timeout=ADMIN_S)
    )
    assert on_cluster == ({"DESCRIBE"} if role == "prometheus" else set())


@pytest.mark.parametrize("role", ROLES)
def test_role_when_it_writes_to_every_topic_then_taken_or_refused_as_the_table_says(
    kafka: SecureKafka, role: str
) -> None:
    outcome: dict[str, str | None] = {}
    producer = Producer({**kafka.librdkafka(role), "message.timeout.ms": 20_000})
    for topic in TOPICS:
        producer.produce(
            topic,
            b"x",
            b"key",  # compacted topics want one
            partition=0,
            on_delivery=lambda error, message: outcome.update(
                {message.topic(): None if error is None else error.name()}
            ),
        )
    assert producer.flush(ADMIN_S) == 0
    letters = zip(TOPICS, ON_TOPICS[role].split(), strict=True)
    assert outcome == {topic: None if "W" in it else "TOPIC_AUTHORIZATION_FAILED" for topic, it in letters}


@pytest.mark.parametrize("role", ROLES)
def test_role_when_it_would_write_as_a_shard_or_a_worker_as_something_else_then_refused(
    kafka: SecureKafka, role: str
) -> None:
    transactional_id = "unimargin-shard-99" if role != "worker" else "other"
    producer = Producer({**kafka.librdkafka(role), "transactional.id": transactional_id})
    with pytest.raises(KafkaException) as refused:
        producer.init_transactions(ADMIN_S)
    assert refused.value.args[0].name() in REFUSALS


@pytest.mark.parametrize("role", ROLES)
def test_role_when_it_would_change_topics_or_rights_then_refused(kafka: SecureKafka, role: str) -> None:
    admin = admin_of(kafka, role)
    rule = AclBinding(
        ResourceType.TOPIC,
        "prices",
        ResourcePatternType.LITERAL,
        f"User:{role}",
        "*",
        AclOperation.ALL,
        AclPermissionType.ALLOW,
    )
    asked = [
        *admin.create_topics([NewTopic("new", 1, 1)]).values(),
        *admin.create_partitions([NewPartitions("fills", 9)]).values(),
        *admin.delete_topics(["fills"]).values(),
        *admin.create_acls([rule]).values(),
    ]
    for answer in asked:
        with pytest.raises(KafkaException) as refused:
            answer.result(ADMIN_S)
        assert refused.value.args[0].name() in REFUSALS


def env_of(kafka: SecureKafka, role: str) -> dict[str, str]:
    return {**{f"UNIMARGIN_{name}": value for name, value in kafka.scram(role).items()}, **EVERY_TOPIC}


def test_show_when_the_table_was_applied_then_the_broker_holds_it_and_nothing_else(
    kafka: SecureKafka,
) -> None:
    said = unimargin("topics", "acls", "show", "--json", env=env_of(kafka, "admin"))
    assert said.code == 0, said.out
    assert {row["state"] for row in said.json} == {"held"}
    assert {row["principal"] for row in said.json} == {f"User:{role}" for role in ROLES}
    assert "Who may do what" in unimargin("topics", "acls", "show", env=env_of(kafka, "admin")).out


def test_apply_when_a_role_holds_what_the_table_does_not_say_then_taken_away_and_the_missing_given(
    kafka: SecureKafka, tmp_path: Path
) -> None:
    table, env = tmp_path / "acls.toml", env_of(kafka, "admin")
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})
    denied = AclBinding(
        ResourceType.TOPIC,
        "prices",
        ResourcePatternType.PREFIXED,
        "User:passing",
        "10.0.0.1",
        AclOperation.ALTER,
        AclPermissionType.DENY,
    )
    (made,) = admin.create_acls([denied]).values()
    made.result(ADMIN_S)
    states = []
    for rights in ('read = ["prices"]', 'write = ["prices"]', ""):
        table.write_text(f'[roles.passing]\nprincipal = "User:passing"\n{rights}\n')
        if not rights:
            table.write_text('[roles.passing]\nprincipal = "User:passing"\ngroups = [""]\n')
        words = ("topics", "acls", "apply", "--file", str(table), "--json")
        planned = unimargin(*words, "--dry-run", env=env)
        assert {row["state"] for row in planned.json} == {"missing", "surplus"}
        said = unimargin(*words, env=env)
        assert said.code == 0, said.err
        states.append({(row["operation"], row["state"]) for row in said.json})
        assert unimargin("topics", "acls", "show", "--file", str(table), env=env).code == 0
    assert states == [
        {("7 from 10.0.0.1, permission 2", "removed"), ("read", "added")},
        {("read", "removed"), ("write", "added")},
        {("write", "removed"), ("read", "added")},
    ]


def test_apply_when_a_role_and_not_the_administrator_asks_then_refused_with_a_code(
    kafka: SecureKafka,
) -> None:
    said = unimargin("topics", "acls", "apply", env=env_of(kafka, "operator"))
    assert said.code == 1
    assert "kafka_not_allowed: " in said.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[roles.a]\nprincipal = "a"', "is not of the form User:name"),
        ('[roles.a]\nprincipal = "User:a"\n[roles.b]\nprincipal = "User:a"', "two roles have one principal"),
        ('[roles.a]\nprincipal = "User:a"\nreads = []', "reads"),
        ("[", "access file"),
    ],
)
def test_table_when_it_breaks_a_rule_then_named(tmp_path: Path, text: str, words: str) -> None:
    table = tmp_path / "acls.toml"
    table.write_text(text)
    said = unimargin("topics", "acls", "show", "--file", str(table))
    assert said.code == 2
    assert words in said.err
    assert str(table) in said.err
