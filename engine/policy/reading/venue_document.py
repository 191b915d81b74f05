"""A venue's file as a document: its rows by name, its error told as one, and what it looks like when nothing here reads it."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from engine.numbers import ZERO, amount_fault
from engine.policy.reading.policy_checks import PolicyError
from engine.strict_decoding import UNREADABLE

DELIVERY_HOUR_UTC = 8
"""Dated contracts of the venues read here expire at 08:00 UTC; names have only the day."""
_CODES = ("code", "retCode", "ret_code", "err_code", "err-code", "errorCode", "label", "status")
_MESSAGES = ("msg", "retMsg", "ret_msg", "message", "err-msg", "errorMessage", "detail", "Message")
_FINE = frozenset(("", "0", "00000", "200", "200000", "ok", "success", "true", "none", "1"))
_ENVELOPES = ("result", "data", "list", "symbols", "universe")
"""What rows stand in: venues and those who keep their answers put one into the other, or leave them out."""
_MS = 1_000
_KEYS_SHOWN = 8
_MESSAGE_CHARACTERS_MAX = 300
_MONTHS = {
    name: number
    for number, name in enumerate(
        ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"], 1
    )
}
_DAY = re.compile(r"(\d{1,2})([A-Z]{3})(\d{2})")

Row = Mapping[str, Any]

_decoder = msgspec.json.Decoder(float_hook=Decimal)


def decoded(text: str) -> Any:
    """The JSON document, its numbers exact. Raises `PolicyError` for what is none, and for a venue's error."""
    text = text.removeprefix("\ufeff")
    if not text.strip():
        raise PolicyError("not in a shape this reads: the file is empty")
    if text.lstrip().startswith("<"):
        raise PolicyError("not in a shape this reads: it is a web page (HTML) and not the JSON of an answer")
    try:
        document = _decoder.decode(text)
    except (*UNREADABLE, InvalidOperation) as error:
        raise PolicyError(f"not in a shape this reads: not JSON: {error}") from None
    refusal = venue_error(document)
    if refusal is not None:
        raise PolicyError(
            f"the venue answered with an error and no data: {refusal[:_MESSAGE_CHARACTERS_MAX]}"
        )
    return document


def venue_error(document: Any) -> str | None:
    """What a venue's error says, in any of the envelopes that venues use; None where the document is none."""
    if isinstance(document, list) and len(document) == 1:
        document = document[0]
    if not isinstance(document, dict):
        return None
    error = document.get("error") or document.get("errors")
    if isinstance(error, list) and error and isinstance(error[0], dict):
        error = error[0]
    if isinstance(error, dict):
        return _joined(error.get("code"), error.get("message") or error.get("data"))
    if isinstance(error, list) and error:
        return "; ".join(map(str, error))
    if isinstance(error, str):
        return error
    message = next((document[name] for name in _MESSAGES if isinstance(document.get(name), str)), None)
    codes = [document[name] for name in _CODES if isinstance(document.get(name), (str, int, Decimal))]
    code = next((it for it in codes if str(it).lower() not in _FINE), None)
    if code is not None and message is not None:
        return _joined(code, message)
    if document.get("success") is False or str(document.get("status")).lower() == "err":
        return _joined(None, message or document.get("response"))
    return _bare_refusal(document, code, message)


def _bare_refusal(document: Row, code: object, message: str | None) -> str | None:
    """What an object says that holds nothing but words and numbers, as some refusals do."""
    if any(isinstance(it, (dict, list)) and it for it in document.values()):
        return None
    if isinstance(document.get("error"), (int, Decimal)) and document["error"]:
        return _joined(code or document["error"], message)
    if code is not None or (message and message.lower() not in _FINE):
        return _joined(code, message)
    return None


def looks(document: Any) -> str:
    """What a document looks like, for a message."""
    if isinstance(document, list):
        kinds = looks(document[0]) if document else ""
        return f"a list of {len(document)}{', the first ' + kinds if kinds else ''}"
    if isinstance(document, dict):
        names = list(map(str, document))
        more = f" and {len(names) - _KEYS_SHOWN} more" if len(names) > _KEYS_SHOWN else ""
        lists = [f"; {name} is {looks(it)}" for name, it in document.items() if isinstance(it, list)][:1]
        return f"an object with {', '.join(names[:_KEYS_SHOWN]) or 'nothing'}{more}{''.join(lists)}"
    return "nothing" if document is None else f"{type(document).__name__} {str(document)[:40]!r}"


def answers_in(document: Any) -> list[Any]:
    """The answers of a document: itself, or the pages of a list of them."""
    pages = document if isinstance(document, list) and document else []
    if pages and all(isinstance(it, dict) and rows_within(it)[0] is not None for it in pages):
        return pages
    return [document]


def rows_within(document: Any) -> tuple[list[Any] | None, Row]:
    """The rows of an answer, whatever envelopes it has or has lost, and the object that they stand in; None where there are none."""
    within: Row = {}
    while isinstance(document, dict):
        within = document
        parts = [document[name] for name in _ENVELOPES if isinstance(document.get(name), (list, dict))]
        document = next(filter(None, parts), parts[0] if parts else None)
    return (document, within) if isinstance(document, list) else (None, {})


def has(rows: list[Any] | None, *names: str) -> bool:
    """Whether most rows are objects with these keys: one bad row does not hide what a file is."""
    if not rows:
        return False
    fitting = sum(isinstance(row, dict) and row.keys() >= set(names) for row in rows)
    return 2 * fitting >= len(rows)


def by_name(rows: list[Any], name: str) -> list[tuple[str, Row]]:
    """Each row under its name; one without goes by its number."""
    return [
        (str(row.get(name) or f"row {number}"), row) if isinstance(row, dict) else (f"row {number}", {})
        for number, row in enumerate(rows, start=1)
    ]


def word(row: Row, name: str) -> str:
    """A text that must be there. Raises `PolicyError`."""
    value = _of(row, name)
    if not isinstance(value, str) or not value:
        raise PolicyError(f"{name} is {'missing' if value is None else repr(value)[:40]}, a word is needed")
    return value


def number(row: Row, name: str) -> Decimal:
    """A number that must be there, written as one or as text. Raises `PolicyError`."""
    value = _of(row, name)
    if value is None or value == "" or isinstance(value, (bool, list, dict)):
        raise PolicyError(f"{name} is missing or no number")
    try:
        amount = Decimal(value)
    except InvalidOperation:
        raise PolicyError(f"{name} {str(value)[:40]!r} is not a number") from None
    fault = amount_fault(amount)
    if fault is not None:
        raise PolicyError(f"{name} {fault}")
    return amount


def positive(row: Row, name: str) -> Decimal:
    """A number above zero. Raises `PolicyError`."""
    amount = number(row, name)
    if amount <= 0:
        raise PolicyError(f"{name} must be > 0")
    return amount


def step(row: Row, name: str) -> Decimal:
    """A lot or tick size, 0 where the file states none."""
    return ZERO if _of(row, name) in (None, "") else positive(row, name)


def part(row: Row, name: str) -> Row:
    """An object within a row. Raises `PolicyError`."""
    inner = _of(row, name)
    if not isinstance(inner, dict):
        raise PolicyError(f"{name} is missing")
    return inner


def moment(row: Row, name: str) -> datetime:
    """A time in Unix ms. Raises `PolicyError`."""
    ms = positive(row, name)
    try:
        return datetime.fromtimestamp(int(ms) // _MS, UTC)
    except (OverflowError, ValueError, OSError):
        raise PolicyError(f"{name} {ms} is no time") from None


def named_day(text: str) -> datetime | None:
    """The expiry that 27DEC24 names; None where it names none."""
    found = _DAY.fullmatch(text)
    if found is None or found[2] not in _MONTHS:
        return None
    try:
        return datetime(2000 + int(found[3]), _MONTHS[found[2]], int(found[1]), DELIVERY_HOUR_UTC, tzinfo=UTC)
    except ValueError:
        return None


def _of(row: Any, name: str) -> Any:
    if not isinstance(row, dict):
        raise PolicyError(f"{str(row)[:40]!r} stands where an object with {name} belongs")
    return row.get(name)


def _joined(code: object, message: object) -> str:
    said = str(message) if message else "no reason is given"
    return f"{code}: {said}" if code not in (None, "") else said
