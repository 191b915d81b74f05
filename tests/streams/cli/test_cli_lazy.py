"""Light commands stay light: what is said of a command before it is imported, and what a command imports."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from streams.cli.lazy_commands import NotLoaded, summary_of
from streams.cli.unimargin import Commands, app
from tests.streams.cli.test_cli_account_show import QUOTES
from tests.support.builders import account
from tests.support.cli import unimargin
from tests.support.cli_state import leave_state, marks_now

HEAVY = (
    *(
        "aiohttp",
        "aiokafka",
        "confluent_kafka",
        "faust",
        "mode",
        "msgspec",
        "numba",
        "numpy",
        "prometheus_client",
    ),
    *("pydantic", "redis", "rich", "structlog", "engine", "streams.asyncapi", "streams.config"),
)
"""What neither the version nor the list of commands needs."""
NUMBERS = ("numba", "numpy", "faust", "aiokafka", "prometheus_client", "streams.asyncapi", "engine.book")
"""What an account's exact figures do not need."""

CHILD = """
import json, sys
from streams.cli.unimargin import main
sys.argv[0] = "unimargin"
try:
    main()
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


def imported(*words: str, env: dict[str, str] | None = None) -> set[str]:
    """Every module that a process of `unimargin WORDS` has imported at its end."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *words],
        env=os.environ | (env or {}),
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(done.stderr.splitlines()[-1]))


def test_summaries_when_held_against_the_commands_then_each_is_the_commands_own() -> None:
    group = typer.main.get_group(app)
    said = {name: summary_of(command) for name, command in group.commands.items()}
    loaded = {name: command.load() for name, command in group.commands.items()}
    assert said == {name: summary_of(command) for name, command in loaded.items()}
    assert all(said.values())


def test_sources_when_held_against_the_folders_then_none_is_forgotten() -> None:
    folder = Path(__file__).parents[3] / "streams" / "cli"
    modules = {f"streams.cli.{path.parent.name}.{path.stem}" for path in folder.glob("*/*_command.py")}
    assert {source.place.partition(":")[0] for source in Commands.sources.values()} == modules


def test_help_when_asked_then_lists_every_command_with_all_that_is_said_of_it() -> None:
    said = unimargin("--help")
    assert said.code == 0
    words = " ".join(said.out.split())
    for name, source in Commands.sources.items():
        assert f" {name} {source.summary}" in words


@pytest.mark.parametrize("name", Commands.sources)
def test_help_of_a_command_when_asked_then_it_is_the_commands(name: str) -> None:
    said = unimargin(name, "--help")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"Usage: unimargin {name} [OPTIONS]")
    assert Commands.sources[name].summary in " ".join(said.out.split())


def test_command_when_mistyped_then_the_nearest_is_offered_and_none_is_imported() -> None:
    said = unimargin("acount")
    assert said.code == 2
    assert "Did you mean 'account'?" in said.err


def test_command_when_resolved_then_only_that_one_is_loaded() -> None:
    group = typer.main.get_group(app)
    context = typer.Context(group)
    name, command, rest = group.resolve_command(context, ["doctor", "--json"])
    assert (name, rest) == ("doctor", ["--json"])
    assert not isinstance(command, NotLoaded)
    assert all(isinstance(it, NotLoaded) for it in group.commands.values())


@pytest.mark.parametrize("word", ["--version", "--help"])
def test_imports_when_the_version_or_the_list_is_asked_for_then_nothing_heavy(word: str) -> None:
    assert _among(imported(word), HEAVY) == set()


def test_imports_when_an_account_is_shown_then_no_compiler_no_faust_no_example_day(
    redis_env: dict[str, str],
) -> None:
    leave_state(redis_env["UNIMARGIN_REDIS_URL"], 0, [account()], marks=marks_now(QUOTES))
    assert _among(imported("account", "show", "alice", env=redis_env), NUMBERS) == set()


def test_imports_when_every_command_is_known_then_still_no_compiler_and_no_faust() -> None:
    names = json.dumps(list(Commands.sources))
    load_all = f"[group.commands[name].load() for name in {names}]"
    code = f"import json, sys, typer; from streams.cli.unimargin import app; group = typer.main.get_group(app); {load_all}; "
    told = subprocess.run(
        [sys.executable, "-c", code + "print(json.dumps(sorted(sys.modules)))"],
        capture_output=True,
        check=True,
    )
    assert _among(set(json.loads(told.stdout)), ("numba", "faust", "engine.book", "streams.worker")) == set()


def _among(modules: set[str], names: tuple[str, ...]) -> set[str]:
    return {name for name in names if name in modules}
