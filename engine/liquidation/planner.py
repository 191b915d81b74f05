"""From a pool in liquidation to the plan that ends it.

    1  cancel every open order of the pool that could increase its risk
    2  close the legs of a symbol against each other, at no cost, where that brings the pool no nearer to bankruptcy
    3  again and again the move with the largest    (gap after - gap before) / expected cost
       gap = C - exit line * requirement;   exit line = liquidation line + exit band
       moves: reduce a position, tier by tier; repay a debt out of another asset
    4  where no single move helps, as in a pool whose positions hedge each other: the same share of every position
    5  where all of that does not reach the exit line: everything is taken over at the pool's bankruptcy price

The plan ends at the least number of lots that reaches the exit line. Each step is computed on the account that the steps
before it leave, fills at the mark less the stated cost; so the plan executed as given ends where it says.
"""

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from engine.accounts import AccountState
from engine.liquidation.adl import AdlCandidate, cover_deficit
from engine.liquidation.limits import takeover_prices
from engine.liquidation.moves import leg_name
from engine.liquidation.plan import CancelStep, LiquidationPlan, NetStep, Step, TakeOverStep
from engine.liquidation.search import Search, probe_of
from engine.liquidation.standing import Probe, Standing
from engine.liquidation.trades import (
    cancelled,
    hedged_symbols,
    marks_of,
    netted,
    positions_of,
)
from engine.margin.quotes import index_price
from engine.marks import Prices
from engine.numbers import ONE, ZERO, canonical, divide, exact
from engine.policy import Policy
from engine.position_keys import symbol_of


def liquidation_plan(
    state: AccountState,
    pool: str,
    prices: Prices,
    policy: Policy,
    *,
    exit_line: Decimal | None = None,
    insurance_fund: Decimal | None = None,
    winners: Iterable[AdlCandidate] = (),
) -> LiquidationPlan:
    """The plan for the shared pool ("") or the isolated position `pool` of an account.

    It ends at `exit_line`, by default liquidation line + exit band. With `insurance_fund`, the plan of a takeover says who
    bears its shortfall: the fund, then `winners` in order.
    """
    with exact():
        plan = _Planner(state, pool, prices, policy, exit_line).plan()
        if insurance_fund is None or not plan.expected_shortfall:
            return plan
        cover = cover_deficit(plan.expected_shortfall, insurance_fund, winners)
        return msgspec.structs.replace(plan, cover=cover)


class _Planner:
    """One plan in the making."""

    def __init__(
        self, state: AccountState, pool: str, prices: Prices, policy: Policy, exit_line: Decimal | None
    ) -> None:
        self._state, self._pool, self._prices, self._policy = state, pool, prices, policy
        ladder = policy.ladder
        self._line = ladder.liquidation + ladder.exit_band if exit_line is None else exit_line
        self._steps: list[Step] = []

    def plan(self) -> LiquidationPlan:
        before = probe = self._probe(self._state)
        state, order_ids = cancelled(self._state, self._pool)
        if order_ids:
            self._steps += [CancelStep(order_id) for order_id in order_ids]
            probe = self._probe(state)
        probe = self._netted(probe)
        search = Search(self._pool, self._line, self._prices, self._policy)
        after = probe.now
        if not (after.bankrupt or after.out(self._line)):
            after = search.reduced(probe) if self._policy.liquidation.partial else search.closed(probe)
        if not after.out(self._line):
            return self._takeover(probe, before.now)
        steps = [it.move.step(it.lots, it.freed, it.round) for it in search.taken]
        return LiquidationPlan(
            outcome="exit",
            exit_line=canonical(self._line),
            steps=(*self._steps, *steps),
            expected_cost=canonical(sum((step.expected_cost for step in steps), ZERO)),
            freed_margin=canonical(before.now.requirement - after.requirement),
            equity_after=canonical(after.equity),
            collateral_value_after=canonical(after.collateral_value),
            requirement_after=canonical(after.requirement),
        )

    def _probe(self, state: AccountState) -> Probe:
        return probe_of(state, self._pool, self._prices, self._policy)

    def _netted(self, probe: Probe) -> Probe:
        if self._pool:
            return probe
        for symbol, (long, short, quantity) in hedged_symbols(probe.state).items():
            if probe.now.out(self._line):
                break
            mark = probe.marks[long]
            after = self._probe(netted(probe.state, long, short, quantity, mark, self._policy))
            if after.now.gap(self._line) >= probe.now.gap(self._line):
                self._steps.append(NetStep(symbol, canonical(quantity), canonical(mark)))
                probe = after
        return probe

    def _takeover(self, probe: Probe, before: Standing) -> LiquidationPlan:
        state, equity = probe.state, probe.now.equity
        prices_of = takeover_prices(state, self._pool, equity, self._prices, self._policy)
        marks = marks_of(state, self._pool, self._prices, self._policy)
        legs, notional = [], ZERO
        for key, held in sorted(positions_of(state, self._pool).items()):
            instrument = self._policy.instruments[symbol_of(key)]
            index, _ = index_price(self._policy, instrument.settle, self._prices)
            worth = abs(instrument.value(held.quantity, marks[key])) * index
            legs.append(
                (key, held.quantity, worth, self._policy.liquidation.cost_rate(symbol_of(key)) * worth)
            )
            notional += worth
        cost, steps, borne = sum((cost for *_, cost in legs), ZERO), [], ZERO
        for key, quantity, worth, of_cost in legs:
            share = equity - borne if key == legs[-1][0] else divide(equity * worth, notional or ONE)
            borne += share
            steps.append(TakeOverStep(
                symbol_of(key), leg_name(key), "sell" if quantity > 0 else "buy", abs(quantity), prices_of[key],
                canonical(marks[key]), canonical(of_cost - share),
            ))  # fmt: skip
        return LiquidationPlan(
            outcome="takeover",
            exit_line=canonical(self._line),
            steps=(*self._steps, *steps),
            expected_cost=canonical(cost),
            freed_margin=canonical(before.requirement),
            # what is left once everything is closed at market: equity - cost
            expected_shortfall=canonical(max(ZERO, cost - equity)),
        )
