"""The fast book: compiled code says who cannot have anything to say, the exact judge hears the others.

It decides exactly as `plain.PlainBook` does, which the tests hold it to. `kernels` tells how a tick is screened and
why that is sound; this file keeps what the columns cannot express: the accounts themselves, the exact prices, and
the hold timers.

Rules
-----
* An account is in one of three states (`kernels.QUIET`, `HOVERING`, `UNJUDGED`). A QUIET account's figures cannot cross a
  line between its bounds; any other account is examined or judged at every touch.
* A running hold timer does not change a judgement before it runs out. At the first mark after that the account becomes
  UNJUDGED, and the next touch judges it, as in the plain book.
* `walk` stops after a mark with candidates, so prices and time at an exact judgement are those of that mark.
* An account that the columns cannot express (`expressible`) is *routed*: it stays UNJUDGED, so the exact judge hears it
  at every touch, as the plain book's does.

Limits of the columns: a number of accounts that fits 31 bits; prices between 1e-30 and 1e30 (single precision bounds).
Counts of `totals` come from float figures: an account within the error bound of an edge may count on either side.
A routed account counts with the figures of its last exact judgement: every price it depends on brings one, so they are
those of the present prices, but for what time alone has changed since (funding accrued, options nearer to expiry).
"""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

import numpy as np

from engine.accounts import AccountState
from engine.book import kernels, sums
from engine.book.columns import MARK, ROW, TERM, WATCH, Columns
from engine.book.encode import Encoder
from engine.book.holders import Holders
from engine.book.port import Totals
from engine.book.ragged import Array, Ragged
from engine.book.routed import Routed
from engine.effects import AccountRisk
from engine.inputs import Mark
from engine.judgement import CROSS, Judgement, judge, pool_figures
from engine.marks import Prices
from engine.policy import Policy

_NEVER_NS = 2**63 - 1
_ACCOUNTS_MIN = 64


class ColumnarBook:
    """`AccountBook` on columns.

    Counters for metrics, since the start: `screened` holders answered for by `on_marks`, of these `examined` whose
    figures were summed anew, and `exact` judgements, whatever asked for them.
    """

    def __init__(self, policy: Policy) -> None:
        """An empty book without prices: every price symbol is stale. Loads or compiles the compiled code."""
        self._policy = policy
        self._encoder = Encoder(policy)
        self._numbers: dict[str, int] = {}
        self._states: list[AccountState] = []
        self._risks: dict[int, AccountRisk] = {}
        self._marks: dict[str, Mark] = {}
        self._quoted: list[Decimal | None] = [None] * len(self._encoder.symbol_ids)
        """Last price by symbol number, ahead of `_marks` while a batch is walked."""
        self._stale = frozenset(policy.price_symbols)
        self._time_ns = 0
        self._dues_ns: dict[int, int] = {}
        """When the first hold timer of an account runs out."""
        self._due_heap: list[tuple[int, int]] = []
        """The same with outdated entries, earliest first; those handed over to `UNJUDGED` are gone."""
        self._terms = Ragged(np.zeros((), TERM))
        self._rows = Ragged(np.zeros((), ROW))
        self._watches = Ragged(np.zeros((), WATCH))
        self._holders = Holders(len(self._encoder.symbol_ids))
        self._routed = Routed()
        self._status: Array = np.zeros(_ACCOUNTS_MIN, np.uint8)
        self._found: Array = np.zeros(_ACCOUNTS_MIN, np.int32)
        self.screened = self.examined = self.exact = 0
        self._warm()

    def put(self, state: AccountState, risk: AccountRisk | None = None) -> None:
        """See `AccountBook.put`."""
        number = self._numbers.get(state.account)
        if number is None:
            number = self._enrol(state)
        self._states[number] = state
        self._routed.classify(number, self._encoder.reason(state))
        if risk is not None:
            self._remember(number, risk)
        self._write(number)
        self._watch(number, self._encoder.watched(state))
        due = number in self._routed or self._dues_ns.get(number, _NEVER_NS) <= self._time_ns
        if due or not kernels.examine(self._columns(), number):
            kernels.dismiss(self._columns(), number)

    @property
    def routed(self) -> dict[str, int]:
        """See `AccountBook.routed`."""
        return self._routed.counts

    def state(self, account: str) -> AccountState | None:
        """See `AccountBook.state`."""
        number = self._numbers.get(account)
        return None if number is None else self._states[number]

    def risk(self, account: str) -> AccountRisk:
        """See `AccountBook.risk`."""
        number = self._numbers.get(account)
        return (self._risks.get(number) if number is not None else None) or AccountRisk(account)

    def accounts(self) -> Iterator[str]:
        """See `AccountBook.accounts`."""
        return iter(sorted(self._numbers))

    def judge(self, accounts: Sequence[str]) -> list[Judgement]:
        """See `AccountBook.judge`. A QUIET account has nothing to say at the present prices, so it is not asked."""
        return self._judge(it for it in accounts if self._status[self._numbers[it]] != kernels.QUIET)

    def on_marks(self, marks: Sequence[Mark]) -> list[Judgement]:
        """See `AccountBook.on_marks`."""
        judgements: list[Judgement] = []
        encoded = self._encode(marks)
        begin = 0
        while begin < len(marks):
            self._hand_over(max(self._time_ns, marks[begin].time_ns))
            due_ns = self._due_heap[0][0] if self._due_heap else _NEVER_NS
            walked = kernels.walk(self._columns(), encoded, begin, self._time_ns, due_ns, self._found)
            for mark in marks[begin : walked.next]:
                self._believe(mark)
            self.screened += walked.screened
            self.examined += walked.examined
            if walked.candidates:
                names = self._names(self._found[: walked.candidates].tolist())
                judgements += self._judge(names, marks[walked.next - 1].time_ns)
            begin = walked.next
        return judgements

    def prime(self, marks: Sequence[Mark], now_ns: int, stale: frozenset[str]) -> None:
        """See `AccountBook.prime`."""
        for mark in marks:
            self._marks[mark.symbol] = mark
            number = self._encoder.symbol_ids.get(mark.symbol)
            if number is not None:
                self._quoted[number] = mark.price
                self._encoder.symbols[number]["price"] = float(mark.price)
                self._encoder.symbols[number]["known"] = 1
        self._time_ns, self._stale = max(self._time_ns, now_ns), stale
        self._refresh(self._encoder.symbol_ids)
        kernels.review(self._columns(), len(self._states))
        self._hand_over(self._time_ns)
        self._routed.forget()

    def on_clock(self, now_ns: int, stale: frozenset[str]) -> list[Judgement]:
        """See `AccountBook.on_clock`."""
        self._time_ns = max(self._time_ns, now_ns)
        changed = [symbol for symbol in stale ^ self._stale if symbol in self._encoder.symbol_ids]
        self._stale = stale
        self._refresh(changed)
        self._hand_over(self._time_ns)
        concerned = {number for number in self._dues_ns if self._status[number] != kernels.QUIET}
        for symbol in changed:
            candidates = kernels.sweep(self._columns(), self._encoder.symbol_ids[symbol], self._found)
            concerned.update(self._found[:candidates].tolist())
        return self._judge(self._names(concerned))

    def totals(self, edges: Sequence[Decimal]) -> Totals:
        """See `AccountBook.totals`. At most one exact computation per routed account put, or primed, but not judged since."""
        prices = Prices(self._marks, self._stale, self._time_ns)
        for number in self._routed.unseen:
            self._routed.look(number, pool_figures(self._states[number], CROSS, prices, self._policy))
        lines = np.array([float(edge) for edge in edges])
        of_columns = kernels.total(self._columns(), len(self._states), lines)
        return sums.totals(edges, of_columns, self._routed.sums(lines))

    def _judge(self, accounts: Iterable[str], cause_ns: int | None = None) -> list[Judgement]:
        prices = Prices(self._marks, self._stale, self._time_ns)
        judgements = []
        for account in accounts:
            number = self._numbers[account]
            risk = self._risks.get(number) or AccountRisk(account)
            judgement = judge(self._states[number], risk, prices, self._time_ns, self._policy, cause_ns)
            self.exact += 1
            if judgement.risk != risk:
                self._remember(number, judgement.risk)
                self._write(number)
            if number in self._routed:
                self._routed.look(number, judgement.cross)
            else:
                kernels.examine(self._columns(), number)
            if judgement.events:
                judgements.append(judgement)
        return judgements

    def _names(self, numbers: Iterable[int]) -> list[str]:
        return sorted(self._states[number].account for number in numbers)

    def _encode(self, marks: Sequence[Mark]) -> Array:
        numbers, quoted = self._encoder.symbol_ids, self._quoted
        records = []
        for mark in marks:
            number, price = numbers[mark.symbol], mark.price
            records.append((float(price), mark.time_ns, number, price == quoted[number]))
            quoted[number] = price
        return np.array(records, MARK)

    def _believe(self, mark: Mark) -> None:
        """Take one mark into the exact view of prices; the columns have it already."""
        symbol = mark.symbol
        self._marks[symbol] = mark
        self._time_ns = max(self._time_ns, mark.time_ns)
        too_old = self._time_ns - mark.time_ns > self._encoder.stale_after_ns[symbol]
        if too_old != (symbol in self._stale):
            self._stale = self._stale | {symbol} if too_old else self._stale - {symbol}

    def _refresh(self, symbols: Iterable[str]) -> None:
        """Write to the columns which of these symbols are fresh."""
        for symbol in symbols:
            record = self._encoder.symbols[self._encoder.symbol_ids[symbol]]
            record["fresh"] = record["known"] and symbol not in self._stale

    def _hand_over(self, now_ns: int) -> None:
        """Leave accounts whose hold timer has run out to the exact judge."""
        while self._due_heap and self._due_heap[0][0] <= now_ns:
            due_ns, number = heapq.heappop(self._due_heap)
            if self._dues_ns.get(number) == due_ns:
                kernels.dismiss(self._columns(), number)

    def _remember(self, number: int, risk: AccountRisk) -> None:
        self._risks[number] = risk
        due_ns = self._encoder.due_ns(risk)
        if due_ns is None:
            self._dues_ns.pop(number, None)
        elif due_ns != self._dues_ns.get(number):
            self._dues_ns[number] = due_ns
            heapq.heappush(self._due_heap, (due_ns, number))

    def _enrol(self, state: AccountState) -> int:
        number = len(self._states)
        self._numbers[state.account] = number
        self._states.append(state)
        if number == len(self._status):
            self._status = np.append(self._status, np.zeros_like(self._status))
            self._found = np.zeros(len(self._status), np.int32)
        for lists in (self._terms, self._rows, self._watches):
            lists.resize(number, 0)
        return number

    def _write(self, number: int) -> None:
        state = self._states[number]
        risk = self._risks.get(number) or AccountRisk(state.account)
        encoded = self._encoder.encode(state, risk, routed=number in self._routed)
        for lists, records in zip((self._terms, self._rows), encoded, strict=True):
            start = lists.resize(number, len(records))
            lists.columns[0][start : start + len(records)] = records

    def _watch(self, number: int, symbols: set[int]) -> None:
        """Have the account among the holders of exactly these symbols."""
        watches = self._watches.columns[0][self._watches.slice(number)].tolist()
        held = dict(watches)
        if held.keys() == symbols:
            return
        for symbol in held.keys() - symbols:
            slot = held.pop(symbol)
            moved = self._holders.remove(symbol, slot)
            if moved >= 0:
                of_moved = self._watches.columns[0][self._watches.slice(moved)]
                of_moved["slot"][of_moved["symbol"] == symbol] = slot
        for symbol in sorted(symbols - held.keys()):
            held[symbol] = self._holders.add(symbol, number)
        start = self._watches.resize(number, len(held))
        self._watches.columns[0][start : start + len(held)] = np.array(list(held.items()), WATCH)

    def _columns(self) -> Columns:
        return Columns(
            self._encoder.symbols,
            self._encoder.assets,
            self._encoder.tiers,
            self._status,
            self._rows.start,
            self._rows.count,
            self._rows.columns[0],
            self._terms.start,
            self._terms.columns[0],
            self._watches.start,
            self._watches.count,
            self._watches.columns[0],
            *self._holders.columns,
        )

    def _warm(self) -> None:
        """Compile, or load, every entry now: the first tick must not wait for a compiler."""
        columns = self._columns()
        kernels.walk(columns, np.zeros(0, MARK), 0, 0, _NEVER_NS, self._found)
        kernels.review(columns, 0)
        kernels.sweep(columns, 0, self._found)
        kernels.total(columns, 0, np.zeros(0))
