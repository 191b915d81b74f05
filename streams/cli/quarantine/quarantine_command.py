"""`unimargin quarantine`: records that were set aside; look at them, and send them again once the cause is repaired."""

import asyncio
import base64
from collections import deque
from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
import typer

from engine.rejections import RejectionCode
from streams.config.invocation import (
    AccountFilter,
    AccountOption,
    ConfigOption,
    JsonOption,
    run,
    tell_mistakes,
)
from streams.config.problem import Problem
from streams.config.settings import Settings, load_settings
from streams.config.terminal import console, json_out, printable, table
from streams.kafka.topic_access import ConsumerRecord, find_places, open_producer, open_reader, read_to_end

app = typer.Typer(no_args_is_help=True, help="Records that were set aside because they could not be applied.")

FIRST_CHARACTERS = 60
FOREIGN = "foreign"
"""As reason: somebody else wrote to the quarantine topic."""

ReasonOption = Annotated[
    list[RejectionCode] | None,
    typer.Option("--reason", help="Only records set aside for this reason; may be given several times."),
]


class Quarantined(msgspec.Struct, frozen=True):
    """A record as it was, where it was, and why it is here."""

    ce_id: str
    topic: str
    partition: int
    offset: int
    reason: str
    detail: str
    key: bytes | None
    value: bytes

    def as_json(self) -> dict[str, Any]:
        """Bytes as base64, and as text for reading."""
        return {
            **{
                name: getattr(self, name)
                for name in ("ce_id", "topic", "partition", "offset", "reason", "detail")
            },
            "key": None if self.key is None else printable(self.key),
            "key_base64": None if self.key is None else base64.b64encode(self.key).decode(),
            "value": printable(self.value),
            "value_base64": base64.b64encode(self.value).decode(),
        }


@app.command("list")
@tell_mistakes
def list_records(
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 50,
    account: AccountFilter = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Show what was set aside, and why."""
    settings = load_settings(config)
    total, newest = run(_newest(settings, account, limit))
    if as_json:
        for record in newest:
            json_out(record.as_json())
        return
    console().print(
        _table(f"Quarantine: {total} records" + (f", the newest {limit}" if total > limit else ""), newest)
    )


@app.command()
@tell_mistakes
def replay(
    account: AccountOption,
    reason: ReasonOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be sent.")] = False,  # noqa: FBT002
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Send an account's records again, as they were, to the topics they came from.

    First repair the cause, then `unimargin account resume`, then this: a record that still breaks a rule stops the
    account again, and all after it. What was sent before is dropped by its id, so repeating a replay does no harm.
    """
    settings = load_settings(config)
    records = run(_replay(settings, account, set(reason or RejectionCode), dry_run=dry_run))
    if as_json:
        json_out({"sent": not dry_run, "records": [record.as_json() for record in records]})
        return
    console().print(_table(f"{'Would send' if dry_run else 'Sent'} {len(records)} records", records))


async def _newest(settings: Settings, account: str | None, limit: int) -> tuple[int, list[Quarantined]]:
    newest: deque[Quarantined] = deque(maxlen=limit)
    total = 0
    async for record in _quarantined(settings):
        if account is None or record.key == account.encode():
            newest.append(record)
            total += 1
    return total, list(newest)


async def _replay(
    settings: Settings, account: str, reasons: set[RejectionCode], *, dry_run: bool
) -> list[Quarantined]:
    inputs = {settings.topic_fills, settings.topic_ledger}
    found = [
        record
        async for record in _quarantined(settings)
        if record.key == account.encode() and record.topic in inputs and record.reason in reasons
    ]
    if not found:
        raise Problem(f"no record of account {account!r} in quarantine" + _because(reasons))
    records = sorted(found, key=lambda record: (record.topic, record.partition, record.offset))
    if dry_run:
        return records
    async with open_producer(settings) as producer:
        # One key, so one partition: the producer keeps the order in which it is given records.
        sent = [await producer.send(record.topic, key=record.key, value=record.value) for record in records]
        await asyncio.gather(*sent)
    return records


def _because(reasons: set[RejectionCode]) -> str:
    return "" if reasons == set(RejectionCode) else f" because of {', '.join(sorted(reasons))}"


async def _quarantined(settings: Settings) -> AsyncIterator[Quarantined]:
    """Everything in quarantine, oldest first; what was published twice comes once."""
    seen = set()
    places = await find_places(settings, [settings.topic_quarantine])
    async with open_reader(settings) as consumer:
        async for record in read_to_end(consumer, places):
            read = _read(record)
            if read.ce_id not in seen:
                seen.add(read.ce_id)
                yield read


def _read(record: ConsumerRecord) -> Quarantined:
    headers = {name: value.decode(errors="backslashreplace") for name, value in record.headers}
    try:
        return Quarantined(
            ce_id=headers["ce_id"],
            topic=headers["topic"],
            partition=int(headers["partition"]),
            offset=int(headers["offset"]),
            reason=headers["reason"],
            detail=headers["detail"],
            key=record.key,
            value=record.value or b"",
        )
    except (KeyError, ValueError):
        return Quarantined(
            ce_id=f"{record.topic}/{record.partition}/{record.offset}",
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            reason=FOREIGN,
            detail="not written by a worker: it does not say which record it holds",
            key=record.key,
            value=record.value or b"",
        )


def _table(title: str, records: list[Quarantined]) -> Any:
    rows = table(
        title,
        ["topic", "partition", "offset", "reason", "detail", "key", "first bytes"],
        right=["partition", "offset"],
    )
    for record in records:
        rows.add_row(
            record.topic,
            str(record.partition),
            str(record.offset),
            record.reason,
            printable(record.detail),
            "-" if record.key is None else printable(record.key),
            printable(record.value, FIRST_CHARACTERS),
        )
    return rows
