"""Sending records of the quarantine topic again: one pass over it, and then in the order that they had in their own topics.

The order has to be that of the inputs, and a shard that was taken over may have published twice, or late. So what is to be sent waits in a
file, sorted by its place: memory does not grow with what is in quarantine.
"""

import asyncio
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import msgspec
from aiokafka import TopicPartition

from engine.rejections import RejectionCode
from streams.cli.quarantine.quarantine_records import Quarantined, quarantined
from streams.config.problem import Problem
from streams.config.progress_bar import counting
from streams.config.settings import Settings
from streams.kafka.topic_access import LogBounds, open_producer, open_reader, read_between

SENT_TOGETHER = 1_000
"""Records under way to Kafka at once."""
SHOWN_MAX = 20
"""Of a bulk replay: it may have millions."""


class Wanted(msgspec.Struct, frozen=True):
    """Which records are to be sent again."""

    account: str | None
    """None: of all accounts."""
    reasons: frozenset[RejectionCode]

    def takes(self, record: Quarantined, inputs: frozenset[str]) -> bool:
        """Whether it is one of them."""
        return (
            record.is_input
            and record.topic in inputs
            and record.reason in self.reasons
            and (self.account is None or record.key == self.account.encode())
        )


class Replayed(msgspec.Struct, frozen=True):
    """What was sent, or would be."""

    records: list[Quarantined]
    """All of one account's; else the first `SHOWN_MAX`."""
    count: int
    by_reason: dict[str, int]


async def replay(settings: Settings, wanted: Wanted, *, dry_run: bool) -> Replayed:
    """Send them, unless it is a `dry_run`."""
    inputs = frozenset({settings.topic_fills, settings.topic_ledger})
    with _spool() as spool:
        with ExitStack() as stack:

            def begun(total: int) -> Callable[[int], None]:
                return stack.enter_context(counting("reading the quarantine", total))

            async for record in quarantined(settings, begun):
                if wanted.takes(record, inputs):
                    spool.execute(
                        "INSERT OR IGNORE INTO records VALUES (?, ?, ?, ?, ?)",
                        (*_place(record), record.cut, msgspec.msgpack.encode(record)),
                    )
        await _complete(settings, spool)
        shown_max = SHOWN_MAX if wanted.account is None else None
        found = _counted(spool, shown_max)
        if not dry_run and found.count:
            await _send(settings, spool, found.count)
    return found


@contextmanager
def _spool() -> Iterator[sqlite3.Connection]:
    """A file of records in the order of their places, each once; gone afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="unimargin-quarantine-") as directory,
        closing(sqlite3.connect(Path(directory) / "records", isolation_level=None)) as spool,
    ):
        spool.execute("PRAGMA journal_mode = OFF")
        spool.execute(
            "CREATE TABLE records (topic TEXT, shard INTEGER, place INTEGER, cut INTEGER, record BLOB,"
            " PRIMARY KEY (topic, shard, place)) WITHOUT ROWID"
        )
        spool.execute("BEGIN")
        yield spool


def _records(spool: sqlite3.Connection) -> Iterator[Quarantined]:
    rows = spool.execute("SELECT record FROM records ORDER BY topic, shard, place")
    return (msgspec.msgpack.decode(data, type=Quarantined) for (data,) in rows)


def _place(record: Quarantined) -> tuple[str, int, int]:
    return record.topic, record.partition, record.offset


async def _complete(settings: Settings, spool: sqlite3.Connection) -> None:
    """Read what was cut where it came from, one pass over each partition that has any. Raises `Problem` for what is not there any more."""
    asked = "SELECT topic, shard, MIN(place), MAX(place) + 1 FROM records WHERE cut GROUP BY topic, shard"
    wanted = {
        TopicPartition(topic, shard): LogBounds(first, end)
        for topic, shard, first, end in spool.execute(asked).fetchall()
    }
    if not wanted:
        return
    async with open_reader(settings) as consumer:
        begins = await consumer.beginning_offsets(list(wanted))
        ends = await consumer.end_offsets(list(wanted))
        bounds = {
            it: LogBounds(max(begins[it], begin), min(ends[it], end)) for it, (begin, end) in wanted.items()
        }
        lengths = sum(max(0, end - begin) for begin, end in bounds.values())
        with counting("reading what was cut", lengths) as done:
            async for found in read_between(consumer, {it: b for it, b in bounds.items() if b.begin < b.end}):
                done(1)
                where = found.topic, found.partition, found.offset
                at = "WHERE topic = ? AND shard = ? AND place = ? AND cut"
                row = spool.execute(f"SELECT record FROM records {at}", where).fetchone()  # noqa: S608
                if row is None:
                    continue
                record = msgspec.msgpack.decode(row[0], type=Quarantined)
                whole = msgspec.structs.replace(record, key=found.key, value=found.value or b"", cut=False)
                spool.execute(
                    f"UPDATE records SET cut = 0, record = ? {at}",  # noqa: S608
                    (msgspec.msgpack.encode(whole), *where),
                )
    (gone,) = spool.execute("SELECT COUNT(*) FROM records WHERE cut").fetchone()
    if gone:
        raise Problem(
            f"{gone} records were quarantined by their place alone, and are not in their topic any more"
        )


def _counted(spool: sqlite3.Connection, shown_max: int | None) -> Replayed:
    shown: list[Quarantined] = []
    reasons: Counter[str] = Counter()
    for record in _records(spool):
        reasons[record.reason] += 1
        if shown_max is None or len(shown) < shown_max:
            shown.append(record)
    return Replayed(shown, reasons.total(), dict(sorted(reasons.items())))


async def _send(settings: Settings, spool: sqlite3.Connection, count: int) -> None:
    with counting("sending", count) as done:
        async with open_producer(settings) as producer:
            waiting: list[asyncio.Future[object]] = []
            for record in _records(spool):
                # one key, so one partition: the producer keeps the order in which it is given records
                waiting.append(await producer.send(record.topic, key=record.key, value=record.value))
                if len(waiting) == SENT_TOGETHER:
                    await asyncio.gather(*waiting)
                    done(len(waiting))
                    waiting.clear()
            await asyncio.gather(*waiting)
            done(len(waiting))
