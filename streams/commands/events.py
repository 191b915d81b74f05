"""`unimargin events`: follow what the engine says."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import msgspec
import typer
from rich.text import Text

from engine.effects import RiskEvent, Stream
from engine.marks import NANOSECONDS
from streams.commands.common import AccountFilter, ConfigOption, JsonOption, run, tell_mistakes
from streams.commands.kafka_io import ConsumerRecord, find_places, open_reader
from streams.commands.output import BAND_STYLES, amount, console, json_out, printable
from streams.commands.plan_words import plan_in_short
from streams.settings import Settings, load_settings

app = typer.Typer(no_args_is_help=True, help="The events of the engine.")

RATIO_PLACES = 4
AMOUNT_PLACES = 2
_decoder = msgspec.json.Decoder(RiskEvent)


class Topics(StrEnum):
    """Which event topics to follow."""

    MARGIN_EVENTS = "margin-events"
    LIQUIDATIONS = "liquidations"
    BOTH = "both"


@app.callback()
def events() -> None:
    """The events of the engine."""


@app.command()
@tell_mistakes
def tail(
    topic: Annotated[Topics, typer.Option(help="Which events.")] = Topics.BOTH,
    from_beginning: Annotated[  # noqa: FBT002 - an option of the command line
        bool, typer.Option("--from-beginning", help="Also the events that the log already holds.")
    ] = False,
    account: AccountFilter = None,
    type_prefix: Annotated[
        str | None, typer.Option("--type", metavar="PREFIX", help='Only these, for example "margin.call".')
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="End after this many events.")] = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Print events as they are published, until Ctrl-C. An event may come twice, under the same ce_id."""
    settings = load_settings(config)
    streams = list(Stream) if topic is Topics.BOTH else [Stream(topic.value)]
    try:
        run(
            _tail(
                settings,
                streams,
                from_beginning=from_beginning,
                account=account,
                type_prefix=type_prefix or "",
                limit=limit,
                as_json=as_json,
            )
        )
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


async def _tail(
    settings: Settings,
    streams: list[Stream],
    *,
    from_beginning: bool,
    account: str | None,
    type_prefix: str,
    limit: int | None,
    as_json: bool,
) -> None:
    out = console()
    shown = 0
    async for record in _records(settings, streams, from_beginning=from_beginning, quiet=as_json):
        headers = {name: value.decode(errors="backslashreplace") for name, value in record.headers}
        if account is not None and record.key != account.encode():
            continue
        if not headers.get("ce_type", "").startswith(type_prefix):
            continue
        if as_json:
            json_out(_as_json(record, headers))
        else:
            out.print(_as_line(record, headers), soft_wrap=True)
        shown += 1
        if shown == limit:
            return


async def _records(
    settings: Settings, streams: list[Stream], *, from_beginning: bool, quiet: bool
) -> AsyncIterator[ConsumerRecord]:
    assigned = await find_places(settings, streams)
    async with open_reader(settings) as consumer:
        consumer.assign(assigned)
        offsets = await (consumer.beginning_offsets if from_beginning else consumer.end_offsets)(assigned)
        for place in assigned:
            consumer.seek(place, offsets[place])
        if not quiet:
            typer.echo(f"following {' and '.join(streams)}; Ctrl-C ends", err=True)
        while True:
            yield await consumer.getone()
            await asyncio.sleep(0)  # Ctrl-C works while the log has more at hand than is printed


def _as_json(record: ConsumerRecord, headers: dict[str, str]) -> dict[str, Any]:
    try:
        data = msgspec.json.decode(record.value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError):
        data = None
    return {
        "ce_id": headers.get("ce_id"),
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "headers": headers,
        "data": data,
    }


def _as_line(record: ConsumerRecord, headers: dict[str, str]) -> Text:
    try:
        event = _decoder.decode(record.value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        place = f"{record.topic}/{record.partition}/{record.offset}"
        kind = printable(headers.get("ce_type", "without a type"))
        return Text(f"{place}  {kind}  cannot be read as a risk event of this version: {error}", style="red")
    when = datetime.fromtimestamp(event.time_ns / NANOSECONDS, UTC).isoformat(timespec="milliseconds")
    line = Text(f"{when.removesuffix('+00:00')}Z  {event.type.value:<27}  ")
    line.append(f"{printable(event.account):<16}  {printable(event.position or 'cross'):<10}  ")
    line.append(f"ratio {amount(event.ratio, RATIO_PLACES):>9}  ")
    line.append(f"{event.band.value:<11}", style=BAND_STYLES[event.band])
    line.append(f"  short {amount(event.shortfall_to_call, AMOUNT_PLACES)} to call")
    if event.shortfall_to_liquidation:
        line.append(f", {amount(event.shortfall_to_liquidation, AMOUNT_PLACES)} to liquidation")
    if event.plan is not None:
        line.append(f"  {plan_in_short(event.plan)}")
    if event.degraded:
        line.append("  degraded", style="yellow")
    return line
