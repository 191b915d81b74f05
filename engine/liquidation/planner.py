"""From a pool in liquidation to the plan that ends it.

    1  cancel every open order of the pool that could increase its risk
    2  close the legs of a symbol against each other, at no cost, where that brings the pool no nearer to bankruptcy
    3  again and again the move with the largest    (gap after - gap before) / expected cost
       gap = C - exit line * requirement;   exit line = liquidation line + exit band
       moves: reduce a position, tier by tier; repay a debt out of another asset
    4  where no single move helps, as in a pool whose positions hedge each other: the same share of every position
    5  where all of that does not reach the exit line: everything is closed and every debt repaid, if the equity pays for that
    6  else everything is taken over, positions and balances, at the pool's bankruptcy price (`takeover`)

The plan ends at the least number of lots that reaches the exit line, and leaves a pool that is out of liquidation, or empty. Each step is
computed on the account that the steps before it leave, fills at the mark less the stated cost; so the plan executed as given ends where it
says, but for dust: what a step leaves of an asset that no judgement counts is left out of the steps after it, and may count once several
have added up. It is at most (steps + 1) * dust * index of each asset.

A plan of more than `search.ORDERS_MAX` orders is cut: the account that it leaves is still in liquidation, and gets another.
"""

from decimal import Decimal

from engine.ledger.accounts import AccountState
from engine.liquidation.plan import CancelStep, LiquidationPlan, NetStep, Step
from engine.liquidation.search import Search, probe_of
from engine.liquidation.standing import Probe
from engine.liquidation.takeover import takeover_of
from engine.liquidation.trades import cancelled, hedged_symbols, netted
from engine.margin.dust import without_dust
from engine.margin.figures import Standing
from engine.marks.mark_book import Prices
from engine.numbers import ZERO, canonical, exact
from engine.policy import Policy


def liquidation_plan(
    state: AccountState,
    pool: str,
    prices: Prices,
    policy: Policy,
    *,
    exit_line: Decimal | None = None,
) -> LiquidationPlan:
    """The plan for the shared pool ("") or the isolated position `pool` of an account.

    It ends at `exit_line`, by default liquidation line + exit band.
    """
    with exact():
        return _Planner(state, pool, prices, policy, exit_line).plan()


def takeover_plan(state: AccountState, pool: str, prices: Prices, policy: Policy) -> LiquidationPlan:
    """The plan that takes all of the pool over, whether or not less would do. Of a bankrupt pool it is the `liquidation_plan`."""
    with exact():
        return _Planner(state, pool, prices, policy, None).takeover()


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
        before, probe = self._freed()
        search = Search(self._pool, self._line, self._prices, self._policy)
        after = probe.now
        if not (after.bankrupt or after.out(self._line)):
            after = search.reduced(probe) if self._policy.liquidation.partial else search.closed(probe)
            if not after.out(self._line):
                after = search.settled(probe)
        # coins that neither a position nor a debt is left beside require nothing: what could be closed is out
        if after.bankrupt:
            return self._takeover(probe, before)
        after = search.shortened(after)
        steps = [step for it in search.taken for step in it.move.steps(it.lots, it.round)]
        return LiquidationPlan(
            outcome="exit",
            exit_line=canonical(self._line),
            steps=(*self._steps, *steps),
            expected_cost=canonical(sum((step.expected_cost for step in steps), ZERO)),
            freed_margin=canonical(before.requirement - after.requirement),
            equity_after=canonical(after.equity),
            collateral_value_after=canonical(after.collateral_value),
            requirement_after=canonical(after.requirement),
        )

    def takeover(self) -> LiquidationPlan:
        before, probe = self._freed()
        return self._takeover(probe, before)

    def _freed(self) -> tuple[Standing, Probe]:
        """Where the pool stands, and the pool without its orders and hedged legs: steps 1 and 2."""
        before = probe = self._probe()
        self._state, order_ids = cancelled(self._state, self._pool)
        if order_ids:
            self._steps += [CancelStep(order_id) for order_id in order_ids]
            probe = self._probe()
        return before.now, self._netted(probe)

    def _probe(self) -> Probe:
        state = self._state if self._pool else without_dust(self._state, self._policy)
        return probe_of(state, self._pool, self._prices, self._policy)

    def _netted(self, probe: Probe) -> Probe:
        if self._pool:
            return probe
        for symbol, (long, short, quantity) in hedged_symbols(probe.state).items():
            if probe.now.out(self._line):
                break
            mark = probe.mark(long)
            held, self._state = self._state, netted(self._state, long, short, quantity, mark, self._policy)
            after = self._probe()
            if after.now.gap(self._line) < probe.now.gap(self._line):
                self._state = held
                continue
            self._steps.append(NetStep(symbol, canonical(quantity), canonical(mark)))
            probe = after
        return probe

    def _takeover(self, probe: Probe, before: Standing) -> LiquidationPlan:
        # with the dust that no judgement counts
        taken = takeover_of(self._state, self._pool, probe.now.equity, self._prices, self._policy)
        return LiquidationPlan(
            outcome="takeover",
            exit_line=canonical(self._line),
            steps=(*self._steps, *taken.steps),
            expected_cost=canonical(taken.cost),
            freed_margin=canonical(before.requirement),
            expected_shortfall=canonical(max(ZERO, taken.cost - probe.now.equity)),
        )
