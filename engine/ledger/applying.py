"""Booking: one input applied to one account state gives the next state, a duplicate, or a rejection.

Rules
-----
* Pure and total: every well-typed input has an answer; nothing here looks at prices.
* After a rejection nothing of the same topic is applied (the state stays the result of a *prefix*), until the
  missing numbers of `account_seq` have come, or an operator's `Resume`.
* An input that was applied before is told by its number, else by its id, which the caller looks up first
  (`engine.ledger.remembering`, `streams.shards.input_ids`).
* Amounts that move between pools come from the exchange, so the two topics commute (see `engine.inputs`).
"""

import msgspec

from engine.inputs import AccountInput, Resume, Topic
from engine.ledger.accounts import AccountState, Progress, Stop
from engine.ledger.booking import book
from engine.ledger.remembering import contradiction, digest_of, goes_by_id, remembering, too_late
from engine.numbers import exact
from engine.policy import Policy
from engine.rejections import Duplicate, Rejection, RejectionCode

_replace = msgspec.structs.replace


def apply(
    state: AccountState, message: AccountInput, topic: Topic, offset: int, policy: Policy
) -> AccountState | Duplicate | Rejection:
    """Apply `message`, read at `offset` of `topic`, to `state`.

    A rejection leaves the account's money untouched; the caller stores `stopped(state, ...)` for it.
    """
    progress = state.progress(topic)
    if isinstance(message, Resume):
        lifts = message.stop_offset
        if lifts is not None and (progress.stop is None or progress.stop.offset != lifts):
            return Duplicate(message.input_id)
        told = message.next_account_seq
        resumed = Progress(
            offset=offset,
            next_seq=progress.next_seq if told is None else told,
            remembered=remembering(progress, message, policy.inputs),
            newest_digest=progress.newest_digest if told is None else None,
        )
        return with_progress(state, topic, resumed)
    verdict = _check_sequence(progress, message)
    if verdict is None and goes_by_id(progress, message):
        verdict = too_late(progress, message)
    if verdict is not None:
        return verdict
    with exact():
        booked = book(state, message, policy)
    if isinstance(booked, Rejection):
        return booked
    return with_progress(booked, topic, _advanced(progress, message, offset, policy))


def stopped(
    state: AccountState, topic: Topic, offset: int, code: RejectionCode, account_seq: int | None
) -> AccountState:
    """The state after a refusal: the first stop is kept, and a gap remembers how far it reaches.

    A refused input without a number cannot be missed by counting, nor can one whose number was applied with something else said: it makes
    a gap one that only `Resume` ends.
    """
    progress = state.progress(topic)
    stop = progress.stop or Stop(code=code, offset=offset)
    if stop.code is RejectionCode.SEQUENCE_GAP:
        if account_seq is None or code is RejectionCode.ID_CONTRADICTION:
            stop = Stop(code=code, offset=stop.offset)
        else:
            stop = _replace(stop, through_seq=max(account_seq, stop.through_seq or account_seq))
    return with_progress(state, topic, _replace(progress, stop=stop))


def not_judged(state: AccountState) -> AccountState:
    """The state after the engine failed to judge it: both topics are stopped where they stand, each until it is resumed."""
    for topic, progress in ((Topic.FILLS, state.fills), (Topic.LEDGER, state.ledger)):
        since = progress.offset if progress.stop is None else progress.stop.offset
        stop = Stop(code=RejectionCode.ENGINE_ERROR, offset=since, unjudged=True)
        state = with_progress(state, topic, _replace(progress, stop=stop))
    return state


def with_progress(state: AccountState, topic: Topic, progress: Progress) -> AccountState:
    """The same account at another place of one input topic."""
    return _replace(state, fills=progress) if topic is Topic.FILLS else _replace(state, ledger=progress)


def _check_sequence(progress: Progress, message: AccountInput) -> Duplicate | Rejection | None:
    expected, got, stop = progress.next_seq, message.account_seq, progress.stop
    if got is not None and expected is not None and got < expected:
        said = progress.newest_digest if got == expected - 1 else None
        differs = said is not None and said != digest_of(message).hex()
        return contradiction(message) if differs else Duplicate(message.input_id)
    in_turn = expected is not None and got == expected
    if stop is not None and not (in_turn and stop.code is RejectionCode.SEQUENCE_GAP):
        return Rejection(RejectionCode.ACCOUNT_STOPPED, f"stopped at offset {stop.offset} by {stop.code}")
    if got is not None and expected is not None and got > expected:
        return Rejection(RejectionCode.SEQUENCE_GAP, f"account_seq {got} came, {expected} was expected")
    return None


def _advanced(progress: Progress, message: AccountInput, offset: int, policy: Policy) -> Progress:
    got, stop = message.account_seq, progress.stop
    if stop is not None and stop.through_seq is not None and got is not None and got >= stop.through_seq:
        stop = None
    return Progress(
        offset=offset,
        next_seq=progress.next_seq if got is None else got + 1,
        stop=stop,
        remembered=remembering(progress, message, policy.inputs),
        newest_digest=progress.newest_digest if got is None else digest_of(message).hex(),
    )
