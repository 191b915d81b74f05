"""One batch of records of one input topic: applied one after the other to the states before it. No I/O, no clock.

Nothing changes outside before the batch is ended: who applies it takes its states over, and makes its outcome durable.
"""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from engine.inputs import AccountInput, Fill, OrderUpdate, Settlement, Topic
from engine.ledger.accounts import AccountState
from engine.ledger.applying import stopped
from engine.ledger.orders_apart import OrderChanges, encode_stored, order_changes
from engine.rejections import Duplicate, Rejection, RejectionCode
from streams.contract.codec import account_of_key, accounts_of_mismatch
from streams.contract.commit import AppliedId, Commit, ForgottenIds, OutboxEntry
from streams.contract.record import Record
from streams.shards.input_booking import Booked, InputBooking
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
        self._forgotten: dict[str, list[ForgottenIds]] = {}
        self._orders: dict[str, set[str]] = {}
        """Ids of orders that updates named."""
        self._settled: set[str] = set()
        """Accounts in which any order may have ended."""
        self._quarantined: list[OutboxEntry] = []
        self._reasons: Counter[RejectionCode] = Counter()
        self._booked: list[tuple[Record, AccountInput]] = []
        """What was applied, in order."""
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
            self._keep(record, message, after)

    def end(self, start: int, watermark: int) -> Outcome:
        """What becomes durable, with the topic's watermark moved from `start`; before anybody takes the states over."""
        accounts, orders = dict[str, bytes](), dict[str, OrderChanges]()
        for account in list(self.states):
            try:
                changes = self._order_changes(account)
                accounts[account] = encode_stored(self.states[account])
            except Exception as error:  # noqa: BLE001 - whatever it is, it is of this account alone
                self._take_back(account, error)
                accounts[account] = encode_stored(self.states[account])
            else:
                orders |= {} if changes is None else {account: changes}
        forgotten = tuple(it for gone in self._forgotten.values() for it in gone)
        self._inputs.ids.forget(forgotten)
        for record, message in self._booked:
            self.applied_until_ns = max(self.applied_until_ns, message.time_ns)
            if self._taken is not None:
                self._taken.add(self._topic, record.offset, message)
        commit = Commit(
            advance={self._topic: (start, watermark)} if watermark > start else {},
            accounts=accounts,
            orders=orders,
            ids={(self._topic, account): tuple(ids) for account, ids in self._ids.items()},
            forgotten=forgotten,
            outbox=tuple(self._quarantined),
        )
        executed = (it for _, it in self._booked if isinstance(it, Fill) and it.liquidation_id is not None)
        return Outcome(commit, len(self._booked), self._duplicates, self._reasons, tuple(executed))

    def _newest(self, account: str) -> AccountState | None:
        return self.states.get(account) or self._inputs.state_of(account)

    def _keep(self, record: Record, message: AccountInput, after: Booked) -> None:
        """The message was applied."""
        account = message.account
        self._booked.append((record, message))
        self.states[account] = after.state
        if after.added is not None:
            self._ids.setdefault(account, []).append(after.added)
        if after.gone:
            self._forgotten.setdefault(account, []).extend(after.gone)
        match message:
            case OrderUpdate():
                self._orders.setdefault(account, set()).add(message.order_id)
            case Settlement():
                self._settled.add(account)

    def _take_back(self, account: str, error: Exception) -> None:
        """What the inputs have made of the account cannot be stored: it stays as it was before the first of them, and is stopped there.

        Where not even that can be stored, nobody would see that it is stopped: then the process ends.
        """
        taken_back = [it for it in self._booked if it[1].account == account]
        if not taken_back:
            raise error
        self._booked = [it for it in self._booked if it[1].account != account]
        self._inputs.ids.take_back(self._topic, account, self._ids.pop(account, []))
        self._forgotten.pop(account, None)
        self.states[account] = self._inputs.state_of(account) or AccountState(account)
        for record, message in taken_back:
            rejection = self._inputs.failed_on(self._topic, record, account, error)
            self._set_aside(record, rejection)
            self._stop_topic(account, record, rejection, message.account_seq)

    def _order_changes(self, account: str) -> OrderChanges | None:
        """From the state before the batch, which is still the newest, to the one after it; None where inputs named no order."""
        is_settled = account in self._settled
        if not is_settled and account not in self._orders:
            return None
        before = self._inputs.state_of(account) or AccountState(account)
        return order_changes(before, self.states[account], None if is_settled else self._orders[account])

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
