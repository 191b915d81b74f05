"""Which inputs were applied, by their ids: what the store has of them, and those that it does not have yet.

The ids of a batch are looked up in the store, in one question; nothing else of what is remembered is read, so an account costs the same at
any age. Only ids that are not durable yet are kept here. Who has no store asks nothing: then all that is remembered is here.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from engine.inputs import AccountInput, Topic
from engine.ledger.accounts import AccountState, Progress
from engine.ledger.remembering import Generation, contradiction, digest_of, generations, goes_by_id, id_digest
from engine.policy.rules.policy_switches import IdScope
from engine.rejections import Duplicate, Rejection
from streams.contract.commit import AppliedId, ForgottenIds, SoughtId

SAID_UNKNOWN = b""
"""What stands for the digest of what an input said where an old edition kept none."""


class _Kept(NamedTuple):
    generation: int
    said: bytes


class InputIds:
    """The ids of one shard's accounts."""

    def __init__(self, scope: Callable[[int], IdScope]) -> None:
        """None yet. `scope`: within what an input of this event time (Unix ns) has an id of its own."""
        self._scope = scope
        self._kept: dict[tuple[Topic, str], dict[bytes, _Kept]] = {}
        """By digest of the id."""
        self._answers: dict[Topic, dict[tuple[str, bytes], _Kept]] = {topic: {} for topic in Topic}
        """Of the store, about the ids of the batch in hand."""
        self._unasked: dict[Topic, dict[tuple[str, str], Exception]] = {topic: {} for topic in Topic}
        """By account and id, what kept inputs of the batch in hand from being asked for."""
        self._has_store = False
        self._pending: dict[Topic, deque[tuple[int, str, bytes, int]]] = {topic: deque() for topic in Topic}
        """What the store does not have yet: the offset after its record, account, digest, generation; in order of offset."""
        self._stored_to = dict.fromkeys(Topic, 0)

    def __len__(self) -> int:
        """How many ids are kept here."""
        return sum(map(len, self._kept.values()))

    def to_ask(
        self, topic: Topic, messages: Iterable[AccountInput], state_of: Callable[[str], AccountState | None]
    ) -> list[SoughtId]:
        """What the store has to be asked before these are applied. Ids that it has by now are kept here no longer.

        Its answers are to be given to `answered` before the topic is asked for again.
        """
        self._has_store = True
        self._forget_stored(topic)
        self._answers[topic], self._unasked[topic] = {}, {}
        held: dict[str, tuple[Progress, tuple[Generation, ...]]] = {}
        sought = []
        for message in messages:
            account = message.account
            if account not in held:
                progress = (state_of(account) or AccountState(account)).progress(topic)
                held[account] = progress, generations(progress)
            progress, among = held[account]
            try:
                if among and goes_by_id(progress, message):
                    digest = id_digest(message, self._scope(message.time_ns))
                    sought += [SoughtId(topic, account, *it, digest, message.input_id) for it in among]
            except Exception as error:  # noqa: BLE001 - `verdict` raises it, where it is of this input alone
                self._unasked[topic][account, message.input_id] = error
        return sought

    def answered(self, topic: Topic, answers: Mapping[SoughtId, bytes]) -> None:
        """Take what the store has of the ids that were asked for: digests of what their inputs said."""
        self._answers[topic] = {
            (it.account, it.digest): _Kept(it.generation, said) for it, said in answers.items()
        }

    def verdict(
        self, topic: Topic, progress: Progress, message: AccountInput
    ) -> Duplicate | Rejection | None:
        """Whether the id says that the message was applied before, or with something else said; None where it says neither.

        Raises what kept the id from being asked for.
        """
        if (error := self._unasked[topic].get((message.account, message.input_id))) is not None:
            raise error
        if not goes_by_id(progress, message):
            return None
        digest = id_digest(message, self._scope(message.time_ns))
        place = message.account, digest
        known = self._kept.get((topic, message.account), {}).get(digest) or self._answers[topic].get(place)
        if known is None or known.generation not in {it.number for it in generations(progress)}:
            return None
        same = known.said in (SAID_UNKNOWN, digest_of(message))
        return Duplicate(message.input_id) if same else contradiction(message)

    def applied(
        self, topic: Topic, before: Progress, after: Progress, message: AccountInput, applied_to: int
    ) -> tuple[AppliedId | None, list[ForgottenIds]]:
        """Remember what an applied message leaves, after which the topic goes on at `applied_to`; and say it for the store.

        What is not remembered any more is given to `forget` once nothing is taken back.
        """
        now = generations(after)
        left = {it.number for it in now}
        gone = [
            ForgottenIds(topic, message.account, *it) for it in generations(before) if it.number not in left
        ]
        if after.remembered is None or not after.remembered.ids:
            return None, gone
        generation, ids, expected = now[0]
        added = AppliedId(
            generation,
            expected,
            ids - 1,
            id_digest(message, self._scope(message.time_ns)),
            digest_of(message),
        )
        self._kept.setdefault((topic, message.account), {})[added.digest] = _Kept(generation, added.said)
        if self._has_store:
            self._pending[topic].append((applied_to, message.account, added.digest, generation))
        return added, gone

    def forget(self, gone: Iterable[ForgottenIds]) -> None:
        """Forget these generations."""
        for it in gone:
            topic = Topic(it.topic)
            kept = self._kept.get((topic, it.account), {})
            left = {digest: one for digest, one in kept.items() if one.generation != it.generation}
            self._keep(topic, it.account, left)

    def take_back(self, topic: Topic, account: str, added: Iterable[AppliedId]) -> None:
        """Inputs of the batch in hand count as not applied."""
        digests, kept = {it.digest for it in added}, self._kept.get((topic, account), {})
        self._keep(topic, account, {digest: it for digest, it in kept.items() if digest not in digests})
        self._pending[topic] = deque(
            it for it in self._pending[topic] if it[1] != account or it[2] not in digests
        )

    def stored(self, topic: Topic, to: int) -> None:
        """The store has the ids of all records of the topic below the offset `to`."""
        self._stored_to[topic] = to

    def _forget_stored(self, topic: Topic) -> None:
        # only here: what becomes durable after the question was asked may be missing in its answer
        pending, to = self._pending[topic], self._stored_to[topic]
        while pending and pending[0][0] <= to:
            _, account, digest, generation = pending.popleft()
            kept = self._kept.get((topic, account), {})
            if digest in kept and kept[digest].generation == generation:
                del kept[digest]
                self._keep(topic, account, kept)

    def _keep(self, topic: Topic, account: str, kept: dict[bytes, _Kept]) -> None:
        if kept:
            self._kept[topic, account] = kept
        else:
            self._kept.pop((topic, account), None)
