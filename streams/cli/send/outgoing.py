"""One message made ready for its topic: checked by what the worker checks it by, keyed, and told apart from what is none."""

import time

import msgspec

from engine.inputs import AccountInput, FillsInput, LedgerInput, MarkBatch, PriceInput, Topic
from engine.ledger.accounts import AccountState
from engine.ledger.applying import apply
from engine.marks.instants import MarksRecord
from engine.marks.mark_book import MarkBook
from engine.policy import Policy
from engine.rejections import Rejection, RejectionCode
from engine.strict_decoding import UNREADABLE
from streams.cli.send.listed_names import near_listed, with_nearest
from streams.contract.codec import decode_account_input, decode_prices

PRICES = "prices"
_TAGS: dict[str, tuple[type, ...]] = {
    Topic.FILLS.value: FillsInput.__args__,
    Topic.LEDGER.value: LedgerInput.__args__,
    PRICES: PriceInput.__args__,
}


class Outgoing(msgspec.Struct, frozen=True):
    """A message that the workers will take in."""

    role: str
    """Of its topic: fills, ledger or prices."""
    key: str | None
    value: str


class _Head(msgspec.Struct):
    type: str = ""
    account: str | None = None
    symbol: str | None = None


def outgoing(text: str, role: str | None, policy: Policy) -> Outgoing | Rejection:
    """The message that `text` is. `role`: where it goes, for the one that may go to either account topic."""
    value = text.strip().encode()
    try:
        head = msgspec.json.decode(value, type=_Head)
    except msgspec.ValidationError as error:
        return Rejection(RejectionCode.WRONG_SHAPE, str(error))
    except UNREADABLE as error:
        return Rejection(RejectionCode.MALFORMED, str(error))
    roles = [name for name, kinds in _TAGS.items() if head.type in {_tag(kind) for kind in kinds}]
    if not roles:
        known = "; ".join(f"{name}: {', '.join(map(_tag, kinds))}" for name, kinds in _TAGS.items())
        return Rejection(RejectionCode.WRONG_SHAPE, f"type {head.type!r} is of no topic. There are {known}")
    if role is not None and role not in roles:
        return Rejection(
            RejectionCode.WRONG_SHAPE, f"a {head.type} goes to {' or '.join(roles)}, not to {role}"
        )
    if role is None and len(roles) > 1:
        return Rejection(
            RejectionCode.WRONG_SHAPE, f"a {head.type} goes to {' or '.join(roles)}: say --topic"
        )
    role = role or roles[0]
    if role == PRICES:
        return _prices(value, policy)
    key = head.account or ""
    message = decode_account_input(Topic(role), key.encode(), value, time.time_ns())
    refused = message if isinstance(message, Rejection) else _refused(message, Topic(role), policy)
    return Outgoing(role, key, value.decode()) if refused is None else refused


def _refused(message: AccountInput, topic: Topic, policy: Policy) -> Rejection | None:
    """Why a worker applies the message to no account, whatever it holds."""
    applied = apply(AccountState(message.account), message, topic, 0, policy)
    # what a leg holds only the worker knows; it is looked at last, so nothing else is the matter
    if not isinstance(applied, Rejection) or applied.code is RejectionCode.LEG_EXCEEDED:
        return None
    return with_nearest(applied, message, policy)


def _prices(value: bytes, policy: Policy) -> Outgoing | Rejection:
    marks = decode_prices(value)
    if isinstance(marks, Rejection):
        return marks
    # a book that has seen nothing refuses what every book refuses; what the workers have believed is theirs to compare
    _, refused = MarkBook(policy).accept(MarksRecord(marks), time.time_ns())
    if refused:
        first = refused[0]
        rejection = Rejection(first.code, f"{first.symbol}: {first.detail}")
        unknown = first.code is RejectionCode.UNKNOWN_SYMBOL
        return near_listed(rejection, first.symbol, policy.price_symbols) if unknown else rejection
    # marks of one record are an instant: whole instants share the first partition
    batch = isinstance(msgspec.json.decode(value, type=PriceInput), MarkBatch)
    return Outgoing(PRICES, None if batch else marks[0].symbol, value.decode())


def _tag(kind: type) -> str:
    return str(kind.__struct_config__.tag)  # type: ignore[attr-defined]
