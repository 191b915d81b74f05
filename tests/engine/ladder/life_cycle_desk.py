"""Both books behind believed prices, everything they say heard by one journal, and an exchange that executes their plans."""

import itertools
from decimal import Decimal

import msgspec

from engine.book.account_book import drained
from engine.events.effects import AccountRisk
from engine.events.judgement import Judgement
from engine.events.pools import CROSS, pool_figures
from engine.inputs import AccountInput, Deposit, Fill, Mark, Resume, Topic, Withdrawal
from engine.ladder import LadderState
from engine.ledger.accounts import AccountState, decode, encode
from engine.ledger.applying import apply
from engine.ledger.executions import execution_of
from engine.liquidation.plan import CancelStep, NetStep, ReduceStep, RepayStep, Step, TakeOverStep
from engine.liquidation.trades import hedged_symbols, positions_of, proceeds
from engine.margin.figures import Figures
from engine.margin.isolated_pool import judged_isolated
from engine.margin.quotes import index_price, mark_price
from engine.marks.instants import MarksRecord
from engine.marks.mark_book import MarkBook, Prices
from engine.numbers import ONE, canonical, exact
from engine.policy import Policy, parse
from engine.position_keys import position_key
from tests.engine.book.book_twins import Twins
from tests.support.life_cycle import Journal, stands_where_its_figures_say
from tests.support.liquidating import messages_of

D = Decimal
_replace = msgspec.structs.replace

_TEXT = """
name = "life"
account_currency = "USD"
[prices]
stale_after_seconds = 10
jump_fraction = 0.1
jump_confirmations = 3
[ladder]
{ladder}
[liquidation]
{liquidation}
[assets.USD]
[assets.USDT]
index = "USDT-USD"
[assets.BTC]
index = "BTC-USD"
tiers = [{{ floor = 0, ratio = 0.95 }}, {{ floor = 10, ratio = 0.8 }}]
liability_factor = 1.05
[assets.ETH]
index = "ETH-USD"
tiers = [{{ floor = 0, ratio = 0.9 }}]
[[tiers.low]]
floor = 0
maintenance_rate = {rate}
initial_rate = 0.2
[[tiers.low]]
floor = 3000
maintenance_rate = 0.12
initial_rate = 0.25
[instruments.BTC-USDT]
kind = "spot"
base = "BTC"
settle = "USDT"
[instruments.BTC-PERP]
kind = "perpetual"
base = "BTC"
settle = "USDT"
tiers = "low"
quantity_step = 0.1
[instruments.ETH-PERP]
kind = "perpetual"
base = "ETH"
settle = "USD"
tiers = "low"
multiplier = 5
[portfolio]
initial_factor = 1.25
[portfolio.units.default]
grid = {{ prices = [-0.1, 0, 0.1] }}
minimum = {{ delta_one_rate = 0.01 }}
"""
_RULES = (
    ("", "conversion_fee_rate = 0.002", "0.05"),
    ("call_deadline_seconds = 20", "share_per_round_max = 0.3\nsteps_max = 2", "0.05"),
    (
        'call_deadline_seconds = 20\nexpired_call = "reduce_only"\nexit_band = 0\nexit_hold_seconds = 0',
        "replan_seconds = 1\nstuck_seconds = 5",
        "0.06",
    ),
    (
        'call_deadline_seconds = 8\nexpired_call = "liquidation"\nexit_hold_seconds = 2\nupdate_seconds = 30',
        "fee_rate = 0\nslippage_rate = 0\nshare_per_round_max = 0.25",
        "0.05",
    ),
    ("withhold_liquidation_when_degraded = false", "partial = false", "0.08"),
)
POLICIES = [parse(_TEXT.format(ladder=ladder, liquidation=plan, rate=rate)) for ladder, plan, rate in _RULES]
"""No deadline, and each of what an expired call may lead to; rounds and none, free plans, whole positions."""
START = {"BTC-PERP": 100, "ETH-PERP": 4, "USDT-USD": 1, "BTC-USD": 100, "ETH-USD": 4}
PERPETUALS = ("BTC-PERP", "ETH-PERP")


class Desk(Twins):
    """Both books, as a worker drives them."""

    def __init__(self, policy: Policy, journal: Journal) -> None:
        self.journal = journal
        self.believed = MarkBook(policy)
        self.promptly = True
        """Whether plans and explanations come right behind their verdicts."""
        self._durable: dict[str, AccountRisk] = {}
        """The record of each account as it was when something was last said of it."""
        super().__init__(policy, {}, primed=False)

    @property
    def view(self) -> Prices:
        """Prices as the books see them."""
        return self.plain._view.prices

    def pools(self, name: str) -> list[str]:
        """Pools of an account that are judged."""
        return sorted({CROSS, *judged_isolated(self.state(name)), *self.plain.risk(name).pools})

    def pool_figures(self, name: str, pool: str) -> Figures:
        """Brute force."""
        before = self.plain.risk(name).pools.get(pool, LadderState())
        return pool_figures(self.state(name), pool, self.view, self.policy, before)

    def offer(self, *marks: Mark) -> None:
        """Marks as they come from outside: the books hear only of those that are believed."""
        instant, _ = self.believed.accept(MarksRecord(marks), self.now_ns)
        if instant is not None:
            self.on_marks(*instant.marks)

    def quote(self, symbol: str, factor: Decimal = ONE, age_ns: int = 0) -> Mark:
        """A mark at the last believed price times `factor`."""
        last = self.believed.prices.marks.get(symbol)
        price = D(START[symbol]) if last is None else last.price
        price = min(max((price * factor).quantize(D("0.0001")), D("0.01")), D(100_000))
        return self.mark(symbol, price, age_ns)

    def pass_time(self, passed_ns: int, silent: frozenset[str] = frozenset()) -> None:
        """Event time moves on, with the same price once more of every symbol that is not silent."""
        self.now_ns += passed_ns
        self.offer(*(self.quote(symbol) for symbol in START if symbol not in silent))
        prices = self.believed.advance(self.now_ns)
        self.on_clock(prices.stale, aged=prices.aged)

    def take(self, name: str, *messages: AccountInput) -> None:
        """Apply messages of one account, then judge it."""
        for message in messages:
            self.apply(name, message)
        self.judge(name)

    def resume(self, name: str) -> None:
        """An operator's word in both topics."""
        for topic in Topic:
            word = Resume(account=name, entry_id="r", time_ns=0, reason="looked into")
            after = apply(self.state(name), word, topic, next(self._offsets), self.policy)
            assert isinstance(after, AccountState)
            self.put(after)
        self.judge(name)

    def take_state(self, state: AccountState) -> None:
        """Replace an account, then judge it."""
        self.put(state)
        self.judge(state.account)

    def restarted(self, policy: Policy, *, crashed: bool = False) -> "Desk":
        """Another worker that takes over from what was stored, perhaps under another policy.

        One that `crashed` has stored only what it said, and none of what it found out since without a word.
        """
        after = Desk(policy, self.journal)
        after.now_ns, after.prices, after.promptly = self.now_ns, self.prices, self.promptly
        after._offsets, after._sequences = self._offsets, self._sequences
        marks = list(self.believed.prices.marks.values())
        for mark in marks:
            after.believed.prime(mark)
        prices = after.believed.advance(self.now_ns)
        after.stale = prices.stale
        names = list(self.plain.accounts())
        stored = [encode(self.state(name)) for name in names]
        known = {name: self.fast.risk(name) for name in names}
        if crashed:
            known = {name: self._durable.get(name, AccountRisk(name)) for name in names}
        risks = {name: stored_and_read(risk) for name, risk in known.items()}
        after._durable = {**self._durable, **risks}
        for book in (after.plain, after.fast):
            book.load(stored, risks)
            book.prime(marks, prices)
        after._compare(drained(after.plain.judge_all()), drained(after.fast.judge_all()))
        return after

    def check(self) -> None:
        """Every pool stands where its figures say, and every record survives its storage."""
        for name in self.plain.accounts():
            risk = self.plain.risk(name)
            assert stored_and_read(risk) == risk
            assert decode(encode(self.state(name))) == self.state(name)
            self.journal.agrees(risk)
            for pool in self.pools(name):
                story = self.journal.story(name, pool)
                if story.running is not None:
                    assert story.executed == execution_of(self.state(name), pool)
                figures = self.pool_figures(name, pool)
                stands_where_its_figures_say(risk.pools.get(pool, LadderState()), figures, self.policy.ladder)

    def _compare(self, exactly, fast) -> None:
        for judgement in exactly:
            name = judgement.risk.account
            self._durable[name] = judgement.risk
            self.journal.hear(judgement, self.state(name), self.policy)
        super()._compare(exactly, fast)

    def heard(self, behind: Judgement) -> None:
        name = behind.risk.account
        self._durable[name] = behind.risk
        self.journal.hear_reasons(behind, self.state(name), self.policy)

    def drain(self) -> None:
        if self.promptly:
            self.say_reasons()

    def _nothing_due(self) -> None:
        """Every verdict on liquidation has its plan, but of who is on its way out or in doubt; each is explained."""
        super()._nothing_due()
        for (name, pool), story in self.journal.stories.items():
            assert not story.detail_due
            if story.plan_due or (story.entered and story.running is None):
                kept = self.plain.risk(name).pools[pool]
                withheld = kept.degraded and self.policy.ladder.withhold_liquidation_when_degraded
                assert kept.exit_since_ns is not None or withheld


def stored_and_read(risk: AccountRisk) -> AccountRisk:
    """The record that a store hands back."""
    return msgspec.json.decode(msgspec.json.encode(risk), type=AccountRisk)


_trades = itertools.count()


def messages_now(desk: Desk, name: str, pool: str, step: Step, liquidation_id: str) -> list[AccountInput]:
    """What an exchange sends that executes `step` now: reduce-only, and at the present marks."""
    state = desk.state(name)
    with exact():
        feasible = as_of_now(step, state, pool, desk.view, desk.policy)
        if feasible is None:
            return []
        messages = messages_of(state, pool, feasible, desk.view, desk.policy)
    return [
        _replace(it, liquidation_id=liquidation_id, trade_id=f"l-{next(_trades)}")
        if isinstance(it, Fill)
        else it
        for it in messages
    ]


def as_of_now(step: Step, state: AccountState, pool: str, prices: Prices, policy: Policy) -> Step | None:
    """The step as far as the account still allows it, at present prices; None for nothing. Inside `numbers.exact()`."""
    held = positions_of(state, pool)
    match step:
        case CancelStep(order_id=order_id):
            return step if order_id in state.orders else None
        case NetStep(symbol=symbol):
            if symbol not in (hedged := hedged_symbols(state)):
                return None
            long, _, most = hedged[symbol]
            mark, _ = mark_price(symbol, held[long], prices, policy)
            return _replace(step, quantity=min(step.quantity, most), mark=mark)
        case RepayStep():
            if policy.liquidation.conversion_fee_rate is None:
                # another policy than the plan's: nothing is converted any more
                return None
            amount = min(step.sell_amount, max(D(0), state.balances.get(step.sell_asset, D(0))))
            credit = proceeds(step.sell_asset, amount, step.repay_asset, prices, policy)
            return _replace(step, sell_amount=amount, repay_amount=canonical(credit)) if credit else None
        case ReduceStep() | TakeOverStep():
            position = held.get(position_key(step.symbol, step.leg))
            if position is None or (position.quantity > 0) is not (step.side == "sell"):
                return None
            quantity = min(step.quantity, abs(position.quantity))
            mark, _ = mark_price(step.symbol, position, prices, policy)
            if isinstance(step, TakeOverStep):
                return _replace(step, quantity=quantity, price=step.price or mark)
            index, _ = index_price(policy, policy.instruments[step.symbol].settle, prices)
            rate, value = (
                policy.liquidation.cost_rate(step.symbol),
                policy.instruments[step.symbol].value(quantity, mark),
            )
            cost = rate * abs(value) * index
            return _replace(step, quantity=quantity, mark=mark, expected_cost=canonical(cost))


def cash(name: str, amount: Decimal, asset: str = "USD") -> Deposit | Withdrawal:
    """Cash into the wallet, or (< 0) out of it."""
    kind = Deposit if amount > 0 else Withdrawal
    return kind(account=name, entry_id="e", time_ns=0, asset=asset, amount=abs(amount))
