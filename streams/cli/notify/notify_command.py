"""`unimargin notify`: tell people of events by rules; try a rule; send dead letters again."""

import asyncio
import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streams.config.invocation import EXIT_PROBLEM, ConfigOption, run, tell_mistakes
from streams.config.logs import configure_logs
from streams.config.problem import desk_extra
from streams.config.settings import SettingsError, load_settings
from streams.config.terminal import json_out
from streams.desk.notify.notify_rules import NotifyRules
from streams.desk.notify.rules_file import load_rules

if TYPE_CHECKING:
    from types import ModuleType

    from streams.desk.notify.notify_process import Attempt

app = typer.Typer(
    no_args_is_help=True,
    help="Tell people of events: webhooks, PagerDuty, chat and mail, by the rules of a file.",
)

RulesArgument = Annotated[
    Path, typer.Argument(metavar="RULES", help="The rules, a TOML file.", show_default=False)
]


@app.command("run")
@tell_mistakes
def run_command(
    rules: RulesArgument,
    dry_run: Annotated[  # noqa: FBT002 - an option of the command line
        bool, typer.Option("--dry-run", help="Send nothing: print who would be told of what, as JSON.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Follow the event topics and tell the targets, until SIGTERM.

    Several share the load. Each event is told at least once, under one id, or lies among the dead letters.

    Examples:
      unimargin notify run notify.toml
      unimargin notify run notify.toml --dry-run
    """
    settings, found = load_settings(config), load_rules(rules)
    process = _process()
    configure_logs(settings.log_level, settings.log_levels)
    work = process.run_dry(settings, found, json_out) if dry_run else process.run_notifier(settings, found)
    with asyncio.Runner() as runner:
        runner.run(work)


@app.command("test")
@tell_mistakes
def try_command(
    rules: RulesArgument,
    rule: Annotated[str, typer.Argument(metavar="RULE", help="Its name in the file.", show_default=False)],
) -> None:
    """Send a message that says that it is a test to every target of a rule; exit code 1 if one does not take it.

    Examples:
      unimargin notify test notify.toml condemned
    """
    found = load_rules(rules)
    _check_rule(found, rule)
    _tell(run(_process().try_rule(found, rule)))


@app.command()
@tell_mistakes
def replay(rules: RulesArgument, config: ConfigOption = None) -> None:
    """Send every dead letter once more; exit code 1 if one is still not taken, which is kept.

    Examples:
      unimargin notify replay notify.toml
    """
    settings, found = load_settings(config), load_rules(rules)
    _tell(run(_process().replay_dead(settings, found)))


def _check_rule(rules: NotifyRules, rule: str) -> None:
    if rule not in rules.rules:
        nearest = difflib.get_close_matches(rule, rules.rules, 1, 0.0)[0]
        raise SettingsError(f"RULE: there is no rule {rule!r}; did you mean {nearest!r}?")


def _tell(attempts: Sequence["Attempt"]) -> None:
    for it in attempts:
        json_out(it)
    if any(it.error is not None for it in attempts):
        raise typer.Exit(EXIT_PROBLEM)


def _process() -> "ModuleType":
    with desk_extra("the notifier"):
        from streams.desk.notify import notify_process  # noqa: PLC0415 - its libraries are an extra
    return notify_process
