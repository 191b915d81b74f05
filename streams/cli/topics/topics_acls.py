"""`unimargin topics acls`: who may do what in Kafka, made so and looked at."""

from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
import typer

from streams.config.invocation import EXIT_PROBLEM, ConfigOption, JsonOption, run, tell_mistakes
from streams.config.settings import Settings, load_settings
from streams.config.terminal import console, json_out, printable, table
from streams.contract.access_rules import AccessRule, load_access_rules
from streams.kafka.access_control import HeldRule, add_rule, held_rules, remove_rule
from streams.kafka.topic_access import open_admin

app = typer.Typer(no_args_is_help=True, help="Who may do what in Kafka: one principal a role.")

FileOption = Annotated[
    Path | None, typer.Option("--file", help="Roles and their rights [default: those of the package]")
]


class RuleRow(msgspec.Struct, frozen=True):
    """One right, and whether table and broker agree about it."""

    principal: str
    resource: str
    name: str
    operation: str
    state: str
    """held, missing, surplus; after `apply`: held, added, removed."""


class Difference(NamedTuple):
    """Table against broker."""

    held: set[AccessRule]
    missing: set[AccessRule]
    surplus: set[HeldRule]


@app.command()
@tell_mistakes
def apply(
    file: FileOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change.")] = False,  # noqa: FBT002
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Allow the principals of the table what it says, and take from them what it does not say. Others are left as they are.

    Examples:
      unimargin topics acls apply
    """
    settings = load_settings(config)
    found = run(_apply(settings, _table(file, settings), dry_run=dry_run))
    words = ("missing", "surplus") if dry_run else ("added", "removed")
    _say(_rows(found, *words), as_json=as_json)


@app.command()
@tell_mistakes
def show(
    file: FileOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Compare the table with what the broker holds; exit code 1 where they differ.

    Examples:
      unimargin topics acls show --json
    """
    settings = load_settings(config)
    found = run(_compare(settings, _table(file, settings)))
    _say(_rows(found, "missing", "surplus"), as_json=as_json)
    if found.missing or found.surplus:
        raise typer.Exit(EXIT_PROBLEM)


def _table(file: Path | None, settings: Settings) -> set[AccessRule]:
    return set().union(*load_access_rules(file, settings).values())


async def _compare(settings: Settings, wanted: set[AccessRule]) -> Difference:
    async with open_admin(settings) as admin:
        held = await held_rules(admin, {it.principal for it in wanted})
    return Difference(wanted & held, wanted - held, held - wanted)


async def _apply(settings: Settings, wanted: set[AccessRule], *, dry_run: bool) -> Difference:
    found = await _compare(settings, wanted)
    if not dry_run:
        async with open_admin(settings) as admin:
            for rule in found.missing:
                await add_rule(admin, rule)
            for held in found.surplus:
                await remove_rule(admin, held)
    return found


def _rows(found: Difference, missing: str, surplus: str) -> list[RuleRow]:
    rows = [
        _row(rule, state)
        for state, rules in (("held", found.held), (missing, found.missing), (surplus, found.surplus))
        for rule in rules
    ]
    return sorted(rows, key=lambda it: (it.principal, it.resource, it.name, it.operation))


def _row(rule: HeldRule, state: str) -> RuleRow:
    if isinstance(rule, AccessRule):
        name = f"{rule.name}*" if rule.pattern.name == "PREFIXED" else rule.name
        return RuleRow(rule.principal, _word(rule.resource.name), name, _word(rule.operation.name), state)
    resource, name, _, principal, host, operation, permission = rule
    return RuleRow(
        principal, f"kind {resource}", name, f"{operation} from {host}, permission {permission}", state
    )


def _word(name: str) -> str:
    return name.lower().replace("_", " ")


def _say(rows: list[RuleRow], *, as_json: bool) -> None:
    if as_json:
        json_out(rows)
        return
    shown = table("Who may do what", ["principal", "what", "name", "may", ""])
    for row in rows:
        shown.add_row(printable(row.principal), row.resource, printable(row.name), row.operation, row.state)
    console().print(shown)
