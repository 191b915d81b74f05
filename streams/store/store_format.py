"""The format of what a shard's owner writes: a number in the meta hash, so that an edition never rewrites what it knows only in part.

An owner writes the format in force (`streams.store.format_store`), or that of its shard where it is higher; one that does not know it is
refused by the script of the take-over, before it writes anything. Within a number states may only become *less*: a field that an edition
of the same number does not know stops the shard, when it is loaded.

To change what is stored
------------------------
1. add a line to `FORMATS`: what an edition of the number before would lose or misread
2. have the new edition read what the older numbers wrote, and write the new only where `ShardStore.format` has its number
3. say in the runbook MarginShardStopped what a rollback needs

How an upgrade goes: workers are replaced one by one, and all go on writing the number in force; any of them may be rolled back. When the
last is new an operator raises the number, and each shard gets it when it is taken over next. From then on a lower edition is refused, and
there is no way back but the backup that was taken before (`unimargin backup restore`) and the log since. An edition from before the
numbers looks at none.

Rejected: to write the newest number at the first take-over by a new worker (the others, still old, lose the shard for good, and nobody can
go back); to raise it as soon as every worker is seen to be new (a rollback an hour later is what it is needed for).
"""

FORMATS = {
    1: "states, risk records, breaker and deleveraging risks as JSON, outboxes in MessagePack, orders and ids apart; "
    "a shard without a number is of this format",
}
"""What each number means."""

FORMAT = max(FORMATS)
"""The highest that this edition knows."""
FORMAT_FIRST = 1
"""In force where nobody has said another."""


def newer(stored: str, where: str = "Redis") -> str:
    """Why a shard of the stored format is refused."""
    return (
        f"{where} holds format {stored}, written by a newer edition, and this one knows formats up to {FORMAT}: it would lose what it "
        "does not know. Start the newer edition, or restore the backup from before the upgrade"
    )


def restoring(backup: str) -> str:
    """Why a shard is refused into which a backup is being written."""
    return (
        f"the backup {backup} is being restored, or the restore was cut short: let it end, or restore again"
    )
