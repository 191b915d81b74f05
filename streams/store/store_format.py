"""The format of what a shard's owner writes: a number in the meta hash, so that an edition never rewrites what it knows only in part.

Each take-over writes the owner's number; one whose number is lower is refused by the same script, before it writes anything. Within a
number states may only become *less*: a field that an edition of the same number does not know stops the shard, when it is loaded.

To change what is stored
------------------------
1. add a line to `FORMATS`: what an edition of the number before would lose or misread
2. have the new edition read what the older numbers wrote
3. say in the runbook MarginShardStopped what a rollback needs

Which editions may go back: to any with the same number, by a restart. To a lower number there is no way but the backup that was taken
before the upgrade (`unimargin backup restore`) and the log since. An edition from before the numbers looks at none.
"""

FORMATS = {
    1: "states, risk records, breaker and deleveraging risks as JSON, outboxes in MessagePack, orders and ids apart; "
    "a shard without a number is of this format",
}
"""What each number means."""

FORMAT = max(FORMATS)
"""Of this edition."""


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
