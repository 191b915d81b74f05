"""Where in a TOML text a key stands, for whoever has to repair it.

Tables and keys at the beginnings of lines are found, also rows of a list that have a line each; what stands within a line has that of the
line. A text that is written otherwise (lists within rows over several lines) may give the line of the table.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

Path = tuple[str | int, ...]
"""Keys, and numbers of rows in lists from 0."""

_PART = r"\"[^\"]*\"|'[^']*'|[\w-]+"
_NAME = rf"\s*(?:{_PART})(?:\s*\.\s*(?:{_PART}))*\s*"
_HEADER = re.compile(rf"\s*(\[\[?)({_NAME})\]\]?\s*(?:#.*)?")
_KEY = re.compile(rf"({_NAME})=\s*(.*)")
_ROW = re.compile(r"\[?(\d+)\]?")


class TomlLines:
    """The lines of one text, counted from 1."""

    def __init__(self, text: str) -> None:
        """Find them."""
        self._lines: dict[Path, int] = {}
        self._rows: dict[Path, int] = {}
        within: Path = ()
        listed: Path | None = None
        for number, line in enumerate(text.splitlines(), start=1):
            if listed is not None:
                if line.lstrip().startswith("]"):
                    listed = None
                elif line.lstrip().startswith(("{", "[")):
                    self._row(listed, number)
                continue
            header, key = _HEADER.fullmatch(line), _KEY.match(line)
            if header is not None:
                within = self._table(_parts(header[2]), number, is_row=header[1] == "[[")
            elif key is not None:
                path = (*within, *_parts(key[1]))
                self._lines.setdefault(path, number)
                value = key[2].partition("#")[0].rstrip()
                listed = path if value.startswith("[") and value.count("[") > value.count("]") else None

    def line_of(self, path: Sequence[str | int]) -> int | None:
        """The line of a key, or of the nearest table around it; None where there is none."""
        for length in range(len(path), 0, -1):
            line = self._lines.get(tuple(path[:length]))
            if line is not None:
                return line
        return None

    def _table(self, names: list[str], number: int, *, is_row: bool) -> Path:
        path: Path = ()
        for name in names[:-1]:
            path = (*path, name)
            self._lines.setdefault(path, number)
            if path in self._rows:  # a table within the newest row
                path = (*path, self._rows[path])
        path = (*path, names[-1])
        self._lines.setdefault(path, number)
        return self._row(path, number) if is_row else path

    def _row(self, path: Path, number: int) -> Path:
        self._rows[path] = self._rows.get(path, -1) + 1
        row = (*path, self._rows[path])
        self._lines[row] = number
        return row


def path_in(document: Mapping[str, Any], key: str) -> Path:
    """The path that a key like `tiers.major[1].floor` names in a document; as much of it as there is."""
    path: Path = ()
    found: Any = document
    while key:
        if isinstance(found, Mapping):
            name = max((it for it in found if _begins(key, it)), key=len, default=None)
            if name is None:
                break
            path, found, key = (*path, name), found[name], key[len(name) :].removeprefix(".")
            continue
        step = _ROW.match(key)
        if step is None or not isinstance(found, list) or int(step[1]) >= len(found):
            break
        number = int(step[1])
        path, found, key = (*path, number), found[number], key[step.end() :].removeprefix(".")
    return path


def _begins(key: str, name: str) -> bool:
    return key == name or key.startswith((f"{name}.", f"{name}["))


def _parts(names: str) -> list[str]:
    return [it.strip("\"'") for it in re.findall(_PART, names)]
