"""`unimargin events`: follow what the engine says."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import msgspec
import typer
from rich.text import Text

from engine.events.adl_events import AdlEvent
from engine.events.breaker_events import BreakerEvent
from engine.events.effects import RiskEvent, Stream
from engine.events.price_events import PriceEvent
from engine.ladder import Band
from engine.ladder.table import LIQUIDATING
from engine.marks.mark_book import NANOSECONDS
from engine.rejections import Rejection
from engine.strict_decoding import UNREADABLE
from streams.answers.account_read import NEAR_ACCOUNTS_MAX, UnknownAccount, find_account
from streams.answers.shelf import open_shelf
from streams.cli.breaker.breaker_words import said_of
from streams.cli.events.outage_words import outage_in_words
from streams.cli.liquidations.adl_words import risk_in_words
from streams.cli.liquidations.plan_words import plan_in_short
from streams.config.invocation import AccountFilter, ConfigOption, JsonLinesOption, run, tell_mistakes
from streams.config.near_names import did_you_mean, near_names
from streams.config.problem import Problem
from streams.config.settings import Settings, SettingsError, load_settings
from streams.config.terminal import BAND_STYLES, amount, console, json_out, printable
from streams.contract.cloudevents import event_types
from streams.contract.published_event import decode_event
from streams.kafka.topic_access import ConsumerRecord, find_places, header_texts, open_reader

app = typer.Typer(no_args_is_help=True, help="The events of the engine.")

RATIO_PLACES = 4
AMOUNT_PLACES = 2
BAND_WIDTH = len("-> liquidation")


class Entered(StrEnum):
    """Bands that a pool comes into from a better one."""

    WARNING = Band.WARNING.value
    MARGIN_CALL = Band.MARGIN_CALL.value
    REDUCE_ONLY = Band.REDUCE_ONLY.value
    LIQUIDATION = Band.LIQUIDATION.value
    BANKRUPT = Band.BANKRUPT.value


class _Verdict(msgspec.Struct):
    """What of an event says which band was entered."""

    entered: Band | None = None


_verdicts = msgspec.json.Decoder(_Verdict)


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
    entered: Annotated[
        Entered | None,
        typer.Option(
            help="Only verdicts by which a pool came into this band from a better one, in the topic that tells them."
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="End after this many events.")] = None,
    as_json: JsonLinesOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Print events as they are published, until Ctrl-C. An event may come twice, under the same ce_id.

    Examples:
      unimargin events tail --entered margin_call
      unimargin events tail --from-beginning --account alice --limit 20
    """
    settings = load_settings(config)
    _check_type(type_prefix or "")
    band = None if entered is None else Band(entered.value)
    try:
        run(
            _tail(
                settings,
                _streams(topic, band),
                from_beginning=from_beginning,
                account=account,
                type_prefix=type_prefix or "",
                entered=band,
                limit=limit,
                as_json=as_json,
            )
        )
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def _check_type(prefix: str) -> None:
    """Raise `SettingsError` for what no type of event begins with: it would follow for ever and show nothing."""
    known = [*event_types()]
    if not any(it.startswith(prefix) for it in known):
        near = did_you_mean(near_names(prefix, known), f"there are {', '.join(known)}")
        raise SettingsError(f"--type {prefix!r}: no type of event begins like this; {near}")


def _streams(topic: Topics, entered: Band | None) -> list[Stream]:
    """Both topics speak of who enters liquidation, each in its own words: a verdict is not to be shown twice."""
    if topic is not Topics.BOTH:
        return [Stream(topic.value)]
    if entered is None:
        return list(Stream)
    return [Stream.LIQUIDATIONS if entered in LIQUIDATING else Stream.MARGIN_EVENTS]


async def _tail(
    settings: Settings,
    streams: list[Stream],
    *,
    from_beginning: bool,
    account: str | None,
    type_prefix: str,
    entered: Band | None,
    limit: int | None,
    as_json: bool,
) -> None:
    out = console()
    shown = 0
    saying = None if account is None or as_json else asyncio.ensure_future(_say_unknown(settings, account))
    try:
        async for record in _records(settings, streams, from_beginning=from_beginning, quiet=as_json):
            headers = header_texts(record)
            if account is not None and record.key != account.encode():
                continue
            if not headers.get("ce_type", "").startswith(type_prefix):
                continue
            if entered is not None and _entered(record) is not entered:
                continue
            if as_json:
                json_out(_as_json(record, headers))
            else:
                out.print(event_line(record, headers), soft_wrap=True)
            shown += 1
            if shown == limit:
                return
    finally:
        if saying is not None:
            saying.cancel()


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


async def _say_unknown(settings: Settings, account: str) -> None:
    """Say so where no shard holds the account; its events are followed all the same, for it may come, or have been."""
    try:
        async with open_shelf(settings) as shelf:
            await find_account(shelf, account, NEAR_ACCOUNTS_MAX)
    except UnknownAccount as unknown:
        typer.echo(f"note: {unknown}", err=True)
    except Problem:
        return  # without Redis nobody knows, and events are in Kafka


def _entered(record: ConsumerRecord) -> Band | None:
    try:
        return _verdicts.decode(record.value or b"").entered
    except UNREADABLE:
        return None


def _as_json(record: ConsumerRecord, headers: dict[str, str]) -> dict[str, Any]:
    try:
        data = msgspec.json.decode(record.value or b"")
    except UNREADABLE:
        data = None
    return {
        "ce_id": headers.get("ce_id"),
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "headers": headers,
        "data": data,
    }


def event_line(record: ConsumerRecord, headers: dict[str, str]) -> Text:
    """An event for people, on one line; `headers` tell of one that this version cannot read."""
    event = decode_event(record.value)
    if isinstance(event, Rejection):
        place = f"{record.topic}/{record.partition}/{record.offset}"
        kind = printable(headers.get("ce_type", "without a type"))
        return Text(
            f"{place}  {kind}  cannot be read as a risk event of this version: {event.detail}", style="red"
        )
    when = datetime.fromtimestamp(event.time_ns / NANOSECONDS, UTC).isoformat(timespec="milliseconds")
    if isinstance(event, PriceEvent):
        return Text(
            f"{when.removesuffix('+00:00')}Z  {event.type.value:<27}  {outage_in_words(event)}",
            style="yellow",
        )
    if isinstance(event, AdlEvent):
        return Text(
            f"{when.removesuffix('+00:00')}Z  {event.type.value:<27}  {risk_in_words(event)}", style="red"
        )
    if isinstance(event, BreakerEvent):
        return Text(f"{when.removesuffix('+00:00')}Z  {event.type.value:<27}  {said_of(event)}", style="red")
    line = Text(f"{when.removesuffix('+00:00')}Z  {event.type.value:<27}  ")
    line.append(f"{printable(event.account):<16}  {printable(event.position or 'cross'):<10}  ")
    line.append(f"ratio {amount(event.ratio, RATIO_PLACES):>9}  ")
    line.append(f"{_band_in_words(event):<{BAND_WIDTH}}", style=BAND_STYLES[event.band])
    line.append(f"  short {amount(event.shortfall_to_call, AMOUNT_PLACES)} to call")
    if event.shortfall_to_liquidation:
        line.append(f", {amount(event.shortfall_to_liquidation, AMOUNT_PLACES)} to liquidation")
    if event.plan is not None:
        line.append(f"  {plan_in_short(event.plan)}")
    if event.degraded:
        line.append("  degraded", style="yellow")
    return line


def _band_in_words(event: RiskEvent) -> str:
    return event.band.value if event.entered is None else f"-> {event.entered.value}"
