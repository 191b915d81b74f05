"""The command line as a user meets it: exit code, standard output and standard error."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from typer.testing import CliRunner

from streams.cli.unimargin import app

NOWHERE = "127.0.0.1:1"
"""A port that nothing listens on."""


class Said(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)

    @property
    def json_lines(self) -> list[Any]:
        """The JSON document of each line."""
        return [json.loads(line) for line in self.out.splitlines()]


def unimargin(*words: str, env: Mapping[str, str] | None = None) -> Said:
    """Run `unimargin WORDS`; an exception that a user would see as a traceback fails the test."""
    result = CliRunner().invoke(app, list(words), env={"COLUMNS": "200", **(env or {})})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Said(result.exit_code, result.stdout, result.stderr)
