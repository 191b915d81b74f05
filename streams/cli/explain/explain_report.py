"""What `unimargin explain` says of one event. Pure."""

from decimal import Decimal

import msgspec

from engine.events.effects import AccountRisk, EventType, RiskEvent
from engine.events.pools import CROSS
from engine.ladder import SEVERITY, Band
from engine.ladder.states import CallKind
from engine.ledger.accounts import AccountState
from engine.policy import Policy
from streams.answers.account_report import PoolView, pool_view
from streams.answers.ladder_lines import lines_of
from streams.cli.account.account_moves import percent
from streams.cli.account.outlook_words import MAY, call_words, outlook_words
from streams.cli.explain.explain_compare import (
    Comparison,
    Published,
    compared,
    event_prices,
    mismatches,
    said_by_another_engine,
)
from streams.cli.liquidations.plan_words import plan_in_short, plan_steps
from streams.config.terminal import amount, printable
from streams.contract.cloudevents import rfc3339

_RATIO_PLACES = 4


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """An event, how it follows from its inputs and marks, and whether what was published is the same."""

    event_id: str
    topic: str
    partition: int
    offset: int
    copies: int
    """Times that the same record lies in the topic."""
    matches: bool
    story: tuple[str, ...]
    """What happened, in words."""
    remarks: tuple[str, ...]
    currency: str
    policy: str
    policy_digest: str
    policy_version: int | None
    """As it was published; None where the policy was named."""
    event: RiskEvent
    """As published."""
    pool: PoolView
    """As recomputed, with the lines that sum to each figure."""
    comparisons: tuple[Comparison, ...]
    mismatches: tuple[str, ...]
    """Names of the fields that differ."""


def explanation(
    record: Published,
    copies: int,
    state: AccountState,
    policy: Policy,
    version: int | None,
    remarks: tuple[str, ...] = (),
) -> Explanation:
    """Compare the published event with what the engine says at `state`; `policy` has the event's digest, and is that version."""
    event = record.event
    comparisons = compared(record, state, policy)
    pool = event.position or CROSS
    risk = AccountRisk(event.account, {pool: event.ladder})
    if said_by_another_engine(event):
        remarks = (*remarks, f"published by engine {event.engine_version}, recomputed by this one")
    differing = tuple(pair.field for pair in mismatches(comparisons))
    return Explanation(
        event_id=event.id,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        copies=copies,
        matches=not differing,
        story=tuple(story(event, policy)),
        remarks=remarks,
        currency=policy.account_currency,
        policy=policy.name,
        policy_digest=policy.digest,
        policy_version=version,
        event=event,
        pool=pool_view(state, risk, pool, event_prices(event, state, policy), policy, explain=True),
        comparisons=tuple(comparisons),
        mismatches=differing,
    )


def story(event: RiskEvent, policy: Policy) -> list[str]:
    """What the event says, in sentences."""
    pool = "the shared pool" if event.position is None else f"the isolated position {event.position}"
    told = [f"{rfc3339(event.time_ns)}  {event.type}: {pool} of {printable(event.account)} {_moved(event)}"]
    told += _why(event, policy)
    told += _missing(event, policy)
    told += _episode(event, policy)
    told += _detail(event, policy)
    if event.plan is not None:
        told.append(f"plan {event.liquidation_id}: {plan_in_short(event.plan)}")
        told += [f"  {step}" for step in plan_steps(event.plan)]
    told.append(_cause(event))
    return told


def _moved(event: RiskEvent) -> str:
    if event.type is EventType.DEGRADED:
        stale = sorted(symbol for symbol, mark in event.marks.items() if mark.stale)
        why = f"stale: {', '.join(stale)}" if stale else "a price was never quoted, or an input was refused"
        return f"can no longer be trusted ({why}); it stays in {event.band}"
    if event.type is EventType.RECOVERED:
        return f"can be trusted again; it is in {event.band}"
    if event.band is event.previous_band:
        return f"stays in {event.band}"
    return f"went from {event.previous_band} to {event.band}"


def _why(event: RiskEvent, policy: Policy) -> list[str]:
    lines = lines_of(policy.ladder)
    said = f"collateral value {amount(event.collateral_value)} {policy.account_currency}"
    if event.ratio is not None:
        said += f" is {amount(event.ratio, _RATIO_PLACES)} times what is required"
    now, before = SEVERITY[event.band], SEVERITY[event.previous_band]
    if event.band is Band.BANKRUPT:
        return [f"{said}; equity {amount(event.equity)} covers nothing any more"]
    if now > before:
        crossed = [f"{band} {_ratio(line)}" for band, line in lines.items() if before < SEVERITY[band] <= now]
        return [f"{said}: below the line of {', '.join(crossed)}"]
    if now < before:
        # the mildest of the lines that it has left behind
        line = next((it for it in lines if SEVERITY[it] > now), None)
        if line is not None:
            lift, hold_s = amount(policy.ladder.exit_band), amount(policy.ladder.exit_hold_seconds)
            return [
                f"{said}: above the line of {line} {_ratio(lines[line])} + {lift}, and better for {hold_s} s"
            ]
    return [said]


def _missing(event: RiskEvent, policy: Policy) -> list[str]:
    lines = lines_of(policy.ladder)
    missing = {
        Band.MARGIN_CALL: event.shortfall_to_call,
        Band.LIQUIDATION: event.shortfall_to_liquidation,
    }
    told = [
        f"{amount(short)} {policy.account_currency} of collateral value are missing to the line of {band} "
        f"({_ratio(lines[band])})"
        for band, short in missing.items()
        if short
    ]
    return told or ["nothing is missing to the line of margin_call"]


def _episode(event: RiskEvent, policy: Policy) -> list[str]:
    told = [] if event.verdict is None else [f"it gives the reasons of {event.verdict}"]
    told.append(f"the account may {MAY[event.controls]}")
    if event.call is not CallKind.NONE:
        call = call_words(event.call, event.outstanding, event.deadline_ns, policy.account_currency)
        told.append(f"it is called, {call}")
    if event.follows:
        told.append(f"what follows: {outlook_words(event.follows)}")
    if event.executed is not None:
        closed = ", ".join(f"{symbol} {amount(count)}" for symbol, count in event.executed.closed.items())
        told.append(f"{event.liquidation_id}: {event.executed.fills} fills have closed {closed}")
    elif event.liquidation_id is not None and event.plan is None:
        told.append(f"it is about {event.liquidation_id}")
    if event.replaces is not None:
        told.append(f"what is left of {event.replaces} is void")
    return told


def _detail(event: RiskEvent, policy: Policy) -> list[str]:
    if event.detail is None:
        return []
    told, currency = [], policy.account_currency
    if (move := event.detail.distance_to_liquidation) is not None:
        way = "brings it back to" if event.shortfall_to_liquidation else "takes it to"
        told.append(f"a move of the whole market by {percent(move)} {way} the line of liquidation")
    for it in event.detail.contributors:
        price = "no near price" if it.liquidation_price is None else amount(it.liquidation_price)
        told.append(
            f"  {it.key}: {amount(it.quantity)} at mark {amount(it.mark)}, profit {amount(it.unrealised_pnl)}, "
            f"requires {amount(it.maintenance_margin)} {currency}; liquidation price {price}"
        )
    return told


def _cause(event: RiskEvent) -> str:
    if event.cause_time_ns is None:
        return "cause: an input of the account or the passing of time, not a price"
    return f"cause: a mark dated {rfc3339(event.cause_time_ns)}"


def _ratio(line: Decimal) -> str:
    return amount(line, _RATIO_PLACES)
