"""`unimargin explain`: what an event says, recomputed from the log alone and compared with what was published."""

from pathlib import Path
from typing import Annotated

import typer
from aiokafka import AIOKafkaConsumer

from engine.events.effects import RiskEvent
from engine.policy import Policy
from engine.policy.timeline import PolicyTimeline, Ruling
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
    warn,
)
from streams.config.problem import Problem
from streams.config.settings import Settings, SettingsError, load_policy, load_settings
from streams.config.terminal import console, json_out
from streams.kafka.policy_topic import read_versions, timeline_of
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
        typer.Option(
            help="The policy that the event was judged under, where it was never published [default: what was in force, by the topic of "
            "policies]"
        ),
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
    found = run(
        explained_events(settings, event_id, account, None if policy is None else load_policy(policy))
    )
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
    settings: Settings, event_id: str | None, account: str | None, under: Policy | None = None
) -> list[Explanation]:
    """One explanation for each different record that bears the id; of an honest log there is one.

    By the policy that was in force, as the topic of policies has it, or all by `under`.
    """
    async with open_reader(settings) as consumer:
        if under is None:
            versions = await read_versions(settings, consumer, warn)
            timeline = timeline_of(versions, load_policy(settings.policy_file))
        else:
            timeline = PolicyTimeline.always(under)
        if event_id is not None:
            copies = await find_event(settings, consumer, event_id)
        else:
            copies = await newest_event(settings, consumer, account or "")
        shown = []
        for copy in copies:
            record = copy.first
            ruling, remarks = _judged_under(copy.first.event, timeline)
            policy = ruling.policy
            try:
                state = await rebuilt(settings, consumer, record, policy, timeline.booking)
                remarks += (*await _held(consumer, record), *_others(copy, copies))
                version = None if under is not None else ruling.version
                shown.append(explanation(record, copy.count, state, policy, version, remarks))
            except ArithmeticError as error:
                where = f"{record.topic}/{record.partition}/{record.offset}"
                raise Problem(f"{where} names marks that nothing can be computed with: {error!r}") from None
        return shown


def _judged_under(event: RiskEvent, timeline: PolicyTimeline) -> tuple[Ruling, tuple[str, ...]]:
    """The version that the event names; and a remark where another one was in force at its time."""
    in_force = timeline.at(event.time_ns)
    bearing = [it for it in (in_force, *timeline.versions) if it.policy.digest == event.policy_digest]
    if not bearing:
        known = ", ".join(
            f"{it.policy.digest} ({it.policy.name!r}, version {it.version})" for it in timeline.versions
        )
        raise Problem(
            f"{event.id} was judged under the policy with digest {event.policy_digest}; known are {known}. Say --policy FILE with the "
            "one it needs"
        )
    ruling = bearing[0]
    if event.position is not None and symbol_of(event.position) not in ruling.policy.instruments:
        raise Problem(f"{event.id} is about position {event.position!r}, which its policy does not list")
    if ruling.policy.digest == in_force.policy.digest:
        return ruling, ()
    return ruling, (
        f"at its event time version {in_force.version} of the policy was in force, digest {in_force.policy.digest}",
    )


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
