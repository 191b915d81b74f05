"""What is wrong with the shape of a policy, in the words of its file: table, line, and the nearest key that there is."""

import difflib
import re
import types
from collections.abc import Mapping
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec

_UNKNOWN = re.compile(r"unknown field `(?P<key>[^`]*)`")
_PLACE = re.compile(r" - at `\$(?P<path>[^`]*)`")
_STEP = re.compile(r"\.(\w+)|\[(?:\.\.\.|\d+)\]")
_HEADER = re.compile(r"\s*\[{1,2}\s*([^\]]+?)\s*\]{1,2}")
_CUTOFF = 0.5


def shape_fault(message: str, text: str, kind: type) -> str:
    """The message of a decoder about a TOML `text` that is no `kind`, with the line and the nearest key where they are known."""
    place = _PLACE.search(message)
    path = place["path"] if place else ""
    names = [found[1] for found in _STEP.finditer(path)]
    unknown = _UNKNOWN.search(message)
    if unknown is not None:
        line = _line_of(text, [it for it in names if it], unknown["key"])
        nearest = difflib.get_close_matches(unknown["key"], _keys(kind, names), 1, _CUTOFF)
        return f"{_at(line)}{message}{f'; did you mean `{nearest[0]}`?' if nearest else ''}"
    key = next((it for it in reversed(names) if it), None)
    line = None if key is None else _line_of(text, [it for it in names if it][:-1], key)
    return f"{_at(line)}{message}"


def _at(line: int | None) -> str:
    return "" if line is None else f"line {line}: "


def _line_of(text: str, tables: list[str], key: str) -> int | None:
    """The only line that gives `key` within the `tables`; None where several do, or none."""
    named = re.compile(rf"(^\s*|[{{,]\s*)(\"{re.escape(key)}\"|{re.escape(key)})\s*=")
    within: list[str] = []
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.lstrip().startswith("#"):
            continue
        header = _HEADER.fullmatch(line.partition("#")[0].rstrip())
        if header is not None and "=" not in header[1]:
            within = [it.strip().strip("\"'") for it in header[1].split(".")]
            if key in within and within[: len(tables)] == tables[: len(within)]:
                found.append(number)
            continue
        inside = [*within, *re.findall(r"([\w-]+)\s*=", line)]
        if named.search(line) and all(it in inside or _is_opened(text, number, it) for it in tables):
            found.append(number)
    return found[0] if len(found) == 1 else None


def _is_opened(text: str, number: int, name: str) -> bool:
    """Whether `name = [` or `name = {` stands before a line, with only lines of its rows between them."""
    for line in reversed(text.splitlines()[: number - 1]):
        if re.match(rf"\s*{re.escape(name)}\s*=\s*[\[{{]", line):
            return True
        if not line.strip().startswith(("{", "#", "]")) and line.strip():
            return False
    return False


def _keys(kind: Any, names: list[str | None]) -> list[str]:
    """The keys of the table at a path; a step without a name is into a table or a list of them."""
    for name in names:
        kind = _stripped(kind)
        if name is None:
            parts = [it for it in get_args(kind) if it is not Ellipsis]
            kind = parts[-1] if parts else None
        elif isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            fields = {it.encode_name: it.type for it in msgspec.structs.fields(kind)}
            kind = fields.get(name)
    kind = _stripped(kind)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return [it.encode_name for it in msgspec.structs.fields(kind)]
    return []


def _stripped(kind: Any) -> Any:
    """Without Annotated, and without None and plain values beside tables."""
    if get_origin(kind) is Annotated:
        return _stripped(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        parts = [it for it in get_args(kind) if it is not type(None)]
        tables = [
            it for it in parts if get_origin(it) in (dict, tuple, list, Mapping) or isinstance(it, type)
        ]
        return _stripped((tables or parts)[0])
    return kind
