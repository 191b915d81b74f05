"""What the walks through the life cycle of a liquidation do with their accounts, and what they hold the plans against."""

from decimal import Decimal

import msgspec
from hypothesis.stateful import RuleBasedStateMachine

from engine.events.pools import CROSS
from engine.inputs import Fill, IsolatedTransfer
from engine.ladder import Band, LadderState
from engine.ladder.table import LIQUIDATING
from engine.liquidation.plan import LiquidationPlan, TakeOverStep
from engine.liquidation.search import MOVES_MAX
from engine.liquidation.trades import positions_of
from engine.margin.quotes import index_price
from engine.numbers import ONE, canonical, exact, to_step, whole_steps
from engine.position_keys import leg_of, symbol_of
from tests.engine.ladder.life_cycle_desk import START, Desk, cash, messages_now
from tests.support.builders import seconds
from tests.support.life_cycle import Story

D = Decimal
NAMES = ("alice", "bob", "carol")
HEDGED, NETTED = "bob", "carol"
"""Who trades legs, and who may be under portfolio margin."""
CENT = D("0.01")


class Walk(RuleBasedStateMachine):
    """Three accounts at one desk."""

    def __init__(self) -> None:
        super().__init__()
        self.desk: Desk | None = None
        self.silent: frozenset[str] = frozenset()

    def stories(self) -> dict[tuple[str, str], Story]:
        """By account and pool."""
        return self.desk.journal.stories

    def running(self) -> list[tuple[str, str]]:
        """Pools with a liquidation."""
        return sorted(key for key, story in self.stories().items() if story.running)

    def pick(self, number: int) -> tuple[str, str, Story]:
        running = self.running()
        name, pool = running[number % len(running)]
        return name, pool, self.stories()[name, pool]

    def execute_plan(self, name: str, pool: str, story: Story, *, settle_each: bool) -> None:
        """Execute all of the newest plan; judge the account after each step, or at the end."""
        event, fresh = story.newest, self.is_fresh(story)
        self._bounded(event.plan, name)
        for step in event.plan.steps:
            for message in messages_now(self.desk, name, pool, step, event.liquidation_id):
                self.desk.apply(name, message)
            if settle_each:
                self.desk.judge(name)
        self.desk.judge(name)
        if fresh:
            self._ended_where_it_says(event.plan, name, pool)

    def is_fresh(self, story: Story) -> bool:
        """Whether nothing that the plan was computed from has changed."""
        event, view = story.newest, self.desk.view
        state = self.desk.state(event.account)
        same_marks = all(
            view.marks[symbol].price == used.price and (symbol in view.stale) is used.stale
            for symbol, used in event.marks.items()
        )
        inputs = event.inputs.fills, event.inputs.ledger
        same_inputs = inputs == (state.fills.offset, state.ledger.offset) and not state.stopped
        return same_marks and same_inputs and event.policy_digest == self.desk.policy.digest

    def _ended_where_it_says(self, plan: LiquidationPlan, name: str, pool: str) -> None:
        figures, left = self.desk.pool_figures(name, pool), positions_of(self.desk.state(name), pool)
        if plan.outcome == "takeover":
            assert left == {}
            taken = [step for step in plan.steps if isinstance(step, TakeOverStep)]
            # at prices that leave nothing, or a rounding more
            assert figures.equity >= 0 or not taken or not all(step.price for step in taken)
            return
        with exact():
            assert figures.collateral_value >= plan.exit_line * figures.requirement
        assert figures.equity > 0 or not (figures.equity or figures.requirement)

    def _bounded(self, plan: LiquidationPlan, name: str) -> None:
        """Rounds of no more steps than the policy allows, or one for each position; and so many of them."""
        state, rules = self.desk.state(name), self.desk.policy.liquidation
        rounds = [step.round for step in plan.steps if hasattr(step, "round")]
        assert sorted(set(rounds)) == list(range(1, len(set(rounds)) + 1))
        most = max(rules.steps_max, len(START))
        assert all(rounds.count(round_) <= most for round_ in set(rounds))
        # single moves, and 16 sixteenths of every position in rounds of `share_per_round_max`
        slices = len(START) * (1 + int(1 / rules.share_per_round_max))
        assert len(rounds) <= MOVES_MAX + slices
        assert len(plan.steps) - len(rounds) <= len(state.orders) + 2 * len(START)

    def nothing_overdue(self) -> None:
        """Right after the clock was read, nothing is left to say that time alone asks for."""
        for name in NAMES:
            for pool, kept in self.desk.plain.risk(name).pools.items():
                if kept.band is not Band.HEALTHY:
                    self._not_overdue(self.stories()[name, pool], kept)

    def _not_overdue(self, story: Story, kept: LadderState) -> None:
        now_ns, ladder, rules = self.desk.now_ns, self.desk.policy.ladder, self.desk.policy.liquidation
        if kept.exit_since_ns is not None:
            assert now_ns - kept.exit_since_ns < seconds(ladder.exit_hold_seconds)
        elif kept.deadline_ns is not None:
            assert kept.expired or now_ns < kept.deadline_ns
        checked_ns = now_ns - kept.checked_ns
        if kept.band not in LIQUIDATING:
            unsaid_ns = now_ns - story.said_ns
            assert unsaid_ns < seconds(ladder.update_seconds) or checked_ns < seconds(
                ladder.update_check_seconds
            )
        elif kept.exit_since_ns is None and not kept.degraded and not kept.plan_due:
            stuck_ns = now_ns - story.progress_ns
            stuck, again = rules.stuck_seconds * story.patience, rules.replan_seconds * story.patience
            assert stuck_ns < seconds(stuck) or checked_ns < seconds(again)

    def trusted(self) -> None:
        """Nothing is withheld any more, and nothing due: fresh prices, no account stopped."""
        self.silent = frozenset()
        for name in NAMES:
            self.desk.resume(name)
        self.desk.pass_time(1)
        self.desk.say_reasons()

    def sit_out(self, patience: int = 1) -> None:
        """Long enough for a plan to be made anew, and for a band to be left."""
        policy = self.desk.policy
        self.desk.pass_time(
            seconds(policy.ladder.exit_hold_seconds + policy.liquidation.replan_seconds * patience)
        )
        self.desk.say_reasons()

    def bring(self, name: str, pool: str, ratio: Decimal) -> None:
        """Cash that brings the pool to this ratio, out of nowhere or (isolated) out of the wallet."""
        figures, policy = self.desk.pool_figures(name, pool), self.desk.policy
        asset = policy.instruments[symbol_of(pool)].settle if pool else policy.account_currency
        with exact():
            index, _ = index_price(policy, asset, self.desk.view)
            missing = ratio * figures.requirement - figures.collateral_value
            coins = whole_steps(missing, index * CENT, "up" if missing > 0 else "down")
            amount = canonical(coins * CENT)
        if not amount:
            return
        if pool == CROSS:
            self.desk.take(name, cash(name, amount))
        else:
            head = {"account": name, "entry_id": "i", "time_ns": 0, "amount": amount}
            self.desk.take(name, IsolatedTransfer(**head, symbol=symbol_of(pool), leg=leg_of(pool)))

    def filling(self, name, symbol, side, size, away=ONE, **fields):
        price = self.desk.prices["BTC-USD" if symbol == "BTC-USDT" else symbol].price
        head = {"account": name, "time_ns": 0, "trade_id": "t", "symbol": symbol, "side": side}
        price = canonical((price * away).quantize(D("0.0001")))
        return Fill(**head, quantity=size, price=price, leg=self.leg_for(name, symbol, side), **fields)

    def leg_for(self, name: str, symbol: str, side: str) -> str | None:
        """Who hedges opens the long leg when buying and the short leg when selling."""
        if name != HEDGED or symbol == "BTC-USDT":
            return None
        return "long" if side == "buy" else "short"


def filled_in_part(fill: Fill, share: Decimal) -> Fill:
    with exact():
        quantity = canonical(to_step(fill.quantity * share, D("0.0001"), "down"))
        return (
            fill if not quantity else msgspec.structs.replace(fill, quantity=quantity, fee=fill.fee * share)
        )
