"""Judging one account: figures -> ladder -> events, for the cross pool and each isolated position.

`engine.ladder` says which transition a pool makes and what is said of it (`engine.ladder.table`); here that becomes numbered
events with everything they are recomputed from. The liquidation that a request asks for, and the fills that name it,
are known by `liquidation_id`; a newer request of the pool replaces it.
"""

from collections.abc import Sequence
from urllib.parse import quote

import msgspec

from engine.accounts import AccountState
from engine.contents import detail_of
from engine.effects import (
    LIQUIDATION_TYPES,
    AccountRisk,
    Detail,
    EventType,
    InputOffsets,
    MarkUsed,
    RiskEvent,
    Stream,
)
from engine.ladder import Band, LadderState, advance, exit_line
from engine.ladder.episode import Facts, remembered, requested, triggers
from engine.ladder.table import TRANSITIONS, Trigger
from engine.liquidation.plan import LiquidationPlan
from engine.liquidation.planner import liquidation_plan
from engine.margin.figures import Figures
from engine.margin.isolated import isolated_figures, judged_isolated
from engine.margin.model import shared_figures, uses_portfolio
from engine.marks import Prices
from engine.numbers import ZERO, canonical, exact
from engine.policy import Policy
from engine.position_keys import symbol_of

ENGINE_VERSION = "0.2.0"
CROSS = ""
"""Key of the cross pool among an account's pools."""

DETAILED_EVENTS_MAX = 10
"""Events of one mark (or of one call to judge) that carry their detail: each costs about a millisecond, and a mark that moves
thousands of accounts must not wait for all of them. `unimargin explain` has it for every event."""

_WELL = LadderState()
_NOTHING = Figures(ZERO, ZERO, ZERO, ZERO, degraded=False)
_PLANNED = frozenset({EventType.LIQUIDATION_REQUESTED, EventType.ACCOUNT_BANKRUPT})
_replace = msgspec.structs.replace


class Judgement(msgspec.Struct, frozen=True):
    """The account's new risk record and the events that say so; no event, nothing durable changed."""

    risk: AccountRisk
    events: tuple[RiskEvent, ...] = ()
    cross: Figures = _NOTHING
    """Figures of the cross pool that it came from, for those who count them."""


def pool_figures(state: AccountState, pool: str, prices: Prices, policy: Policy) -> Figures:
    """Figures of one pool; a stopped account is degraded, an isolated position closed without debt has none."""
    if pool == CROSS:
        figures = shared_figures(state, prices, policy)
    elif pool in judged_isolated(state):
        figures = isolated_figures(state, pool, prices, policy)
    else:
        figures = _NOTHING
    return _replace(figures, degraded=True) if state.stopped and not figures.degraded else figures


def judge(
    state: AccountState,
    risk: AccountRisk,
    prices: Prices,
    now_ns: int,
    policy: Policy,
    cause_ns: int | None = None,
    *,
    detailed: bool = True,
) -> Judgement:
    """Judge every pool of the account at `prices` and event time `now_ns`; `detailed` events carry their `Detail`."""
    events: list[RiskEvent] = []
    cross = _NOTHING
    pools = sorted({CROSS, *judged_isolated(state), *risk.pools})
    for pool in pools:
        before = risk.pools.get(pool, _WELL)
        figures = pool_figures(state, pool, prices, policy)
        if pool == CROSS:
            cross = figures
        after = advance(before, figures, now_ns, policy.ladder)
        if after == before and before.band is Band.HEALTHY:
            continue
        facts = _facts(state, pool, figures, after, now_ns, policy)
        found = triggers(before, after, facts, policy)
        after = remembered(before, after, facts, found, policy)
        if after != before:
            saying = _Saying(state, pool, prices, policy, figures, facts, cause_ns, detailed=detailed)
            risk = saying.say(risk, before, after, found, events)
    return Judgement(risk, tuple(events), cross)


def _facts(
    state: AccountState, pool: str, figures: Figures, after: LadderState, now_ns: int, policy: Policy
) -> Facts:
    with exact():
        shortfall = figures.shortfall(exit_line(after, policy.ladder))
    execution = state.executions.get(pool)
    return Facts(now_ns, canonical(shortfall), state.fills.offset, state.ledger.offset, execution)


class _Saying:
    """Turns one pool's transitions into numbered events."""

    def __init__(
        self,
        state: AccountState,
        pool: str,
        prices: Prices,
        policy: Policy,
        figures: Figures,
        facts: Facts,
        cause_ns: int | None,
        *,
        detailed: bool,
    ) -> None:
        self._state, self._pool, self._prices = state, pool, prices
        self._policy, self._figures, self._facts, self._cause_ns = policy, figures, facts, cause_ns
        self._detailed = detailed

    def say(
        self,
        risk: AccountRisk,
        before: LadderState,
        after: LadderState,
        found: Sequence[Trigger],
        events: list[RiskEvent],
    ) -> AccountRisk:
        types = _types(before, after, found)
        sequences = dict(risk.sequences)
        if before.band is Band.HEALTHY and after.band is not Band.HEALTHY:
            opening = sequences.get(Stream.MARGIN_EVENTS, 0) + 1
            after = _replace(after, episode_id=f"{risk.account}/{self._pool or 'cross'}/{opening}")
        plan = None
        if not _PLANNED.isdisjoint(types):
            after = requested(
                after, self._liquidation_id(types, sequences), self._facts, stuck=Trigger.STUCK in found
            )
            plan = self._plan(after)
        if types:
            events += self._events(types, sequences, before, after, plan)
        pools = {**risk.pools, self._pool: after}
        if after == _WELL:
            del pools[self._pool]
        return AccountRisk(risk.account, pools, sequences)

    def _liquidation_id(self, types: Sequence[EventType], sequences: dict[Stream, int]) -> str:
        """Account, pool, and the number that the event with the plan is going to have."""
        of_stream = [it for it in types if it in LIQUIDATION_TYPES]
        place = next(place for place, it in enumerate(of_stream) if it in _PLANNED)
        asked = sequences.get(Stream.LIQUIDATIONS, 0) + 1 + place
        return f"{self._state.account}/{self._pool or 'cross'}/{asked}"

    def _plan(self, after: LadderState) -> LiquidationPlan:
        with exact():
            line = exit_line(after, self._policy.ladder)
        return liquidation_plan(self._state, self._pool, self._prices, self._policy, exit_line=line)

    def _events(
        self,
        types: Sequence[EventType],
        sequences: dict[Stream, int],
        before: LadderState,
        after: LadderState,
        plan: LiquidationPlan | None,
    ) -> list[RiskEvent]:
        marks = marks_used(self._state, self._pool, self._prices, self._policy)
        whole = self._event(types[0], before, after, marks)
        events = []
        for event_type in types:
            stream = Stream.LIQUIDATIONS if event_type in LIQUIDATION_TYPES else Stream.MARGIN_EVENTS
            sequences[stream] = sequences.get(stream, 0) + 1
            event_id = f"{self._state.account}/{stream}/{sequences[stream]}"
            event = _replace(whole, type=event_type, id=event_id, sequence=sequences[stream])
            if event_type in LIQUIDATION_TYPES:
                event = _of_liquidation(event, self._facts, plan)
            events.append(_replace(event, links=_links(event, self._policy)))
        return events

    def _event(
        self, event_type: EventType, before: LadderState, after: LadderState, marks: dict[str, MarkUsed]
    ) -> RiskEvent:
        """What all events of the transition say alike."""
        figures, ladder = self._figures, self._policy.ladder
        with exact():
            to_call = figures.shortfall(ladder.margin_call)
            to_liquidation = figures.shortfall(ladder.liquidation)
        return RiskEvent(
            type=event_type,
            id="",
            account=self._state.account,
            position=self._pool or None,
            sequence=0,
            episode_id=after.episode_id or before.episode_id,
            time_ns=self._facts.now_ns,
            band=after.band,
            previous_band=before.band,
            degraded=after.degraded,
            ladder=after,
            ladder_before=before,
            deadline_ns=after.deadline_ns,
            ratio=None if figures.ratio is None else canonical(figures.ratio),
            equity=canonical(figures.equity),
            collateral_value=canonical(figures.collateral_value),
            initial_margin=canonical(figures.initial_margin),
            maintenance_margin=canonical(figures.maintenance_margin),
            shortfall_to_call=canonical(to_call),
            shortfall_to_liquidation=canonical(to_liquidation),
            marks=marks,
            inputs=InputOffsets(self._facts.fills, self._facts.ledger),
            policy_digest=self._policy.digest,
            engine_version=ENGINE_VERSION,
            detail=self._detail(marks) if self._detailed else None,
            cause_time_ns=self._cause_ns,
        )

    def _detail(self, marks: dict[str, MarkUsed]) -> Detail:
        own = {symbol: self._prices.marks[symbol] for symbol in marks}
        return detail_of(
            self._state,
            self._pool,
            _replace(self._prices, marks=own),
            self._policy,
            self._figures,
            lambda at: pool_figures(self._state, self._pool, at, self._policy),
        )


def _types(before: LadderState, after: LadderState, found: Sequence[Trigger]) -> list[EventType]:
    """What the table says of these transitions, in order; in-band ones come first, and take place in the band before."""
    types: list[EventType] = []
    for trigger in found:
        changes = trigger in {Trigger.WORSE, Trigger.BETTER}
        types += TRANSITIONS[before.band, trigger, after.band if changes else before.band]
    return types


def _of_liquidation(event: RiskEvent, facts: Facts, plan: LiquidationPlan | None) -> RiskEvent:
    before, after = event.ladder_before.request, event.ladder.request
    running = None if before is None else before.liquidation_id
    if event.type in _PLANNED:
        asked = None if after is None else after.liquidation_id
        return _replace(event, liquidation_id=asked, replaces=running, plan=plan)
    if event.type is EventType.LIQUIDATION_PROGRESSED and facts.execution is not None:
        return _replace(event, liquidation_id=facts.execution.liquidation_id, executed=facts.execution)
    return _replace(event, liquidation_id=running)


def _links(event: RiskEvent, policy: Policy) -> dict[str, str]:
    values = {
        "{account}": event.account,
        "{episode_id}": event.episode_id or "",
        "{event_id}": event.id,
        "{type}": event.type,
    }
    links = {}
    for name, address in policy.links.items():
        for placeholder, value in values.items():
            address = address.replace(placeholder, quote(value, safe=""))  # noqa: PLW2901 - one after the other
        links[name] = address
    return links


def price_symbols_of(state: AccountState, pool: str, policy: Policy) -> set[str]:
    """Price symbols that the figures of this pool depend on."""
    traded = {symbol_of(key) for key in (state.positions if pool == CROSS else (pool,))}
    assets: set[str] = set()
    net = pool == CROSS and uses_portfolio(state, policy)
    if pool == CROSS:
        assets.update(state.balances)
        traded.update(order.symbol for order in state.orders.values() if not order.isolated)
    if net and policy.portfolio and policy.portfolio.peg and policy.portfolio.peg.asset:
        assets.add(policy.portfolio.peg.asset)
    symbols: set[str] = set()
    for symbol in traded:
        instrument = policy.instruments[symbol]
        assets.add(instrument.settle)
        if instrument.kind != "spot":
            symbols.add(symbol)
        if instrument.forward:
            symbols.add(instrument.forward)
        # a spot pair trades its base asset; options and net risk are measured by the underlying's index
        if (net or instrument.kind in {"spot", "option"}) and instrument.base in policy.assets:
            assets.add(instrument.base)
    return symbols | {policy.assets[asset].index for asset in assets if policy.assets[asset].index}


def marks_used(state: AccountState, pool: str, prices: Prices, policy: Policy) -> dict[str, MarkUsed]:
    """The marks that the figures of this pool were computed from."""
    return {
        symbol: MarkUsed(
            mark.price,
            mark.sequence,
            mark.time_ns,
            symbol in prices.stale,
            mark.volatility,
            mark.funding_rate,
            mark.average_price,
            mark.confidence,
        )
        for symbol in sorted(price_symbols_of(state, pool, policy))
        if (mark := prices.marks.get(symbol)) is not None
    }
