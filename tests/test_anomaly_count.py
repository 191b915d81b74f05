"""The count of anomalies sees each kind: a run that went wrong in one way, and nothing else."""

from collections.abc import Callable, Sequence

import msgspec
import pytest

from engine.events.effects import AccountRisk, RiskEvent, Stream
from engine.inputs import AccountInput
from engine.ladder import Band, LadderState
from engine.ledger.accounts import AccountState
from engine.policy import parse
from streams.contract.cloudevents import outbox_entry
from tests.streams.contract.test_cloudevents import EVENT
from tests.support.anomalies import anomalies_of
from tests.support.cluster import POLICY_FILE
from tests.support.inputs import deposit, fill
from tests.support.kafka_log import LogRecord
from tests.support.redis_view import Stored
from tests.support.replay import Replay
from tests.support.sender import topic_of

POLICY = parse(POLICY_FILE.read_text())
ALICE = [
    deposit("alice", "1000"),
    fill("alice", "0.1"),
    fill("alice", "0.2", price="52000"),
    fill("alice", "-0.25", price="51000"),
]


class Log:
    """Topics of one partition."""

    policy = POLICY

    def __init__(self, inputs: Sequence[AccountInput], events: Sequence[RiskEvent] = ()) -> None:
        self._topics: dict[str, list[LogRecord]] = {}
        for it in inputs:
            self.add(topic_of(it), it.account.encode(), msgspec.json.encode(it), {})
        for event in events:
            entry = outbox_entry(event, 0, "/test")
            self.add(entry.topic, entry.key, entry.value, {name: it.decode() for name, it in entry.headers})

    def add(self, topic: str, key: bytes | None, value: bytes, headers: dict[str, str]) -> None:
        """One more record."""
        records = self._topics.setdefault(topic, [])
        records.append(LogRecord(topic, 0, len(records), key, value, headers))

    def partition_of(self, _key: bytes, /) -> int:
        """Of any key."""
        return 0

    def read_topic(self, topic: str, /) -> list[LogRecord]:
        """See `Scene`."""
        return self._topics.get(topic, [])


def held(inputs: Sequence[AccountInput]) -> AccountState:
    """What the account is after these."""
    return Replay(Log(inputs)).states["alice"]


def stored(state: AccountState, risk: AccountRisk | None = None) -> Stored:
    risks = {} if risk is None else {risk.account: risk}
    return Stored({state.account: state}, risks, {state.account: 0}, [], 0)


def event(sequence: int, **fields: object) -> RiskEvent:
    name = f"alice/margin-events/{sequence}"
    digest = {"policy_digest": POLICY.digest}
    return msgspec.structs.replace(EVENT, account="alice", id=name, sequence=sequence, **digest, **fields)


def at_offsets_of_all(state: AccountState) -> AccountState:
    now = held(ALICE)
    return msgspec.structs.replace(state, fills=now.fills, ledger=now.ledger)


def twice() -> AccountState:
    again = msgspec.structs.replace(ALICE[1], trade_id="another")
    return at_offsets_of_all(held([*ALICE, again]))


def one_less() -> AccountState:
    return at_offsets_of_all(held(ALICE[:-1]))


def other_order() -> AccountState:
    deposited, first, second, last = ALICE
    return at_offsets_of_all(held([deposited, last, first, second]))


def other_balance() -> AccountState:
    now = held(ALICE)
    return msgspec.structs.replace(now, balances={name: it + 1 for name, it in now.balances.items()})


def test_count_when_all_is_well_then_nothing() -> None:
    found = anomalies_of(Log(ALICE), stored(held(ALICE)))
    assert (found.total, found.inputs, found.accounts) == (0, len(ALICE), 1), found.examples


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        ("lost", lambda: held(ALICE[:-1])),
        ("lost", one_less),
        ("double", twice),
        ("reordered", other_order),
        ("torn", other_balance),
    ],
)
def test_count_when_a_state_is_wrong_then_its_kind(kind: str, state: Callable[[], AccountState]) -> None:
    found = anomalies_of(Log(ALICE), stored(state()))
    assert {name: count for name, count in found.counts.items() if count} == {kind: 1}, found.examples


def test_count_when_redis_has_an_account_of_no_log_then_phantom() -> None:
    found = anomalies_of(Log([]), stored(held(ALICE)))
    assert found.counts["phantom"] == 1


def test_count_when_an_account_lies_elsewhere_then_forked() -> None:
    found = anomalies_of(Log(ALICE), stored(held(ALICE))._replace(shard_of={"alice": 3}))
    assert found.counts["forked"] == 1


def test_count_when_an_id_has_two_meanings_then_forked_and_when_a_number_is_not_said_then_missing() -> None:
    events = [event(1), event(1, degraded=True), event(3)]
    risk = AccountRisk("alice", {}, {Stream.MARGIN_EVENTS: 4})
    found = anomalies_of(Log(ALICE, events), stored(held(ALICE), risk))
    assert (found.counts["forked"], found.counts["missing"]) == (1, 2), found.examples
    assert found.events == 2


def test_count_when_events_come_in_another_order_then_reordered() -> None:
    found = anomalies_of(Log(ALICE, [event(2), event(1)]), stored(held(ALICE)))
    assert found.counts["reordered"] == 1


def test_count_when_an_event_names_a_mark_that_nobody_sent_then_phantom_and_when_wrong_then_unexplained() -> (
    None
):
    found = anomalies_of(Log(ALICE, [event(1), event(2, marks={})]), stored(held(ALICE)))
    assert (found.counts["phantom"], found.counts["unexplained"]) == (1, 1), found.examples


def test_count_when_a_pool_stands_where_nothing_was_said_then_silent() -> None:
    risk = AccountRisk("alice", {"": LadderState(band=Band.WARNING)}, {})
    found = anomalies_of(Log(ALICE), stored(held(ALICE), risk))
    assert found.counts["silent"] == 1
