"""Whether a command line is one that the program takes."""

import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import typer.main

from streams.cli.lazy_commands import NotLoaded
from streams.cli.unimargin import app

_BEFORE = re.compile(r"^(?:\$ |time |\w+=\S+ |docker compose exec \S+ |\S*bin/)*unimargin ")
"""What may stand before the words of a command."""
_PLACEHOLDERS = {"CODE": "sequence_gap", "N": "1"}
"""Words that stand for one of a list, or for a number."""
_SHELL = {"|", ">", ">>", "&&", "&", ";"}


def assert_command_exists(words: Sequence[str], *, whole: bool = False) -> None:
    """Parse `words` as the program would. `whole`: nothing that it needs is missing, as where only its name is mentioned."""
    command: Any = typer.main.get_command(app)
    rest = [_PLACEHOLDERS.get(word, word) for word in words]
    while rest and hasattr(command, "commands") and not rest[0].startswith("--"):
        name = rest.pop(0)
        assert name in command.commands, f"no command {name!r} in {words}"
        command = command.commands[name]
        command = command.load() if isinstance(command, NotLoaded) else command
    if hasattr(command, "commands"):
        assert not (whole and not rest), f"{words} stops at a group"
        known = {name for parameter in command.get_params(typer.Context(command)) for name in parameter.opts}
        assert set(rest) <= known, words
        return
    try:
        command.make_context(command.name, rest)
    except Exception as error:  # noqa: BLE001 - typer's own exceptions are private to it
        said = getattr(error, "message", str(error)) or type(error).__name__
        lacking = type(error).__name__ in {"MissingParameter", "NoArgsIsHelpError"}
        if whole or not lacking:
            pytest.fail(f"unimargin {shlex.join(words)}: {said}")


def words_of(line: str) -> list[str]:
    """The words of `unimargin ...` in a line of a shell, without what is the shell's."""
    found = _BEFORE.match(line)
    assert found is not None, line
    words = shlex.split(re.sub(r"\$\([^)]*\)", "SAID", line[found.end() :]), comments=True)
    end = next((index for index, word in enumerate(words) if word in _SHELL), len(words))
    return words[:end]


def is_command(line: str) -> bool:
    """Whether a line of a shell calls the program."""
    return _BEFORE.match(line) is not None


def every_command() -> Iterator[tuple[str, Any]]:
    """Every command and group, loaded, by its words; the program itself is ''."""

    def walk(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        command = command.load() if isinstance(command, NotLoaded) else command
        yield " ".join(path), command
        for name, inner in getattr(command, "commands", {}).items():
            yield from walk(inner, (*path, name))

    yield from walk(typer.main.get_command(app), ())
