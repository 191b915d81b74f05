"""`unimargin quarantine` against a real Kafka, with entries as the processor makes them."""

import base64

import pytest

from engine.rejections import Rejection, RejectionCode
from streams.contract.commit import OutboxEntry
from streams.contract.quarantine_record import quarantine_entry
from tests.streams.cli.test_cli_events import publish
from tests.support.cli import unimargin
from tests.support.kafka_log import read_topic
from tests.support.kafka_server import RealKafka

pytestmark = pytest.mark.system

BINARY = bytes(range(256))


@pytest.fixture
def env(own_inputs: dict[str, str], cli_kafka: RealKafka) -> dict[str, str]:
    """Alice's records out of order, one of them published twice; bob's, one without a key, and a price."""
    fills, ledger, quarantine = (
        own_inputs[f"UNIMARGIN_TOPIC_{role}"] for role in ("FILLS", "LEDGER", "QUARANTINE")
    )

    def entry(
        topic: str,
        offset: int,
        key: bytes | None,
        value: bytes,
        code: RejectionCode = RejectionCode.ACCOUNT_STOPPED,
    ) -> OutboxEntry:
        return quarantine_entry(
            quarantine, topic, 2, offset, key, value, Rejection(code, f"because of {offset}")
        )

    publish(
        cli_kafka,
        [
            entry(fills, 12, b"alice", b"third"),
            entry(fills, 10, b"alice", BINARY, RejectionCode.SEQUENCE_GAP),
            entry(ledger, 4, b"alice", b"entry"),
            entry(fills, 11, b"alice", b"second"),
            entry(fills, 10, b"alice", BINARY, RejectionCode.SEQUENCE_GAP),
            entry(fills, 13, b"bob", b"not hers"),
            entry(fills, 14, None, b"nobody's", RejectionCode.KEY_MISMATCH),
            entry("prices", 9, b"alice", b"a price", RejectionCode.MALFORMED),
        ],
    )
    return own_inputs


def replayed(kafka: RealKafka, topic: str) -> list[tuple[bytes | None, bytes | None]]:
    return [(record.key, record.value) for record in read_topic(kafka.bootstrap_servers, topic)]


def test_list_when_json_then_every_record_once_with_its_bytes(env: dict[str, str]) -> None:
    found = unimargin("quarantine", "list", "--json", env=env).json_lines
    assert len(found) == 7
    assert found[1] == {
        "ce_id": f"{env['UNIMARGIN_TOPIC_FILLS']}/2/10",
        "topic": env["UNIMARGIN_TOPIC_FILLS"],
        "partition": 2,
        "offset": 10,
        "reason": "sequence_gap",
        "detail": "because of 10",
        "key": "alice",
        "key_base64": base64.b64encode(b"alice").decode(),
        "value": found[1]["value"],
        "value_base64": base64.b64encode(BINARY).decode(),
    }
    assert found[5]["key"] is None


def test_list_for_people_then_the_newest_within_the_limit(env: dict[str, str]) -> None:
    shown = unimargin("quarantine", "list", "--limit", "2", env=env)
    assert shown.code == 0
    assert "7 records, the newest 2" in shown.out
    assert "a price" in shown.out
    assert "second" not in shown.out


def test_list_when_bytes_are_no_text_then_printed_harmlessly(env: dict[str, str]) -> None:
    shown = unimargin("quarantine", "list", "--account", "alice", env=env).out
    assert "\\x00\\x01" in shown
    assert not {character for character in shown if character < " "} - {"\n"}


def test_replay_then_original_bytes_key_and_order_once(env: dict[str, str], cli_kafka: RealKafka) -> None:
    fills, ledger = env["UNIMARGIN_TOPIC_FILLS"], env["UNIMARGIN_TOPIC_LEDGER"]
    dry = unimargin("quarantine", "replay", "--account", "alice", "--dry-run", "--json", env=env)
    assert replayed(cli_kafka, fills) == replayed(cli_kafka, ledger) == []

    said = unimargin("quarantine", "replay", "--account", "alice", "--json", env=env)
    assert said.code == 0, said.err
    assert replayed(cli_kafka, fills) == [(b"alice", BINARY), (b"alice", b"second"), (b"alice", b"third")]
    assert replayed(cli_kafka, ledger) == [(b"alice", b"entry")]
    assert said.json["records"] == dry.json["records"]
    assert (dry.json["sent"], said.json["sent"]) == (False, True)


def test_replay_when_limited_to_a_reason_then_only_those(env: dict[str, str], cli_kafka: RealKafka) -> None:
    said = unimargin("quarantine", "replay", "--account", "alice", "--reason", "sequence_gap", env=env)
    assert "Sent 1 records" in said.out
    assert replayed(cli_kafka, env["UNIMARGIN_TOPIC_FILLS"]) == [(b"alice", BINARY)]


@pytest.mark.parametrize("words", [(), ("--reason", "not_utf8")])
def test_replay_when_there_is_nothing_then_exit_1(env: dict[str, str], words: tuple[str, ...]) -> None:
    said = unimargin("quarantine", "replay", "--account", "carol", *words, env=env)
    assert (said.code, said.out) == (1, "")
    assert "'carol'" in said.err


def test_list_when_somebody_else_wrote_to_the_topic_then_shown_and_never_replayed(
    env: dict[str, str], cli_kafka: RealKafka
) -> None:
    stray = OutboxEntry(env["UNIMARGIN_TOPIC_QUARANTINE"], 0, b"dave", b"stray", (), "none")
    publish(cli_kafka, [stray])
    assert unimargin("quarantine", "list", "--json", env=env).json_lines[-1]["reason"] == "foreign"
    assert unimargin("quarantine", "replay", "--account", "dave", env=env).code == 1


def test_quarantine_when_its_topic_is_missing_then_named(kafka_env: dict[str, str]) -> None:
    said = unimargin("quarantine", "list", env={**kafka_env, "UNIMARGIN_TOPIC_QUARANTINE": "nowhere"})
    assert said.code == 1
    assert "nowhere" in said.err
