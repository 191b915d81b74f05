"""Case files: venue cases (a list) and peer vectors (an object with `vectors`), read into one shape.

venue case    {id, venue, mode, inputs, expected, tolerance: {abs, rel}, ...}
peer vector   {id, convention, inputs, expected, tolerance: number (absolute), ...}

Numbers are read as written, never through a float.
"""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from tests.conformance.compare import Tolerance
from tests.conformance.registry import Inputs, number


class CaseFileError(ValueError):
    """A file that cannot be read as cases; the message names the file and the fault."""


class Case(msgspec.Struct, frozen=True):
    """One published numeric case."""

    id: str
    mode: str
    """Names the rule: a venue's mode or a peer's convention."""
    inputs: Inputs
    expected: dict[str, Any]
    tolerance: Tolerance


def read_cases(path: Path) -> list[Case]:
    """The cases of one file, in its order. Raises `CaseFileError`."""
    try:
        content = json.loads(
            path.read_text(encoding="utf-8"), parse_float=Decimal, parse_constant=_refuse_constant
        )
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, not JSON, or not a finite number
        raise CaseFileError(f"{path}: {error}") from None
    records = content.get("vectors") if isinstance(content, dict) else content
    if not isinstance(records, list):
        raise CaseFileError(f'{path}: neither a list of cases nor an object with a list "vectors"')
    return [_case(path, place, record) for place, record in enumerate(records)]


def _case(path: Path, place: int, record: Any) -> Case:
    if not isinstance(record, dict):
        raise CaseFileError(f"{path}: case {place} is not an object")
    try:
        return Case(
            id=_text(record, "id"),
            mode=_text(record, "convention" if "convention" in record else "mode"),
            inputs=_mapping(record, "inputs"),
            expected=_mapping(record, "expected"),
            tolerance=_tolerance(record.get("tolerance", 0)),
        )
    except ValueError as error:
        raise CaseFileError(f"{path}: case {place} ({record.get('id', 'no id')}): {error}") from None


def _text(record: dict[str, Any], key: str) -> str:
    value = record.get(key)
    if not isinstance(value, str):
        raise ValueError(f"{key!r} must be text")  # noqa: TRY004 - the file is at fault, not a caller's type
    return value


def _mapping(record: dict[str, Any], key: str) -> dict[str, Any]:
    value = record.get(key)
    if not isinstance(value, dict):
        raise ValueError(f"{key!r} must be an object")  # noqa: TRY004 - as above
    return value


def _tolerance(written: Any) -> Tolerance:
    """A venue writes {abs, rel}, a peer one absolute number; none written is none allowed."""
    if not isinstance(written, dict):
        return Tolerance(abs=number(written))
    return Tolerance(**{kind: number(written[kind]) for kind in ("abs", "rel") if kind in written})


def _refuse_constant(word: str) -> None:
    raise ValueError(f"{word} is not a finite number")
