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
* An account that the columns cannot express (`expressible`) is *routed*: only the exact judge hears it. After each
  judgement it gets a box (`boxes`), in which it is QUIET; without one it stays UNJUDGED, heard at every touch, as in the
  plain book. A box ends with the account's next change, when a price, another fact of a mark or event time leaves it, and
  when a price becomes stale or fresh.

Limits of the columns: a number of accounts that fits 31 bits; prices between 1e-30 and 1e30 (single precision bounds).
Counts of `totals` come from float figures: an account within the error bound of an edge may count on either side.
A routed account counts with its figures of when they were last computed exactly: by a judgement, or by `totals`, which
brings the `REFRESHED_MAX` oldest up to date each time. Since then prices have not left its box.
"""

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

import numpy as np

from engine.accounts import AccountState
from engine.book import kernels, sums
from engine.book.boxes.keeper import BoxKeeper
from engine.book.encode import Encoder
from engine.book.mark_batch import EncodedMarks, MarkEncoder
from engine.book.port import Totals
from engine.book.ragged import Array
from engine.book.routed import Routed, RoutedSums
from engine.book.table import Table
from engine.book.timers import NEVER_NS, Timers
from engine.effects import AccountRisk
from engine.inputs import Mark
from engine.judgement import CROSS, Judgement, judge, pool_figures
from engine.marks import Prices
from engine.policy import Policy

PART_ACCOUNTS = 5_000
"""Accounts in a part of the totals: a few milliseconds."""
REFRESHED_MAX = 4
"""Routed accounts whose figures `totals` brings up to date: a few milliseconds, so that no tick waits for it for long."""


class ColumnarBook:
    """`AccountBook` on columns.

    Counters for metrics, since the start: `screened` holders answered for by `on_marks`, of these `examined` whose
    figures were summed anew, and `exact` judgements, whatever asked for them, `exact_routed` of them of routed accounts.
    """

    def __init__(self, policy: Policy, refreshed_max: int = REFRESHED_MAX) -> None:
        """An empty book without prices: every price symbol is stale. Loads or compiles the compiled code."""
        self._policy = policy
        self._encoder = Encoder(policy)
        self._numbers: dict[str, int] = {}
        self._states: list[AccountState] = []
        self._risks: dict[int, AccountRisk] = {}
        self._marks: dict[str, Mark] = {}
        self._mark_encoder = MarkEncoder(policy)
        """For marks that nobody has encoded yet."""
        self._prices_state: object = None
        """What the last batch of marks led to (`EncodedMarks.leads_to`); None when prices came otherwise."""
        self._stale_after_least_ns = min(self._encoder.stale_after_ns.values(), default=0)
        self._stale = frozenset(policy.price_symbols)
        self._time_ns = 0
        self._timers = Timers()
        self._table = Table(self._encoder)
        self._routed = Routed()
        self._boxes = BoxKeeper(policy, self._encoder.need)
        self._refreshed_max = refreshed_max
        self.screened = self.examined = self.exact = self.exact_routed = 0
        self._table.warm()

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
        self._table.watch(number, self._encoder.watched(state))
        self._boxes.forget(number)
        self._timers.box(number, None)
        due = number in self._routed or self._timers.holds_ns.get(number, NEVER_NS) <= self._time_ns
        if due or not kernels.examine(self._table.columns(), number):
            kernels.dismiss(self._table.columns(), number)

    @property
    def routed(self) -> dict[str, int]:
        """See `AccountBook.routed`."""
        return self._routed.counts

    @property
    def boxed(self) -> int:
        """See `AccountBook.boxed`."""
        members = self._routed.members
        return int(np.count_nonzero(members & (self._table.status[: len(members)] == kernels.QUIET)))

    @property
    def unboxed(self) -> dict[str, int]:
        """See `AccountBook.unboxed`."""
        return self._boxes.missing

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
        return self._judge(it for it in accounts if self._table.status[self._numbers[it]] != kernels.QUIET)

    def on_marks(self, marks: Sequence[Mark]) -> list[Judgement]:
        """See `AccountBook.on_marks`. Marks that the worker has encoded for all books are not encoded again."""
        judgements: list[Judgement] = []
        batch = marks if isinstance(marks, EncodedMarks) else self._mark_encoder.encode(marks)
        records = batch.records_after(self._prices_state, self._marks)
        self._prices_state = batch.leads_to
        begin = 0
        while begin < len(batch):
            self._hand_over(max(self._time_ns, batch[begin].time_ns))
            due_ns = self._timers.first_ns
            end = self._settle_facts(batch, begin)
            walked = kernels.walk(
                self._table.columns(), records[:end], begin, self._time_ns, due_ns, self._table.found
            )
            self._believe(batch, begin, walked.next)
            begin = walked.next
            self.screened += walked.screened
            self.examined += walked.examined
            if walked.candidates:
                names = self._names(self._table.found[: walked.candidates].tolist())
                judgements += self._judge(names, batch[begin - 1].time_ns)
        return judgements

    def prime(self, marks: Sequence[Mark], now_ns: int, stale: frozenset[str]) -> None:
        """See `AccountBook.prime`."""
        self._boxes.facts.take(marks)
        for mark in marks:
            self._marks[mark.symbol] = mark
            number = self._encoder.symbol_ids.get(mark.symbol)
            if number is not None:
                self._encoder.symbols[number]["price"] = float(mark.price)
                self._encoder.symbols[number]["known"] = 1
        self._time_ns, self._stale = max(self._time_ns, now_ns), stale
        self._prices_state = None
        self._mark_encoder = MarkEncoder(self._policy)  # the old one goes on from other marks
        self._refresh(self._encoder.symbol_ids)
        kernels.review(self._table.columns(), len(self._states))
        self._hand_over(self._time_ns)
        self._routed.forget()

    def on_clock(self, now_ns: int, stale: frozenset[str]) -> list[Judgement]:
        """See `AccountBook.on_clock`."""
        self._time_ns = max(self._time_ns, now_ns)
        changed = [symbol for symbol in stale ^ self._stale if symbol in self._encoder.symbol_ids]
        self._stale = stale
        self._refresh(changed)
        self._hand_over(self._time_ns)
        concerned = {
            number for number in self._timers.holds_ns if self._table.status[number] != kernels.QUIET
        }
        for symbol in changed:
            candidates = kernels.sweep(
                self._table.columns(), self._encoder.symbol_ids[symbol], self._table.found
            )
            concerned.update(self._table.found[:candidates].tolist())
        return self._judge(self._names(concerned))

    def totals(self, edges: Sequence[Decimal]) -> Totals:
        """See `AccountBook.totals`. One exact computation per routed account put, or primed, but not judged since, and a few more."""
        lines = np.array([float(edge) for edge in edges])
        of_columns = kernels.total(self._table.columns(), len(self._states), lines)
        return sums.totals(edges, of_columns, self._look_at_routed(lines))

    def totals_in_parts(self, edges: Sequence[Decimal]) -> Iterator[Totals]:
        """See `AccountBook.totals_in_parts`: the routed accounts' figures first, then `PART_ACCOUNTS` accounts each."""
        lines = np.array([float(edge) for edge in edges])
        of_routed = self._look_at_routed(lines)
        for first in range(0, max(1, len(self._states)), PART_ACCOUNTS):
            columns = self._table.columns()
            part = columns._replace(
                row_start=columns.row_start[first:],
                row_count=columns.row_count[first:],
                term_start=columns.term_start[first:],
            )
            accounts = min(PART_ACCOUNTS, len(self._states) - first)
            yield sums.totals(edges, kernels.total(part, accounts, lines), of_routed)
            of_routed = RoutedSums(np.zeros(len(lines), np.int64), 0.0, 0.0)

    def _look_at_routed(self, lines: Array) -> RoutedSums:
        prices = Prices(self._marks, self._stale, self._time_ns)
        for number in (*self._routed.unseen, *self._routed.oldest(self._refreshed_max)):
            self._routed.look(number, pool_figures(self._states[number], CROSS, prices, self._policy))
        return self._routed.sums(lines)

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
                self.exact_routed += 1
                self._routed.look(number, judgement.cross)
                self._enclose(number, judgement, prices)
            else:
                kernels.examine(self._table.columns(), number)
            if judgement.events:
                judgements.append(judgement)
        return judgements

    def _names(self, numbers: Iterable[int]) -> list[str]:
        return sorted(self._states[number].account for number in numbers)

    def _believe(self, batch: EncodedMarks, begin: int, end: int) -> None:
        """Take marks `begin` to `end` into the exact view of prices; the columns have them already."""
        newest_ns = max(self._time_ns, batch.newest_ns)
        if newest_ns - batch.oldest_ns <= self._stale_after_least_ns and self._stale.isdisjoint(batch.last):
            # no symbol becomes stale or fresh
            self._marks |= batch.last_between(begin, end)
            self._time_ns = max(self._time_ns, batch.newest_between_ns(begin, end))
            return
        for mark in batch[begin:end]:
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

    def _settle_facts(self, batch: Sequence[Mark], begin: int) -> int:
        """End the boxes that mark `begin` leaves by other facts than its price; returns the next mark that does."""
        facts, mark = self._boxes.facts, batch[begin]
        if facts.leaves(mark):
            facts.take([mark])
            kernels.disclose(self._table.columns(), self._encoder.symbol_ids[mark.symbol])
        return facts.leaving(batch, begin + 1)

    def _enclose(self, number: int, judgement: Judgement, prices: Prices) -> None:
        """Give a routed account that was just judged a box, or leave it to the exact judge."""
        box = self._boxes.around(number, self._states[number], judgement.risk, judgement.cross, prices)
        self._timers.box(number, box.until_ns if box else None)
        if box is None:
            kernels.dismiss(self._table.columns(), number)
        else:
            kernels.enclose(self._table.columns(), number, box.reach)

    def _hand_over(self, now_ns: int) -> None:
        """Leave accounts of which a timer has run out to the exact judge."""
        for number in self._timers.run_out(now_ns):
            kernels.dismiss(self._table.columns(), number)

    def _remember(self, number: int, risk: AccountRisk) -> None:
        self._risks[number] = risk
        self._timers.hold(number, self._encoder.due_ns(risk))

    def _enrol(self, state: AccountState) -> int:
        number = len(self._states)
        self._numbers[state.account] = number
        self._states.append(state)
        self._table.enrol(number)
        return number

    def _write(self, number: int) -> None:
        state = self._states[number]
        risk = self._risks.get(number) or AccountRisk(state.account)
        self._table.write(number, *self._encoder.encode(state, risk, routed=number in self._routed))
