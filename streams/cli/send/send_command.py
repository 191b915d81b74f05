"""`unimargin send`: one fill, ledger entry or price, checked as the worker checks it, to where the worker reads it."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from engine.rejections import Rejection
from streams.cli.send.outgoing import PRICES, Outgoing, outgoing
from streams.config.invocation import ConfigOption, JsonOption, run, tell_mistakes
from streams.config.problem import Problem
from streams.config.settings import Settings, SettingsError, load_policy, load_settings
from streams.config.terminal import json_out, printable
from streams.contract.topic_layout import PARTITIONS_MAX, count_fault
from streams.kafka.clients import account_partitioner
from streams.kafka.topic_access import find_places, open_producer

ROLES = ("fills", "ledger", PRICES)
SEND_SECONDS = 30.0


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """Where a message lies, or would."""

    topic: str
    partition: int
    offset: int | None
    """None for one that was not sent."""
    key: str | None
    record: msgspec.Raw


@tell_mistakes
def send(
    message: Annotated[
        str | None,
        typer.Argument(help="The message as JSON; - reads it from standard input.", show_default=False),
    ] = None,
    file: Annotated[Path | None, typer.Option(help="File that holds it, instead.")] = None,
    topic: Annotated[
        str | None,
        typer.Option(
            help="fills, ledger or prices; default: the one that its type belongs to.", show_default=False
        ),
    ] = None,
    dry_run: Annotated[  # noqa: FBT002 - an option of the command line
        bool, typer.Option("--dry-run", help="Send nothing: print topic, partition, key and record.")
    ] = False,
    partitions: Annotated[
        int | None,
        typer.Option(
            min=1, max=PARTITIONS_MAX, help="Of the topic, for --dry-run without a broker; default: ask it."
        ),
    ] = None,
    policy: Annotated[Path | None, typer.Option(help="Policy file; default: the setting's.")] = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Send one message to the workers: checked as they check it, under the right key, into the right partition.

    A message that the workers would refuse is not sent: its reason code is told, with exit code 1.

    Examples:
      unimargin send '{"type":"deposit","account":"alice","entry_id":"d-1","asset":"USDT","amount":"1000","time_ns":1767225602000000000}'
      unimargin send --file fill.json --dry-run --partitions 8
    """
    if topic is not None and topic not in ROLES:
        raise SettingsError(f"--topic {topic!r}: one of {', '.join(ROLES)}")
    if partitions is not None and not dry_run:
        raise SettingsError("--partitions belongs to --dry-run: who sends asks the broker")
    settings = load_settings(config)
    rules = load_policy(policy or settings.policy_file)
    found = outgoing(_text(message, file), topic, rules)
    if isinstance(found, Rejection):
        end = "" if found.detail.endswith("?") else "."
        raise Problem(f"{found.code}: {printable(found.detail)}{end} Nothing was sent")
    sent = run(send_message(settings, found, partitions, dry_run=dry_run))
    if as_json:
        json_out(sent)
        return
    verb = "would go" if sent.offset is None else "sent"
    end = "" if sent.offset is None else f" at offset {sent.offset}"
    key = "no key" if sent.key is None else f"key {printable(sent.key)}"
    typer.echo(
        f"{verb} to {printable(sent.topic)}, partition {sent.partition}{end}, {key}: {printable(found.value)}"
    )


def _text(message: str | None, file: Path | None) -> str:
    if (message is None) is (file is None):
        raise SettingsError("say one message: as an argument, - for standard input, or --file")
    try:
        if file is not None:
            return file.read_text(encoding="utf-8-sig")
        return sys.stdin.buffer.read().decode("utf-8-sig") if message == "-" else str(message)
    except OSError as error:
        raise SettingsError(f"{printable(str(file))}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{printable(str(file or 'standard input'))}: not UTF-8 text") from None


async def send_message(
    settings: Settings, message: Outgoing, partitions: int | None, *, dry_run: bool
) -> Sent:
    """Send it, or say where it would go. Raises `Problem`."""
    topics = {"fills": settings.topic_fills, "ledger": settings.topic_ledger, PRICES: settings.topic_prices}
    topic = topics[message.role]
    count = partitions or await _count(settings, topic, message)
    partition = 0 if message.key is None else account_partitioner(count)(message.key.encode())
    offset = None if dry_run else await _publish(settings, topic, partition, message)
    return Sent(
        topic=topic,
        partition=partition,
        offset=offset,
        key=message.key,
        record=msgspec.Raw(message.value.encode()),
    )


async def _count(settings: Settings, topic: str, message: Outgoing) -> int:
    """Partitions of the topic. Raises `Problem` where it is missing, or its counts cut accounts in two."""
    together = [topic] if message.role == PRICES else [settings.topic_fills, settings.topic_ledger]
    places = await find_places(settings, together)
    counts = {name: sum(place.topic == name for place in places) for name in together}
    fault = count_fault(counts)
    if fault is not None:
        raise Problem(fault)
    found: int = counts[topic]
    return found


async def _publish(settings: Settings, topic: str, partition: int, message: Outgoing) -> int:
    key = None if message.key is None else message.key.encode()
    async with open_producer(settings) as producer:
        sent: asyncio.Future[Any] = await producer.send(topic, message.value.encode(), key, partition)
        taken = await asyncio.wait_for(sent, timeout=SEND_SECONDS)
    offset: int = taken.offset
    return offset
