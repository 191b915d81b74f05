"""`unimargin quarantine` against a real Kafka, with entries as the processor makes them."""

import base64
from collections import Counter

import pytest

from engine.rejections import Rejection, RejectionCode
from streams.contract.commit import OutboxEntry
from streams.contract.quarantine_record import place_only, quarantine_entry, stopped_entry
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
    found = unimargin("quarantine", "list", "--json", env=env).json["records"]
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


def test_replay_when_of_a_reason_then_every_accounts_in_the_order_of_its_topic(
    env: dict[str, str], cli_kafka: RealKafka
) -> None:
    words = ("quarantine", "replay", "--reason", "account_stopped", "--json")
    dry = unimargin(*words, "--dry-run", env=env)
    assert (dry.json["sent"], dry.json["count"], dry.json["by_reason"]) == (False, 4, {"account_stopped": 4})
    assert replayed(cli_kafka, env["UNIMARGIN_TOPIC_FILLS"]) == []
    assert unimargin(*words, env=env).json["count"] == 4
    assert sorted(replayed(cli_kafka, env["UNIMARGIN_TOPIC_FILLS"])) == [
        (b"alice", b"second"),
        (b"alice", b"third"),
        (b"bob", b"not hers"),
    ]
    of_alice = [value for key, value in replayed(cli_kafka, env["UNIMARGIN_TOPIC_FILLS"]) if key == b"alice"]
    assert of_alice == [b"second", b"third"]


def test_replay_when_all_then_every_input_and_nothing_else(env: dict[str, str], cli_kafka: RealKafka) -> None:
    stop = Rejection(RejectionCode.ENGINE_ERROR, "not judged")
    stray = stopped_entry(
        env["UNIMARGIN_TOPIC_QUARANTINE"], (env["UNIMARGIN_TOPIC_FILLS"], 2, 99), "alice", b"{}", stop
    )
    publish(cli_kafka, [stray])
    said = unimargin("quarantine", "replay", "--all", env=env)
    assert "Sent 6 records" in said.out
    assert len(replayed(cli_kafka, env["UNIMARGIN_TOPIC_FILLS"])) == 5
    assert replayed(cli_kafka, env["UNIMARGIN_TOPIC_LEDGER"]) == [(b"alice", b"entry")]


def test_replay_when_there_are_more_than_are_shown_then_all_are_sent_and_counted(
    own_inputs: dict[str, str], cli_kafka: RealKafka
) -> None:
    fills, quarantine = own_inputs["UNIMARGIN_TOPIC_FILLS"], own_inputs["UNIMARGIN_TOPIC_QUARANTINE"]
    stop = Rejection(RejectionCode.ACCOUNT_STOPPED, "stopped")
    numbers = list(range(2_500))
    entries = [quarantine_entry(quarantine, fills, 1, n, b"alice", b"%d" % n, stop) for n in numbers]
    publish(cli_kafka, [*entries[1_000:], *entries[:1_200]])
    said = unimargin("quarantine", "replay", "--all", "--json", env=own_inputs)
    assert (said.json["count"], len(said.json["records"])) == (2_500, 20)
    assert [int(value or b"") for _, value in replayed(cli_kafka, fills)] == numbers


def test_replay_when_only_the_place_is_kept_then_the_bytes_come_from_where_they_were(
    own_inputs: dict[str, str], cli_kafka: RealKafka
) -> None:
    fills, quarantine = own_inputs["UNIMARGIN_TOPIC_FILLS"], own_inputs["UNIMARGIN_TOPIC_QUARANTINE"]
    records = [b"first", b"applied", b"third" * 1_000]
    publish(cli_kafka, [OutboxEntry(fills, 3, b"alice", value, (), "none") for value in records])
    stop = Rejection(RejectionCode.ACCOUNT_STOPPED, "stopped")
    kept = [quarantine_entry(quarantine, fills, 3, n, b"alice", records[n], stop) for n in (0, 2)]
    publish(cli_kafka, [place_only(it) for it in kept])
    assert [
        it["value"] for it in unimargin("quarantine", "list", "--json", env=own_inputs).json["records"]
    ] == [
        "",
        "",
    ]
    said = unimargin("quarantine", "replay", "--account", "alice", env=own_inputs)
    assert said.code == 0, said.err
    assert Counter(value for _, value in replayed(cli_kafka, fills)) == Counter(
        [*records, records[0], records[2]]
    )
    gone = quarantine_entry(quarantine, fills, 0, 7, b"alice", b"x", stop)
    publish(cli_kafka, [place_only(gone)])
    said = unimargin("quarantine", "replay", "--account", "alice", env=own_inputs)
    assert (said.code, "1 records" in said.err) == (1, True)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "--account ID, --reason CODE, or --all"),
        (("--all", "--account", "alice"), "neither"),
        (("--all", "--reason", "not_utf8"), "neither"),
    ],
)
def test_replay_when_it_is_not_said_which_then_refused(words: tuple[str, ...], told: str) -> None:
    said = unimargin("quarantine", "replay", *words)
    assert (said.code, said.out) == (2, "")
    assert told in said.err


def test_list_when_somebody_else_wrote_to_the_topic_then_shown_and_never_replayed(
    env: dict[str, str], cli_kafka: RealKafka
) -> None:
    stray = OutboxEntry(env["UNIMARGIN_TOPIC_QUARANTINE"], 0, b"dave", b"stray", (), "none")
    publish(cli_kafka, [stray])
    assert unimargin("quarantine", "list", "--json", env=env).json["records"][-1]["reason"] == "foreign"
    assert unimargin("quarantine", "replay", "--account", "dave", env=env).code == 1


def test_quarantine_when_its_topic_is_missing_then_named(kafka_env: dict[str, str]) -> None:
    said = unimargin("quarantine", "list", env={**kafka_env, "UNIMARGIN_TOPIC_QUARANTINE": "nowhere"})
    assert said.code == 1
    assert "nowhere" in said.err
