"""`unimargin breaker`: liquidations that wait for a person; look at them, release or void them."""

import time
from typing import Annotated, Any
from uuid import uuid4

import typer

from streams.answers.breaker_read import ShardBreaker, read_breakers
from streams.answers.breaker_report import breaker_reports
from streams.answers.shelf import open_shelf
from streams.cli.breaker.breaker_words import cause_words, stake_words
from streams.config.invocation import ConfigOption, JsonOption, run, tell_mistakes
from streams.config.listened import check_listened
from streams.config.settings import Settings, SettingsError, load_settings
from streams.config.terminal import console, json_out, printable, table
from streams.contract.cloudevents import rfc3339
from streams.contract.operator_command import BreakerRelease, BreakerVoid, OperatorCommand
from streams.kafka.operator_sender import send_operator_commands

app = typer.Typer(
    no_args_is_help=True, help="Liquidations that are held because too much was condemned at once."
)

WhoOption = Annotated[str, typer.Option("--who", help="Who decides: on record.", show_default=False)]
WhyOption = Annotated[str, typer.Option("--why", help="Why: on record.", show_default=False)]
ShardOption = Annotated[
    int | None, typer.Option("--shard", min=0, help="Only this shard.", show_default="every one")
]


@app.command()
@tell_mistakes
def show(
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Show which shards hold liquidations, since when, why and how much.

    Examples:
      unimargin breaker show
    """
    settings = load_settings(config)
    found = run(_states(settings))
    if as_json:
        json_out(breaker_reports(found))
        return
    out = console()
    opened = [it for it in found if it.open]
    if not opened:
        out.print(f"nothing is held: the breakers of {len(found)} shards are closed")
        return
    out.print(_table(opened))
    for it in opened:
        out.print(_worst(it))


@app.command()
@tell_mistakes
def release(who: WhoOption, why: WhyOption, shard: ShardOption = None, config: ConfigOption = None) -> None:
    """Request the liquidations that are held, at the newest prices.

    Examples:
      unimargin breaker release --who ann --why "all sources agree"
    """
    command = BreakerRelease(id=uuid4().hex, who=who, why=why, time_ns=time.time_ns(), shard=shard)
    _send(load_settings(config), command)


@app.command()
@tell_mistakes
def void(who: WhoOption, why: WhyOption, shard: ShardOption = None, config: ConfigOption = None) -> None:
    """Judge what is held afresh, once the cause is repaired; where it is still too much it is held again.

    Examples:
      unimargin breaker void --who ann --why "the wrong index is switched off" --shard 3
    """
    command = BreakerVoid(id=uuid4().hex, who=who, why=why, time_ns=time.time_ns(), shard=shard)
    _send(load_settings(config), command)


def _send(settings: Settings, command: OperatorCommand) -> None:
    check_listened(settings)
    if not command.who.strip() or not command.why.strip():
        raise SettingsError("--who and --why: say who decides and why; both go on record")
    run(send_operator_commands(settings, [command]))
    console().print(
        f"sent {printable(command.id)} to {settings.topic_operator}; `unimargin operator log` tells what became of it"
    )


async def _states(settings: Settings) -> list[ShardBreaker]:
    async with open_shelf(settings) as shelf:
        return await read_breakers(shelf)


def _table(opened: list[ShardBreaker]) -> Any:
    rows = table(
        "Liquidations held", ["shard", "opening", "since", "held", "cause"], right=["shard", "opening"]
    )
    for it in opened:
        opening = it.state.opening
        if opening is not None:
            since = rfc3339(opening.cause.time_ns)
            rows.add_row(
                str(it.shard), str(opening.number), since, stake_words(it.state.held), cause_words(opening)
            )
    return rows


def _worst(it: ShardBreaker) -> Any:
    rows = table(
        f"Largest held of shard {it.shard} when it opened",
        ["account", "pool", "open interest", "equity"],
        right=["open interest", "equity"],
    )
    for pool in it.state.opening.worst if it.state.opening else ():
        rows.add_row(
            printable(pool.account),
            printable(pool.position or "cross"),
            f"{pool.open_interest:,.2f}",
            f"{pool.equity:,.2f}",
        )
    return rows
