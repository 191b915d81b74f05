"""`unimargin policy publish|history|diff` on a real Kafka and Redis, before any worker has come."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine.policy import parse
from tests.support.builders import SAMPLE, sample_text
from tests.support.cli import Said, unimargin
from tests.support.kafka_log import read_topic
from tests.support.kafka_server import RealKafka
from tests.support.sender import Sender
from tests.support.waiting import wait_for

pytestmark = pytest.mark.system

CHANGES = (
    ("maintenance_rate = 0.1\ninitial_rate = 0.2", "maintenance_rate = 0.12\ninitial_rate = 0.24"),
    ("[instruments.ETH-PERP]", "[instruments.SOL-PERP]"),
)
OLD, NEW = parse(SAMPLE), parse(sample_text(*CHANGES))
LEAD_S = 6
"""By the sample: 2.5 + 1.5 + 2."""


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    path = tmp_path / "changed.toml"
    path.write_text(sample_text(*CHANGES))
    return path


@pytest.fixture
def env(
    cli_kafka: RealKafka, kafka_env: dict[str, str], redis_env: dict[str, str], unique: Callable[[str], str]
) -> dict[str, str]:
    topic = unique("policies")
    cli_kafka.create_topics({topic: 1})
    made = {**kafka_env, **redis_env, "UNIMARGIN_TOPIC_POLICIES": topic}
    wait_for("the topic has a leader", lambda: unimargin("policy", "history", env=made).code == 0)
    return made


def publish(env: dict[str, str], *words: str) -> Said:
    return unimargin("policy", "publish", *words, "--who", "desk", env=env)


def iso(in_s: float) -> str:
    return datetime.fromtimestamp(time.time() + in_s, UTC).isoformat()


def test_publish_when_nothing_was_then_the_settings_file_is_version_0_and_whose_word_it_is_is_kept(
    env: dict[str, str], changed: Path, cli_kafka: RealKafka
) -> None:
    assert unimargin("policy", "history", "--json", env=env).json == []
    said = publish(env, str(changed), "--at", iso(3600), "--why", "listed SOL", "--json")
    assert said.code == 0, said.err
    assert (said.json["version"], said.json["before"], said.json["digest"]) == (1, OLD.digest, NEW.digest)
    first, second = unimargin("policy", "history", "--json", env=env).json
    assert (first["version"], first["stands"], first["digest"], first["activated_ns"]) == (
        0,
        "in force",
        OLD.digest,
        0,
    )
    assert (second["stands"], second["who"], second["why"]) == ("to come", "desk", "listed SOL")
    shown = unimargin("policy", "history", env=env).out
    assert all(it in shown for it in ("since ever", "to come", "listed SOL", NEW.digest))
    records = list(read_topic(cli_kafka.bootstrap_servers, env["UNIMARGIN_TOPIC_POLICIES"]))
    assert [it.key for it in records] == [b"0", b"1"]


def test_publish_when_a_later_version_is_for_an_earlier_time_then_what_was_to_come_is_replaced(
    env: dict[str, str], changed: Path, sample_policy: Path
) -> None:
    assert publish(env, str(changed), "--at", iso(3600), "--why", "too early").code == 0
    said = publish(env, str(changed), "--why", "now rather")
    assert "version 2" in said.out, said.err
    assert [it["stands"] for it in unimargin("policy", "history", "--json", env=env).json] == [
        "in force",
        "replaced",
        "to come",
    ]
    again = publish(env, str(changed), "--at", iso(1800), "--why", "once more", "--json")
    assert (again.code, again.json["version"], again.json["already_in_force"]) == (0, None, True)
    back = publish(env, str(sample_policy), "--at", iso(1800), "--why", "back", "--dry-run")
    assert back.out.startswith("would be in force from ")
    assert len(unimargin("policy", "history", "--json", env=env).json) == 3


@pytest.mark.parametrize("in_s", [-3600, 0, LEAD_S - 2])
def test_publish_when_it_may_have_been_judged_by_then_or_workers_would_not_hear_of_it_then_refused_with_a_code(
    env: dict[str, str], changed: Path, in_s: float
) -> None:
    said = publish(env, str(changed), "--at", iso(in_s), "--why", "late")
    assert said.code == 1
    assert "activates_in_the_past" in said.err
    assert "6 s after what may have been judged" in said.err
    assert unimargin("policy", "history", "--json", env=env).json == []


def test_publish_when_the_policy_is_none_that_may_be_in_force_then_refused_with_a_code(
    env: dict[str, str], tmp_path: Path
) -> None:
    broken, born_below = tmp_path / "broken.toml", tmp_path / "born.toml"
    broken.write_text(sample_text(('tiers = "major"\n', 'tiers = "minor"\n')))
    born_below.write_text(sample_text(("initial_rate = 0.1\n", "initial_rate = 0.06\n")))
    for file, words in ((broken, "minor"), (born_below, "born below it")):
        said = publish(env, str(file), "--why", "try")
        assert said.code == 2
        assert "invalid_policy" in said.err
        assert words in said.err
    assert publish(env, str(broken), "--why", " ").code == 2
    assert "neither `now` nor an ISO time" in publish(env, "--at", "noon", "--why", "try").err
    assert unimargin("policy", "history", "--json", env=env).json == []


def test_diff_when_two_differ_then_what_by_instrument_and_field_and_whom_it_concerns(
    env: dict[str, str], changed: Path, sample_policy: Path
) -> None:
    assert publish(env, str(changed), "--why", "listed SOL").code == 0
    by_file = unimargin("policy", "diff", str(sample_policy), str(changed), "--json", env=env)
    by_version = unimargin("policy", "diff", "0", "v1", "--json", env=env)
    by_digest = unimargin("policy", "diff", OLD.digest[:9], NEW.digest, "--json", env=env)
    assert by_file.code == by_version.code == by_digest.code == 1
    assert by_file.json == by_version.json == by_digest.json
    told = by_file.json
    assert (told["listed"], told["delisted"]) == (["SOL-PERP"], ["ETH-PERP"])
    fields = {(it["where"], it["field"]): it for it in told["changes"]}
    raised = fields["tiers.major", "[1].maintenance_rate"]
    assert (raised["before"], raised["after"]) == ("0.1", "0.12")
    assert "BTC-PERP" in raised["instruments"]
    assert fields["instruments.SOL-PERP", ""]["before"] is None
    shown = unimargin("policy", "diff", "0", "1", env=env).out
    assert all(it in shown for it in ("tiers.major", "[1].maintenance_rate", "0.12", "listed: SOL-PERP"))
    same = unimargin("policy", "diff", "1", str(changed), env=env)
    assert (same.code, "the same policy" in same.out) == (0, True)
    unknown = unimargin("policy", "diff", "1", "7", env=env)
    assert (unknown.code, f"1 ({NEW.digest})" in unknown.err) == (1, True)


def test_versions_when_a_record_is_nobodys_then_every_command_passes_it_over_and_tells_it(
    env: dict[str, str], changed: Path, cli_kafka: RealKafka
) -> None:
    topic, sender = env["UNIMARGIN_TOPIC_POLICIES"], Sender(cli_kafka.bootstrap_servers)
    assert publish(env, str(changed), "--why", "listed SOL").code == 0
    for key, value in ((b"x", b"hello"), (None, b"{}"), (b"", b"\xff"), (b"gone", None)):
        sender.send_now(topic, key, value)
    said = unimargin("policy", "history", "--json", env=env)
    assert (said.code, len(said.json)) == (0, 2)
    warned = [it for it in said.err.splitlines() if it.startswith("warning:")]
    assert len(warned) == 3, "what was deleted is nothing to tell"
    assert f"{topic}/0/2 is no version of a policy" in warned[0]
    again = publish(env, str(changed), "--why", "again", "--dry-run")
    assert (again.code, "passed over" in again.err) == (0, True), again.err
    checks = [it for it in unimargin("doctor", "--json", env=env).json if it["check"] == "policy versions"]
    assert [it["status"] for it in checks if topic in it["found"]] == ["warn"] * 3


def test_versions_when_the_newest_record_of_one_is_broken_then_refused_until_it_is_deleted(
    env: dict[str, str], changed: Path, cli_kafka: RealKafka
) -> None:
    topic, sender = env["UNIMARGIN_TOPIC_POLICIES"], Sender(cli_kafka.bootstrap_servers)
    assert publish(env, str(changed), "--why", "listed SOL").code == 0
    sender.send_now(topic, b"1", b"hello")
    said = unimargin("policy", "history", env=env)
    assert said.code == 1
    assert f"{topic}/0/2 is no version of a policy: malformed" in said.err
    assert "delete it" in said.err
    sender.send_now(topic, b"1", None)
    said = unimargin("policy", "history", env=env)
    assert (said.code, said.err) == (0, "")
