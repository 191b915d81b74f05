"""A user's mistake, or a service that is away: a message that names the thing, soon, and never a traceback."""

import time
from pathlib import Path

import pytest

from tests.support.builders import sample_text
from tests.support.cli import NOWHERE, unimargin

NEEDS_KAFKA = (
    ("topics", "list"),
    ("topics", "create"),
    ("events", "tail"),
    ("quarantine", "list"),
    ("quarantine", "replay", "--account", "alice"),
)
NEEDS_REDIS = (
    ("account", "show", "alice"),
    ("account", "list"),
    ("account", "capital", "alice"),
    ("account", "funding", "alice"),
    ("account", "may-open", "alice", "--symbol", "S", "--side", "buy", "--quantity", "1", "--price", "1"),
    ("account", "resume", "alice", "--topic", "fills", "--reason", "repaired"),
)
SETTINGS_READERS = (*NEEDS_KAFKA, *NEEDS_REDIS, ("doctor",), ("worker",))
ANSWER_S_MAX = 20.0


@pytest.mark.parametrize("words", SETTINGS_READERS, ids=" ".join)
def test_a_setting_when_not_allowed_then_named(words: tuple[str, ...]) -> None:
    said = unimargin(*words, env={"UNIMARGIN_LOG_LEVEL": "loud"})
    assert said.code == 2
    assert "UNIMARGIN_LOG_LEVEL" in said.err


@pytest.mark.parametrize(
    ("words", "env"),
    [
        (("account", "list", "--band", "foo"), {}),
        (("events", "tail", "--topic", "foo"), {}),
        (("account", "list"), {"UNIMARGIN_LOG_LEVELS": "faust=LOUD"}),
    ],
)
def test_choice_when_it_is_none_then_told_in_plain_words(words: tuple[str, ...], env: dict[str, str]) -> None:
    said = unimargin(*words, env=env)
    assert (said.code, said.out) == (2, "")
    assert "foo" in said.err or "LOUD" in said.err
    assert "alue error" not in said.err


def test_settings_file_when_it_holds_an_unknown_setting_then_named(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("UNIMARGIN_REDIS_ULR=redis://127.0.0.1\n")
    said = unimargin("topics", "list", "--config", str(file))
    assert said.code == 2
    assert "UNIMARGIN_REDIS_ULR is no setting; the nearest is UNIMARGIN_REDIS_URL" in said.err


ANY_COMMAND = (
    *SETTINGS_READERS,
    ("policy", "check", "x.toml"),
    ("scenario", "list"),
    ("demo",),
    ("schemas", "show"),
)


@pytest.mark.parametrize("words", ANY_COMMAND, ids=" ".join)
def test_variable_when_no_setting_has_its_name_then_refused_with_the_nearest(words: tuple[str, ...]) -> None:
    said = unimargin(*words, env={"UNIMARGIN_POLICY_FIEL": "other.toml"})
    assert (said.code, said.out) == (2, "")
    assert "UNIMARGIN_POLICY_FIEL is no setting; the nearest is UNIMARGIN_POLICY_FILE" in said.err


def test_variables_when_several_are_unknown_then_all_are_named() -> None:
    said = unimargin("topics", "list", env={"UNIMARGIN_REDISURL": "x", "unimargin_toppic_fills": "x"})
    assert said.code == 2
    assert "UNIMARGIN_REDISURL is no setting; the nearest is UNIMARGIN_REDIS_URL" in said.err
    assert "unimargin_toppic_fills is no setting; the nearest is UNIMARGIN_TOPIC_FILLS" in said.err


def test_variables_when_of_another_program_or_of_the_tests_then_nothing(sample_policy: Path) -> None:
    env = {"UNIMARGINAL": "x", "UNIMARGIN_CASES": "x", "UNIMARGIN_GROUP": "x"}
    assert unimargin("policy", "check", str(sample_policy), env=env).code == 0


def test_settings_file_when_missing_then_named() -> None:
    said = unimargin("topics", "list", "--config", "no/such.env")
    assert (said.code, said.out) == (2, "")
    assert "no/such.env" in said.err


@pytest.mark.parametrize("words", NEEDS_KAFKA, ids=" ".join)
def test_broker_when_away_then_its_address_and_what_to_do_within_seconds(words: tuple[str, ...]) -> None:
    began_s = time.monotonic()
    said = unimargin(*words, env={"UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS": NOWHERE})
    assert (said.code, said.out) == (1, "")
    assert f"Kafka at {NOWHERE}" in said.err
    assert "UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS" in said.err
    assert time.monotonic() - began_s < ANSWER_S_MAX


@pytest.mark.parametrize("address", ["kafka", "kafka:port", "a:1,,b:2", ":9092", "u:hunter2@localhost:9092"])
def test_broker_address_when_malformed_then_named_and_not_repeated(address: str) -> None:
    said = unimargin("topics", "list", env={"UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS": address})
    assert said.code == 2
    assert "UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS" in said.err
    assert "hunter2" not in said.err


@pytest.mark.parametrize("words", NEEDS_REDIS, ids=" ".join)
def test_redis_when_away_then_its_address_without_the_password(words: tuple[str, ...]) -> None:
    said = unimargin(*words, env={"UNIMARGIN_REDIS_URL": f"redis://desk:hunter2@{NOWHERE}/3"})
    assert (said.code, said.out) == (1, "")
    assert f"Redis at redis://{NOWHERE}/3" in said.err
    assert "UNIMARGIN_REDIS_URL" in said.err
    assert "hunter2" not in said.err


@pytest.mark.parametrize(
    "url",
    [
        "hunter2",
        "http://u:hunter2@h",
        "redis://u:hunter2/x@h",
        "redis://u:hunter2@h?no=1",
        "redis://hunter2",
        "redis://u%3Ahunter2%40127.0.0.1:6379/0",
    ],
)
def test_redis_address_when_malformed_then_named_and_not_repeated(url: str) -> None:
    said = unimargin("account", "list", env={"UNIMARGIN_REDIS_URL": url})
    assert said.code == 2
    assert "UNIMARGIN_REDIS_URL" in said.err
    assert "hunter2" not in said.err


def test_demo_when_a_password_would_be_an_argument_then_refused_and_not_repeated() -> None:
    said = unimargin("demo", "--redis", "redis://:hunter2@127.0.0.1:6379/0")
    assert said.code == 2
    assert "UNIMARGIN_REDIS_PASSWORD" in said.err
    assert "hunter2" not in said.err


@pytest.mark.parametrize("words", [("account", "show", "alice"), ("account", "list")], ids=" ".join)
def test_policy_when_its_file_is_missing_then_named(words: tuple[str, ...]) -> None:
    said = unimargin(*words, env={"UNIMARGIN_POLICY_FILE": "no/such.toml"})
    assert said.code == 2
    assert "no/such.toml" in said.err


def test_policy_when_it_breaks_a_rule_then_key_and_rule(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(sample_text(("warning = 1.5", "warning = 0.5")))
    said = unimargin("account", "show", "alice", env={"UNIMARGIN_POLICY_FILE": str(file)})
    assert said.code == 2
    assert str(file) in said.err
    assert "need warning > margin_call > reduce_only > liquidation > 0" in said.err


@pytest.mark.parametrize("account", ["", "a" * 129, "\udcff"])
def test_account_when_it_cannot_be_a_name_then_refused(account: str) -> None:
    said = unimargin("account", "show", account)
    assert said.code == 2
    assert "ID" in said.err


def test_error_when_it_holds_brackets_then_shown_as_they_are() -> None:
    said = unimargin("topics", "list", "--config", "[red].env")
    assert "[red].env" in said.err
