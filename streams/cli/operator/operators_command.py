"""`unimargin operator log`: what operators have said, who, when and why, and what became of it."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple

import msgspec
import typer

from engine.rejections import Rejection
from streams.config.invocation import ConfigOption, JsonOption, run, tell_mistakes
from streams.config.settings import Settings, SettingsError, load_settings
from streams.config.terminal import console, json_out, printable, table
from streams.contract.cloudevents import rfc3339
from streams.contract.operator_command import (
    AccountsResume,
    CommandOutcome,
    CommandRefusal,
    OperatorCommand,
    OperatorOutcome,
    decode_operator_record,
)
from streams.kafka.topic_access import find_places, open_reader, read_to_end

NS_PER_MS = 1_000_000
STOPS_SHOWN = 3
WAITS = "no shard has said anything yet"

app = typer.Typer(
    no_args_is_help=True, help="What operators have said: who, when and why, and what became of it."
)


class InShard(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a command in one shard."""

    shard: int
    outcome: CommandOutcome
    code: CommandRefusal | None
    detail: str
    said_ns: int
    """When the record was written (Unix ns, to the millisecond)."""


class Logged(msgspec.Struct, frozen=True, kw_only=True):
    """One command."""

    offset: int
    """Of its record."""
    command: OperatorCommand
    outcomes: tuple[InShard, ...]
    """By shard; a command for all of them has one of each that was running, one for accounts of each that has some of them."""


class _Said(NamedTuple):
    offset: int
    record: OperatorCommand | OperatorOutcome
    said_ns: int


@app.callback()
def operator() -> None:
    """What operators have said: who, when and why, and what became of it."""


@app.command()
@tell_mistakes
def log(
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Only commands given since: ISO time, UTC by default.", show_default="all"
        ),
    ] = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Show every operator's command: when, who, what and why, and whether each shard has applied or refused it.

    Examples:
      unimargin operator log
      unimargin operator log --json
    """
    settings, since_ns = load_settings(config), _moment(since)
    logged = [it for it in logged_commands(run(_read(settings))) if it.command.time_ns >= since_ns]
    if as_json:
        json_out(logged)
        return
    rows = table("Operators' commands", ["given", "who", "what", "why", "what became of it"])
    for it in logged:
        command = it.command
        told = (printable(command.who), _what(command), printable(command.why), _became(it.outcomes))
        rows.add_row(rfc3339(command.time_ns), *told)
    console().print(rows if logged else "no operator has said anything")


def logged_commands(records: Iterable[_Said]) -> list[Logged]:
    """Each command once, as it was first said. Of what a shard says of it `applied` counts before what it says later, and `not_allowed` always."""
    commands: dict[str, tuple[int, OperatorCommand]] = {}
    told: dict[str, dict[int, InShard]] = {}
    for offset, record, said_ns in records:
        if not isinstance(record, OperatorOutcome):
            commands.setdefault(record.id, (offset, record))
            continue
        shards = told.setdefault(record.command_id, {})
        known = shards.get(record.shard)
        if (
            known is None
            or record.code is CommandRefusal.NOT_ALLOWED
            or (record.outcome is CommandOutcome.APPLIED and known.code is CommandRefusal.NOTHING_HELD)
        ):
            shards[record.shard] = InShard(
                shard=record.shard,
                outcome=record.outcome,
                code=record.code,
                detail=record.detail,
                said_ns=said_ns,
            )
    return [
        Logged(
            offset=offset, command=command, outcomes=tuple(it for _, it in sorted(told.get(name, {}).items()))
        )
        for name, (offset, command) in commands.items()
    ]


async def _read(settings: Settings) -> list[_Said]:
    found = []
    places = await find_places(settings, [settings.topic_operator])
    async with open_reader(settings) as consumer:
        async for record in read_to_end(consumer, places):
            said = decode_operator_record(record.value)
            if not isinstance(said, Rejection):
                found.append(_Said(record.offset, said, record.timestamp * NS_PER_MS))
    return found


def _moment(since: str | None) -> int:
    if since is None:
        return 0
    try:
        moment = datetime.fromisoformat(since)
    except ValueError:
        raise SettingsError(f"--since {since!r}: not an ISO time such as 2026-03-01T08:00") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1_000) * NS_PER_MS


def _what(command: OperatorCommand) -> str:
    kind = str(type(command).__struct_config__.tag).replace("_", " ")
    if isinstance(command, AccountsResume):
        shown: list[Any] = [
            f"{it.account} in {it.topic} at {it.stop_offset}" for it in command.stops[:STOPS_SHOWN]
        ]
        more = len(command.stops) - len(shown)
        shown += [f"{more} more"] if more else []
        seq = "" if command.next_account_seq is None else f", next account_seq {command.next_account_seq}"
        return printable(f"{kind}: {', '.join(shown)}{seq}")
    return kind if command.shard is None else f"{kind} of shard {command.shard}"


def _became(outcomes: tuple[InShard, ...]) -> str:
    if not outcomes:
        return WAITS
    words: dict[str, list[int]] = {}
    for it in outcomes:
        said = it.outcome.value if it.code is None else f"{it.outcome} ({it.code})"
        words.setdefault(said, []).append(it.shard)
    return "; ".join(f"{said}: shard {', '.join(map(str, shards))}" for said, shards in words.items())
