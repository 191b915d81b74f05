"""Judging one account: figures -> ladder -> events, for the cross pool and each isolated position.

Events on a change of band (`_margin_type` names them):

    healthy -> worse            margin.<band>.opened          one episode begins
    worse   -> worse still      margin.<band>.escalated
    bad     -> better, not well margin.<band>.updated
    bad     -> healthy          margin.<band left>.resolved   the episode ends
    into liquidation            also liquidation.requested    with the plan that ends it
    into bankrupt               also account.bankrupt    with the plan: the takeover
    bankrupt -> liquidation     liquidation.requested again, with a new plan
    out of both                 also liquidation.completed
    degraded on / off           engine.degraded / engine.recovered

On `margin-events` liquidation and bankruptcy show as the `reduce_only` step of the episode, so that stream alone
tells every episode from opened to resolved. A request and a bankruptcy said in one breath carry one plan under one
liquidation id: the exchange executes it once.
"""

import msgspec

from engine.accounts import AccountState
from engine.effects import (
    LIQUIDATION_TYPES,
    AccountRisk,
    EventType,
    InputOffsets,
    MarkUsed,
    RiskEvent,
    Stream,
)
from engine.ladder import SEVERITY, Band, LadderState, advance
from engine.liquidation.planner import liquidation_plan
from engine.margin.figures import Figures
from engine.margin.isolated import isolated_figures, judged_isolated
from engine.margin.model import shared_figures, uses_portfolio
from engine.marks import Prices
from engine.numbers import ZERO, canonical, exact
from engine.policy import Policy
from engine.position_keys import symbol_of

ENGINE_VERSION = "0.1.0"
CROSS = ""
"""Key of the cross pool among an account's pools."""

_WELL = LadderState()
_NOTHING = Figures(ZERO, ZERO, ZERO, ZERO, degraded=False)
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
) -> Judgement:
    """Judge every pool of the account at `prices` and event time `now_ns`."""
    events: list[RiskEvent] = []
    cross = _NOTHING
    pools = sorted({CROSS, *judged_isolated(state), *risk.pools})
    for pool in pools:
        before = risk.pools.get(pool, _WELL)
        figures = pool_figures(state, pool, prices, policy)
        if pool == CROSS:
            cross = figures
        after = advance(before, figures, now_ns, policy.ladder)
        if after == before:
            continue
        said = _Saying(state, pool, prices, now_ns, policy, figures, cause_ns)
        risk = said.say(risk, before, after, events)
    return Judgement(risk, tuple(events), cross)


class _Saying:
    """Turns one pool's change of state into numbered events."""

    def __init__(
        self,
        state: AccountState,
        pool: str,
        prices: Prices,
        now_ns: int,
        policy: Policy,
        figures: Figures,
        cause_ns: int | None,
    ) -> None:
        self._state, self._pool, self._prices, self._now_ns = state, pool, prices, now_ns
        self._policy, self._figures, self._cause_ns = policy, figures, cause_ns

    def say(
        self, risk: AccountRisk, before: LadderState, after: LadderState, events: list[RiskEvent]
    ) -> AccountRisk:
        if before.band is Band.HEALTHY and after.band is not Band.HEALTHY:
            opening = risk.sequences.get(Stream.MARGIN_EVENTS, 0) + 1
            after = _replace(after, episode_id=f"{risk.account}/{self._pool or 'cross'}/{opening}")
        episode_id = after.episode_id
        settled = _replace(after, episode_id=None) if after.band is Band.HEALTHY else after
        sequences = dict(risk.sequences)
        types = _types(before, after)
        plan = liquidation_id = None
        if not _TAKES_OVER.isdisjoint(types):
            asked = sequences.get(Stream.LIQUIDATIONS, 0) + 1
            liquidation_id = f"{risk.account}/{self._pool or 'cross'}/{asked}"
            plan = liquidation_plan(self._state, self._pool, self._prices, self._policy)
        for event_type in types:
            stream = Stream.LIQUIDATIONS if event_type in LIQUIDATION_TYPES else Stream.MARGIN_EVENTS
            sequences[stream] = sequences.get(stream, 0) + 1
            event = self._event(event_type, stream, sequences[stream], episode_id, before, settled)
            if event_type in _TAKES_OVER:
                event = _replace(event, liquidation_id=liquidation_id, plan=plan)
            events.append(event)
        pools = {**risk.pools, self._pool: settled}
        if settled == _WELL:
            del pools[self._pool]
        return AccountRisk(risk.account, pools, sequences)

    def _event(
        self,
        event_type: EventType,
        stream: Stream,
        sequence: int,
        episode_id: str | None,
        before: LadderState,
        after: LadderState,
    ) -> RiskEvent:
        figures, ladder = self._figures, self._policy.ladder
        with exact():
            to_call = figures.shortfall(ladder.margin_call)
            to_liquidation = figures.shortfall(ladder.liquidation)
        return RiskEvent(
            type=event_type,
            id=f"{self._state.account}/{stream}/{sequence}",
            account=self._state.account,
            position=self._pool or None,
            sequence=sequence,
            episode_id=episode_id,
            time_ns=self._now_ns,
            band=after.band,
            previous_band=before.band,
            degraded=after.degraded,
            ladder=after,
            ratio=figures.ratio,
            equity=canonical(figures.equity),
            collateral_value=canonical(figures.collateral_value),
            initial_margin=canonical(figures.initial_margin),
            maintenance_margin=canonical(figures.maintenance_margin),
            shortfall_to_call=canonical(to_call),
            shortfall_to_liquidation=canonical(to_liquidation),
            marks=marks_used(self._state, self._pool, self._prices, self._policy),
            inputs=InputOffsets(self._state.fills.offset, self._state.ledger.offset),
            policy_digest=self._policy.digest,
            engine_version=ENGINE_VERSION,
            cause_time_ns=self._cause_ns,
        )


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


def _types(before: LadderState, after: LadderState) -> list[EventType]:
    types: list[EventType] = []
    if before.degraded != after.degraded:
        types.append(EventType.DEGRADED if after.degraded else EventType.RECOVERED)
    if before.band is after.band:
        return types
    margin_type = _margin_type(before.band, after.band)
    if margin_type is not None:
        types.append(margin_type)
    was, now = SEVERITY[before.band], SEVERITY[after.band]
    if now >= SEVERITY[Band.LIQUIDATION] > was or (before.band, after.band) == _TAKEOVER_ENDED:
        types.append(EventType.LIQUIDATION_REQUESTED)
    if after.band is Band.BANKRUPT:
        types.append(EventType.ACCOUNT_BANKRUPT)
    if was >= SEVERITY[Band.LIQUIDATION] > now:
        types.append(EventType.LIQUIDATION_COMPLETED)
    return types


_TAKES_OVER = frozenset({EventType.LIQUIDATION_REQUESTED, EventType.ACCOUNT_BANKRUPT})
_TAKEOVER_ENDED = (Band.BANKRUPT, Band.LIQUIDATION)

_STEP_NAME = {
    Band.WARNING: "warning",
    Band.MARGIN_CALL: "call",
    Band.REDUCE_ONLY: "reduce_only",
    Band.LIQUIDATION: "reduce_only",
    Band.BANKRUPT: "reduce_only",
}


def _margin_type(before: Band, after: Band) -> EventType | None:
    if after is Band.HEALTHY:
        return EventType(f"margin.{_STEP_NAME[before]}.resolved")
    step = _STEP_NAME[after]
    if before is Band.HEALTHY:
        return EventType(f"margin.{step}.opened")
    if _STEP_NAME[before] == step:
        return None
    return EventType(f"margin.{step}.{'escalated' if SEVERITY[after] > SEVERITY[before] else 'updated'}")
