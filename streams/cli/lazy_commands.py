"""Commands that are imported when they are called, so that a light one does not wait for what a heavy one needs.

The list of commands tells of each its name, where it is and the first paragraph of its help; `tests/streams/cli/
test_cli_lazy.py` holds that paragraph against the command's own.

A command's docstring ends with the paragraph `Examples:`, a line each, which help pages show as they stand.
"""

from collections.abc import Mapping
from pkgutil import resolve_name
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from streams.cli.standard_output import listener_may_leave

EXAMPLES = "Examples:"
_AS_IT_STANDS = "\b"
"""First line of a paragraph of help that is not to be wrapped."""


class Source(NamedTuple):
    """Where a command is, and what is said of it before it is imported."""

    place: str
    """`module:name` of a function, or of a Typer app that holds several."""
    summary: str
    command_class: str | None = None
    """`module:name` of the class that parses its words, where that is not Typer's."""


class CommandGroup(TyperGroup):
    """A group whose help lists each command with the whole first paragraph of its own."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands; Typer's own would cut each line at the width of the terminal."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary_of(it)) for name, it in commands if it and not it.hidden])


class NotLoaded(TyperCommand):
    """Stands in a list of commands for one that is not imported."""

    def __init__(self, name: str, source: Source) -> None:
        super().__init__(name, callback=None, help=source.summary)
        self._name = name
        self._source = source

    def load(self) -> Any:
        """Import the command: what Typer makes of the function or the app, as if it had been registered by name."""
        place, _, command_class = self._source
        found = resolve_name(place)
        # Plain help and plain mistakes: Typer's boxes cost a quarter of a second.
        parent = typer.Typer(add_completion=False, rich_markup_mode=None)
        if isinstance(found, typer.Typer):
            parent.add_typer(found, name=self._name, cls=CommandGroup)
        else:
            cls = None if command_class is None else resolve_name(command_class)
            parent.command(self._name, cls=cls)(found)
        return _with_examples(typer.main.get_group(parent).commands[self._name])


class LazyGroup(CommandGroup):
    """A group that knows its commands from `sources` and imports the one that is called."""

    sources: Mapping[str, Source]

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.help = _unwrapped(self.help or "")
        for name, source in self.sources.items():
            self.add_command(NotLoaded(name, source))

    def invoke(self, ctx: Any) -> Any:
        """Run the command; a word that is none of an option's choices is told in plain words."""
        try:
            with listener_may_leave():
                return super().invoke(ctx)
        except typer.BadParameter as mistake:
            from streams.config.problem import in_plain_words  # noqa: PLC0415 - only where there is a mistake

            mistake.message = in_plain_words(mistake.message)
            raise

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that `args` begin with, imported."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.load() if isinstance(command, NotLoaded) else command, rest


def summary_of(command: Any) -> str:
    """The first paragraph of a command's help, on one line."""
    return " ".join((command.help or "").split("\n\n")[0].split())


def examples_of(command: Any) -> list[str]:
    """The example lines of a command's help."""
    _, _, lines = (command.help or "").partition(f"{EXAMPLES}\n")
    return [line.strip() for line in lines.split("\n\n")[0].splitlines()]


def _with_examples(command: Any) -> Any:
    """The command with its examples shown line by line; a group shows the first one of each of its commands."""
    firsts = [examples_of(_with_examples(it))[:1] for it in getattr(command, "commands", {}).values()]
    if firsts:
        command.help = "\n".join(
            [f"{command.help}\n\n{EXAMPLES}", *(f"  {it}" for first in firsts for it in first)]
        )
    command.help = _unwrapped(command.help or "")
    return command


def _unwrapped(text: str) -> str:
    return text.replace(f"\n\n{EXAMPLES}\n", f"\n\n{_AS_IT_STANDS}\n{EXAMPLES}\n")
