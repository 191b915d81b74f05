"""`unimargin account resume`: an operator's word that a stopped account may go on, or that all may which one cause has stopped."""

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from typing import Annotated, NamedTuple

import msgspec
import typer

from engine.inputs import Resume, Topic
from engine.ledger.accounts import Stop
from engine.rejections import Rejection, RejectionCode
from streams.answers.account_read import UnknownAccount, find_account, with_near_names
from streams.answers.account_report import stops
from streams.answers.shelf import open_shelf
from streams.config.invocation import ConfigOption, JsonOption, OptionalAccount, run, tell_mistakes
from streams.config.problem import Problem
from streams.config.progress_bar import counting
from streams.config.settings import Settings, SettingsError, load_settings
from streams.config.terminal import console, json_out, printable, table
from streams.contract.codec import decode_account_input
from streams.store.redis_access import open_redis, read_state, shard_count
from streams.store.store_reader import StoreReader

SENT_TOGETHER = 1_000
"""Records under way to Kafka at once."""
STOP = b'"stop":'
"""In every state that says it is stopped: a search for it spares decoding a million healthy accounts."""


@tell_mistakes
def resume_command(
    account: OptionalAccount = None,
    topic: Annotated[
        Topic | None, typer.Option(help="The topic in which it is stopped; with --all both where left out.")
    ] = None,
    reason: Annotated[
        str | None,
        typer.Option(
            help="Why it may go on; kept in the log. With --all: the reason code of the stops to lift.",
            show_default=False,
        ),
    ] = None,
    next_seq: Annotated[
        int | None,
        typer.Option(min=0, help="The account_seq to expect next [default: as before the stop]"),
    ] = None,
    every: Annotated[  # noqa: FBT002 - an option of the command line
        bool, typer.Option("--all", help="All accounts that were stopped for the reason code --reason.")
    ] = False,
    why: Annotated[str, typer.Option(help="With --all: why they may go on; kept in the log.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be written.")] = False,  # noqa: FBT002
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Let a stopped account go on: writes a `resume` record to the topic, in its place among the inputs.

    Inputs that were set aside meanwhile stay set aside: `unimargin quarantine replay` sends them again.

    Examples:
      unimargin account resume alice --why "the exchange sent the fill again"
      unimargin account resume --all --reason unknown_instrument --dry-run
    """
    settings = load_settings(config)
    if not (reason or "").strip():
        raise SettingsError("--reason must say something: it is what an auditor will read")
    if every:
        if account is not None or next_seq is not None:
            raise SettingsError("--all takes neither an account nor --next-seq, which is one account's own")
        _resume_all(settings, topic, _code(reason or ""), why, dry_run=dry_run, as_json=as_json)
        return
    if account is None or topic is None:
        raise SettingsError("name the account and --topic, or --all and the reason code of the stops to lift")
    entry = _entry(account, reason or "", next_seq)
    placed = run(_resume(settings, topic, entry, dry_run=dry_run))
    if as_json:
        json_out({**placed, "entry_id": entry.entry_id})
    elif dry_run:
        console().print(f"would be written to {placed['topic']}: account {printable(account)} would go on")
    else:
        console().print(
            f"written to {placed['topic']}/{placed['partition']} at offset {placed['offset']}: account "
            f"{printable(account)} goes on once its worker has read it"
        )


class _Stopped(NamedTuple):
    account: str
    topic: Topic
    stop: Stop


def _code(reason: str) -> RejectionCode:
    try:
        return RejectionCode(reason)
    except ValueError:
        known = ", ".join(sorted(RejectionCode))
        raise SettingsError(
            f"--reason: with --all a reason code, and {reason!r} is none of {known}"
        ) from None


def _entry(account: str, reason: str, next_seq: int | None = None, stop_offset: int | None = None) -> Resume:
    return Resume(
        account=account,
        entry_id=f"resume-{uuid.uuid4()}",
        time_ns=time.time_ns(),
        reason=reason,
        next_account_seq=next_seq,
        stop_offset=stop_offset,
    )


def _name(settings: Settings, topic: Topic) -> str:
    return settings.topic_fills if topic is Topic.FILLS else settings.topic_ledger


async def _resume(
    settings: Settings, topic: Topic, entry: Resume, *, dry_run: bool
) -> dict[str, str | int | None]:
    # here, because this is the one command on accounts that writes, and the others must not wait for Kafka's client
    from streams.kafka.topic_access import open_producer  # noqa: PLC0415

    async with open_shelf(settings) as shelf:
        try:
            found = await find_account(shelf, entry.account)
        except UnknownAccount as unknown:
            raise await with_near_names(unknown, shelf, entry.account) from None
    state = read_state(entry.account, found.state)
    if topic.value not in stops(state):
        others = ", ".join(stops(state)) or "nothing"
        raise Problem(f"account {entry.account!r} is not stopped in {topic} (stopped in: {others})")
    key, value = _record(topic, entry)
    if dry_run:
        return {"topic": _name(settings, topic), "partition": None, "offset": None}
    async with open_producer(settings) as producer:
        placed = await producer.send_and_wait(_name(settings, topic), key=key, value=value)
    return {"topic": placed.topic, "partition": placed.partition, "offset": placed.offset}


def _record(topic: Topic, entry: Resume) -> tuple[bytes, bytes]:
    key, value = entry.account.encode(), msgspec.json.encode(entry)
    read_back = decode_account_input(topic, key, value)
    if isinstance(read_back, Rejection):
        raise SettingsError(f"no worker would take this entry: {read_back.detail}")
    return key, value


def _resume_all(
    settings: Settings, topic: Topic | None, code: RejectionCode, why: str, *, dry_run: bool, as_json: bool
) -> None:
    told = f"all stopped by {code}" + (f": {why}" if why.strip() else "")
    counts = run(_write_all(settings, topic, code, told, dry_run=dry_run))
    if not counts:
        raise Problem(f"no account is stopped by {code}" + (f" in {topic}" if topic else ""))
    if as_json:
        json_out({"written": not dry_run, "reason": code, "stops": {it.value: counts[it] for it in counts}})
        return
    rows = table(
        f"{'Would resume' if dry_run else 'Resumed'}: stopped by {code}", ["topic", "stops"], ["stops"]
    )
    for it in sorted(counts):
        rows.add_row(_name(settings, it), str(counts[it]))
    console().print(rows)


async def _write_all(
    settings: Settings, topic: Topic | None, code: RejectionCode, reason: str, *, dry_run: bool
) -> Counter[Topic]:
    """One pass over all accounts; of each stop the topic that was, or would be, resumed."""
    from streams.kafka.topic_access import open_producer  # noqa: PLC0415 - as above

    counts: Counter[Topic] = Counter()
    if dry_run:
        async for it in _stopped(settings, topic, code):
            counts[it.topic] += 1
        return counts
    async with open_producer(settings) as producer:
        waiting: list[asyncio.Future[object]] = []
        async for account, where, stop in _stopped(settings, topic, code):
            # names the stop, so that one which came since is not lifted, and a repeat lifts nothing
            entry = _entry(account, reason, stop_offset=stop.offset if stop.offset >= 0 else None)
            key, value = _record(where, entry)
            waiting.append(await producer.send(_name(settings, where), key=key, value=value))
            counts[where] += 1
            if len(waiting) == SENT_TOGETHER:
                await asyncio.gather(*waiting)
                waiting.clear()
        await asyncio.gather(*waiting)
    return counts


async def _stopped(settings: Settings, topic: Topic | None, code: RejectionCode) -> AsyncIterator[_Stopped]:
    async with open_redis(settings) as client:
        store = StoreReader(client, settings.redis_prefix)
        shards = await shard_count(client, settings.redis_prefix)
        with counting("shards", shards) as done:
            for shard in range(shards):
                seen: set[str] = set()
                async for account, data in store.accounts(shard):
                    if STOP not in data or account in seen:
                        continue
                    seen.add(account)  # a scan may give an account twice
                    for where, stop in stops(read_state(account, data)).items():
                        if stop.code is code and topic in (None, Topic(where)):
                            yield _Stopped(account, Topic(where), stop)
                done(1)
