"""`unimargin account`: where an account stands, what it may do, and an operator's word that a stopped one may go on."""

import time
import uuid
from typing import Annotated

import msgspec
import typer
from rich.text import Text

from engine.inputs import Resume, Topic
from engine.ladder import Band
from engine.rejections import Rejection
from streams.answers.account_read import find_account, read_account
from streams.answers.account_report import report, stops
from streams.answers.account_rows import AccountRow
from streams.answers.shelf import open_shelf
from streams.cli.account.account_capital import capital
from streams.cli.account.account_concentration import concentration_command
from streams.cli.account.account_funding import funding
from streams.cli.account.account_list import list_accounts
from streams.cli.account.account_may_open import may_open_command
from streams.cli.account.account_requirements import requirements_command
from streams.cli.account.account_stress import stress_command
from streams.cli.account.account_tables import RATIO_PLACES, renderables
from streams.cli.account.account_withdrawable import withdrawable_command
from streams.config.invocation import AccountArgument, ConfigOption, JsonOption, run, tell_mistakes
from streams.config.problem import Problem
from streams.config.settings import Settings, SettingsError, load_policy, load_settings
from streams.config.terminal import amount, band_text, console, json_out, present, printable, table
from streams.contract.codec import decode_account_input
from streams.store.redis_access import read_state

app = typer.Typer(no_args_is_help=True, help="Accounts: where they stand and what they may do.")


@app.command()
@tell_mistakes
def show(
    account: AccountArgument,
    explain: Annotated[  # noqa: FBT002 - an option of the command line
        bool, typer.Option("--explain", help="Also the lines that sum to each figure.")
    ] = False,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Value an account from its state in Redis at the marks that the workers saved last."""
    settings = load_settings(config)
    read = run(read_account(settings, account))
    shown = report(*read, explain=explain)
    present(shown, renderables, as_json=as_json)


app.command()(capital)
app.command()(funding)
app.command("requirements")(requirements_command)
app.command("stress")(stress_command)
app.command("withdrawable")(withdrawable_command)
app.command("concentration")(concentration_command)
app.command("may-open")(may_open_command)


@app.command("list")
@tell_mistakes
def list_command(
    band: Annotated[
        Band | None, typer.Option(help="Only accounts with their worst pool in this band.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the worst bands first.")] = 20,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """List accounts, the worst bands first."""
    settings = load_settings(config)
    policy = load_policy(settings.policy_file)
    rows = run(list_accounts(settings, policy, band, limit, time.time_ns()))
    if as_json:
        for row in rows:
            json_out(row)
        return
    console().print(_list_table(rows, policy.account_currency))


@app.command()
@tell_mistakes
def resume(
    account: AccountArgument,
    topic: Annotated[Topic, typer.Option(help="The topic in which it is stopped.", show_default=False)],
    reason: Annotated[str, typer.Option(help="Why it may go on; kept in the log.", show_default=False)],
    next_seq: Annotated[
        int | None,
        typer.Option(min=0, help="The account_seq to expect next [default: as before the stop]"),
    ] = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Let a stopped account go on: writes a `resume` record to the topic, in its place among the inputs.

    Inputs that were set aside meanwhile stay set aside: `unimargin quarantine replay` sends them again.
    """
    settings = load_settings(config)
    if not reason.strip():
        raise SettingsError("--reason must say something: it is what an auditor will read")
    entry = Resume(
        account=account,
        entry_id=f"resume-{uuid.uuid4()}",
        time_ns=time.time_ns(),
        reason=reason,
        next_account_seq=next_seq,
    )
    placed = run(_resume(settings, topic, entry))
    if as_json:
        json_out({**placed, "entry_id": entry.entry_id})
        return
    console().print(
        f"written to {placed['topic']}/{placed['partition']} at offset {placed['offset']}: account "
        f"{printable(account)} goes on once its worker has read it"
    )


async def _resume(settings: Settings, topic: Topic, entry: Resume) -> dict[str, str | int]:
    # here, because this is the one command on accounts that writes, and the others must not wait for Kafka's client
    from streams.kafka.topic_access import open_producer  # noqa: PLC0415

    async with open_shelf(settings) as shelf:
        found = await find_account(shelf, entry.account)
    state = read_state(entry.account, found.state)
    if topic.value not in stops(state):
        others = ", ".join(stops(state)) or "nothing"
        raise Problem(f"account {entry.account!r} is not stopped in {topic} (stopped in: {others})")
    key, value = entry.account.encode(), msgspec.json.encode(entry)
    read_back = decode_account_input(topic, key, value)
    if isinstance(read_back, Rejection):
        raise SettingsError(f"no worker would take this entry: {read_back.detail}")
    name = settings.topic_fills if topic is Topic.FILLS else settings.topic_ledger
    async with open_producer(settings) as producer:
        placed = await producer.send_and_wait(name, key=key, value=value)
    return {"topic": placed.topic, "partition": placed.partition, "offset": placed.offset}


def _list_table(rows: list[AccountRow], currency: str) -> object:
    numbers = ["shard", "ratio", f"equity {currency}", f"maintenance margin {currency}"]
    shown = table("Accounts", ["account", "band", *numbers, ""], numbers)
    for row in rows:
        flags = [word for word, holds in (("stopped", row.stopped), ("degraded", row.degraded)) if holds]
        shown.add_row(
            printable(row.account),
            band_text(row.band),
            str(row.shard),
            amount(row.ratio, RATIO_PLACES),
            amount(row.equity),
            amount(row.maintenance_margin),
            Text(" ".join(flags), style="yellow"),
        )
    return shown
