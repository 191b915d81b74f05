"""Booking single account inputs of one shard, and what of it outlives a batch. No I/O, no clock.

What the engine fails on is of that input of that account alone: it is rejected, and told of with its traceback.
"""

from collections.abc import Callable
from typing import NamedTuple

from engine.inputs import AccountInput, Topic
from engine.ledger.accounts import AccountState
from engine.ledger.applying import apply
from engine.policy import Policy
from engine.rejections import Duplicate, Rejection
from streams.contract.codec import account_of_key, decode_account_input
from streams.contract.commit import AppliedId, ForgottenIds
from streams.contract.quarantine_budget import QuarantineBudget
from streams.contract.record import Record
from streams.shards.engine_errors import EngineError, rejection_of
from streams.shards.input_ids import InputIds
from streams.shards.shard_identity import ShardIdentity


class Booked(NamedTuple):
    """An input was applied."""

    state: AccountState
    """Its account now."""
    added: AppliedId | None
    """What is remembered of its id."""
    gone: list[ForgottenIds]
    """What is not remembered any more."""


class InputBooking:
    """How inputs of one shard are read and booked."""

    def __init__(
        self,
        identity: ShardIdentity,
        terms: Callable[[int], Policy],
        state_of: Callable[[str], AccountState | None],
        errors: list[EngineError],
    ) -> None:
        """`terms` are those that an input of an event time (Unix ns) is booked by.

        `state_of` has the newest state of an account but for the batch in hand; `errors` takes what the engine failed on.
        """
        self.identity, self.state_of = identity, state_of
        self._terms, self._errors = terms, errors
        self.ids = InputIds(lambda time_ns: terms(time_ns).inputs.id_scope)
        self.quarantine_budget = QuarantineBudget()
        self.rebuilt_to: dict[Topic, int] = dict.fromkeys(Topic, 0)
        """Below these offsets an account may be ahead of the watermark (`streams.shards.rebuilding`)."""

    def read(self, topic: Topic, record: Record) -> AccountInput | Rejection:
        """The record as a typed message."""
        try:
            return decode_account_input(topic, record.key, record.value, record.taken_in_ns)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is of this record alone
            return self.failed_on(topic, record, account_of_key(record.key) or "", error)

    def book(
        self, state: AccountState, message: AccountInput, topic: Topic, record: Record
    ) -> Booked | Duplicate | Rejection:
        """The account after the message and what is remembered of it, or why all is as it was."""
        before = state.progress(topic)
        try:
            terms = self._terms(message.time_ns)
            after = self.ids.verdict(topic, before, message) or apply(
                state, message, topic, record.offset, terms
            )
            if not isinstance(after, AccountState):
                return after
            remembered = self.ids.applied(topic, before, after.progress(topic), message, record.offset + 1)
            return Booked(after, *remembered)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is of this input of this account alone
            return self.failed_on(topic, record, state.account, error)

    def is_in_copy(self, account: str, topic: Topic, offset: int) -> bool:
        """Whether the account was rebuilt from a copy that has this input, or what became of it."""
        if offset >= self.rebuilt_to[topic]:
            return False
        state = self.state_of(account)
        return state is not None and offset <= state.progress(topic).offset

    def failed_on(self, topic: Topic, record: Record, account: str, error: Exception) -> Rejection:
        """Why this record is set aside, which the engine failed on; it is told. Raises a MemoryError on."""
        if isinstance(error, MemoryError):
            raise error
        place = self.identity.place(topic, record.offset)
        self._errors.append(EngineError("apply", account, place, error))
        return rejection_of(error)
