"""One batch of records of one input topic: applied one after the other to the states before it. No I/O, no clock.

Nothing changes outside before the batch is ended: who applies it takes its states over, and makes its outcome durable.
"""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from engine.inputs import AccountInput, Fill, OrderUpdate, Settlement, Topic
from engine.ledger.accounts import AccountState, Progress
from engine.ledger.applying import stopped
from engine.ledger.orders_apart import OrderChanges, encode_stored, order_changes
from engine.rejections import Duplicate, Rejection, RejectionCode
from streams.contract.codec import account_of_key, accounts_of_mismatch
from streams.contract.commit import AppliedId, Commit, ForgottenIds, OutboxEntry
from streams.contract.record import Record
from streams.shards.input_booking import InputBooking
from streams.shards.taken_inputs import TakenInputs


class Outcome(NamedTuple):
    """A commit and what happened on the way, for the metrics."""

    commit: Commit
    applied: int
    duplicates: int
    quarantined: Counter[RejectionCode]
    executed: tuple[Fill, ...]
    """Applied fills that name a liquidation."""


class InputBatch:
    """What accumulates while one batch of records is applied."""

    def __init__(self, topic: Topic, inputs: InputBooking, taken: TakenInputs | None) -> None:
        """Nothing yet. `taken` hears what is applied; None where nobody is judged by it."""
        self._topic, self._inputs, self._taken = topic, inputs, taken
        self.states: dict[str, AccountState] = {}
        """Of the accounts that it has changed."""
        self.applied_until_ns = 0
        """Event time of the newest input that it has applied."""
        self._ids: dict[str, list[AppliedId]] = {}
        self._forgotten: list[ForgottenIds] = []
        self._orders: dict[str, set[str]] = {}
        """Ids of orders that updates named."""
        self._settled: set[str] = set()
        """Accounts in which any order may have ended."""
        self._quarantined: list[OutboxEntry] = []
        self._reasons: Counter[RejectionCode] = Counter()
        self._executed: list[Fill] = []
        self._applied = 0
        self._duplicates = 0

    def apply(self, record: Record, message: AccountInput | Rejection) -> None:
        """Apply the next record, or set it aside."""
        if isinstance(message, Rejection):
            self._set_aside(record, message)
            for named in self._concerned(record, message):
                self._stop_topic(named, record, message)
            return
        account = message.account
        if self._inputs.is_in_copy(account, self._topic, record.offset):
            return
        state = self._newest(account)
        if state is None:
            if not self._inputs.identity.is_home_of(account):
                self._set_aside(record, self._elsewhere(account))
                return
            state = AccountState(account)
        after = self._inputs.book(state, message, self._topic, record)
        if isinstance(after, Duplicate):
            self._duplicates += 1
        elif isinstance(after, Rejection):
            self._set_aside(record, after)
            self._stop_topic(account, record, after, message.account_seq)
        else:
            self._keep(record, message, state.progress(self._topic), after)

    def end(self, start: int, watermark: int) -> Outcome:
        """What becomes durable, with the topic's watermark moved from `start`; before anybody takes the states over."""
        orders = self._order_changes()
        commit = Commit(
            advance={self._topic: (start, watermark)} if watermark > start else {},
            accounts={account: encode_stored(state) for account, state in self.states.items()},
            orders=orders,
            ids={(self._topic, account): tuple(ids) for account, ids in self._ids.items()},
            forgotten=tuple(self._forgotten),
            outbox=tuple(self._quarantined),
        )
        return Outcome(commit, self._applied, self._duplicates, self._reasons, tuple(self._executed))

    def _newest(self, account: str) -> AccountState | None:
        return self.states.get(account) or self._inputs.state_of(account)

    def _keep(self, record: Record, message: AccountInput, before: Progress, after: AccountState) -> None:
        """The message was applied, and `after` is its account now."""
        account = message.account
        self._applied += 1
        self.applied_until_ns = max(self.applied_until_ns, message.time_ns)
        if self._taken is not None:
            self._taken.add(self._topic, record.offset, message)
        self.states[account] = after
        added, gone = self._inputs.ids.applied(
            self._topic, before, after.progress(self._topic), message, record.offset + 1
        )
        if added is not None:
            self._ids.setdefault(account, []).append(added)
        self._forgotten += gone
        match message:
            case Fill() if message.liquidation_id is not None:
                self._executed.append(message)
            case OrderUpdate():
                self._orders.setdefault(account, set()).add(message.order_id)
            case Settlement():
                self._settled.add(account)

    def _order_changes(self) -> dict[str, OrderChanges]:
        """From the states before the batch, which are still the newest, to those after it."""
        found = {}
        for account in sorted(self._orders.keys() | self._settled):
            before = self._inputs.state_of(account) or AccountState(account)
            touched = None if account in self._settled else self._orders[account]
            changes = order_changes(before, self.states[account], touched)
            if changes is not None:
                found[account] = changes
        return found

    def _concerned(self, record: Record, rejection: Rejection) -> Iterable[str]:
        """The accounts that may miss a record which could not be read: whom its key names.

        One under another account's key was meant for one of the two, so both are stopped where they are known here. None is made of a
        name alone: it may be nobody's, or live in another shard.
        """
        if rejection.code is RejectionCode.KEY_MISMATCH:
            named = accounts_of_mismatch(self._topic, record.key, record.value)
            return [it for it in named if self._newest(it) is not None]
        account = account_of_key(record.key)
        return [] if account is None else [account]

    def _elsewhere(self, account: str) -> Rejection:
        partition = self._inputs.identity.partition_of(account.encode())
        return Rejection(
            RejectionCode.WRONG_PARTITION, f"account {account!r} belongs to partition {partition}"
        )

    def _set_aside(self, record: Record, rejection: Rejection) -> None:
        """Quarantine the record."""
        self._reasons[rejection.code] += 1
        identity = self._inputs.identity
        entry = identity.quarantined(identity.topics[self._topic], record, rejection)
        self._quarantined.append(self._inputs.quarantine_budget.within(entry, record.taken_in_ns))

    def _stop_topic(
        self, account: str, record: Record, rejection: Rejection, account_seq: int | None = None
    ) -> None:
        """Stop the account in this topic, if it is one of this shard."""
        if self._inputs.is_in_copy(account, self._topic, record.offset):
            return
        if self._inputs.identity.is_home_of(account):
            state = self._newest(account) or AccountState(account)
            self.states[account] = stopped(state, self._topic, record.offset, rejection.code, account_seq)
