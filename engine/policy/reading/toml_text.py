"""Policy tables as TOML text that `parse` reads back as the same values.

Only what differs from its default is written, so a file shows what was decided and nothing else.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from engine.numbers import canonical, exact
from engine.policy.rules.tables import Table

_BARE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")


def table_text(header: str, table: Table) -> str:
    """`table` under `[header]`, one key a line; tables within it are written inline."""
    lines = [f"[{header}]", *(f"{name} = {_value(value)}" for name, value in _stated(table))]
    return "\n".join(lines) + "\n"


def tables_text(section: str, tables: Mapping[str, Table]) -> str:
    """Every table under `[section.name]`, sorted by name."""
    return "\n".join(table_text(f"{section}.{key(name)}", tables[name]) for name in sorted(tables))


def rows_text(section: str, rows: Mapping[str, tuple[Table, ...]]) -> str:
    """Every list of tables as `name = [...]` under `[section]`, one row a line, sorted by name."""
    lines = [f"[{section}]"]
    for name in sorted(rows):
        lines += [f"{key(name)} = [", *(f"  {_value(row)}," for row in rows[name]), "]"]
    return "\n".join(lines) + "\n"


def document_text(document: Mapping[str, Any]) -> str:
    """A whole document, as `tomllib` reads it: what stands alone first, then a table of each table's parts."""
    alone = [f"{key(name)} = {_value(it)}" for name, it in document.items() if not isinstance(it, Mapping)]
    tables = [
        "\n".join((f"\n[{key(name)}]", *(f"{key(part)} = {_value(value)}" for part, value in it.items())))
        for name, it in document.items()
        if isinstance(it, Mapping)
    ]
    return "\n".join((*alone, *tables)) + "\n"


def key(name: str) -> str:
    """`name` as a TOML key: bare where it may be, else a quoted string."""
    return name if name and _BARE.issuperset(name) else _value(name)


def quoted(text: str) -> str:
    """`text` as a TOML string."""
    # a JSON string is a TOML basic string, but for DEL, which TOML wants escaped
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _stated(table: Table) -> Iterator[tuple[str, Any]]:
    for field in msgspec.structs.fields(table):
        value = getattr(table, field.name)
        if value is not None and value != field.default:
            yield field.encode_name, value


def _value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return quoted(value)
        case Decimal():
            with exact():
                return f"{canonical(value):f}"
        case datetime():
            return value.isoformat()
        case Table():
            return "{ " + ", ".join(f"{name} = {_value(part)}" for name, part in _stated(value)) + " }"
        case Mapping():
            return "{ " + ", ".join(f"{key(name)} = {_value(part)}" for name, part in value.items()) + " }"
        case tuple() | list():
            return "[" + ", ".join(map(_value, value)) + "]"
        case _:
            return str(value)
