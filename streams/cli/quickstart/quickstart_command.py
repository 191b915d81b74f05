"""`unimargin quickstart`: a first margin call, on the stack of the settings or on one of its own."""

import logging
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from engine.policy import Policy
from streams.cli.events.events_command import event_line
from streams.cli.quickstart.quickstart_run import QuickstartReport, Story, Telling
from streams.cli.send.outgoing import PRICES, Outgoing
from streams.config.invocation import ConfigOption, JsonOption, run, tell_mistakes
from streams.config.problem import Problem
from streams.config.settings import Settings, load_policy, load_settings
from streams.config.terminal import console, json_out, printable
from streams.demo.demo_options import DemoError, DemoOptions
from streams.demo.demo_stack import Stack
from streams.demo.hold import hold_prices
from streams.kafka.topic_access import ConsumerRecord, open_admin

_OPTIONS = DemoOptions(
    seconds=None,
    accounts=1,
    seed=1,
    ticks_per_second=1,
    fills_per_second=0,
    scenario="",
    data=None,
    speed="1",
    from_time=None,
    to_time=None,
    workers=1,
    kafka=None,
    redis=None,
    keep=False,
    board=False,
)


@tell_mistakes
def quickstart(
    embedded: Annotated[
        bool | None,
        typer.Option(
            help="On a broker, a Redis and a worker of its own, or on those of the settings "
            "[default: of its own where no broker answers]",
            show_default=False,
        ),
    ] = None,
    keep: Annotated[  # noqa: FBT002 - an option of the command line
        bool, typer.Option("--keep", help="At the end leave the embedded stack running until Ctrl-C.")
    ] = False,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """See a first margin call in under a minute: one deposit, one fill, prices that fall; each message is printed as it is sent.

    On the stack of the settings only where it holds no accounts but those of this command: they would feel the prices too.

    Examples:
      unimargin quickstart
      unimargin quickstart --keep
      unimargin quickstart --no-embedded --config staging.env
    """
    settings = load_settings(config)
    policy = load_policy(settings.policy_file)
    out = Console(stderr=True, markup=False, highlight=False, emoji=False) if as_json else console()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        run(_quickstart(settings, policy, out, embedded=embedded, keep=keep, as_json=as_json))
    except KeyboardInterrupt:
        raise typer.Exit(0 if keep else 130) from None
    except DemoError as error:
        raise Problem(str(error)) from None


async def _quickstart(
    settings: Settings, policy: Policy, out: Console, *, embedded: bool | None, keep: bool, as_json: bool
) -> None:
    if embedded is None:
        embedded = not await _answers(settings)
        if embedded:
            _say(out, f"no broker answers at {settings.kafka_bootstrap_servers}: an embedded stack")
    if not embedded:
        found = await Story(settings, policy, _telling(out)).run(embedded=False)
        _end(found, out, settings, as_json=as_json, running=True)
        return
    async with Stack(_OPTIONS, settings, lambda step: _say(out, step)) as stack:
        found = await Story(stack.settings, policy, _telling(out)).run(embedded=True)
        _end(found, out, stack.settings, as_json=as_json, running=keep)
        if keep:
            await hold_prices(stack.settings)


async def _answers(settings: Settings) -> bool:
    try:
        async with open_admin(settings):
            return True
    except Problem:
        return False


def _telling(out: Console) -> Telling:
    def sent(words: str, message: Outgoing) -> None:
        line = Text(f"-> {message.role:<7} {printable(words)}", style="bold")
        out.print(line, soft_wrap=True)
        if message.role != PRICES:  # a record of many prices is too long to read
            out.print(Text(f"   {printable(message.value)}", style="dim"), soft_wrap=True)

    def received(record: ConsumerRecord) -> None:
        out.print(Text("<- ", style="bold").append_text(event_line(record, {})), soft_wrap=True)

    return Telling(sent, received)


def _end(found: QuickstartReport, out: Console, settings: Settings, *, as_json: bool, running: bool) -> None:
    if as_json:
        json_out(found)
        return
    _say(out, "")
    _say(
        out,
        f"{len(found.sent)} messages were sent; of {found.account} came:",
    )
    for it in found.received:
        _say(out, f"  {it.type.value:<26} {it.id}")
    _say(out, "")
    if not running:
        _say(out, "All of it has stopped. With --keep it goes on, and these work in another terminal:")
    elif found.embedded:
        _say(out, "In another terminal, while this one keeps the stack running:")
        _say(out, f"  export UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS={settings.kafka_bootstrap_servers}")
        _say(out, f"  export UNIMARGIN_REDIS_URL={settings.redis_url.get_secret_value()}")
    else:
        _say(out, "Look further:")
    _say(out, f"  unimargin account show {found.account} --explain")
    _say(out, f"  unimargin explain {found.margin_call}")
    _say(out, f"  unimargin whatif {found.account} --deposit {found.settle} 100")
    if running and found.embedded:
        _say(out, "Ctrl-C ends everything.")


def _say(out: Console, words: str) -> None:
    out.print(words, soft_wrap=True)
