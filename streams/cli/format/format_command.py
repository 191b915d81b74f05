"""`unimargin format`: which format of stored states is in force, and the operator's word that raises it."""

import getpass
import time
from typing import Annotated

import msgspec
import typer
from redis.asyncio import Redis
from redis.exceptions import WatchError

from streams.config.invocation import ConfigOption, JsonOption, run, tell_mistakes
from streams.config.problem import Problem
from streams.config.settings import Settings, SettingsError, load_settings
from streams.config.terminal import console, json_out, printable, table
from streams.store.format_store import (
    FormatInForce,
    HigherInForce,
    format_in_force,
    put_format_in_force,
    workers_known,
)
from streams.store.redis_access import open_redis, shard_count
from streams.store.store_format import FORMAT
from streams.store.store_reader import StoreReader

app = typer.Typer(
    no_args_is_help=True, help="The format of stored states: show it, raise it after an upgrade."
)


class Formats(msgspec.Struct, frozen=True):
    """How it stands."""

    in_force: int
    known: int
    """The highest that this edition knows."""
    shards: dict[str, int]
    """By shard, of what its owners have written."""
    workers: dict[str, int]
    """By worker that was heard of lately, the highest that it knows."""


@app.command()
@tell_mistakes
def show(as_json: JsonOption = False, config: ConfigOption = None) -> None:  # noqa: FBT002 - an option of the command line
    """Show the format in force, that of each shard, and what each worker knows.

    Examples:
      unimargin format show
    """
    found = run(_look(load_settings(config)))
    if as_json:
        json_out(found)
        return
    console().print(f"in force: {found.in_force}; this edition knows formats up to {found.known}")
    rows = table("Formats", ["", "format"], right=["format"])
    for shard, number in found.shards.items():
        rows.add_row(f"shard {shard}", str(number))
    for worker, number in found.workers.items():
        rows.add_row(f"worker {printable(worker)} knows", str(number))
    console().print(rows)


@app.command("raise")
@tell_mistakes
def raise_command(
    reason: Annotated[str, typer.Option(help="Why; kept with the number.", show_default=False)],
    who: Annotated[str | None, typer.Option(help="Who says so [default: the user's name]")] = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Put the highest format that this edition knows in force, once every worker knows it; a shard gets it when it is taken over next.

    From then on an older edition is refused: take a backup first (`unimargin backup create`).

    Examples:
      unimargin format raise --reason "every worker is new"
    """
    settings = load_settings(config)
    if not reason.strip():
        raise SettingsError("--reason must say something: it is what an auditor will read")
    before = run(_raise(settings, FormatInForce(FORMAT, time.time_ns(), who or getpass.getuser(), reason)))
    if as_json:
        json_out({"before": before, "in_force": FORMAT})
        return
    console().print(f"in force now: {FORMAT}; before: {before}. Shards get it when they are taken over next")


async def _look(settings: Settings) -> Formats:
    async with open_redis(settings) as client:
        return await _found(client, settings)


async def _found(client: Redis, settings: Settings) -> Formats:
    prefix = settings.redis_prefix
    store = StoreReader(client, prefix)
    metas = {shard: await store.meta(shard) for shard in range(await shard_count(client, prefix))}
    return Formats(
        in_force=await format_in_force(client, prefix),
        known=FORMAT,
        shards={str(shard): meta.format for shard, meta in metas.items()},
        workers={
            name: it.format
            for name, it in sorted((await workers_known(client, prefix, time.time_ns())).items())
        },
    )


async def _raise(settings: Settings, new: FormatInForce) -> int:
    async with open_redis(settings) as client:
        found = await _found(client, settings)
        older = [
            f"{printable(name)} (knows {number})"
            for name, number in found.workers.items()
            if number < new.format
        ]
        if older:
            raise Problem(
                f"these workers would be shut out: {', '.join(older)}. Upgrade them first; one that has ended is forgotten after a minute"
            )
        try:
            await put_format_in_force(client, settings.redis_prefix, new)
        except HigherInForce as error:
            raise Problem(str(error)) from None
        except WatchError:
            raise Problem("somebody else has raised it just now: look again") from None
        return found.in_force
