"""Rebuilding a shard that Redis holds nothing of from the second copies of its accounts, and the log from there on.

1. read the topic of copies once and look at all of it: the newest copy of each account, and the record that says how far all of them reach
   together. Where some are missing, or cannot be read, the inputs' logs are enough if they go back to their begin. Else, and where a copy
   is of a newer edition or of another shard, or they are of other logs, or the logs do not hold what comes next, the shard *stops visibly*;
   nothing has been written. A record that is no copy, with a key that is no account of the shard, is nobody's: passed over and told
2. read it again and put the newest copies into Redis, with no watermark yet: a rebuild that is cut short is begun anew
3. note how far the copies reach that are ahead of the others, then set the watermarks to where all of them reach together

From there the log is read as after any take-over. A copy may be ahead of the watermarks: up to the offset of step 3 an input is passed over
that is at or below the offset of its account.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple

import msgspec
import structlog

from engine.inputs import Topic
from engine.ledger.accounts import AccountState
from engine.ledger.applying import with_progress
from engine.ledger.orders_apart import encode_stored, order_changes
from engine.ledger.remembering import generations
from engine.strict_decoding import UNREADABLE
from streams.contract.account_copy import SHARD_KEY, AccountCopy, ShardCovered, read_copy, read_format
from streams.contract.codec import account_of_key
from streams.contract.commit import Commit, Lane, OutboxEntry
from streams.contract.record import Record
from streams.kafka.log_ends import LogEnds
from streams.kafka.log_reader import LogReader
from streams.kafka.topic_identity import TopicIdentity
from streams.shards.log_memory import LogMemory
from streams.shards.shard_identity import ShardIdentity
from streams.shards.shard_standing import ShardStopped
from streams.store.shard_store import ShardStore
from streams.store.store_format import FORMAT, newer
from streams.store.store_keys import LOG, REBUILT

COMMIT_BYTES_MAX = 1 << 20
"""Of states, and of ids some more: Redis is held for some 10 ms."""

_log = structlog.get_logger()


class _Found(NamedTuple):
    """The newest record of an account."""

    offset: int
    fault: str
    """Why it is of no use; "" where it is."""
    stops: bool
    """Whether the logs are of no use then either: who wrote them is newer, or has divided the accounts otherwise."""


class _NotWhole(Exception):  # noqa: N818 - it says what the copies are
    """Why the copies are not all of what a shard can be rebuilt from."""


class Rebuilding:
    """Of one shard."""

    def __init__(
        self,
        identity: ShardIdentity,
        store: ShardStore,
        log_ends: LogEnds,
        open_log: Callable[[], AbstractAsyncContextManager[LogReader]],
        inputs: Mapping[Topic, str],
        *,
        topic: str,
    ) -> None:
        """`topic` is that of the copies; "" where there are none."""
        self._identity, self._store, self._log_ends = identity, store, log_ends
        self._open_log, self._inputs, self._topic = open_log, inputs, topic

    def copies_among(self, outboxes: Mapping[Lane, Sequence[OutboxEntry]]) -> dict[Lane, list[int]]:
        """Places of copies that an owner before us has left unpublished.

        They are not to be published: where Redis was rewound they may be older than what the topic has. Nothing was said of them yet, so
        these accounts are copied again.
        """
        return {
            lane: [place for place, entry in enumerate(entries) if entry.topic == self._topic]
            for lane, entries in outboxes.items()
        }

    async def rebuild(self, memory: LogMemory) -> bool:
        """Put what the copies say into Redis, which we own the shard in and which has no watermark of it; False where it is the log's to tell.

        `memory` knows how the inputs have to be. Raises ShardStopped, ShardLost and StoreUnavailable.
        """
        if not self._topic:
            return False
        async with self._open_log() as log:
            begin, end = await log.bounds(self._topic, self._identity.shard)
            try:
                scan = await self._scan(log, begin, end)
                covered = scan.whole()
            except _NotWhole as why:
                await self._leave_to_log(log, memory, str(why))
                return False
            offsets = {Topic.FILLS: covered.fills, Topic.LEDGER: covered.ledger}
            of_copies = memory.of(covered.logs)
            try:
                of_copies.check(await self._log_ends.of(self._identity.shard), offsets)
                of_copies.check_begins(await self._begins(log), offsets)
            except ShardStopped as stop:
                raise ShardStopped(
                    f"Redis holds nothing of the shard, and {self._topic} has its accounts up to these offsets: {stop}"
                ) from None
            ahead = await self._restore(log, scan, begin, end)
        # with Redis went what was in force
        fields = {"format": str(max(self._store.format, covered.format, scan.format))}
        fields |= {LOG + topic: identity for topic, identity in covered.logs.items()}
        fields |= {
            REBUILT + topic: f"{max(offset, ahead[topic])} {covered.logs[topic]}"
            for topic, offset in offsets.items()
            if topic in covered.logs
        }
        await self._store.remember(fields)
        await self._store.commit(Commit(advance={topic: (0, offset) for topic, offset in offsets.items()}))
        _log.warning(
            "shard_rebuilt_from_copies",
            shard=self._identity.shard,
            accounts=len(scan.accounts),
            fills=covered.fills,
            ledger=covered.ledger,
        )
        return True

    async def _begins(self, log: LogReader) -> dict[Topic, int]:
        shard = self._identity.shard
        return {topic: (await log.bounds(name, shard))[0] for topic, name in self._inputs.items()}

    async def _leave_to_log(self, log: LogReader, memory: LogMemory, why: str) -> None:
        """The logs have to go back to their begin. Raises ShardStopped."""
        try:
            memory.check_begins(await self._begins(log), dict.fromkeys(Topic, 0))
        except ShardStopped as stop:
            raise ShardStopped(f"{stop}; and the copies in {self._topic} are not enough: {why}") from None
        _log.warning("account_copies_not_used", shard=self._identity.shard, why=why)

    async def _scan(self, log: LogReader, begin: int, end: int) -> "_Scan":
        scan = _Scan(self._identity)
        async for records in log.read(self._topic, self._identity.shard, begin, end):
            for record in records:
                scan.add(record)
        if scan.foreign:
            _log.warning(
                "foreign_copies_passed_over",
                shard=self._identity.shard,
                topic=self._topic,
                records=len(scan.foreign),
                first_offset=scan.foreign[0],
            )
        return scan

    async def _restore(self, log: LogReader, scan: "_Scan", begin: int, end: int) -> dict[str, int]:
        """Write the newest copies; returns by topic the offset below which any of them has every input."""
        ahead: dict[str, int] = dict.fromkeys(Topic, 0)
        piece, size = list[AccountCopy](), 0
        async for records in log.read(self._topic, self._identity.shard, begin, end):
            for record in records:
                found = scan.accounts.get(account_of_key(record.key) or "")
                if found is None or found.offset != record.offset:
                    continue
                copy = read_copy(record.value or b"")
                if not isinstance(copy, AccountCopy):
                    raise AssertionError("it was looked at before")  # noqa: TRY004 - a bug, whatever it is
                piece.append(copy)
                size += len(record.value or b"")
                ahead[Topic.FILLS] = max(ahead[Topic.FILLS], copy.fills)
                ahead[Topic.LEDGER] = max(ahead[Topic.LEDGER], copy.ledger)
                if size > COMMIT_BYTES_MAX:
                    await self._write(piece)
                    piece, size = [], 0
        await self._write(piece)
        return ahead

    async def _write(self, copies: list[AccountCopy]) -> None:
        listed = {(topic, it.account): ids for it in copies for topic, ids in it.listed.items() if ids}
        if listed:
            await self._store.restore_old_ids(listed)
        states = {it.account: _in_this_log(it, it.read_state()) for it in copies}
        orders = {
            name: changes
            for name, state in states.items()
            if (changes := order_changes(AccountState(name), state, None)) is not None
        }
        await self._store.commit(
            Commit(
                accounts={name: encode_stored(state) for name, state in states.items()},
                orders=orders,
                ids={(topic, it.account): tuple(it.applied_ids(topic)) for it in copies for topic in it.ids},
            )
        )


class _Scan:
    """What the topic of copies holds of one shard."""

    def __init__(self, identity: ShardIdentity) -> None:
        self._identity = identity
        self.accounts: dict[str, _Found] = {}
        self.format = 0
        """The highest of any account."""
        self.foreign: list[int] = []
        """Offsets of what is nobody's."""
        self._covered: ShardCovered | None = None
        self._of_shard = _Found(0, "", stops=False)

    def add(self, record: Record) -> None:
        """Take the next record."""
        account = account_of_key(record.key)
        if record.value is None and account is not None:
            self.accounts.pop(account, None)  # whoever deletes an account means it
            return
        said, fault, stops = None, "", False
        try:
            known = read_format(record.value or b"")
            self.format = max(self.format, known if known <= FORMAT else 0)
            if known > FORMAT:
                fault, stops = newer(str(known), "its copy"), True
            else:
                said = read_copy(record.value or b"")
                fault = self._fault_of(said, record.key)
                stops = self._is_of_another_shard(said)
        except UNREADABLE as error:
            fault = f"it cannot be read: {error}"
            if record.key != SHARD_KEY and (account is None or not self._identity.is_home_of(account)):
                self.foreign.append(record.offset)
                return
        found = _Found(record.offset, fault, stops)
        if record.key == SHARD_KEY:
            self._covered = said if isinstance(said, ShardCovered) else None
            self._of_shard = found
        elif account is not None:
            self.accounts[account] = found

    def whole(self) -> ShardCovered:
        """How far all of them reach together. Raises _NotWhole where some are missing or broken, and ShardStopped where that is for nobody to mend."""
        faults = {name: it for name, it in [*self.accounts.items(), ("", self._of_shard)] if it.fault}
        if faults:
            name, found = next(iter(faults.items()))
            said = f"{len(faults)} second copies are of no use, the first of {name!r}: {found.fault}"
            if any(it.stops for it in faults.values()):
                raise ShardStopped(f"shard {self._identity.shard}: {said}")
            raise _NotWhole(said)
        if self._covered is None:
            raise _NotWhole("no record of the shard says how far they reach")
        if len(self.accounts) < self._covered.accounts:
            raise _NotWhole(
                f"{len(self.accounts)} accounts are there, and there were {self._covered.accounts}"
            )
        return self._covered

    def _is_of_another_shard(self, said: AccountCopy | ShardCovered) -> bool:
        if isinstance(said, ShardCovered):
            return said.shard != self._identity.shard
        return not self._identity.is_home_of(said.account)

    def _fault_of(self, said: AccountCopy | ShardCovered, key: bytes | None) -> str:
        if isinstance(said, ShardCovered):
            return "" if (said.shard, key) == (self._identity.shard, SHARD_KEY) else "it is of another shard"
        if said.account.encode() != key or not self._identity.is_home_of(said.account):
            return "it is of another account or shard"
        state = said.read_state()
        if state.account != said.account:
            return "its state is of another account"
        for topic in Topic:
            counted = {it.number: it.ids for it in generations(state.progress(topic)) if it.number}
            there = dict.fromkeys(counted, 0)
            for applied in said.applied_ids(topic):
                there[applied.generation] = there.get(applied.generation, 0) + 1
            if there != counted:
                return f"its ids of {topic} are not all there"
        return ""


def _in_this_log(copy: AccountCopy, state: AccountState) -> AccountState:
    """An offset beyond what the copy covers is of a log before this one, which was made anew on purpose: in this one nothing was applied yet."""
    for topic, covered in ((Topic.FILLS, copy.fills), (Topic.LEDGER, copy.ledger)):
        progress = state.progress(topic)
        if progress.offset >= covered and progress.remembered is not None:
            state = with_progress(state, topic, msgspec.structs.replace(progress, offset=-1))
    return state


def rebuilt_to(stored: Mapping[str, str], current: Mapping[str, str]) -> dict[Topic, int]:
    """By topic, below which offset copies may be ahead of the watermark: of what is `stored`, where it is of the `current` logs."""
    found = {}
    for topic, text in stored.items():
        offset, _, identity = text.partition(" ")
        if TopicIdentity.parse(identity) == TopicIdentity.parse(current.get(topic, "/0")):
            found[Topic(topic)] = int(offset)
    return found
