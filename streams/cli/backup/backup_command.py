"""`unimargin backup`: one file of all that Redis holds of the accounts; the runbook RedisLost tells when it is needed."""

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from redis.asyncio import Redis

from engine.edition import ENGINE_VERSION
from engine.strict_decoding import UNREADABLE
from streams.config.invocation import ConfigOption, JsonOption, run, tell_mistakes
from streams.config.problem import Problem
from streams.config.progress_bar import counting
from streams.config.settings import Settings, SettingsError, load_settings
from streams.config.terminal import console, json_out, printable, table
from streams.contract.cloudevents import rfc3339
from streams.store.backup.backup_creating import Written, count_accounts, write_backup
from streams.store.backup.backup_file import BackupDamaged, BackupReader
from streams.store.backup.backup_records import ShardEnd
from streams.store.backup.backup_restoring import Found, check_policy, look_around, restore
from streams.store.policy_store import PolicyInForce
from streams.store.redis_access import open_redis, shard_count
from streams.store.redis_client import StoreError
from streams.store.store_format import FORMAT, newer
from streams.store.store_keys import ShardKeys

app = typer.Typer(
    no_args_is_help=True,
    help="One file of all that Redis holds: create it while workers run, verify it, restore it.",
)

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", show_default=False)]


class Restored(msgspec.Struct, frozen=True):
    """What a restore did, or would do."""

    written: bool
    replaced: tuple[int, ...]
    """Shards whose keys in Redis went for it, or would go."""
    backup: Written


@app.command()
@tell_mistakes
def create(
    file: FileArgument,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Write all shards into a new file, each as of one commit; workers may run meanwhile.

    The file is there when it is whole: until then it is FILE.partial.

    Examples:
      unimargin backup create /backups/unimargin.backup
    """
    settings = load_settings(config)
    if file.exists():
        raise SettingsError(f"{file}: it exists, and a backup overwrites nothing")
    written = run(_create(settings, file))
    _tell(written, "written", as_json=as_json)


@app.command()
@tell_mistakes
def verify(file: FileArgument, as_json: JsonOption = False) -> None:  # noqa: FBT002 - an option of the command line
    """Read a file from its begin to its end and check every digest; no service is needed.

    Examples:
      unimargin backup verify /backups/unimargin.backup
    """
    _tell(_verified(file), "whole", as_json=as_json)


@app.command("restore")
@tell_mistakes
def restore_command(
    file: FileArgument,
    replace: Annotated[  # noqa: FBT002 - an option of the command line
        bool, typer.Option("--replace", help="Delete what the shards hold in Redis now.")
    ] = False,
    dry_run: Annotated[  # noqa: FBT002 - as above
        bool, typer.Option("--dry-run", help="Only check, and show what would be done.")
    ] = False,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Write a verified file into Redis, all workers stopped; started again, they catch up from the log.

    Refused while a worker owns a shard, and where shards hold data, unless that is to be replaced.

    Examples:
      unimargin backup restore /backups/unimargin.backup --dry-run
    """
    settings = load_settings(config)
    backup = _verified(file)
    highest = max((it.format for it in backup.shards), default=0)
    if highest > FORMAT:
        raise Problem(f"{file}: {newer(str(highest))}")
    told = run(_restore(settings, file, backup, replace=replace, dry_run=dry_run))
    if as_json:
        json_out(told)
        return
    _tell(backup, "restored" if told.written else "would be restored", as_json=False)
    if told.replaced:
        gone = ", ".join(map(str, told.replaced))
        console().print(f"{'replaced' if told.written else 'would be replaced'}: shards {gone}")
    if told.written:
        console().print("start the workers: they catch up from the watermarks")


async def _create(settings: Settings, file: Path) -> Written:
    prefix = settings.redis_prefix
    partial = file.with_name(file.name + ".partial")
    async with open_redis(settings) as client:
        shards = await _shards(client, prefix)
        if not shards:
            raise Problem(f"Redis holds no shard under the prefix {printable(prefix)}: nothing to back up")
        total = await count_accounts(client, prefix, shards)
        try:
            with partial.open("wb") as out, counting("accounts", total) as on_accounts:
                written = await write_backup(
                    client,
                    prefix,
                    shards,
                    out,
                    edition=ENGINE_VERSION,
                    now_ns=time.time_ns(),
                    on_accounts=on_accounts,
                )
                out.flush()
                os.fsync(out.fileno())
            partial.rename(file)
        except StoreError as error:
            raise Problem(str(error)) from None
        except OSError as error:
            if error.filename is None and error.errno is None:  # the client's: open_redis tells it
                raise
            raise Problem(f"{partial}: {error.strerror}") from None
        finally:
            with suppress(OSError):
                partial.unlink()
    return written


async def _shards(client: Redis, prefix: str) -> tuple[int, ...]:
    any_client: Any = client
    numbers = range(await shard_count(client, prefix))
    return tuple([it for it in numbers if await any_client.exists(ShardKeys(prefix, it).fence)])


def _verified(file: Path) -> Written:
    try:
        size = file.stat().st_size
        with file.open("rb") as data, counting("verifying", size) as on_bytes:
            return _read(BackupReader(data, on_bytes))
    except OSError as error:
        raise Problem(f"{file}: {error.strerror}") from None
    except BackupDamaged as damaged:
        raise Problem(f"{file}: not a usable backup: {damaged}") from None


def _read(reader: BackupReader) -> Written:
    ends = [it for it in reader.records() if isinstance(it, ShardEnd)]
    return Written(reader.header, tuple(ends), reader.sha256)


async def _restore(
    settings: Settings, file: Path, backup: Written, *, replace: bool, dry_run: bool
) -> Restored:
    prefix = settings.redis_prefix
    async with open_redis(settings) as client:
        try:
            found = await look_around(client, prefix)
            _refuse_data(found, replace=replace)
            await check_policy(client, prefix, backup.header, replace=replace)
            replaced = tuple(it.shard for it in found)
            if dry_run:
                return Restored(written=False, replaced=replaced, backup=backup)
            with file.open("rb") as data, counting("restoring", backup.accounts) as on_accounts:
                await restore(client, prefix, data, found, on_accounts)
        except (StoreError, BackupDamaged) as error:
            raise Problem(str(error)) from None
    return Restored(written=True, replaced=replaced, backup=backup)


def _refuse_data(found: list[Found], *, replace: bool) -> None:
    holding = [it.shard for it in found if not it.restoring]
    if holding and not replace:
        raise Problem(
            f"Redis holds data of the shards {', '.join(map(str, holding))}: --replace deletes it (`unimargin backup create` keeps it)"
        )


def _tell(backup: Written, what: str, *, as_json: bool) -> None:
    if as_json:
        json_out(backup)
        return
    out = console()
    header = backup.header
    rows = table(
        f"Backup of {rfc3339(header.created_ns)}, by unimargin {header.edition}, prefix {printable(header.prefix)}",
        ["shard", "accounts", "fence", "commit", "format", "watermarks"],
        right=["shard", "accounts", "fence", "commit", "format"],
    )
    for it in backup.shards:
        at = ", ".join(f"{topic} {offset}" for topic, offset in sorted(it.watermarks.items()))
        rows.add_row(
            str(it.shard), f"{it.accounts:,}", str(it.fence), str(it.commit), str(it.format), printable(at)
        )
    out.print(rows)
    if header.policy is not None:
        out.print(_policy_words(header.policy))
    out.print(f"{what}: {len(backup.shards)} shards, {backup.accounts:,} accounts, sha256 {backup.sha256}")


def _policy_words(policy: str) -> str:
    try:
        it = msgspec.json.decode(policy, type=PolicyInForce)
    except UNREADABLE as error:
        raise Problem(f"the policy in force in the backup cannot be read: {error}") from None
    return f"policy in force: {printable(it.name)}, version {it.version}, digest {it.digest}"
