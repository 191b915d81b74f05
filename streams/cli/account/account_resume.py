"""`unimargin account resume`: an operator's word that a stopped account may go on, or that all may which one cause has stopped."""

import getpass
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, NamedTuple

import msgspec
import typer

from engine.inputs import Topic
from engine.ledger.accounts import Stop
from engine.rejections import Rejection, RejectionCode
from streams.answers.account_read import NEAR_ACCOUNTS_MAX, find_account
from streams.answers.account_report import stops
from streams.answers.shelf import open_shelf
from streams.config.invocation import ConfigOption, JsonOption, OptionalAccount, run, tell_mistakes
from streams.config.listened import check_listened
from streams.config.problem import Problem
from streams.config.progress_bar import counting
from streams.config.settings import Settings, SettingsError, load_settings
from streams.config.terminal import console, json_out, printable, table
from streams.contract.operator_command import STOPS_MAX, AccountsResume, NamedStop, decode_operator_record
from streams.store.redis_access import open_redis, read_state, shard_count
from streams.store.store_reader import StoreReader

STOP = b'"stop":'
"""In every state that says it is stopped: a search for it spares decoding a million healthy accounts."""


@tell_mistakes
def resume_command(
    account: OptionalAccount = None,
    topic: Annotated[
        Topic | None,
        typer.Option(help="The topic in which it is stopped [default: both]", show_default=False),
    ] = None,
    reason: Annotated[
        str | None,
        typer.Option(
            help="With --all: the reason code of the stops to lift. Of one account the same as --why.",
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
    why: Annotated[
        str | None, typer.Option(help="Why they may go on; kept in the log.", show_default=False)
    ] = None,
    who: Annotated[str | None, typer.Option(help="Who says so [default: the user's name]")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be sent.")] = False,  # noqa: FBT002
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Let a stopped account go on: an operator's command, which its worker writes among the account's inputs, in its place.

    Inputs that were set aside meanwhile stay set aside: `unimargin quarantine replay` sends them again.

    Examples:
      unimargin account resume alice --why "the exchange sent the fill again"
      unimargin account resume --all --reason unknown_instrument --dry-run
    """
    settings = load_settings(config)
    by = who or getpass.getuser()
    if every:
        if account is not None or next_seq is not None:
            raise SettingsError("--all takes neither an account nor --next-seq, which is one account's own")
        code = _code(reason or "")
        check_listened(settings)
        _resume_all(settings, topic, code, by, why or "", dry_run=dry_run, as_json=as_json)
        return
    if account is None:
        raise SettingsError("name the account, or --all and by --reason the code of the stops to lift")
    told = _word(why, reason)
    check_listened(settings)
    sent = run(_resume(settings, topic, account, (by, told, next_seq), dry_run=dry_run))
    if as_json:
        json_out(sent)
    elif dry_run:
        console().print(
            f"would be sent to {settings.topic_operator}: account {printable(account)} would go on"
        )
    else:
        console().print(
            f"sent {sent['id']} to {settings.topic_operator}: account {printable(account)} goes on once its worker has read it; "
            "`unimargin operator log` tells what became of it"
        )


class _Stopped(NamedTuple):
    account: str
    topic: Topic
    stop: Stop


def _word(why: str | None, reason: str | None) -> str:
    """What the operator says of one account."""
    if why is not None and reason is not None:
        raise SettingsError("--why and --reason are the same of one account: say it once, by --why")
    told = why or reason or ""
    if not told.strip():
        raise SettingsError("--why must say something: it is what an auditor will read")
    return told


def _code(reason: str) -> RejectionCode:
    try:
        return RejectionCode(reason)
    except ValueError:
        known = ", ".join(sorted(RejectionCode))
        raise SettingsError(
            f"--reason: with --all a reason code, and {reason!r} is none of {known}"
        ) from None


def _command(stops: Sequence[NamedStop], who: str, why: str, next_seq: int | None = None) -> AccountsResume:
    made = AccountsResume(
        id=uuid.uuid4().hex,
        who=who,
        why=why,
        time_ns=time.time_ns(),
        stops=tuple(stops),
        next_account_seq=next_seq,
    )
    read_back = decode_operator_record(msgspec.json.encode(made))
    if isinstance(read_back, Rejection):
        raise SettingsError(f"no worker would take this command: {read_back.detail}")
    return made


async def _resume(
    settings: Settings,
    topic: Topic | None,
    account: str,
    said: tuple[str, str, int | None],
    *,
    dry_run: bool,
) -> dict[str, str | None]:
    # here, because this is the one command on accounts that writes, and the others must not wait for Kafka's client
    from streams.kafka.operator_sender import send_operator_commands  # noqa: PLC0415

    async with open_shelf(settings) as shelf:
        found = await find_account(shelf, account, NEAR_ACCOUNTS_MAX)
    stopped = stops(read_state(account, found.state))
    if topic is not None and topic.value not in stopped:
        others = ", ".join(stopped) or "nothing"
        raise Problem(f"account {account!r} is not stopped in {topic} (stopped in: {others})")
    if not stopped:
        raise Problem(f"account {account!r} is not stopped")
    lifted = [Topic(it) for it in stopped] if topic is None else [topic]
    if len(lifted) > 1 and said[-1] is not None:
        raise SettingsError(
            f"--next-seq is of one topic, and account {account!r} is stopped in both: say --topic"
        )
    # names the stop, so that one which came since is not lifted, and a repeat lifts nothing
    command = _command([NamedStop(account, it, stopped[it.value].offset) for it in lifted], *said)
    if dry_run:
        return {"topic": settings.topic_operator, "id": None}
    await send_operator_commands(settings, [command])
    return {"topic": settings.topic_operator, "id": command.id}


def _resume_all(
    settings: Settings,
    topic: Topic | None,
    code: RejectionCode,
    who: str,
    why: str,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    told = f"all stopped by {code}" + (f": {why}" if why.strip() else "")
    counts = run(_send_all(settings, topic, code, (who, told), dry_run=dry_run))
    if not counts:
        raise Problem(f"no account is stopped by {code}" + (f" in {topic}" if topic else ""))
    if as_json:
        json_out({"sent": not dry_run, "reason": code, "stops": {it.value: counts[it] for it in counts}})
        return
    rows = table(
        f"{'Would resume' if dry_run else 'To be resumed'}: stopped by {code}", ["topic", "stops"], ["stops"]
    )
    for it in sorted(counts):
        rows.add_row(it.value, str(counts[it]))
    console().print(rows)


async def _send_all(
    settings: Settings,
    topic: Topic | None,
    code: RejectionCode,
    said: tuple[str, str],
    *,
    dry_run: bool,
) -> Counter[Topic]:
    """One pass over all accounts; of each topic how many stops are, or would be, lifted."""
    from streams.kafka.operator_sender import send_operator_commands  # noqa: PLC0415 - as above

    named = [NamedStop(it.account, it.topic, it.stop.offset) async for it in _stopped(settings, topic, code)]
    counts = Counter(it.topic for it in named)
    if named and not dry_run:
        parts = (named[first : first + STOPS_MAX] for first in range(0, len(named), STOPS_MAX))
        await send_operator_commands(settings, [_command(part, *said) for part in parts])
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
