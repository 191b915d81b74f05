"""`unimargin topics` against a real broker."""

from collections.abc import Callable
from pathlib import Path

import pytest

from streams.config.settings import Settings
from streams.contract.topic_layout import load_layout, pipeline_topics
from tests.streams.conftest import SHARDS
from tests.support.cli import unimargin
from tests.support.kafka_server import RealKafka

pytestmark = pytest.mark.system


def test_create_when_done_then_partitions_of_the_file_and_the_option(cli_kafka: RealKafka) -> None:
    counts = cli_kafka.describe_topics()
    assert {name: counts[name] for name in pipeline_topics(Settings())} == {
        "prices": 4,
        "fills": SHARDS,
        "ledger": SHARDS,
        "margin-events": SHARDS,
        "liquidations": SHARDS,
        "account-state": SHARDS,
        "quarantine": 1,
    }


def test_create_when_all_exist_then_says_so_and_changes_nothing(
    cli_kafka: RealKafka, kafka_env: dict[str, str]
) -> None:
    before = cli_kafka.describe_topics()
    said = unimargin("topics", "create", "--partitions", str(SHARDS), "--json", env=kafka_env)
    assert said.code == 0
    assert said.json["fills"] == [SHARDS, "exists"]
    assert said.json["prices"] == [4, "exists"]
    assert cli_kafka.describe_topics() == before


def test_create_when_one_is_missing_then_only_that_one_with_its_configuration(
    cli_kafka: RealKafka, kafka_env: dict[str, str], unique: Callable[[str], str]
) -> None:
    name = unique("fills")
    env = {**kafka_env, "UNIMARGIN_TOPIC_FILLS": name}
    said = unimargin("topics", "create", "--partitions", str(SHARDS), "--json", env=env)
    assert {topic: outcome for topic, (_, outcome) in said.json.items() if outcome != "exists"} == {
        name: "created"
    }
    assert cli_kafka.describe_topics()[name] == SHARDS
    rows = {row["topic"]: row for row in unimargin("topics", "list", "--json", env=env).json}
    assert rows[name] == {
        "topic": name,
        "partitions": SHARDS,
        "records": 0,
        "cleanup_policy": "delete",
        "retention_ms": "-1",
    }


def test_create_when_existing_counts_are_unequal_then_refused_and_nothing_made(
    cli_kafka: RealKafka, kafka_env: dict[str, str], unique: Callable[[str], str]
) -> None:
    fills, ledger = unique("fills"), unique("ledger")
    cli_kafka.create_topics({fills: SHARDS + 1})
    env = {**kafka_env, "UNIMARGIN_TOPIC_FILLS": fills, "UNIMARGIN_TOPIC_LEDGER": ledger}
    said = unimargin("topics", "create", env=env)
    assert (said.code, said.out) == (1, "")
    assert f"{fills} ({SHARDS + 1})" in said.err
    assert ledger not in cli_kafka.describe_topics()


def test_create_when_a_missing_one_would_differ_then_refused_with_the_count_to_use(
    cli_kafka: RealKafka, kafka_env: dict[str, str], unique: Callable[[str], str]
) -> None:
    ledger = unique("ledger")
    said = unimargin(
        "topics",
        "create",
        "--partitions",
        str(SHARDS * 2),
        env={**kafka_env, "UNIMARGIN_TOPIC_LEDGER": ledger},
    )
    assert said.code == 1
    assert f"--partitions {SHARDS}" in said.err
    assert ledger not in cli_kafka.describe_topics()


def test_create_when_the_broker_refuses_then_its_words(
    kafka_env: dict[str, str], unique: Callable[[str], str], tmp_path: Path
) -> None:
    file = tmp_path / "topics.toml"
    file.write_text(f'[topics.{unique("odd")}]\npartitions = 1\nconfig = {{ "retention.bogus" = "1" }}\n')
    said = unimargin("topics", "create", "--file", str(file), env=kafka_env)
    assert said.code == 1
    assert "retention.bogus" in said.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[topics.fills]\npartitions = 0\n", "topics"),
        ("[topics.fills]\npartitions = 1\nretention = 3\n", "retention"),
        ("[topics.fills]\npartitions = 1\n[topics.ledger]\npartitions = 2\n", "fills (1), ledger (2)"),
        ("[topics", "topics.toml"),
    ],
)
def test_create_when_the_file_breaks_a_rule_then_named(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "topics.toml"
    file.write_text(text)
    said = unimargin("topics", "create", "--file", str(file))
    assert said.code == 2
    assert words in said.err
    assert str(file) in said.err


def test_list_when_a_topic_is_missing_then_shown_as_missing(kafka_env: dict[str, str]) -> None:
    said = unimargin("topics", "list", env={**kafka_env, "UNIMARGIN_TOPIC_FILLS": "nowhere"})
    assert said.code == 0
    line = next(line for line in said.out.splitlines() if "nowhere" in line)
    assert "missing" in line


def test_shipped_layout_then_found_without_an_option() -> None:
    assert set(load_layout(None, Settings())) == set(pipeline_topics(Settings()))
