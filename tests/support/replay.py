"""The independent replay: the whole log applied in this process, with the engine's ledger and nothing of the worker.

It remembers every id for ever, commits nothing, judges nothing; what it gives is what Redis must hold.
"""

import copy
from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Iterable
from typing import NamedTuple, Protocol

import msgspec

from engine.events.effects import InputOffsets
from engine.inputs import AccountInput, Fill, OrderUpdate, Settlement, Topic
from engine.ledger.accounts import AccountState
from engine.ledger.applying import apply, stopped
from engine.ledger.remembering import goes_by_id
from engine.policy import Policy
from engine.policy.timeline import PolicyTimeline
from engine.rejections import Duplicate, Rejection, RejectionCode
from streams.contract.codec import account_of_key, accounts_of_mismatch, decode_account_input
from tests.support.cluster import Cluster
from tests.support.kafka_log import LogRecord, read_topic

PREFIXES_KEPT = 4
"""Of an account: the events of both topics, each in order, and who asks twice."""

Place = tuple[str, int, int]
"""Topic, partition, offset."""


class Step(NamedTuple):
    """One input that concerned an account."""

    offset: int
    message: AccountInput | Rejection
    account_seq: int | None


class _Prefix(NamedTuple):
    """An account after its inputs up to these offsets, each inclusive."""

    fills: int
    ledger: int
    state: AccountState


class Scene(Protocol):
    """Where there are topics to be read."""

    @property
    def policy(self) -> Policy:
        """In force."""

    def partition_of(self, key: bytes, /) -> int:
        """Of a record with this key."""

    def read_topic(self, topic: str, /) -> Iterable[LogRecord]:
        """Every record, by partition and offset."""


class ClusterScene:
    """A cluster's."""

    def __init__(self, cluster: Cluster) -> None:
        self.policy, self.partition_of = cluster.policy, cluster.partition_of
        self._bootstrap = cluster.bootstrap

    def read_topic(self, topic: str, /) -> list[LogRecord]:
        """See `Scene`."""
        return read_topic(self._bootstrap, topic)


class Replay:
    """The log's answer to: what is every account's state, and what was it at any prefix?"""

    def __init__(self, scene: Scene, timeline: PolicyTimeline | None = None) -> None:
        """`timeline`: what was in force when; by default the scene's policy always was."""
        self.policy: Policy = scene.policy
        self.timeline = timeline or PolicyTimeline.always(scene.policy)
        self.partition_of = scene.partition_of
        self.states: dict[str, AccountState] = {}
        self.refused: dict[Place, RejectionCode] = {}
        self.records: dict[Place, LogRecord] = {}
        self.duplicates = 0
        self.partitions: dict[str, int] = {}
        self._steps: defaultdict[tuple[str, Topic], list[Step]] = defaultdict(list)
        self._ids: dict[tuple[Topic, str, type, str], AccountInput] = {}
        self._prefixes: defaultdict[str, deque[_Prefix]] = defaultdict(lambda: deque(maxlen=PREFIXES_KEPT))
        """By account, those asked for last."""
        for topic in Topic:
            for record in scene.read_topic(topic):
                self.records[record.topic, record.partition, record.offset] = record
                self._take(topic, record)

    def prefix(self, account: str, inputs: InputOffsets) -> AccountState:
        """The account after its inputs up to these offsets, each inclusive."""
        kept = self._prefixes[account]
        before = [it for it in kept if it.fills <= inputs.fills and it.ledger <= inputs.ledger]
        # events come in order: from the last one on there is little to apply, from the beginning ever more
        newest = max(
            before, default=_Prefix(-1, -1, AccountState(account)), key=lambda it: it.fills + it.ledger
        )
        state = newest.state
        for topic, first, last in (
            (Topic.FILLS, newest.fills, inputs.fills),
            (Topic.LEDGER, newest.ledger, inputs.ledger),
        ):
            steps = self._steps[account, topic]
            for step in steps[
                bisect_right(steps, first, key=_offset) : bisect_right(steps, last, key=_offset)
            ]:
                state = _after(state, topic, step, self.timeline)
        if (newest.fills, newest.ledger) != (inputs.fills, inputs.ledger):
            kept.append(_Prefix(inputs.fills, inputs.ledger, state))
        return state

    def under(self, policy: Policy) -> "Replay":
        """The same accounts, to be judged by another policy."""
        other = copy.copy(self)
        other.policy = policy
        return other

    def steps(self, account: str, topic: Topic) -> list[Step]:
        """What the log held for an account, in order."""
        return self._steps[account, topic]

    def was_refused_after(self, account: str, inputs: InputOffsets) -> bool:
        """Whether an input of the account was refused after this prefix or had been, so that it may stand stopped."""
        stopped_at = {
            (record.topic, record.offset)
            for place in self.refused
            if account_of_key((record := self.records[place]).key) == account
        }
        prefix = self.prefix(account, inputs)
        return prefix.stopped or any(
            offset > (inputs.fills if topic == Topic.FILLS else inputs.ledger) for topic, offset in stopped_at
        )

    def _take(self, topic: Topic, record: LogRecord) -> None:
        message = decode_account_input(topic, record.key, record.value)
        if isinstance(message, Rejection):
            if message.code is RejectionCode.KEY_MISMATCH:
                self._refuse(topic, record, message, None)
                for named in accounts_of_mismatch(topic, record.key, record.value):
                    if named in self.states:
                        self._refuse(topic, record, message, named)
                return
            self._refuse(topic, record, message, account_of_key(record.key))
            return
        account = message.account
        known = self._ids.get((topic, account, _kind(message), message.input_id))
        before = self.states.get(account, AccountState(account))
        if known is not None and goes_by_id(before.progress(topic), message):
            if _same(known, message):
                self.duplicates += 1
            else:
                self._refuse(topic, record, Rejection(RejectionCode.ID_CONTRADICTION, ""), account)
            return
        if self.partition_of(account.encode()) != record.partition:
            self._refuse(topic, record, Rejection(RejectionCode.WRONG_PARTITION, ""), None)
            return
        booking = self.timeline.booking(message.time_ns)
        after = apply(before, message, topic, record.offset, booking)
        if isinstance(after, Duplicate):
            self.duplicates += 1
            return
        step = Step(record.offset, message, message.account_seq)
        self._steps[account, topic].append(step)
        self.partitions[account] = record.partition
        if isinstance(after, Rejection):
            self.refused[record.topic, record.partition, record.offset] = after.code
        else:
            self._ids[topic, account, _kind(message), message.input_id] = message
        self.states[account] = _after(before, topic, step, self.timeline)

    def _refuse(self, topic: Topic, record: LogRecord, rejection: Rejection, account: str | None) -> None:
        self.refused[record.topic, record.partition, record.offset] = rejection.code
        if account is None or self.partition_of(account.encode()) != record.partition:
            return
        step = Step(record.offset, rejection, None)
        self._steps[account, topic].append(step)
        self.partitions[account] = record.partition
        before = self.states.get(account, AccountState(account))
        self.states[account] = _after(before, topic, step, self.timeline)


def _offset(step: Step) -> int:
    return step.offset


def _kind(message: AccountInput) -> type:
    """Ids of fills, order updates, settlements and ledger entries are counted each by themselves."""
    return type(message) if isinstance(message, Fill | OrderUpdate | Settlement) else object


def _same(one: AccountInput, other: AccountInput) -> bool:
    without_number = [msgspec.structs.replace(it, account_seq=None) for it in (one, other)]
    return without_number[0] == without_number[1]


def _after(state: AccountState, topic: Topic, step: Step, timeline: PolicyTimeline) -> AccountState:
    if isinstance(step.message, Rejection):
        return stopped(state, topic, step.offset, step.message.code, None)
    booking = timeline.booking(step.message.time_ns)
    after = apply(state, step.message, topic, step.offset, booking)
    if isinstance(after, Rejection):
        return stopped(state, topic, step.offset, after.code, step.account_seq)
    assert isinstance(after, AccountState), f"{step} was applied before"
    return after
