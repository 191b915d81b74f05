"""A Kafka of its own for the command line, whose event topics have fixed names, and the settings that lead to it."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaException

from tests.support.builders import SAMPLE
from tests.support.cli import unimargin
from tests.support.kafka_log import ends
from tests.support.kafka_server import RealKafka
from tests.support.waiting import wait_until_none

SHARDS = 4


@pytest.fixture(scope="session")
def cli_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealKafka]:
    """A broker with the pipeline's topics, created as a user would create them."""
    with RealKafka(tmp_path_factory.mktemp("cli-kafka")) as kafka:
        env = {"UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers}
        said = unimargin("topics", "create", "--partitions", str(SHARDS), env=env)
        assert said.code == 0, said.err
        yield kafka


@pytest.fixture
def sample_policy(tmp_path: Path) -> Path:
    """The sample policy as a file."""
    path = tmp_path / "policy.toml"
    path.write_text(SAMPLE)
    return path


@pytest.fixture
def kafka_env(cli_kafka: RealKafka) -> dict[str, str]:
    """Settings of a user of `cli_kafka`."""
    return {"UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS": cli_kafka.bootstrap_servers}


@pytest.fixture
def redis_env(redis_url_db: str, sample_policy: Path) -> dict[str, str]:
    """Settings of a user of an empty Redis and the sample policy."""
    return {"UNIMARGIN_REDIS_URL": redis_url_db, "UNIMARGIN_POLICY_FILE": str(sample_policy)}


@pytest.fixture
def own_inputs(
    cli_kafka: RealKafka, kafka_env: dict[str, str], unique: Callable[[str], str]
) -> dict[str, str]:
    """Settings with fills, ledger and quarantine topics that no other test uses."""
    names = {role: unique(role) for role in ("fills", "ledger", "quarantine")}
    cli_kafka.create_topics({names["fills"]: SHARDS, names["ledger"]: SHARDS, names["quarantine"]: 1})
    wait_until_none("leaders of new topics", lambda: _problem(cli_kafka, names.values()))
    return {**kafka_env, **{f"UNIMARGIN_TOPIC_{role.upper()}": name for role, name in names.items()}}


@pytest.fixture
def operators(
    kafka_env: dict[str, str], cli_kafka: RealKafka, unique: Callable[[str], str]
) -> dict[str, str]:
    """Settings with an operators' topic of its own."""
    name = unique("operator")
    cli_kafka.create_topics({name: 1})
    wait_until_none("the topic's leader", lambda: _problem(cli_kafka, [name]))
    return {**kafka_env, "UNIMARGIN_TOPIC_OPERATOR": name, "UNIMARGIN_OPERATOR_TOPIC_ENABLED": "true"}


def _problem(kafka: RealKafka, topics: Iterable[str]) -> str | None:
    try:
        for topic in topics:
            ends(kafka.bootstrap_servers, topic)
    except (KafkaException, AssertionError) as error:
        return str(error)
    return None
