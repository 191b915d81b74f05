"""One account recomputed from the log alone, up to the inputs that an event names. Pure.

Each record is taken as a worker takes it (`streams.shards.processor`): decoded, told apart by the same ids, applied by
the ledger, or refused, which stops the account in that topic.
"""

from collections.abc import Callable, Sequence

from engine.inputs import Topic
from engine.ledger.accounts import AccountState
from engine.ledger.applying import apply, stopped
from engine.policy import Policy
from engine.rejections import Rejection, RejectionCode
from streams.contract.codec import account_of_key, accounts_of_mismatch, decode_account_input
from streams.contract.record import Record
from streams.shards.input_ids import InputIds


class AccountReplay:
    """The state of one account after the records it was given; topics one after the other, since they commute."""

    def __init__(self, account: str, booking: Callable[[int], Policy]) -> None:
        """Start before the account's first input; `booking` has the terms that an input of an event time (Unix ns) is booked by."""
        self.state = AccountState(account)
        self._booking = booking
        self._ids = InputIds(lambda time_ns: booking(time_ns).inputs.id_scope)

    def take(self, topic: Topic, records: Sequence[Record]) -> None:
        """Apply records of the account's key, and those that may name it under another one, in order of offset."""
        for record in records:
            self._take(topic, record)

    def stopped_by(self, topic: Topic, following: Sequence[Record]) -> AccountState:
        """The state with the stop that the first of the records after it makes; as it is where that one is applied.

        What is refused leaves no trace in the offsets that an event names, but it degrades the account.
        """
        for record in following:
            after = self._after(topic, record)
            if after is not None:
                return self.state if _offset(after, topic) == record.offset else after
        return self.state

    def _take(self, topic: Topic, record: Record) -> None:
        self.state = self._after(topic, record) or self.state

    def _after(self, topic: Topic, record: Record) -> AccountState | None:
        """The state after a record; None where it is a repetition."""
        message = decode_account_input(topic, record.key, record.value, record.taken_in_ns)
        if isinstance(message, Rejection):
            concerned = self._is_concerned(topic, record, message)
            return stopped(self.state, topic, record.offset, message.code, None) if concerned else None
        if message.account != self.state.account:
            return None
        before = self.state.progress(topic)
        after = self._ids.verdict(topic, before, message) or apply(
            self.state, message, topic, record.offset, self._booking(message.time_ns)
        )
        if isinstance(after, Rejection):
            return stopped(self.state, topic, record.offset, after.code, message.account_seq)
        if isinstance(after, AccountState):
            _, gone = self._ids.applied(topic, before, after.progress(topic), message, record.offset + 1)
            self._ids.forget(gone)
            return after
        return None

    def _is_concerned(self, topic: Topic, record: Record, rejection: Rejection) -> bool:
        """As `InputBatch._concerned`: under another account's key both are, where they are known."""
        if rejection.code is RejectionCode.KEY_MISMATCH:
            known = self.state != AccountState(self.state.account)
            return known and self.state.account in accounts_of_mismatch(topic, record.key, record.value)
        return account_of_key(record.key) == self.state.account


def _offset(state: AccountState, topic: Topic) -> int:
    return state.progress(topic).offset
