"""`unimargin explain`: what an event says, recomputed from the log alone and compared with what was published."""

from pathlib import Path
from typing import Annotated

import typer
from aiokafka import AIOKafkaConsumer

from engine.events.effects import RiskEvent
from engine.policy import Policy
from engine.position_keys import symbol_of
from streams.cli.breaker.breaker_words import cause_words
from streams.cli.explain.explain_compare import Published
from streams.cli.explain.explain_read import Copies, find_event, newest_event, opening_of, rebuilt, stream_of
from streams.cli.explain.explain_report import Explanation, explanation
from streams.cli.explain.explain_tables import renderables
from streams.config.invocation import (
    EXIT_PROBLEM,
    ConfigOption,
    JsonLinesOption,
    NewestOfAccount,
    run,
    tell_mistakes,
)
from streams.config.problem import Problem
from streams.config.settings import Settings, SettingsError, load_policy, load_settings
from streams.config.terminal import console, json_out
from streams.kafka.topic_access import open_reader


@tell_mistakes
def explain(
    event_id: Annotated[
        str | None,
        typer.Argument(
            metavar="EVENT_ID", help="The ce_id of the event: ACCOUNT/TOPIC/NUMBER.", show_default=False
        ),
    ] = None,
    account: NewestOfAccount = None,
    policy: Annotated[
        Path | None,
        typer.Option(help="The policy that the event was judged under [default: UNIMARGIN_POLICY_FILE]"),
    ] = None,
    as_json: JsonLinesOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Rebuild an account from the log at the inputs that an event names, judge it again, and compare.

    With --account the newest event of an account. Exit code 0: the event MATCHES digit for digit, 1: it does not.

    Examples:
      unimargin explain alice/margin-events/7
      unimargin explain --account alice
    """
    settings = load_settings(config)
    if (event_id is None) is (account is None):
        raise SettingsError("say which event: its EVENT_ID, or --account ID for the newest of an account")
    if event_id is not None:
        stream_of(event_id)
    book = load_policy(policy or settings.policy_file)
    found = run(explained_events(settings, book, event_id, account))
    for shown in found:
        if as_json:
            json_out(shown)
            continue
        out = console()
        for part in renderables(shown):
            out.print(part)
    if len(found) > 1 or not all(shown.matches for shown in found):
        raise typer.Exit(EXIT_PROBLEM)


async def explained_events(
    settings: Settings, policy: Policy, event_id: str | None, account: str | None
) -> list[Explanation]:
    """One explanation for each different record that bears the id; of an honest log there is one."""
    async with open_reader(settings) as consumer:
        if event_id is not None:
            copies = await find_event(settings, consumer, event_id)
        else:
            copies = await newest_event(settings, consumer, account or "")
        shown = []
        for copy in copies:
            record = copy.first
            _check(copy.first.event, policy)
            try:
                state = await rebuilt(settings, consumer, record, policy)
                held = await _held(consumer, record)
                shown.append(explanation(record, copy.count, state, policy, (*held, *_others(copy, copies))))
            except ArithmeticError as error:
                where = f"{record.topic}/{record.partition}/{record.offset}"
                raise Problem(f"{where} names marks that nothing can be computed with: {error!r}") from None
        return shown


def _check(event: RiskEvent, policy: Policy) -> None:
    if event.policy_digest != policy.digest:
        raise Problem(
            f"{event.id} was judged under the policy with digest {event.policy_digest}; policy {policy.name!r} has "
            f"{policy.digest}. Say --policy FILE with the one it needs"
        )
    if event.position is not None and symbol_of(event.position) not in policy.instruments:
        raise Problem(f"{event.id} is about position {event.position!r}, which its policy does not list")


async def _held(consumer: AIOKafkaConsumer, record: Published) -> tuple[str, ...]:
    """What the breaker did about it."""
    event = record.event
    if event.breaker is None:
        return ()
    whom = "holds this pool" if event.ladder.held_by is not None else "was open, and does not hold this pool"
    opening = await opening_of(consumer, record)
    why = "what it said then is not in the log any more" if opening is None else cause_words(opening.opening)
    return (f"opening {event.breaker} of the breaker of shard {record.partition} {whom}: {why}",)


def _others(copy: Copies, copies: list[Copies]) -> tuple[str, ...]:
    others = [it.first for it in copies if it is not copy]
    if not others:
        return ()
    places = ", ".join(f"{it.topic}/{it.partition}/{it.offset}" for it in others)
    return (f"another record bears this id and says something else: {places}",)
