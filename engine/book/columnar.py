"""The fast book: compiled code says who cannot have anything to say, the exact judge hears the others.

It decides exactly as `plain.PlainBook` does, which the tests hold it to. `kernels` tells how a tick is screened and
why that is sound; this file keeps what the columns cannot express: the accounts themselves (packed, `roster`), the exact prices,
and the hold timers.

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

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import islice
from operator import length_hint

import numpy as np

from engine.accounts import AccountState
from engine.analytics.heat_map import MarketPoint
from engine.book import kernels, sums
from engine.book.boxes.keeper import BoxKeeper
from engine.book.encode import Encoder
from engine.book.heat_map import HEAT_PART_ACCOUNTS, Heat, HeatGrid, RoutedHeat, nothing
from engine.book.port import Totals
from engine.book.price_view import PriceView
from engine.book.ragged import Array
from engine.book.readings import as_floats, as_text
from engine.book.roster import Roster
from engine.book.routed import Routed, RoutedSums
from engine.book.table import Loaded, Table
from engine.book.timers import NEVER_NS, Timers
from engine.book.watches import watches_same
from engine.effects import AccountRisk
from engine.inputs import Mark
from engine.judgement import CROSS, DETAILED_EVENTS_MAX, Judgement, judge, pool_figures
from engine.marks import Prices
from engine.policy import Policy

PART_ACCOUNTS = 5_000
"""Accounts in a part of the totals: a few milliseconds."""
LOADED_TOGETHER = 4_096
"""Accounts whose records are gathered before they go to the columns: some 5 MB."""
_NEW = AccountRisk("")
"""Of an account of which nothing was ever said."""
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
        self._roster = Roster()
        self._risks: dict[int, AccountRisk] = {}
        self._view = PriceView(policy, self._encoder)
        self._timers = Timers()
        self._liquidating: set[int] = set()
        """Accounts whose inputs have something to say while prices have not: they may execute a plan."""
        self._table = Table(self._encoder)
        self._routed = Routed()
        self._routed_heat = RoutedHeat(policy)
        self._boxes = BoxKeeper(policy, self._encoder.need)
        self._refreshed_max = refreshed_max
        self.screened = self.examined = self.exact = self.exact_routed = 0
        self._table.warm()

    def put(self, state: AccountState, risk: AccountRisk | None = None) -> None:
        """See `AccountBook.put`."""
        self._settle([self._take(state, risk)])

    def put_all(self, states: Iterable[AccountState]) -> None:
        """See `AccountBook.put_all`. One call into compiled code for all: for each alone it takes a fifth of the time."""
        self._settle([self._take(state, None) for state in states])

    def load(self, stored: Iterable[bytes], risks: Mapping[str, AccountRisk]) -> None:
        """See `AccountBook.load`. No decimal is made of what is only kept."""
        first = len(self._roster)
        expected = first + length_hint(stored)
        self._roster.make_room(expected)
        remaining = iter(stored)
        while part := list(islice(remaining, LOADED_TOGETHER)):
            loaded = Loaded()
            for data in part:
                self._load(data, risks, loaded)
            self._table.extend(len(self._roster) - len(part), loaded)
            if len(self._roster) == first + len(part):
                self._table.make_room(expected, len(self._roster))
        if len(self._roster) > first:
            self._table.enlist(first, len(self._roster))
            self._review(first)

    @property
    def routed(self) -> dict[str, int]:
        """See `AccountBook.routed`."""
        return self._routed.counts

    @property
    def boxed(self) -> int:
        """See `AccountBook.boxed`."""
        numbers = np.fromiter(self._routed.numbers, np.int64, len(self._routed.numbers))
        return int(np.count_nonzero(self._table.status[numbers] == kernels.QUIET))

    @property
    def unboxed(self) -> dict[str, int]:
        """See `AccountBook.unboxed`."""
        return self._boxes.missing

    def state(self, account: str) -> AccountState | None:
        """See `AccountBook.state`."""
        number = self._roster.number(account)
        return None if number is None else self._roster.state(number)

    def risk(self, account: str) -> AccountRisk:
        """See `AccountBook.risk`."""
        number = self._roster.number(account)
        return (self._risks.get(number) if number is not None else None) or AccountRisk(account)

    def accounts(self) -> Iterator[str]:
        """See `AccountBook.accounts`."""
        return iter(sorted(self._roster.names()))

    def judge(self, accounts: Sequence[str]) -> list[Judgement]:
        """See `AccountBook.judge`. A QUIET account has nothing to say at the present prices, so it is not asked."""
        numbers = map(self._number, accounts)
        return self._judge(it for it in numbers if self._table.status[it] != kernels.QUIET)

    def judge_all(self) -> list[Judgement]:
        """See `AccountBook.judge_all`. Only accounts that are not QUIET are asked."""
        return self._judge(self._by_name(np.flatnonzero(self._table.status[: len(self._roster)]).tolist()))

    def on_marks(self, marks: Sequence[Mark]) -> list[Judgement]:
        """See `AccountBook.on_marks`."""
        judgements: list[Judgement] = []
        batch, records = self._view.begin(marks)
        begin = 0
        while begin < len(batch):
            self._hand_over(max(self._view.time_ns, batch[begin].time_ns))
            due_ns = self._timers.first_ns
            end = self._settle_facts(batch, begin)
            walked = kernels.walk(
                self._table.columns, records[:end], begin, self._view.time_ns, due_ns, self._table.found
            )
            self._view.believe(batch, begin, walked.next)
            begin = walked.next
            self.screened += walked.screened
            self.examined += walked.examined
            if walked.candidates:
                numbers = self._by_name(self._table.found[: walked.candidates].tolist())
                judgements += self._judge(numbers, batch[begin - 1].time_ns)
        return judgements

    def prime(self, marks: Sequence[Mark], now_ns: int, stale: frozenset[str]) -> None:
        """See `AccountBook.prime`."""
        self._boxes.facts.take(marks)
        self._view.prime(marks, now_ns, stale)
        self._review(0)
        self._hand_over(self._view.time_ns)
        self._routed.forget()

    def on_clock(self, now_ns: int, stale: frozenset[str]) -> list[Judgement]:
        """See `AccountBook.on_clock`."""
        changed = self._view.pass_time(now_ns, stale)
        self._hand_over(self._view.time_ns)
        concerned = {
            number for number in self._timers.holds_ns if self._table.status[number] != kernels.QUIET
        }
        for symbol in changed:
            candidates = kernels.sweep(self._table.columns, symbol, self._table.found)
            concerned.update(self._table.found[:candidates].tolist())
        return self._judge(self._by_name(concerned))

    def totals(self, edges: Sequence[Decimal]) -> Totals:
        """See `AccountBook.totals`. One exact computation per routed account put, or primed, but not judged since, and a few more."""
        lines = np.array([float(edge) for edge in edges])
        of_columns = kernels.total(self._table.columns, len(self._roster), lines)
        return sums.totals(edges, of_columns, self._look_at_routed(lines))

    def totals_in_parts(self, edges: Sequence[Decimal]) -> Iterator[Totals]:
        """See `AccountBook.totals_in_parts`: the routed accounts' figures first, then `PART_ACCOUNTS` accounts each."""
        lines = np.array([float(edge) for edge in edges])
        of_routed = self._look_at_routed(lines)
        for first in range(0, max(1, len(self._roster)), PART_ACCOUNTS):
            columns = self._table.columns
            part = columns._replace(
                row_start=columns.row_start[first:],
                row_count=columns.row_count[first:],
                term_start=columns.term_start[first:],
            )
            accounts = min(PART_ACCOUNTS, len(self._roster) - first)
            yield sums.totals(edges, kernels.total(part, accounts, lines), of_routed)
            of_routed = RoutedSums(np.zeros(len(lines), np.int64), 0.0, 0.0)

    def heat_map_in_parts(
        self, points: Sequence[MarketPoint], routed_max: int | None = None
    ) -> Iterator[Heat]:
        """See `AccountBook.heat_map_in_parts`: one routed account, or `HEAT_PART_ACCOUNTS` others, a part."""
        grid = HeatGrid(points, self._encoder.symbols, self._policy)
        due = self._routed_heat.due(self._routed.numbers, points, routed_max)
        for number in due:
            if number in self._routed:
                state = self._roster.state(number)
                self._routed_heat.look(number, state, self.risk(state.account), points)
                yield nothing(len(points), self._policy)
        yield self._routed_heat.sums(len(self._routed.numbers), len(due))
        for first in range(0, len(self._roster), HEAT_PART_ACCOUNTS):
            numbers = range(first, min(first + HEAT_PART_ACCOUNTS, len(self._roster)))
            routed = [number in self._routed for number in numbers]
            yield grid.of_columns(self._table.columns, first, routed)

    def _look_at_routed(self, lines: Array) -> RoutedSums:
        prices = self._view.prices
        for number in (*self._routed.unseen, *self._routed.oldest(self._refreshed_max)):
            self._routed.look(number, pool_figures(self._roster.state(number), CROSS, prices, self._policy))
        return self._routed.sums(lines)

    def _judge(self, numbers: Iterable[int], cause_ns: int | None = None) -> list[Judgement]:
        prices = self._view.prices
        judgements, detailed = [], 0
        for number in numbers:
            state = self._roster.state(number)
            risk = self._risks.get(number) or AccountRisk(state.account)
            judgement = judge(
                state, risk, prices, self._view.time_ns, self._policy, cause_ns,
                detailed=detailed < DETAILED_EVENTS_MAX,
            )  # fmt: skip
            self.exact += 1
            if judgement.risk != risk:
                self._remember(number, judgement.risk)
                self._write(number, state)
            if number in self._routed:
                self.exact_routed += 1
                self._routed.look(number, judgement.cross)
                self._enclose(number, state, judgement, prices)
            else:
                kernels.examine(self._table.columns, number)
            if judgement.events:
                detailed += len(judgement.events)
                judgements.append(judgement)
        return judgements

    def _number(self, account: str) -> int:
        number = self._roster.number(account)
        if number is None:
            raise KeyError(account)
        return number

    def _by_name(self, numbers: Iterable[int]) -> list[int]:
        return sorted(numbers, key=self._roster.name)

    def _due(self, number: int) -> bool:
        """Whether the account may have something to say at prices that leave its figures where they are."""
        due_ns = self._timers.holds_ns.get(number, NEVER_NS)
        return number in self._liquidating or due_ns <= self._view.time_ns

    def _review(self, first: int) -> None:
        """Settle the accounts from `first` on at the present prices."""
        kernels.review(self._table.columns, first, len(self._roster))
        for number in (*self._liquidating, *self._timers.holds_ns):
            if number >= first and self._due(number):
                kernels.dismiss(self._table.columns, number)

    def _settle_facts(self, batch: Sequence[Mark], begin: int) -> int:
        """End the boxes that mark `begin` leaves by other facts than its price; returns the next mark that does."""
        facts, mark = self._boxes.facts, batch[begin]
        if facts.leaves(mark):
            facts.take([mark])
            kernels.disclose(self._table.columns, self._encoder.symbol_ids[mark.symbol])
        return facts.leaving(batch, begin + 1)

    def _enclose(self, number: int, state: AccountState, judgement: Judgement, prices: Prices) -> None:
        """Give a routed account that was just judged a box, or leave it to the exact judge."""
        box = self._boxes.around(number, state, judgement.risk, judgement.cross, prices)
        self._timers.box(number, box.until_ns if box else None)
        if box is None:
            kernels.dismiss(self._table.columns, number)
        else:
            kernels.enclose(self._table.columns, number, box.reach)

    def _hand_over(self, now_ns: int) -> None:
        """Leave accounts of which a timer has run out to the exact judge."""
        for number in self._timers.run_out(now_ns):
            kernels.dismiss(self._table.columns, number)

    def _remember(self, number: int, risk: AccountRisk) -> None:
        self._risks[number] = risk
        self._timers.hold(number, self._encoder.due_ns(risk))
        running = any(pool.request is not None for pool in risk.pools.values())
        (self._liquidating.add if running else self._liquidating.discard)(number)

    def _take(self, state: AccountState, risk: AccountRisk | None) -> int:
        """Take an account that is new or changed, without bounds yet; returns its number."""
        number = self._roster.number(state.account)
        before = None if number is None else self._roster.recent(number)
        watched = None if before and watches_same(before, state) else self._encoder.watched(state)
        if number is None:
            number = self._roster.add(state)
            self._table.enrol(number)
        else:
            self._roster.replace(number, state)
        self._routed.classify(number, self._encoder.reason(state))
        if risk is not None:
            self._remember(number, risk)
        self._write(number, state)
        if watched is not None:
            self._table.watch(number, watched)
        self._boxes.forget(number)
        self._timers.box(number, None)
        return number

    def _settle(self, numbers: Sequence[int]) -> None:
        """Settle accounts that were taken at the present prices."""
        due = [number in self._routed or self._due(number) for number in numbers]
        kernels.settle(self._table.columns, np.array(numbers, np.int32), np.array(due, np.bool_))

    def _load(self, data: bytes, risks: Mapping[str, AccountRisk], loaded: Loaded) -> None:
        """Take one stored account up to its records in the columns."""
        state = as_floats(data)
        watched = self._encoder.watched(state)
        number = self._roster.add(as_text(data))
        reason = self._encoder.reason(state)
        if reason is not None:
            self._routed.classify(number, reason)
        risk = risks.get(state.account)
        if risk is not None:
            self._remember(number, risk)
        encoded = self._encoder.encode(state, risk or _NEW, routed=reason is not None)
        loaded.add(*encoded, watched)

    def _write(self, number: int, state: AccountState) -> None:
        self._routed_heat.forget(number)
        risk = self._risks.get(number) or _NEW
        self._table.write(number, *self._encoder.encode(state, risk, routed=number in self._routed))
