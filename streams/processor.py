"""The Faust-free heart of a shard: raw records and marks in, one `Commit` out. No I/O, no clock.

Life of a batch of account inputs
---------------------------------
1. `decode`   raw bytes -> typed messages or rejections
2. the caller loads the deduplication windows that `missing_windows` names
3. `apply`    in offset order, each record is one of
     - below the watermark: delivered again, skipped
     - a rejection, at decoding or in the ledger: quarantined; the account it belongs to is stopped
     - a duplicate id or `account_seq`: counted
     - applied: a new account state
4. the returned `Commit` {watermark, states, ids, quarantine} becomes durable as a whole (`on_committed`); only then are
   the records acknowledged, and only then may a window that has these ids be forgotten
5. `settle`, once both topics have been applied up to one instant: the new states are put before the judge. Until then
   an account is judged as it was: a fill must not be judged without the deposit that paid for it, which is on its
   way in the other topic

Life of a batch of marks: `on_marks` hands believed marks to the book, which judges every holder in order; what
changed becomes a `Commit` too.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from engine.accounts import AccountState, encode
from engine.book.port import AccountBook
from engine.effects import AccountRisk
from engine.inputs import AccountInput, Fill, Mark, Topic
from engine.judgement import Judgement
from engine.ladder import LadderState
from engine.ledger import apply, stopped
from engine.policy import Policy
from engine.rejections import Duplicate, Rejection, RejectionCode
from streams.cloudevents import outbox_entry
from streams.codec import account_of_key, decode_account_input
from streams.commit import Commit, OutboxEntry
from streams.newest import Newest
from streams.quarantine import quarantine_entry
from streams.windows import Windows

COMMIT_ACCOUNTS_MAX = 500
"""A mark may move thousands of accounts at once; a commit of this many holds Redis for about 10 ms."""


class Record(NamedTuple):
    """A raw Kafka record of one topic of the shard."""

    offset: int
    key: bytes | None
    value: bytes | None


class Decoded(NamedTuple):
    """A record with what its bytes say."""

    record: Record
    message: AccountInput | Rejection


class Outcome(NamedTuple):
    """A commit and what happened on the way, for the metrics."""

    commit: Commit
    applied: int
    duplicates: int
    quarantined: Counter[RejectionCode]
    executed: tuple[Fill, ...]
    """Applied fills that name a liquidation."""


class ShardProcessor:
    """All account states, risk records and windows of one shard, kept ahead of the store by one commit."""

    def __init__(
        self,
        shard: int,
        policy: Policy,
        book: AccountBook,
        *,
        partition_of: Callable[[bytes], int],
        topics: dict[Topic, str],
        quarantine_topic: str,
        source: str,
    ) -> None:
        """Build an empty shard; `load` fills it. `topics` names the Kafka topic of each input topic."""
        self.shard = shard
        self.book = book
        self.watermarks: dict[Topic, int] = dict.fromkeys(Topic, 0)
        self.judging = False
        """Off until prices have caught up: judging at unknown prices would degrade every account."""
        self._policy = policy
        self._partition_of = partition_of
        self._topics = topics
        self._quarantine_topic = quarantine_topic
        self._source = source
        self._windows = Windows()
        self._ahead: dict[str, AccountState] = {}
        """States newer than the book's, until `settle`."""

    def load(
        self, stored: Iterable[bytes], risks: Mapping[str, AccountRisk], watermarks: dict[Topic, int]
    ) -> None:
        """Take over what the store holds. Raises `UnlistedHolding` if the policy lacks something that is held."""
        self.book.load(stored, risks)
        self.watermarks |= watermarks

    def decode(self, topic: Topic, records: Sequence[Record]) -> list[Decoded]:
        """Records at or above the watermark, decoded."""
        start = self.watermarks[topic]
        return [
            Decoded(record, decode_account_input(topic, record.key, record.value))
            for record in records
            if record.offset >= start
        ]

    def missing_windows(self, topic: Topic, decoded: Sequence[Decoded]) -> set[str]:
        """Accounts whose applied ids must be fetched before `apply`; a new account has none."""
        return {
            message.account
            for _, message in decoded
            if not isinstance(message, Rejection)
            and (topic, message.account) not in self._windows
            and self.state(message.account) is not None
        }

    def add_windows(self, topic: Topic, windows: dict[str, list[str]]) -> None:
        """Take fetched ids, oldest first."""
        for account, ids in windows.items():
            self._windows.fetched(topic, account, ids)

    def apply(self, topic: Topic, decoded: Sequence[Decoded]) -> Outcome:
        """Apply decoded records in order; see the life of a batch above."""
        batch = _Batch()
        start = self.watermarks[topic]
        for record, message in decoded:
            if record.offset < self.watermarks[topic]:
                continue
            self._apply_one(topic, record, message, batch)
            self.watermarks[topic] = record.offset + 1
        if self.judging:
            self._ahead |= batch.states
        else:
            self.book.put_all(batch.states.values())
        self._windows.shrink()
        return Outcome(
            Commit(
                advance={topic: (start, self.watermarks[topic])} if self.watermarks[topic] > start else {},
                accounts={account: encode(state) for account, state in batch.states.items()},
                seen={(topic, account): tuple(ids) for account, ids in batch.seen.items()},
                outbox=tuple(batch.quarantined),
            ),
            batch.applied,
            batch.duplicates,
            batch.reasons,
            tuple(batch.executed),
        )

    def on_committed(self, commit: Commit) -> None:
        """A commit of this processor has become durable."""
        for topic, (_, end) in commit.advance.items():
            self._windows.stored(Topic(topic), end)

    def state(self, account: str) -> AccountState | None:
        """The newest state of the account, which may be ahead of what is judged; None if there is none."""
        return self._ahead.get(account) or self.book.state(account)

    def settle(self) -> list[Commit]:
        """Both topics have been applied up to one instant: judge the accounts in their new state."""
        settled, self._ahead = self._ahead, {}
        self.book.put_all(settled.values())
        return self._spoken_in_parts(self.book.judge(sorted(settled)))

    def skip_to(self, topic: Topic, offset: int) -> Commit:
        """Move the watermark over offsets that the log holds no record for (transaction markers)."""
        start, self.watermarks[topic] = self.watermarks[topic], offset
        return Commit(advance={topic: (start, offset)})

    def on_marks(self, marks: Sequence[Mark]) -> list[Commit]:
        """Judge every holder after each of these believed marks."""
        return self._spoken_in_parts(self.book.on_marks(marks))

    def on_clock(self, now_ns: int, stale: frozenset[str]) -> list[Commit]:
        """Judge whom the passing of time or the set of stale symbols concerns."""
        return self._spoken_in_parts(self.book.on_clock(now_ns, stale))

    def start_judging(self, marks: Sequence[Mark], now_ns: int, stale: frozenset[str]) -> list[Commit]:
        """Prices have caught up: take them all, in time order, and judge every account at them."""
        self.judging = True
        self.book.prime(sorted(marks, key=lambda mark: (mark.time_ns, mark.symbol)), now_ns, stale)
        return self._spoken_in_parts(self.book.judge_all())

    def adopt(self, newest: Newest) -> list[Commit]:
        """Take over the ladder states of events that were published but are not in the store (it was rewound)."""
        parts = []
        for account, sequences in newest.sequences.items():
            risk = self.book.risk(account)
            if all(sequence <= risk.sequences.get(stream, 0) for stream, sequence in sequences.items()):
                continue
            told = {
                pool: event.ladder
                for pool, event in newest.events[account].items()
                if event.sequence > risk.sequences.get(event.stream, 0)
            }
            pools = {pool: it for pool, it in {**risk.pools, **told}.items() if it != LadderState()}
            adopted = AccountRisk(account, pools, {**risk.sequences, **sequences})
            self.book.put(self.book.state(account) or AccountState(account), adopted)
            parts.append(Commit(risks={account: msgspec.json.encode(adopted)}))
        return parts

    def _apply_one(
        self, topic: Topic, record: Record, message: AccountInput | Rejection, batch: "_Batch"
    ) -> None:
        if isinstance(message, Rejection):
            self._refuse(topic, record, message, account_of_key(record.key), batch)
            return
        account = message.account
        if self._windows.knows(topic, account, message.input_id):
            batch.duplicates += 1
            return
        state = batch.states.get(account) or self.state(account)
        if state is None:
            if self._partition_of(account.encode()) != self.shard:
                code = RejectionCode.WRONG_PARTITION
                detail = f"account {account!r} belongs to partition {self._partition_of(account.encode())}"
                self._refuse(topic, record, Rejection(code, detail), None, batch)
                return
            state = AccountState(account)
        after = apply(state, message, topic, record.offset, self._policy)
        if isinstance(after, Duplicate):
            batch.duplicates += 1
        elif isinstance(after, Rejection):
            self._refuse(topic, record, after, account, batch, message.account_seq)
        else:
            batch.applied += 1
            batch.states[account] = after
            batch.seen.setdefault(account, []).append(message.input_id)
            self._windows.add(topic, account, message.input_id, record.offset + 1)
            if isinstance(message, Fill) and message.liquidation_id is not None:
                batch.executed.append(message)

    def _refuse(
        self,
        topic: Topic,
        record: Record,
        rejection: Rejection,
        account: str | None,
        batch: "_Batch",
        account_seq: int | None = None,
    ) -> None:
        """Quarantine the record and stop the account it names (if it is one of this shard)."""
        batch.reasons[rejection.code] += 1
        batch.quarantined.append(
            quarantine_entry(
                self._quarantine_topic,
                self._topics[topic],
                self.shard,
                record.offset,
                record.key,
                record.value,
                rejection,
            )
        )
        if account is None or self._partition_of(account.encode()) != self.shard:
            return
        state = batch.states.get(account) or self.state(account) or AccountState(account)
        batch.states[account] = stopped(state, topic, record.offset, rejection.code, account_seq)

    def _spoken_in_parts(self, judgements: Sequence[Judgement]) -> list[Commit]:
        return [
            self._spoken(judgements[first : first + COMMIT_ACCOUNTS_MAX])
            for first in range(0, len(judgements), COMMIT_ACCOUNTS_MAX)
        ]

    def _spoken(self, judgements: Sequence[Judgement]) -> Commit:
        risks: dict[str, bytes] = {}
        outbox: list[OutboxEntry] = []
        for judgement in judgements:
            risks[judgement.risk.account] = msgspec.json.encode(judgement.risk)
            outbox += [outbox_entry(event, self.shard, self._source) for event in judgement.events]
        return Commit(risks=risks, outbox=tuple(outbox))


class _Batch:
    """What accumulates while one batch of records is applied."""

    def __init__(self) -> None:
        self.states: dict[str, AccountState] = {}
        self.seen: dict[str, list[str]] = {}
        self.quarantined: list[OutboxEntry] = []
        self.reasons: Counter[RejectionCode] = Counter()
        self.executed: list[Fill] = []
        self.applied = 0
        self.duplicates = 0
