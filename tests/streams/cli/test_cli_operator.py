"""`unimargin operator log`: every command with who, when and why, and what shards have said became of it."""

from collections.abc import Callable

import msgspec
import pytest

from engine.inputs import Topic
from streams.contract.operator_command import (
    AccountsResume,
    BreakerRelease,
    CommandOutcome,
    CommandRefusal,
    NamedStop,
    OperatorOutcome,
)
from tests.support.cli import unimargin
from tests.support.kafka_server import RealKafka
from tests.support.sender import Sender

pytestmark = pytest.mark.system

SECOND = 1_000_000_000
EARLY, LATE = 1_767_225_600 * SECOND, 1_767_229_200 * SECOND
"""2026-01-01, midnight and one o'clock."""
RESUME = AccountsResume(
    id="r", who="anna", why="booked", time_ns=EARLY, stops=(NamedStop("alice", Topic.FILLS, 6),)
)
RELEASE = BreakerRelease(id="b", who="ben", why="checked", time_ns=LATE)


def became(command_id: str, shard: int, code: CommandRefusal | None) -> OperatorOutcome:
    outcome = CommandOutcome.APPLIED if code is None else CommandOutcome.REFUSED
    return OperatorOutcome(command_id=command_id, shard=shard, outcome=outcome, code=code)


@pytest.fixture
def log(
    cli_kafka: RealKafka, kafka_env: dict[str, str], unique: Callable[[str], str]
) -> Callable[..., dict[str, str]]:
    def written(*records: object) -> dict[str, str]:
        topic, sender = unique("operator"), Sender(cli_kafka.bootstrap_servers)
        cli_kafka.create_topics({topic: 1})
        for it in records:
            sender.send(topic, None, it if isinstance(it, bytes) else msgspec.json.encode(it))
        sender.flush()
        return {**kafka_env, "UNIMARGIN_TOPIC_OPERATOR": topic}

    return written


def test_log_when_shards_have_said_what_became_of_commands_then_the_first_word_of_each_counts(log) -> None:
    env = log(
        RESUME,
        b"{",
        became("r", 3, None),
        RELEASE,
        became("b", 1, CommandRefusal.NOTHING_HELD),
        became("b", 0, None),
        became("r", 3, CommandRefusal.NOT_STOPPED_SO),
        RESUME,
    )
    resume, release = unimargin("operator", "log", "--json", env=env).json
    assert (resume["offset"], resume["command"]["who"], resume["command"]["why"]) == (0, "anna", "booked")
    assert [(it["shard"], it["outcome"], it["code"]) for it in resume["outcomes"]] == [(3, "applied", None)]
    assert [(it["shard"], it["outcome"], it["code"]) for it in release["outcomes"]] == [
        (0, "applied", None),
        (1, "refused", "nothing_held"),
    ]
    assert all(it["said_ns"] > LATE for it in resume["outcomes"])
    shown = unimargin("operator", "log", env=env).out
    for words in ("accounts resume: alice in fills at 6", "anna", "booked", "2026-01-01T01:00:00"):
        assert words in shown
    assert "applied: shard 0; refused (nothing_held): shard 1" in shown


def test_log_when_a_worker_was_not_allowed_to_carry_it_out_then_that_counts(log) -> None:
    env = log(RESUME, became("r", 3, None), became("r", 3, CommandRefusal.NOT_ALLOWED))
    (resume,) = unimargin("operator", "log", "--json", env=env).json
    assert [it["code"] for it in resume["outcomes"]] == ["not_allowed"]


def test_log_when_since_a_moment_then_only_what_was_given_from_it_on(log) -> None:
    env = log(RESUME, RELEASE)
    since = ("operator", "log", "--since", "2026-01-01T00:30")
    assert [it["command"]["id"] for it in unimargin(*since, "--json", env=env).json] == ["b"]
    assert "no shard has said anything yet" in unimargin(*since, env=env).out
    assert "no operator has said anything" in unimargin(*since[:-1], "2026-02-01", env=env).out
    assert "not an ISO time" in unimargin(*since[:-1], "noon", env=env).err
