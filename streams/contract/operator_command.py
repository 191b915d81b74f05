"""What an operator tells the shards, on a topic of its own: who, why, and what of what the engine holds is to go on; and what became of it.

No command has an amount in it: whoever may write to this topic, and to no other, can move no money. Where an account is to go on, the owner
of its shard writes that into the log of its inputs (`Resume`), so that it has its place among them: a rebuild, a replay and an explanation
read it there and nowhere else. Each shard says here what became of a command.
"""

from enum import StrEnum
from typing import Annotated

import msgspec

from engine.inputs import Count, Name, Resume, TimeNs, Topic
from engine.rejections import Rejection
from streams.contract.codec import decode_bounded
from streams.contract.commit import OutboxEntry

STOPS_MAX = 100
"""Of one command: with the longest names it stays below `COMMAND_BYTES_MAX`."""
COMMAND_BYTES_MAX = 64 * 1024
RESUME_TYPE = "account.resumed"
"""Event type of the record that carries a resume among the inputs, for the metrics."""
OUTCOME_TYPE = "operator.outcome"


class _Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    id: Name
    """A command acts once, however often it is sent."""
    who: Name
    """The person or the key that says so."""
    why: Name
    """The reason, kept with what was let go."""
    time_ns: TimeNs
    """When it was given: it concerns no opening that is later."""
    shard: Count | None = None
    """None: every shard."""


class BreakerRelease(_Command, frozen=True, tag="breaker_release", kw_only=True):
    """Judge everything that the breaker holds without the hold: liquidations are requested at the newest prices."""


class BreakerVoid(_Command, frozen=True, tag="breaker_void", kw_only=True):
    """Close the breaker and judge what it holds afresh; where that is still too much it opens again."""


class NamedStop(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One stop of one account."""

    account: Name
    topic: Topic
    """In which it is stopped."""
    stop_offset: Annotated[int, msgspec.Meta(ge=-1)]
    """Of the record that stopped it, -1 where none did: another stop, one that came since, is not lifted."""


class AccountsResume(_Command, frozen=True, tag="accounts_resume", kw_only=True):
    """Let stopped accounts go on, each from the place in its inputs at which its shard has written that it may."""

    stops: Annotated[tuple[NamedStop, ...], msgspec.Meta(min_length=1, max_length=STOPS_MAX)]
    """Which accounts, in which topic, and by which record each was stopped."""
    next_account_seq: Count | None = None
    """Overrides which `account_seq` is expected next; None keeps the expectation."""


OperatorCommand = BreakerRelease | BreakerVoid | AccountsResume


class CommandOutcome(StrEnum):
    """What became of a command in one shard."""

    APPLIED = "applied"
    REFUSED = "refused"
    """Wholly, or in part: the detail says how much."""


class CommandRefusal(StrEnum):
    """Why a command was refused."""

    NOTHING_HELD = "nothing_held"
    """The breaker of the shard held nothing that the command is about."""
    NOT_STOPPED_SO = "not_stopped_so"
    """The account is not stopped there, or not by the stop that the command names."""
    NOT_ALLOWED = "not_allowed"
    """Kafka does not let the worker write to the topic of the inputs."""


class OperatorOutcome(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="operator_outcome", kw_only=True
):
    """What became of a command in one shard, on record beside it. The first of a command and shard counts, but `not_allowed` always does."""

    command_id: Name
    """Which command."""
    shard: Count
    """In which shard."""
    outcome: CommandOutcome
    """Whether it acted."""
    code: CommandRefusal | None = None
    """Why it did not, or not wholly."""
    detail: str = ""
    """For a person."""


OperatorRecord = OperatorCommand | OperatorOutcome

_decoder = msgspec.json.Decoder(OperatorRecord)


def decode_operator_record(value: bytes | None) -> OperatorCommand | OperatorOutcome | Rejection:
    """One record of the topic."""
    return decode_bounded(_decoder.decode, value, COMMAND_BYTES_MAX)


def resume_entry(command: AccountsResume, stop: NamedStop, input_topic: str, shard: int) -> OutboxEntry:
    """The record that has the account go on, for the log of its inputs. Its id is the command's: a repeat is a duplicate."""
    entry = Resume(
        account=stop.account,
        entry_id=command.id,
        time_ns=command.time_ns,
        reason=f"{command.why} (by {command.who})",
        next_account_seq=command.next_account_seq,
        stop_offset=stop.stop_offset if stop.stop_offset >= 0 else None,
    )
    key = stop.account.encode()
    return OutboxEntry(input_topic, shard, key, msgspec.json.encode(entry), (), RESUME_TYPE)


def outcome_entry(outcome: OperatorOutcome, operator_topic: str) -> OutboxEntry:
    """The record that says what became of a command."""
    return OutboxEntry(operator_topic, 0, None, msgspec.json.encode(outcome), (), OUTCOME_TYPE)
