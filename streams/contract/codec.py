"""Bytes in, typed messages out; whatever is not exactly a message of the contract is a rejection with a code.

Raw bytes travel through Faust, because Faust acknowledges a record whose decoding fails.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, TypeVar, get_args

import msgspec

from engine.inputs import (
    NAME_LENGTH_MAX,
    AccountInput,
    Deposit,
    Fill,
    FillsInput,
    LedgerInput,
    LeverageSetting,
    MarginMode,
    Mark,
    MarkBatch,
    OrderUpdate,
    PriceInput,
    Topic,
    Withdrawal,
)
from engine.marks.plausible_times import AHEAD_NS, time_fault
from engine.numbers import amount_fault, by_value
from engine.rejections import Rejection, RejectionCode

INPUT_BYTES_MAX = 16 * 1024
"""A fill or ledger entry is a few hundred bytes; anything this long is not one."""
PRICES_BYTES_MAX = 512 * 1024
"""About 5,000 marks in one record."""

_T = TypeVar("_T")
_account_decoders: dict[Topic, msgspec.json.Decoder[Any]] = {
    Topic.FILLS: msgspec.json.Decoder(FillsInput),
    Topic.LEDGER: msgspec.json.Decoder(LedgerInput),
}
_amount_fields: dict[type, tuple[str, ...]] = {
    kind: tuple(field.name for field in msgspec.structs.fields(kind) if field.type is Decimal)
    for kind in get_args(AccountInput)
}
_price_decoder = msgspec.json.Decoder(PriceInput)


def decode_account_input(
    topic: Topic, key: bytes | None, value: bytes | None, taken_in_ns: int = 0
) -> AccountInput | Rejection:
    """One record of `fills` or `ledger`. `taken_in_ns`: the latest time at which its log can have taken it in; 0 if unknown."""
    message = decode_bounded(_account_decoders[topic].decode, value, INPUT_BYTES_MAX)
    if isinstance(message, Rejection):
        return message
    if key is None or key != message.account.encode():
        return Rejection(RejectionCode.KEY_MISMATCH, f"key {key!r} is not the account {message.account!r}")
    fault = _fault(message)
    if fault is not None:
        message = _by_value(message)
        fault = _fault(message)
    if fault is not None:
        return Rejection(RejectionCode.OUT_OF_RANGE, fault)
    fault = time_fault(message.time_ns, taken_in_ns, ahead_ns=AHEAD_NS)
    return message if fault is None else Rejection(RejectionCode.TIME_IMPLAUSIBLE, fault)


def decode_prices(value: bytes | None) -> tuple[Mark, ...] | Rejection:
    """One record of `prices`: its marks in order. Their prices are the mark book's to check."""
    message = decode_bounded(_price_decoder.decode, value, PRICES_BYTES_MAX)
    if isinstance(message, MarkBatch):
        return message.marks
    return message if isinstance(message, Rejection) else (message,)


def accounts_of_mismatch(topic: Topic, key: bytes | None, value: bytes | None) -> list[str]:
    """Of a record whose key is not the account that its value names: both, for it was meant for one of them, and nobody knows for which."""
    message = decode_bounded(_account_decoders[topic].decode, value, INPUT_BYTES_MAX)
    named = None if isinstance(message, Rejection) else message.account
    return [it for it in (account_of_key(key), named) if it is not None]


def account_of_key(key: bytes | None) -> str | None:
    """The account that a record's key names, for records whose value names none."""
    if not key or len(key) > NAME_LENGTH_MAX:
        return None
    try:
        return key.decode()
    except UnicodeDecodeError:
        return None


def decode_bounded(decode: Callable[[bytes], _T], value: bytes | None, bytes_max: int) -> _T | Rejection:
    """What `decode` makes of the value of a record, or why it makes nothing of it."""
    if value is None:
        return Rejection(RejectionCode.MALFORMED, "the record has no value")
    if len(value) > bytes_max:
        return Rejection(RejectionCode.OVERSIZED, f"{len(value)} bytes, at most {bytes_max} are taken")
    try:
        return decode(value)
    except msgspec.ValidationError as error:
        return Rejection(RejectionCode.WRONG_SHAPE, str(error))
    except msgspec.DecodeError as error:
        return Rejection(RejectionCode.MALFORMED, str(error))
    except UnicodeDecodeError as error:
        return Rejection(RejectionCode.NOT_UTF8, str(error))
    except RecursionError:
        return Rejection(RejectionCode.MALFORMED, "nested too deeply")


def _by_value(message: AccountInput) -> AccountInput:
    amounts = {field: by_value(getattr(message, field)) for field in _amount_fields[type(message)]}
    return msgspec.structs.replace(message, **amounts)


def _fault(message: AccountInput) -> str | None:
    for field in _amount_fields[type(message)]:
        fault = amount_fault(getattr(message, field))
        if fault is not None:
            return f"{field} {fault}"
    return _sign_fault(message)


def _sign_fault(message: AccountInput) -> str | None:
    match message:
        case Fill():
            if message.quantity <= 0:
                return "quantity must be above zero"
            if message.margin_transfer and message.margin_mode is MarginMode.CROSS:
                return "margin_transfer belongs to a fill with margin_mode isolated"
        case Deposit() | Withdrawal() if message.amount <= 0:
            return "amount must be above zero"
        case OrderUpdate() if message.quantity < 0:
            return "quantity must not be below zero"
        case LeverageSetting() if message.leverage < 1:
            return "leverage must be at least 1"
    return None
