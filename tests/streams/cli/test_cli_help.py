"""Every help page has examples that the program takes, and the shell completes what it lists."""

import os
import subprocess
import sys

import pytest
import typer

from streams.cli.lazy_commands import examples_of
from tests.deploy.commands import assert_command_exists, every_command, words_of

COMMANDS = dict(every_command())


@pytest.mark.parametrize("name", COMMANDS)
def test_help_when_read_then_shows_an_example_line_by_line_that_parses(name: str) -> None:
    command = COMMANDS[name]
    examples = examples_of(command)
    assert examples
    shown = command.get_help(typer.Context(command, info_name=name)).splitlines()
    for example in examples:
        assert f"    {example}" in shown
        words = words_of(example)
        assert name == "" or words[: len(name.split())] == name.split()
        assert_command_exists(words, whole=True)


def test_example_when_it_names_what_is_not_there_then_it_is_found() -> None:
    for wrong in ("acount list", "account list --srot risk", "account list --sort riskiest", "account show"):
        with pytest.raises((pytest.fail.Exception, AssertionError)):
            assert_command_exists(wrong.split(), whole=True)


@pytest.mark.parametrize(
    ("typed", "completed"), [("unimargin quar", "quarantine"), ("unimargin account with", "withdrawable")]
)
def test_completion_when_the_shell_asks_then_commands_are_named(typed: str, completed: str) -> None:
    """As the script of `--show-completion` asks."""
    done = subprocess.run(
        [sys.executable, "-c", "from streams.cli.unimargin import app; app(prog_name='unimargin')"],
        env=os.environ
        | {
            "_UNIMARGIN_COMPLETE": "complete_bash",
            "COMP_WORDS": typed,
            "COMP_CWORD": str(len(typed.split()) - 1),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert completed in done.stdout.split()
