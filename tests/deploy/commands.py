"""Whether a command line is one that the program takes."""

import typer.main

from streams.cli.lazy_commands import NotLoaded
from streams.cli.unimargin import app


def assert_command_exists(words):
    """Walk `words` through the command tree: each a command, an option of the last one, or an argument it takes."""
    command = typer.main.get_command(app)
    rest = list(words)
    while rest and hasattr(command, "commands"):
        name = rest.pop(0)
        assert name in command.commands, f"no command {name!r} in {words}"
        command = command.commands[name]
        command = command.load() if isinstance(command, NotLoaded) else command
    assert not hasattr(command, "commands"), f"{words} stops at a group"
    options = {name for parameter in command.params for name in parameter.opts}
    assert {word for word in rest if word.startswith("--")} <= options, words
    if rest and not rest[0].startswith("--"):
        assert any(parameter.param_type_name == "argument" for parameter in command.params), words
