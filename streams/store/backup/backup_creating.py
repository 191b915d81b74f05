"""Writing a backup of every shard into a file, while workers run."""

from collections.abc import Callable
from typing import Any, BinaryIO

import msgspec
from redis.asyncio import Redis

from streams.store.backup.backup_file import BackupWriter
from streams.store.backup.backup_records import BackupHeader, ShardEnd
from streams.store.backup.shard_imaging import image_shard
from streams.store.format_store import format_in_force
from streams.store.policy_store import in_force_key, versions_key
from streams.store.redis_client import bounded
from streams.store.store_keys import ShardKeys


class Written(msgspec.Struct, frozen=True):
    """What a file holds."""

    header: BackupHeader
    shards: tuple[ShardEnd, ...]
    sha256: str

    @property
    def accounts(self) -> int:
        """Of all shards."""
        return sum(it.accounts for it in self.shards)


async def count_accounts(client: Redis, prefix: str, shards: tuple[int, ...]) -> int:
    """About how many there are now."""
    pipe: Any = client.pipeline(transaction=False)
    for shard in shards:
        pipe.hlen(ShardKeys(prefix, shard).accounts)
    return sum(await bounded(pipe.execute()))


async def write_backup(
    client: Redis,
    prefix: str,
    shards: tuple[int, ...],
    file: BinaryIO,
    *,
    edition: str,
    now_ns: int,
    on_accounts: Callable[[int], None],
) -> Written:
    """Write these shards, one after the other, each as of one commit. Raises what `image_shard` raises."""
    pipe: Any = client.pipeline(transaction=True)
    pipe.get(in_force_key(prefix)).hgetall(versions_key(prefix))
    in_force, versions = await bounded(pipe.execute())
    written_format = await format_in_force(client, prefix)
    header = BackupHeader(
        edition=edition,
        format=written_format,
        prefix=prefix,
        created_ns=now_ns,
        shards=shards,
        policy=None if in_force is None else in_force.decode(),
        policies={digest.decode(): policy.decode() for digest, policy in versions.items()},
    )
    writer = BackupWriter(file, header)
    ends = [await image_shard(client, prefix, shard, writer, on_accounts) for shard in shards]
    return Written(header, tuple(ends), writer.finish())
