"""What a worker makes of the records of the topic of policies."""

from types import SimpleNamespace

import msgspec
import pytest

from streams.config.settings import Settings
from streams.contract.commit import OutboxEntry
from streams.contract.policy_version import PolicyVersion, policy_bytes
from streams.contract.record import Record
from streams.kafka.policy_follower import PolicyFollower
from tests.support.builders import sample

POLICY = sample()
POLICIES = SimpleNamespace(topic="policies", partition=0)


def version(rules: bytes) -> bytes:
    return msgspec.json.encode(
        PolicyVersion(
            version=1,
            activated_ns=1,
            digest=POLICY.digest,
            name="n",
            published_ns=1,
            who="w",
            why="y",
            policy=msgspec.Raw(rules),
        )
    )


@pytest.fixture
def kept() -> list[OutboxEntry]:
    return []


@pytest.fixture
def follower(kept: list[OutboxEntry]) -> PolicyFollower:
    made = PolicyFollower(Settings(), POLICY)
    made.quarantine = kept.append
    return made


def take(follower: PolicyFollower, key: bytes | None, value: bytes | None) -> None:
    follower._take(POLICIES, Record(1, key, value))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "value", [b"hello", b"", version(b'{"instruments":{"\xff":{}}}'), version(b'{"name":"\xff"}')]
)
def test_record_when_it_is_no_version_of_any_edition_then_kept_in_quarantine_and_passed_over(
    follower: PolicyFollower, kept: list[OutboxEntry], value: bytes
) -> None:
    take(follower, b"1", value)
    assert (len(kept), follower.versions) == (1, {})
    take(follower, b"1", version(policy_bytes(POLICY)))
    assert (len(kept), [*follower.versions]) == (1, [1])


def test_record_when_it_was_deleted_then_nothing_is_kept(
    follower: PolicyFollower, kept: list[OutboxEntry]
) -> None:
    take(follower, b"x", None)
    assert (kept, follower.versions) == ([], {})
