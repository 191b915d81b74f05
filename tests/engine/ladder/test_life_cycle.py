"""The life cycle of a liquidation, walked through at random: whatever happens, in both books, the story told stays in order.

`tests.support.life_cycle` holds every event against what was said before. Here are the things that happen, and three promises:
a plan executed as given ends where it says, whatever state an account is in, money, fresh prices and time resolve it, and whenever
plans and explanations are said, now or after anything else has happened, each verdict gets its own once, or is over before.

UNIMARGIN_LIFE_CYCLES=2000 (and `--timeout 0`) walks longer than CI does; what fails is printed with a blob that repeats it.
"""

import os
from decimal import Decimal

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from engine.inputs import (
    AccountSetting,
    Fill,
    FundingPayment,
    MarginMode,
    OrderUpdate,
    Topic,
)
from engine.ladder import Band
from engine.ledger.applying import stopped
from engine.liquidation.plan import CancelStep, NetStep
from engine.liquidation.trades import positions_of
from engine.numbers import canonical
from engine.rejections import RejectionCode
from tests.engine.book.book_twins import ALL
from tests.engine.ladder.life_cycle_desk import PERPETUALS, POLICIES, START, Desk, cash, messages_now
from tests.engine.ladder.life_cycle_walk import NAMES, NETTED, Walk, filled_in_part
from tests.support.builders import seconds
from tests.support.life_cycle import Journal

D = Decimal
CYCLES = int(os.environ.get("UNIMARGIN_LIFE_CYCLES", "60"))
CURES_MAX = 3
"""Plans that must be enough once prices stand still: the newest may be of older prices, the next is not; one more for a
worker that had to withhold it."""

policies = st.integers(0, len(POLICIES) - 1)
names = st.sampled_from(NAMES)
symbols = st.sampled_from(tuple(START))
moves = st.sampled_from(["1", "1.0001", "0.9999", "1.02", "0.98", "0.95", "1.05", "0.91", "1.09"]).map(D)
waits = st.sampled_from(["0", "0.000000001", "0.5", "1", "2", "4", "5", "9", "25", "30", "301"]).map(seconds)
targets = st.sampled_from(["1.6", "1.3", "1.1", "1.02", "1.01", "0.95", "0.5", "0", "-0.1"]).map(D)
sizes = st.sampled_from(["0.1", "0.5", "3", "20", "60"]).map(D)
sides = st.sampled_from(["buy", "sell"])


class LifeCycle(Walk):
    """Three accounts from the first fill to the last cure."""

    @initialize(policy=policies, model=st.sampled_from([None, "portfolio"]), promptly=st.booleans())
    def open(self, policy, model, promptly):
        self.desk = Desk(POLICIES[policy], Journal())
        self.desk.promptly = promptly
        self.desk.pass_time(seconds(1_000))
        for name in NAMES:
            self.desk.take(name, cash(name, D(1_000)))
            for symbol, side, quantity in (("BTC-PERP", "buy", D(20)), ("ETH-PERP", "sell", D(60))):
                self.desk.take(name, self.filling(name, symbol, side, quantity))
        if model is not None:
            head = {"account": NETTED, "entry_id": "m", "time_ns": 0}
            self.desk.take(NETTED, AccountSetting(**head, margin_model=model))

    @rule(name=names, symbol=st.sampled_from((*PERPETUALS, "BTC-USDT")), side=sides, size=sizes, away=moves)
    def fill(self, name, symbol, side, size, away):
        self.desk.take(name, self.filling(name, symbol, side, size, away))

    @rule(name=names, symbol=st.sampled_from(PERPETUALS), side=sides, size=sizes, ratio=targets)
    def fill_isolated(self, name, symbol, side, size, ratio):
        value = size * START[symbol]
        margin = {"margin_mode": MarginMode.ISOLATED, "margin_transfer": canonical(value * ratio / 10)}
        self.desk.take(name, self.filling(name, symbol, side, size, **margin))

    @rule(
        name=names,
        order=st.sampled_from(["one", "two"]),
        symbol=st.sampled_from((*PERPETUALS, "BTC-USDT")),
        side=sides,
        size=st.sampled_from(["0", "1", "30"]).map(D),
        mode=st.sampled_from(MarginMode),
        reduce_only=st.booleans(),
    )
    def order(self, name, order, symbol, side, size, mode, reduce_only):
        head = {"account": name, "time_ns": 0, "update_id": "u", "order_id": order, "price": D(90)}
        leg = self.leg_for(name, symbol, side)
        update = OrderUpdate(
            **head,
            symbol=symbol,
            side=side,
            quantity=size,
            margin_mode=mode,
            reduce_only=reduce_only,
            leg=leg,
        )
        self.desk.take(name, update)

    @rule(
        name=names, asset=st.sampled_from(["USD", "USDT", "BTC"]), amount=sizes, sign=st.sampled_from([1, -1])
    )
    def move_cash(self, name, asset, amount, sign):
        self.desk.take(name, cash(name, sign * amount, asset))

    @rule(name=names, symbol=st.sampled_from(PERPETUALS), amount=sizes, mode=st.sampled_from(MarginMode))
    def funding(self, name, symbol, amount, mode):
        head = {"account": name, "time_ns": 0, "entry_id": "f", "symbol": symbol, "amount": -amount}
        self.desk.take(name, FundingPayment(**head, margin_mode=mode, leg=self.leg_for(name, symbol, "buy")))

    @rule(name=names, number=st.integers(0, 3), ratio=targets)
    def bring_to(self, name, number, ratio):
        """Cash in or out that brings a pool to this ratio."""
        pools = self.desk.pools(name)
        self.bring(name, pools[number % len(pools)], ratio)

    @rule(ticks=st.lists(st.tuples(symbols, moves), min_size=1, max_size=4))
    def tick(self, ticks):
        self.desk.now_ns += 1
        self.desk.offer(*(self.desk.quote(symbol, factor) for symbol, factor in ticks))

    @rule(symbol=symbols, factor=st.sampled_from(["0.6", "0.85", "1.2", "2"]).map(D), times=st.integers(1, 4))
    def jump(self, symbol, factor, times):
        """Refused until confirmed."""
        self.desk.now_ns += 1
        far = self.desk.quote(symbol, factor).price
        for _ in range(times):
            self.desk.offer(self.desk.mark(symbol, far))

    @rule(symbol=symbols, factor=moves, age_ns=st.sampled_from([seconds(9), seconds(11)]))
    def tick_late(self, symbol, factor, age_ns):
        """Stale as soon as it is believed, if it is that old."""
        self.desk.offer(self.desk.quote(symbol, factor, age_ns))

    @rule(silent=st.sets(symbols, min_size=1, max_size=2))
    def fall_silent(self, silent):
        self.silent = frozenset(silent)

    @rule()
    def be_heard_again(self):
        self.silent = frozenset()
        self.desk.pass_time(0)

    @rule(wait_ns=waits)
    def wait(self, wait_ns):
        """Event time passes."""
        self.desk.pass_time(wait_ns, self.silent)
        self.nothing_overdue()

    @rule(
        name=names,
        number=st.integers(0, 3),
        ratio=st.sampled_from(["1.3", "1.1", "1.03"]).map(D),
        pauses=st.lists(waits, max_size=3),
    )
    def leave_unmet(self, name, number, ratio, pauses):
        """A pool sinks to a call, and nobody does anything about it."""
        pools = self.desk.pools(name)
        self.bring(name, pools[number % len(pools)], ratio)
        for pause_ns in pauses:
            self.wait(pause_ns)

    @rule(promptly=st.booleans())
    def fall_behind_or_catch_up(self, promptly):
        """From now on reasons come with what is said next, or only when asked for."""
        self.desk.promptly = promptly

    @precondition(lambda self: self.desk.plain.reasons_due)
    @rule(accounts_max=st.sampled_from([1, 1, 2, ALL]))
    def say_reasons(self, accounts_max):
        self.desk.say_reasons(accounts_max)

    @precondition(lambda self: not self.desk.promptly)
    @rule(
        name=names,
        number=st.integers(0, 3),
        ratios=st.lists(targets, min_size=1, max_size=3),
        pause_ns=waits,
        crashed=st.sampled_from([None, False, True]),
    )
    def meet_the_next_verdict_first(self, name, number, ratios, pause_ns, crashed):
        """A pool sinks, and is cured, sinks further, or is taken over by another worker, before anybody says why it sank."""
        pools = self.desk.pools(name)
        pool = pools[number % len(pools)]
        for ratio in ratios:
            self.bring(name, pool, ratio)
            self.wait(pause_ns)
        if crashed is not None:
            self.desk = self.desk.restarted(self.desk.policy, crashed=crashed)
        self.desk.say_reasons(1)

    @rule(policy=policies, crashed=st.booleans())
    def change_policy(self, policy, crashed):
        self.desk = self.desk.restarted(POLICIES[policy], crashed=crashed)

    @rule(crashed=st.booleans())
    def restart(self, crashed):
        self.desk = self.desk.restarted(self.desk.policy, crashed=crashed)

    @rule(name=names, topic=st.sampled_from(Topic))
    def stop_or_resume(self, name, topic):
        state = self.desk.state(name)
        if state.stopped:
            self.desk.resume(name)
        else:
            self.desk.take_state(stopped(state, topic, 0, RejectionCode.UNKNOWN_ASSET, None))

    @precondition(lambda self: self.running())
    @rule(number=st.integers(0, 9), settle_each=st.booleans())
    def execute_whole(self, number, settle_each):
        self.execute_plan(*self.pick(number), settle_each=settle_each)

    @rule(
        name=names,
        number=st.integers(0, 3),
        ratio=st.sampled_from(["0.99", "0.8", "0.5", "0.05", "0", "-0.2"]).map(D),
        settle_each=st.booleans(),
    )
    def sink_and_execute(self, name, number, ratio, settle_each):
        """A pool sinks while nothing is withheld, and its newest plan is executed as given."""
        self.trusted()
        pools = self.desk.pools(name)
        pool = pools[number % len(pools)]
        self.bring(name, pool, ratio)
        story = self.desk.journal.story(name, pool)
        # an older plan is made anew
        self.desk.pass_time(seconds(self.desk.policy.liquidation.replan_seconds * story.patience))
        self.desk.say_reasons()
        if story.running is not None:
            leaving = self.desk.plain.risk(name).pools[pool].exit_since_ns is not None
            assert leaving or self.is_fresh(story)
            self.execute_plan(name, pool, story, settle_each=settle_each)

    @precondition(lambda self: self.running())
    @rule(number=st.integers(0, 9), steps=st.integers(1, 3), share=st.sampled_from(["0.3", "1"]).map(D))
    def execute_some(self, number, steps, share):
        """The first steps, the last of them only in part."""
        name, pool, story = self.pick(number)
        event = story.newest
        todo = [step for step in event.plan.steps if not isinstance(step, CancelStep | NetStep)][:steps]
        for place, step in enumerate(todo, 1):
            for message in messages_now(self.desk, name, pool, step, event.liquidation_id):
                last = isinstance(message, Fill) and place == len(todo)
                self.desk.take(name, filled_in_part(message, share) if last else message)

    @precondition(lambda self: any(story.older for story in self.stories().values()))
    @rule(number=st.integers(0, 9), which=st.integers(0, 9))
    def execute_older(self, number, which):
        """A straggler of a liquidation that was replaced, or is over."""
        told = [key for key, story in sorted(self.stories().items()) if story.older]
        name, pool = told[number % len(told)]
        older = self.stories()[name, pool].older
        event = older[which % len(older)]
        for step in event.plan.steps[-1:]:
            self.desk.take(name, *messages_now(self.desk, name, pool, step, event.liquidation_id))

    @precondition(lambda self: self.running())
    @rule(number=st.integers(0, 9))
    def execute_until_over(self, number):
        """While prices stand still, a few plans are enough to end a liquidation, or all positions of the pool."""
        name, pool, story = self.pick(number)
        self.trusted()
        for _ in range(CURES_MAX):
            if story.running is None or not positions_of(self.desk.state(name), pool):
                return
            event = story.newest
            for step in event.plan.steps:
                if story.newest is event:
                    self.desk.take(name, *messages_now(self.desk, name, pool, step, event.liquidation_id))
            self.sit_out(story.patience)
        assert story.running is None or not positions_of(self.desk.state(name), pool)

    @invariant()
    def stands(self):
        if self.desk is not None:
            self.desk.check()

    def teardown(self):
        """Every opened episode can be resolved."""
        if self.desk is None:
            return
        self.trusted()
        for name in NAMES:
            # the shared pool last: it pays for the others
            for pool in sorted(self.desk.pools(name), reverse=True):
                self.bring(name, pool, D(10))
        self.sit_out()
        self.desk.check()
        for name in NAMES:
            assert self.desk.plain.risk(name).pools == {}
        for story in self.stories().values():
            assert (story.band, story.episode_id, story.running) == (Band.HEALTHY, None, None)
            assert not (story.entered)
            assert not (story.plan_due)
            assert not story.detail_due
        assert not self.desk.plain.reasons_due


LifeCycle.TestCase.settings = settings(
    max_examples=CYCLES,
    stateful_step_count=50,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
test_life_cycle = LifeCycle.TestCase
