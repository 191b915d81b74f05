"""`unimargin quarantine`: records that were set aside; look at them, and send them again once the cause is repaired."""

from collections import deque
from typing import Annotated, Any

import typer

from engine.rejections import RejectionCode
from streams.cli.quarantine.quarantine_records import Quarantined, quarantined
from streams.cli.quarantine.quarantine_replay import Replayed, Wanted
from streams.cli.quarantine.quarantine_replay import replay as send_again
from streams.config.invocation import AccountFilter, ConfigOption, JsonOption, run, tell_mistakes
from streams.config.problem import Problem
from streams.config.settings import Settings, SettingsError, load_settings
from streams.config.terminal import console, json_out, printable, table

app = typer.Typer(no_args_is_help=True, help="Records that were set aside because they could not be applied.")

FIRST_CHARACTERS = 60

ReasonOption = Annotated[
    list[RejectionCode] | None,
    typer.Option("--reason", help="Only records set aside for this reason; may be given several times."),
]


@app.command("list")
@tell_mistakes
def list_records(
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 50,
    account: AccountFilter = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Show what was set aside, and why.

    Examples:
      unimargin quarantine list --account alice
    """
    settings = load_settings(config)
    total, newest = run(_newest(settings, account, limit))
    if as_json:
        json_out({"total": total, "records": [record.as_json() for record in newest]})
        return
    console().print(
        _table(f"Quarantine: {total} records" + (f", the newest {limit}" if total > limit else ""), newest)
    )


@app.command()
@tell_mistakes
def replay(
    account: AccountFilter = None,
    reason: ReasonOption = None,
    every: Annotated[bool, typer.Option("--all", help="Of all accounts, for whatever reason.")] = False,  # noqa: FBT002
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be sent.")] = False,  # noqa: FBT002
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Send records again, as they were, to the topics they came from: an account's, or all of a reason, or --all.

    First repair the cause, then `unimargin account resume`, then this: a record that still breaks a rule stops its
    account again, and all after it. What was sent before is dropped by its id, so repeating a replay does no harm.

    Examples:
      unimargin quarantine replay --account alice --dry-run
      unimargin quarantine replay --reason unknown_instrument
    """
    settings = load_settings(config)
    if every and (account is not None or reason):
        raise SettingsError("--all takes neither --account nor --reason: it is everything")
    if not every and account is None and not reason:
        raise SettingsError("say which: --account ID, --reason CODE, or --all")
    wanted = Wanted(account, frozenset(reason or RejectionCode))
    replayed = run(send_again(settings, wanted, dry_run=dry_run))
    if not replayed.count:
        raise Problem(f"no record {_of(account)} in quarantine" + _because(wanted.reasons))
    if as_json:
        records = [record.as_json() for record in replayed.records]
        json_out(
            {
                "sent": not dry_run,
                "count": replayed.count,
                "by_reason": replayed.by_reason,
                "records": records,
            }
        )
        return
    _show(replayed, dry_run=dry_run)


def _show(replayed: Replayed, *, dry_run: bool) -> None:
    title = f"{'Would send' if dry_run else 'Sent'} {replayed.count} records"
    if len(replayed.records) < replayed.count:
        reasons = ", ".join(f"{reason} {count}" for reason, count in replayed.by_reason.items())
        title += f" ({reasons}); the first {len(replayed.records)}"
    console().print(_table(title, replayed.records))


async def _newest(settings: Settings, account: str | None, limit: int) -> tuple[int, list[Quarantined]]:
    newest: deque[Quarantined] = deque(maxlen=limit)
    seen: set[str] = set()
    async for record in quarantined(settings):
        if record.ce_id in seen:
            continue
        if account is None or record.key == account.encode():
            seen.add(record.ce_id)
            newest.append(record)
    return len(seen), list(newest)


def _of(account: str | None) -> str:
    return "that can be sent again is" if account is None else f"of account {account!r}"


def _because(reasons: frozenset[RejectionCode]) -> str:
    return "" if reasons == frozenset(RejectionCode) else f" because of {', '.join(sorted(reasons))}"


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
