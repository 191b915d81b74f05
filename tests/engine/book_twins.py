"""A plain and a columnar book side by side: the same operations, after each of which they must answer alike."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import count

import pytest
from msgspec.structs import replace

from engine.accounts import AccountState, IsolatedPosition, encode
from engine.book import kernels
from engine.book.columnar import ColumnarBook
from engine.book.plain import PlainBook
from engine.effects import AccountRisk
from engine.inputs import Fill, Mark, OrderUpdate, Settlement, Topic
from engine.judgement import CROSS, pool_figures
from engine.ledger import apply
from engine.margin.isolated import open_isolated
from engine.marks import Prices
from engine.numbers import canonical, exact
from engine.policy import Policy
from engine.position_keys import symbol_of

D = Decimal


class Twins:
    """A plain and a columnar book that must answer alike."""

    def __init__(self, policy: Policy, start: Mapping[str, object], *, primed: bool = True) -> None:
        self.policy = policy
        # a book this small can have its totals up to date
        self.plain, self.fast = PlainBook(policy), ColumnarBook(policy, refreshed_max=1_000)
        self.prices: dict[str, Mark] = {}
        self.stale = frozenset(policy.price_symbols)
        self.now_ns = 0
        self._offsets, self._sequences = count(), count(1)
        self.judgements = 0
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
            book.prime(marks, self.now_ns, self.stale)
        self._compare([], [])

    def mark(self, symbol: str, price: Decimal, age_ns: int = 0, **facts: Decimal) -> Mark:
        """The next mark of a symbol; `prices` has the last one made."""
        made = Mark(symbol, price, next(self._sequences), max(0, self.now_ns - age_ns), **facts)
        self.prices[symbol] = made
        return made

    def on_marks(self, *marks: Mark) -> None:
        for it in marks:
            self.now_ns = max(self.now_ns, it.time_ns)
        self._compare(self.plain.on_marks(marks), self.fast.on_marks(marks))

    def on_clock(self, stale) -> None:
        self.stale = frozenset(stale)
        self._compare(
            self.plain.on_clock(self.now_ns, self.stale), self.fast.on_clock(self.now_ns, self.stale)
        )

    def put(self, state: AccountState, risk: AccountRisk | None = None) -> None:
        self.plain.put(state, risk)
        self.fast.put(state, risk)

    def put_all(self, *states: AccountState) -> None:
        self.plain.put_all(states)
        self.fast.put_all(states)

    def reload(self, put_first: int, *, judged: bool) -> None:
        """Both books anew from what is stored, as a new owner fills them; the first accounts are put one by one."""
        names = list(self.plain.accounts())
        states = {name: self.state(name) for name in names}
        risks = {name: self.plain.risk(name) for name in names}
        self.plain, self.fast = PlainBook(self.policy), ColumnarBook(self.policy, refreshed_max=1_000)
        for book in (self.plain, self.fast):
            for name in names[:put_first]:
                book.put(states[name], risks[name])
            book.load([encode(states[name]) for name in reversed(names[put_first:])], risks)
        assert all(self.fast.state(name) == state for name, state in states.items())
        self.stale = frozenset(self.policy.price_symbols) - set(self.prices)
        for book in (self.plain, self.fast):
            book.prime(list(self.prices.values()), self.now_ns, self.stale)
        self._compare([], [])
        if judged:
            self._compare(self.plain.judge_all(), self.fast.judge_all())

    def judge(self, *accounts: str) -> None:
        self._compare(self.plain.judge(accounts), self.fast.judge(accounts))

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
