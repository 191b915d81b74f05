"""Which inputs of an account are told apart by their ids, for how long, and what is known beyond that.

Rules
-----
* Where `account_seq` is sent nothing is remembered: a number that was passed is a duplicate, of whatever age. What can be
  compared is the newest input alone: its number with something else in it is a contradiction.
* Otherwise the ids of applied inputs are remembered, each with a digest of what its input said. The same id with the same said is a
  duplicate; with anything else said it is a contradiction, never a silent duplicate.
* Ids are kept in generations. One is full after half of `remembered_ids_max`, or after `remember_ms` of the account's event time. Then the next begins,
  and the one before it is forgotten: the newer half, and the newest `remember_ms`, are always known.
* Of what was forgotten the newest event time stays. An input without a number that is not newer than that may have been applied or
  not: it is refused, which stops its account. Applied twice it would be money from nothing, left out in silence it would be a hole; an exchange has to look.
* An exchange that begins to send numbers: what was remembered is dropped. One that ends it: what had numbers has no remembered ids, so an
  input without one counts only if it is newer than all of them.

All of this is part of the state, so it follows from the account's own inputs alone, in every worker and every replay; the ids
themselves lie outside of it (`streams.shards.input_ids`). Event times of one account may come in any order.
"""

from decimal import Decimal
from functools import cache
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from engine.inputs import AccountInput, Fill, OrderUpdate, Resume, Settlement
from engine.ledger.accounts import Progress, Remembered
from engine.numbers import canonical
from engine.policy.rules.input_rules import InputRules
from engine.policy.rules.policy_switches import IdScope
from engine.rejections import Rejection, RejectionCode

DIGEST_BYTES = 8
"""Two of a million ids are mistaken for each other with a chance of 1 in 37 million, and the mistake is a contradiction that is told."""
OLD_LIST = 0
"""The generation whose ids an edition before generations kept in a list."""

_replace = msgspec.structs.replace
_encode = msgspec.json.Encoder().encode
_KINDS: dict[type, str] = {Fill: "trade", OrderUpdate: "update", Settlement: "settlement"}


class Generation(NamedTuple):
    """Some ids that were applied one after the other."""

    number: int
    ids: int
    expected: int
    """How many the one before it had when it began: it may be laid out for as many."""


def id_digest(message: AccountInput, scope: IdScope) -> bytes:
    """Names the input among all of its account and topic: equal for equal ids of one kind within the scope."""
    symbol = getattr(message, "symbol", "") if scope is IdScope.ACCOUNT_AND_SYMBOL else ""
    named = [_KINDS.get(type(message), "entry"), symbol, message.input_id]
    return blake2b(_encode(named), digest_size=DIGEST_BYTES).digest()


def digest_of(message: AccountInput) -> bytes:
    """Equal for messages that say the same, however it is written: by the values of what is said, its number left out.

    A field that is at its default says nothing: a later edition may have more of them.
    """
    said: dict[str, object] = {}
    for name, default, is_amount in _fields(type(message)):
        value = getattr(message, name)
        if value != default:
            said[name] = str(canonical(value)) if is_amount else value
    kind = message.__struct_config__.tag
    return blake2b(_encode([kind, said]), digest_size=DIGEST_BYTES).digest()


@cache
def _fields(kind: type[AccountInput]) -> tuple[tuple[str, Any, bool], ...]:
    """Name, default and whether it is an amount, of every field but the number, in an order that no edition changes."""
    fields = sorted(msgspec.structs.fields(kind), key=lambda it: it.name)
    return tuple((it.name, it.default, it.type is Decimal) for it in fields if it.name != "account_seq")


def goes_by_id(progress: Progress, message: AccountInput) -> bool:
    """Whether the id decides if the input was applied before, not its number."""
    return message.account_seq is None or progress.next_seq is None or isinstance(message, Resume)


def generations(progress: Progress) -> tuple[Generation, ...]:
    """Those that are remembered, the newest first."""
    kept = progress.remembered
    if kept is None:
        return (Generation(OLD_LIST, 1, 0),) if progress.offset >= 0 else ()
    now = Generation(kept.generation, kept.ids, kept.before_ids)
    before = Generation(kept.generation - 1, kept.before_ids, kept.before_expected)
    return tuple(it for it in (now, before) if it.ids)


def contradiction(message: AccountInput) -> Rejection:
    """What to answer to an id or number that is known with something else said."""
    number = "" if message.account_seq is None else f" (account_seq {message.account_seq})"
    return Rejection(
        RejectionCode.ID_CONTRADICTION,
        f"{message.input_id!r}{number} was applied before and said something else",
    )


def too_late(progress: Progress, message: AccountInput) -> Rejection | None:
    """Why an input whose id is not known cannot be told from one that was applied, or None where it can."""
    kept = progress.remembered
    # an operator's word is not money, and a person waits for its effect
    if kept is None or message.time_ns > kept.forgotten_ns or isinstance(message, Resume):
        return None
    return Rejection(
        RejectionCode.TOO_LATE,
        f"{message.input_id!r} has no account_seq, and ids up to event time {kept.forgotten_ns} ns are forgotten: "
        f"it may have been applied before",
    )


def remembering(progress: Progress, message: AccountInput, rules: InputRules) -> Remembered:
    """What is remembered once the message has been applied."""
    if message.account_seq is None or isinstance(message, Resume):
        return _with_id(progress, message.time_ns, rules)
    return _numbered(progress, message.time_ns)


def _with_id(progress: Progress, time_ns: int, rules: InputRules) -> Remembered:
    kept = progress.remembered
    if kept is None:
        # ids in an old list came before this one
        kept = Remembered(OLD_LIST + 1, before_ids=int(progress.offset >= 0), before_newest_ns=time_ns)
    full = kept.ids >= rules.remembered_ids_max // 2
    if kept.ids and (full or time_ns - kept.began_ns > rules.remember_ms * 1_000_000):
        kept = Remembered(
            kept.generation + 1,
            # not earlier: what is dated ahead must not be forgotten before its time has come
            began_ns=max(time_ns, kept.newest_ns),
            newest_ns=time_ns,
            before_ids=kept.ids,
            before_newest_ns=kept.newest_ns,
            before_expected=kept.before_ids,
            forgotten_ns=max(kept.forgotten_ns, kept.before_newest_ns)
            if kept.before_ids
            else kept.forgotten_ns,
        )
    elif not kept.ids:
        kept = _replace(kept, began_ns=time_ns, newest_ns=time_ns)
    return _replace(kept, ids=kept.ids + 1, newest_ns=max(kept.newest_ns, time_ns))


def _numbered(progress: Progress, time_ns: int) -> Remembered:
    kept = progress.remembered
    if kept is None:
        return Remembered(OLD_LIST + 1, forgotten_ns=time_ns)
    newest_ns = max(time_ns, kept.forgotten_ns, kept.newest_ns, kept.before_newest_ns)
    # a number is never used twice: what belongs to it may still be on its way into the store
    return Remembered(kept.generation + bool(kept.ids or kept.before_ids), forgotten_ns=newest_ns)
