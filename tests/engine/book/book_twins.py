"""A plain and a columnar book side by side: the same operations, after each of which they must answer alike.

What is due behind verdicts is drained after each, sometimes in part or not at all, as a worker does that is behind.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import count
from random import Random

import pytest
from msgspec.structs import replace

from engine.book import kernels
from engine.book.account_book import PackedPart, drained
from engine.book.columnar_book import ColumnarBook
from engine.book.plain_book import PlainBook
from engine.events.effects import AccountRisk
from engine.events.judgement import Judgement
from engine.events.pools import CROSS, pool_figures
from engine.events.reasons import reasons_due
from engine.inputs import Fill, Mark, OrderUpdate, Settlement, Topic
from engine.ladder.breaker import Breaker
from engine.ledger.accounts import AccountState, IsolatedPosition, encode
from engine.ledger.applying import apply
from engine.margin.isolated_pool import open_isolated
from engine.marks.mark_book import Prices
from engine.numbers import canonical, exact
from engine.policy import Policy
from engine.position_keys import symbol_of
from tests.support.instants import at as moment
from tests.support.instants import grouped
from tests.support.life_cycle import REASONS

D = Decimal
ALL = 1_000_000
"""More accounts than any book here has."""
_LOOKED_EVERY = 5
_PORTIONS = (ALL, ALL, 0, 1, 2)


class Twins:
    """A plain and a columnar book that must answer alike."""

    def __init__(self, policy: Policy, start: Mapping[str, object], *, primed: bool = True) -> None:
        self.policy = policy
        # a book this small can have its totals up to date
        self.plain, self.fast = PlainBook(policy), ColumnarBook(policy, refreshed_max=1_000)
        self.prices: dict[str, Mark] = {}
        self.stale = frozenset(policy.price_symbols)
        self.now_ns = 0
        self._offsets, self._sequences, self._steps = count(), count(1), count()
        self._portions = Random(0)
        self.judgements = self.behind = 0
        """Of accounts: judgements that said something, and reasons that were said behind them."""
        self._together = True
        if primed:
            self.prime(start)

    def prime(self, quotes) -> None:
        marks = [
            self.mark(symbol, D(price))
            for symbol, price in quotes.items()
            if symbol in self.policy.price_symbols
        ]
        self.stale -= {it.symbol for it in marks}
        for book in (self.plain, self.fast):
            book.prime(marks, moment(self.now_ns, self.stale))
        self._compare([], [])

    def mark(self, symbol: str, price: Decimal, age_ns: int = 0, **facts: Decimal) -> Mark:
        """The next mark of a symbol; `prices` has the last one made."""
        made = Mark(symbol, price, next(self._sequences), max(0, self.now_ns - age_ns), **facts)
        self.prices[symbol] = made
        return made

    def on_marks(self, *marks: Mark) -> None:
        """Take marks in order: at one call each by itself, at the next as many together as have symbols of their own."""
        for it in marks:
            self.now_ns = max(self.now_ns, it.time_ns)
        self._together = not self._together
        instants = grouped(marks, len(marks) if self._together else 1)
        self._compare(drained(self.plain.on_instants(instants)), drained(self.fast.on_instants(instants)))

    def on_clock(self, stale, **more) -> None:
        self.stale = frozenset(stale)
        self._compare(
            drained(self.plain.on_clock(moment(self.now_ns, self.stale, **more))),
            drained(self.fast.on_clock(moment(self.now_ns, self.stale, **more))),
        )

    def put(self, state: AccountState, risk: AccountRisk | None = None) -> None:
        self.plain.put(state, risk)
        self.fast.put(state, risk)

    def put_all(self, *states: AccountState) -> None:
        self.plain.put_all(states)
        self.fast.put_all(states)

    def reload(self, put_first: int, *, judged: bool, packed: bool = False) -> None:
        """Both books anew from what is stored, as a new owner fills them; the first accounts are put one by one.

        `packed`: the fast one takes all others from its own parts.
        """
        names = list(self.plain.accounts())
        states = {name: self.state(name) for name in names}
        risks = {name: self.plain.risk(name) for name in names}
        breaker = self.plain.breaker.state
        parts = list(self.fast.packed_in_parts()) if packed else []
        self.plain, self.fast = PlainBook(self.policy), ColumnarBook(self.policy, refreshed_max=1_000)
        for book in (self.plain, self.fast):
            book.breaker.load(breaker)
            if packed and book is self.fast:
                self._load_packed(parts, states, risks, set(names[:put_first]))
                continue
            for name in names[:put_first]:
                book.put(states[name], risks[name])
            book.load([encode(states[name]) for name in reversed(names[put_first:])], risks)
        assert all(self.fast.state(name) == state for name, state in states.items())
        self.stale = frozenset(self.policy.price_symbols) - set(self.prices)
        for book in (self.plain, self.fast):
            book.prime(list(self.prices.values()), moment(self.now_ns, self.stale))
        self._compare([], [])
        if judged:
            self._compare(drained(self.plain.judge_all()), drained(self.fast.judge_all()))

    def _load_packed(
        self,
        parts: Sequence[PackedPart],
        states: Mapping[str, AccountState],
        risks: Mapping[str, AccountRisk],
        changed: set[str],
    ) -> None:
        changed |= {name for name, risk in risks.items() if risk.pools}
        changed |= {name for part in parts for name in part.left_out}
        stored = [encode(states[name]) for name in sorted(changed)]
        deque(self.fast.load_in_parts(stored, risks, [part.data for part in parts], changed), maxlen=0)

    def end_hold(self, *, released: bool) -> None:
        """An operator releases, or voids, what the breaker holds."""
        for book in (self.plain, self.fast):
            book.breaker.close(released=released)
        self._compare(drained(self.plain.judge_held()), drained(self.fast.judge_held()))

    def say_reasons(self, accounts_max: int = ALL) -> None:
        """What is due, of so many accounts, in both books: the same of the same, in the same order."""
        exactly, fast = self.plain.reasons(accounts_max), self.fast.reasons(accounts_max)
        assert fast == exactly
        assert len(exactly) <= accounts_max
        # who is taken has something to say, and is not taken for it again
        assert all(it.events for it in exactly)
        assert {event.breaker for it in exactly for event in it.events} <= {self.plain.breaker.hold}
        self.behind += len(exactly)
        for it in exactly:
            name = it.risk.account
            assert it.risk == self.plain.risk(name) == self.fast.risk(name)
            assert not any(reasons_due(pool, self.policy, self._hold) for pool in it.risk.pools.values())
            self.heard(it)
        assert self.fast.reasons_due == self.plain.reasons_due
        if accounts_max == ALL:
            self._nothing_due()

    def heard(self, behind: Judgement) -> None:
        """For who keeps a journal of what is said behind verdicts."""

    def drain(self) -> None:
        """After a step: everything that is due, or a part of it, or nothing."""
        if self.plain.reasons_due or self.fast.reasons_due:
            self.say_reasons(self._portions.choice(_PORTIONS))

    @property
    def _hold(self) -> int | None:
        return self.plain.breaker.hold

    def _nothing_due(self) -> None:
        """Nobody is forgotten: what can be said now was said."""
        assert self.plain.reasons(1) == self.fast.reasons(1) == []
        for name in self.plain.accounts():
            for pool in self.plain.risk(name).pools.values():
                assert reasons_due(pool, self.policy, self._hold) == []
        assert not self.plain.reasons_due or self._hold is not None

    def judge(self, *accounts: str) -> None:
        self._compare(drained(self.plain.judge(accounts)), drained(self.fast.judge(accounts)))

    def state(self, name: str) -> AccountState:
        state = self.fast.state(name)
        assert state == self.plain.state(name)
        return state or AccountState(name)

    def apply(self, name: str, message) -> None:
        topic = Topic.FILLS if isinstance(message, Fill | OrderUpdate | Settlement) else Topic.LEDGER
        after = apply(self.state(name), message, topic, next(self._offsets), self.policy)
        if isinstance(after, AccountState):
            self.put(after)

    def figures(self, name: str, pool: str = CROSS):
        prices = Prices(self.prices, frozenset(), self.now_ns)
        return pool_figures(self.state(name), pool, prices, self.policy)

    def totals(self, edges: Sequence[Decimal] = ()) -> None:
        """`edges`: ratios that no account is so close to that its float figures could fall on the other side."""
        exactly, nearly = self.plain.totals(edges), self.fast.totals(edges)
        assert nearly.accounts_by_band == exactly.accounts_by_band
        assert nearly.isolated_by_band == exactly.isolated_by_band
        assert nearly.accounts_degraded == exactly.accounts_degraded
        assert nearly.accounts_stopped == exactly.accounts_stopped
        assert nearly.accounts_below_ratio == exactly.accounts_below_ratio
        error = 10 * kernels.EPSILON * self._weight()
        assert nearly.equity == pytest.approx(exactly.equity, abs=error)
        assert nearly.maintenance_margin == pytest.approx(exactly.maintenance_margin, abs=error)

    def _weight(self) -> float:
        """Sum of the magnitudes of everything held, in account currency."""
        weight = 0.0
        for name in self.plain.accounts():
            state = self.state(name)
            for asset, amount in state.balances.items():
                weight += abs(float(amount)) * self._quote(self.policy.assets[asset].index)
            for key, held in state.positions.items():
                listed, price = self.policy.instruments[symbol_of(key)], self._quote(symbol_of(key))
                size = abs(float(held.quantity * listed.multiplier))
                value = size / price if listed.inverse else size * price
                weight += (value + abs(float(held.entry_value))) * self._quote(
                    self.policy.assets[listed.settle].index
                )
        return weight

    def _quote(self, symbol: str) -> float:
        return float(self.prices[symbol].price) if symbol in self.prices else 1.0

    def _compare(self, exactly, fast) -> None:
        assert fast == exactly
        self.judgements += len(exactly)
        assert list(self.fast.accounts()) == list(self.plain.accounts())
        for name in self.plain.accounts():
            assert self.fast.risk(name) == self.plain.risk(name)
        compare_breakers(self.fast.breaker, self.plain.breaker)
        if next(self._steps) % _LOOKED_EVERY == 0:
            # of all: who has waited longest depends on the order in which accounts came
            looked = [len(deque(book.look_at_unpaid(ALL))) for book in (self.plain, self.fast)]
            assert looked[0] == looked[1]
            assert self.fast.unpaid == self.plain.unpaid
        assert all(event.type not in REASONS for it in exactly for event in it.events)
        self.drain()


def compare_breakers(fast: Breaker, exactly: Breaker) -> None:
    """Sums come in another order, so they may differ in their last digits; nothing else may."""
    assert fast.hold == exactly.hold
    assert fast.held.keys() == exactly.held.keys()
    assert [(it.second, it.stake.accounts) for it in fast.state.window] == [
        (it.second, it.stake.accounts) for it in exactly.state.window
    ]
    assert fast.before == exactly.before
    ours, theirs = fast.state.opening, exactly.state.opening
    if ours is not None and theirs is not None:
        assert (ours.cause, ours.limit, ours.condemned, ours.worst) == (
            theirs.cause, theirs.limit, theirs.condemned, theirs.worst,
        )  # fmt: skip
        assert ours.of.accounts == theirs.of.accounts
        assert ours.of.open_interest == pytest.approx(theirs.of.open_interest, rel=1e-9)
        assert ours.share == pytest.approx(theirs.share, rel=1e-9)


def place(twins: Twins, name: str, line: str, beside: Decimal, *, relative: bool) -> None:
    """Put the account's pools on `line`, or `beside` it (in account currency, or relative to the line's value)."""
    state = twins.state(name)
    with exact():
        figures = twins.figures(name)
        target = D(line) * figures.requirement
        target += beside * (target if relative else 1)
        balance = state.balances.get("USD", D(0))
        # USD counts one for one when positive; its positive part is what the other assets leave to fill
        balances = {**state.balances, "USD": canonical(balance + target - figures.collateral_value)}
        isolated = dict(state.isolated)
        for symbol in open_isolated(state):
            if twins.policy.instruments[symbol_of(symbol)].settle == "USD":
                own = twins.figures(name, symbol)
                aim = D(line) * own.requirement + beside
                held = isolated[symbol]
                isolated[symbol] = IsolatedPosition(
                    held.position, canonical(held.margin + aim - own.collateral_value)
                )
    kept = {asset: amount for asset, amount in balances.items() if amount}
    twins.put(replace(state, balances=kept, isolated=isolated))
