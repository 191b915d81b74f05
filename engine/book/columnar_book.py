"""The fast book: compiled code says who cannot have anything to say, the exact judge hears the others.

It decides exactly as `plain.PlainBook` does, which the tests hold it to. `kernels` tells how a tick is screened and
why that is sound; this file keeps what the columns cannot express: the accounts themselves (packed, `roster`), the exact prices,
and the hold timers.

Rules
-----
* An account is in one of three states (`kernels.QUIET`, `HOVERING`, `UNJUDGED`). A QUIET account's figures cannot cross a
  line between its bounds; any other account is examined or judged at every touch.
* A running hold timer does not change a judgement before it runs out. At the first instant after that the account becomes
  UNJUDGED, and the next touch judges it, as in the plain book; or the columns answer where the timer only compares what is
  missing with what was said of it (`comparisons`).
* `walk` stops after an instant with candidates, so prices and time at an exact judgement are those of that instant.
* An account that the columns cannot express (`expressible`) is *routed*: only the exact judge hears it. After each
  judgement it gets a box (`boxes`), in which it is QUIET; without one it stays UNJUDGED, heard at every touch, as in the
  plain book. A box ends with the account's next change, when a price, another fact of a mark or event time leaves it, and
  when what is doubted of a price changes. There is none while a price of it is doubted and no flag for that is held.

Limits of the columns: a number of accounts that fits 31 bits, of symbols and of assets that fits 14; prices between 1e-30 and 1e30 (single precision bounds).
Counts of `totals` come from float figures: an account within the error bound of an edge may count on either side.
A routed account counts with its figures of when they were last computed exactly: by a judgement, or by `totals`, which
brings the `REFRESHED_MAX` oldest up to date each time. Since then prices have not left its box.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from decimal import Decimal
from functools import partial
from itertools import chain, islice
from operator import length_hint
from typing import TypeVar

import numpy as np

from engine.analytics.heat_map import MarketPoint
from engine.book import kernels, sums
from engine.book.account_book import Concerned, PackedPart, Slices, Totals
from engine.book.account_table import Loaded, Table
from engine.book.boxes.keeper import BoxKeeper
from engine.book.comparisons import Timed, compared
from engine.book.encode import Encoder
from engine.book.expressible import Reason
from engine.book.failures import Failure, tried
from engine.book.hearing import hear
from engine.book.heat_map_parts import HEAT_PART_ACCOUNTS, Heat, HeatGrid, RoutedHeat, nothing
from engine.book.instant_batch import EncodedInstants
from engine.book.packed_accounts import PACKED_TOGETHER, Leaving, edition, packed, unpacked
from engine.book.price_view import PriceView
from engine.book.ragged import Array
from engine.book.readings import as_floats, as_text
from engine.book.reasons_queue import ReasonsQueue
from engine.book.roster import Roster, name_hash, name_of
from engine.book.routed import Routed, RoutedSums
from engine.book.shard_stakes import ShardStakes
from engine.book.stakes import Stakes
from engine.book.stress_parts import BookStress, book_stress
from engine.book.timers import NEVER_NS, Timers
from engine.book.unpaid import Unpaid
from engine.book.urgency import UNCERTAIN, heading_for, worst_by_figures
from engine.events.effects import AccountRisk
from engine.events.judgement import Judgement, judge
from engine.events.pools import CROSS, pool_figures
from engine.inputs import Mark
from engine.ladder.breaker import Breaker, InputsTaken, Occasion, Stake
from engine.ladder.table import Trigger
from engine.ledger.accounts import AccountState, decode
from engine.ledger.applying import not_judged
from engine.margin.listed_part import listed_part, nothing_of
from engine.marks.instants import Instant
from engine.marks.mark_book import Prices
from engine.policy import Policy

PART_ACCOUNTS = 5_000
"""Accounts in a part of the totals: a few milliseconds."""
LOADED_TOGETHER = 1_024
"""Accounts whose records are gathered before they go to the columns: some 25 ms."""
_T = TypeVar("_T")
_NEW = AccountRisk("")
"""Of an account of which nothing was ever said."""
REFRESHED_MAX = 4
"""Routed accounts whose figures `totals` brings up to date: a few milliseconds, so that no tick waits for it for long."""


class ColumnarBook:
    """`AccountBook` on columns.

    Counters for metrics, since the start: `screened` holders answered for by `on_instants`, of these `examined` whose
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
        self._held: set[int] = set()
        """Accounts with a pool that the breaker held when they were last judged."""
        self._replaced: dict[int, AccountState | bytes] = {}
        """States before the inputs that nobody has judged yet, as they were kept."""
        self._table = Table(self._encoder)
        self._routed = Routed()
        self._routed_heat = RoutedHeat(policy)
        self._boxes = BoxKeeper(policy, self._encoder.need)
        self._refreshed_max = refreshed_max
        self._reasons = ReasonsQueue[int](policy)
        self._unpaid = Unpaid[int](policy)
        self.breaker, self.stakes = Breaker(policy.breaker), Stakes(policy)
        self._whole = ShardStakes(policy, self.stakes)
        self._seen: dict[int, AccountState] = {}
        """What is judged of accounts of which that is not everything (`listed_part`), or nothing."""
        self._apart: set[int] = set()
        """Accounts that the engine failed on."""
        self.failures: list[Failure] = []
        self.screened = self.examined = self.exact = self.exact_routed = 0
        self._table.warm()

    def anew(self, policy: Policy) -> "ColumnarBook":
        """See `AccountBook.anew`."""
        book = ColumnarBook(policy, self._refreshed_max)
        book.breaker.load(self.breaker.state)
        book.screened, book.examined = self.screened, self.examined
        book.exact, book.exact_routed = self.exact, self.exact_routed
        return book

    def put(self, state: AccountState, risk: AccountRisk | None = None) -> None:
        """See `AccountBook.put`."""
        self._settle([self._take(state, risk)])

    def put_all(self, states: Iterable[AccountState]) -> None:
        """See `AccountBook.put_all`. One call into compiled code for all: for each alone it takes a fifth of the time."""
        self._settle([self._take(state, None) for state in states])

    @property
    def edition(self) -> str:
        """See `AccountBook.edition`."""
        return edition(self._policy)

    def packed_in_parts(self) -> Iterator[PackedPart]:
        """See `AccountBook.packed_in_parts`: `PACKED_TOGETHER` accounts each, without those that are routed or not well."""
        first = 0
        while first < len(self._roster):
            every = range(first, min(first + PACKED_TOGETHER, len(self._roster)))
            first = every.stop
            apart = {
                it
                for it in every
                if it in self._routed or it in self._seen or self._risks.get(it, _NEW).pools
            }
            plain = [number for number in every if number not in apart]
            states = [self._roster.packed(number) for number in plain]
            others = [self._roster.name(number) for number in sorted(apart)]
            hashes = np.fromiter((name_hash(name_of(it)) for it in states), np.uint32, len(states))
            records = self._table.records(np.array(plain, np.int64))
            names = self._roster.asset_and_position_names
            yield PackedPart(packed(names, states, hashes, records), others)

    def load(self, stored: Iterable[bytes], risks: Mapping[str, AccountRisk]) -> None:
        """See `AccountBook.load`. No decimal is made of what is only kept."""
        for _ in self.load_in_parts(stored, risks):
            pass

    def load_in_parts(
        self,
        stored: Iterable[bytes],
        risks: Mapping[str, AccountRisk],
        parts: Sequence[bytes] = (),
        outdated: AbstractSet[str] = frozenset(),
    ) -> Iterator[None]:
        """See `AccountBook.load_in_parts`."""
        first = len(self._roster)
        expected = first + PACKED_TOGETHER * len(parts) + length_hint(stored)
        self._roster.make_room(expected)
        well = (risks.keys() - outdated) if parts else ()
        leaving, hashes = Leaving.of(outdated), list[Array]()
        for take in chain(
            (partial(self._take_packed, data, leaving, hashes) for data in parts),
            (partial(self._roster.seat, hashes) for _ in parts[-1:]),
            (partial(self._remember_packed, names, risks) for names in _batches(well)),
            (partial(self._take_stored, batch, risks) for batch in _batches(stored)),
        ):
            before = len(self._roster)
            take()
            if before == first < len(self._roster):
                self._table.make_room(expected, len(self._roster))
            yield
        if len(self._roster) > first:
            self._table.enlist(first, len(self._roster))
            yield
            self._review(first)

    def set_apart(self, account: str, error: Exception) -> None:
        """See `AccountBook.set_apart`."""
        self.fail(self._number(account), error)

    def fail(self, key: int, error: Exception, risk: AccountRisk | None = None) -> None:
        """See `SetsApart.fail`."""
        if key in self._apart:
            raise error
        state = self._roster.state(key)
        self.failures.append(Failure(state, error))
        if risk is not None:
            self._risks[key] = risk
        self._take(not_judged(state), None)
        kernels.dismiss(self._table.columns, key)

    def is_apart(self, key: int) -> bool:
        """See `Court.is_apart`."""
        return key in self._apart

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

    def judge(self, accounts: Sequence[str], inputs: Sequence[InputsTaken] = ()) -> Slices:
        """See `AccountBook.judge`. A QUIET account has nothing to say at the present prices, so it is not asked."""
        numbers = map(self._number, accounts)
        occasion = Occasion("batch", self._view.time_ns, inputs=tuple(inputs))
        yield from self._judge((it for it in numbers if self._table.status[it] != kernels.QUIET), occasion)
        self._replaced.clear()

    def judge_all(self) -> Slices:
        """See `AccountBook.judge_all`. Only accounts that are not QUIET are asked, and those that were held."""
        numbers = np.flatnonzero(self._table.status[: len(self._roster)]).tolist()
        yield from self._judge(self._by_name({*numbers, *self._held}), Occasion("start", self._view.time_ns))

    def judge_held(self) -> Slices:
        """See `AccountBook.judge_held`."""
        held = map(self._number, sorted(self.breaker.held))
        yield from self._judge(held, Occasion("void", self._view.time_ns))

    @property
    def reasons_due(self) -> dict[Trigger, int]:
        """See `AccountBook.reasons_due`."""
        return self._reasons.due

    def reasons(self, accounts_max: int) -> list[Judgement]:
        """See `AccountBook.reasons`."""
        said = []
        view = self._view
        for number, judgement in self._reasons.said(accounts_max, self, view.prices, view.time_ns):
            self._remember(number, judgement.risk)
            said.append(judgement)
        return said

    def on_instants(self, instants: Sequence[Instant]) -> Slices:
        """See `AccountBook.on_instants`."""
        batch, records = self._view.begin(instants)
        begin = 0
        while begin < len(batch):
            instant = batch[begin]
            self._hand_over(max(self._view.time_ns, instant.name.time_ns))
            ends = batch.ends[: self._walk_until(batch, begin)]
            times = self._view.time_ns, self._timers.first_ns
            walked = self._of_all(partial(self._walk, records, ends, begin, times))
            changed = self._view.believe(batch, begin, walked.next)
            self.screened += walked.screened
            self.examined += walked.examined
            numbers = set(self._table.found[: walked.candidates].tolist())
            numbers |= self._swept(changed)
            begin = walked.next
            numbers = self._asked(numbers)
            if numbers:
                name = batch[begin - 1].name
                yield from self._judge(self._by_name(numbers), Occasion("instant", name.time_ns, name))

    def prime(self, marks: Sequence[Mark], prices: Prices) -> None:
        """See `AccountBook.prime`."""
        self._boxes.facts.take(marks)
        self._view.prime(marks, prices)
        self._review(0)
        self._hand_over(self._view.time_ns)
        self._routed.forget()
        self._replaced.clear()
        self.breaker.pass_time(self._view.time_ns, self.prices_now, anew=True)

    def on_clock(self, prices: Prices) -> Slices:
        """See `AccountBook.on_clock`."""
        changed = self._view.pass_time(prices)
        self._hand_over(self._view.time_ns)
        concerned = {
            number for number in self._timers.holds_ns if self._table.status[number] != kernels.QUIET
        }
        concerned |= self._swept(changed)
        self.breaker.pass_time(self._view.time_ns, self.prices_now)
        asked = self._by_name(self._asked(concerned))
        yield from self._judge(asked, Occasion("clock", self._view.time_ns))

    def concerned(self, symbol: str) -> Concerned:
        """See `AccountBook.concerned`."""
        number = self._encoder.symbol_ids[symbol]
        accounts = self._table.holders.of(number)
        routed = [it for it in accounts.tolist() if it in self._routed]
        equity = kernels.equity_of(self._table.columns, accounts) + self._routed.equity(routed)
        return Concerned(len(accounts), equity)

    def look_at_unpaid(self, accounts_max: int) -> Iterator[None]:
        """See `AccountBook.look_at_unpaid`."""
        for number in self._unpaid.next(accounts_max):
            look = partial(self._unpaid.look, number, *self.called(number), self._view.prices)
            tried(self, number, look)
            yield

    @property
    def unpaid(self) -> Mapping[str, Decimal]:
        """See `AccountBook.unpaid`."""
        return self._unpaid.by_contract

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
                tried(self, number, partial(self._routed_heat.look, number, *self.called(number), points))
                yield nothing(len(points), self._policy)
        yield self._routed_heat.sums(len(self._routed.numbers), len(due))
        for first in range(0, len(self._roster), HEAT_PART_ACCOUNTS):
            numbers = range(first, min(first + HEAT_PART_ACCOUNTS, len(self._roster)))
            routed = [number in self._routed for number in numbers]
            yield grid.of_columns(self._table.columns, first, routed)

    def stressed(self, markets: Sequence[Prices]) -> BookStress:
        """What becomes of every account, in the order in which they came, in each of these markets."""
        columns, symbols = self._table.columns, self._encoder.symbols
        routed = self._routed.numbers
        return book_stress(columns, len(self._roster), symbols, routed, self.called, markets, self._policy)

    def _look_at_routed(self, lines: Array) -> RoutedSums:
        prices = self._view.prices
        for number in (*self._routed.unseen, *self._routed.oldest(self._refreshed_max)):
            state, _ = self.called(number)
            figures = tried(self, number, partial(pool_figures, state, CROSS, prices, self._policy))
            if figures is not None:
                self._routed.look(number, figures)
        return self._routed.sums(lines)

    def called(self, key: int) -> tuple[AccountState, AccountRisk]:
        """See `Court.called`."""
        state = self._seen.get(key) or self._roster.state(key)
        return state, self._risks.get(key) or AccountRisk(state.account)

    def headings(self, keys: Sequence[int]) -> list[int]:
        """See `Court.headings`: by the columns, where their rounding does not matter."""
        worst = np.empty(len(keys), np.int64)
        asked = np.array(keys, np.int64)
        self._of_all(lambda: kernels.worst_bands(self._table.columns, asked, self._encoder.lines, worst))
        return [
            it if it == UNCERTAIN else self._heading_for(key, it)
            for key, it in zip(keys, worst.tolist(), strict=True)
        ]

    def heading(self, key: int) -> int:
        """See `Court.heading`."""
        worst = worst_by_figures(self.called(key)[0], self._view.prices, self._policy)
        return self._heading_for(key, worst)

    def _heading_for(self, key: int, worst: int) -> int:
        risk = self._risks.get(key) or _NEW
        return heading_for(worst, risk, self._view.time_ns, self._policy.ladder)

    def judged(
        self, key: int, state: AccountState, risk: AccountRisk, occasion: Occasion, *, detailed: bool
    ) -> Judgement:
        """See `Court.judged`."""
        judgement = judge(
            state, risk, self._view.prices, self._view.time_ns, self._policy,
            occasion.time_ns if occasion.instant else None, detailed=detailed, hold=self.breaker.hold,
        )  # fmt: skip
        self.exact += 1
        if judgement.risk != risk:
            self._remember(key, judgement.risk)
            self._write(key, state)
        if key in self._routed:
            self.exact_routed += 1
            self._routed.look(key, judgement.cross)
        if judgement.waits:
            # to be asked again as soon as anything changes
            kernels.dismiss(self._table.columns, key)
        elif key in self._routed:
            self._enclose(key, state, judgement)
        else:
            kernels.examine(self._table.columns, key)
        return judgement

    def state_before(self, key: int) -> AccountState | None:
        """See `Court.state_before`."""
        kept = self._replaced.get(key)
        return None if kept is None else listed_part(self._roster.unpacked(kept), self._policy)

    def whole(self) -> Stake:
        """See `Court.whole`."""
        return self._whole.stake(self._table.columns, len(self._roster), self.breaker.before)

    def prices_now(self) -> dict[str, float]:
        """See `Court.prices_now`."""
        return {symbol: float(mark.price) for symbol, mark in self._view.prices.marks.items()}

    def _judge(self, numbers: Iterable[int], occasion: Occasion) -> Slices:
        return hear(self, numbers, occasion)

    def _walk(self, records: Array, ends: Array, begin: int, times: tuple[int, int]) -> kernels.Walked:
        """`times`: now, and when the first timer runs out."""
        return kernels.walk(self._table.columns, records, ends, begin, *times, self._table.found)

    def _of_all(self, work: Callable[[], _T]) -> _T:
        """What compiled code does for many at once. If it fails, those on whom it fails alone are set apart, and it is done once more."""
        try:
            return work()
        except Exception:
            known = len(self.failures)
            for number in range(len(self._roster)):
                tried(self, number, partial(self._settle_at_once, [number]))
            if len(self.failures) == known:
                raise
            return work()

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

    def _asked(self, numbers: set[int]) -> set[int]:
        """Those of these accounts that only the exact judge can answer for; the timers of the others go on."""
        now_ns, timed = self._view.time_ns, []
        # of quotes that wait the columns know nothing
        waiting = {self._encoder.symbol_ids.get(it) for it in self._view.prices.waiting}
        for number in numbers:
            if self._timers.holds_ns.get(number, NEVER_NS) <= now_ns and number not in self._routed:
                state, risk = self.called(number)
                if waiting and not waiting.isdisjoint(self._encoder.watched(state) or waiting):
                    continue
                # whether it is held is not yet heard of
                if (number in self._held) is (risk.account in self.breaker.held):
                    timed.append(Timed(number, state, risk))
        if not timed:
            return numbers
        silent = set()
        compare = partial(
            compared, self._table.columns, now_ns=now_ns, hold=self.breaker.hold, policy=self._policy
        )
        try:
            risks = compare(timed)
        except Exception:  # noqa: BLE001 - it is one of them, and who that is shows each alone
            each = [tried(self, it.number, partial(compare, [it])) for it in timed]
            risks = [None if one is None else one[0] for one in each]
        for it, after in zip(timed, risks, strict=True):
            if after is not None:
                self._risks[it.number] = after
                self._timers.hold(it.number, self._encoder.due_ns(after))
                silent.add(it.number)
        return numbers - silent

    def _review(self, first: int) -> None:
        """Settle the accounts from `first` on at the present prices."""
        self._of_all(lambda: kernels.review(self._table.columns, first, len(self._roster)))
        for number in (*self._liquidating, *self._timers.holds_ns):
            if number >= first and self._due(number):
                kernels.dismiss(self._table.columns, number)

    def _sweep(self, symbol: int) -> int:
        return kernels.sweep(self._table.columns, symbol, self._table.found)

    def _swept(self, symbols: Iterable[int]) -> set[int]:
        """Holders of symbols of which other things are doubted now, who may have something to say."""
        found: set[int] = set()
        for symbol in symbols:
            candidates = self._of_all(partial(self._sweep, symbol))
            found.update(self._table.found[:candidates].tolist())
        return found

    def _walk_until(self, batch: EncodedInstants, begin: int) -> int:
        """End the boxes that instant `begin` leaves by other facts than prices; the next instant that wants to be begun with.

        That is one that leaves boxes so, or with which the second sources change what they doubt.
        """
        facts = self._boxes.facts
        for mark in batch[begin].marks:
            if facts.leaves(mark):
                facts.take([mark])
                kernels.disclose(self._table.columns, self._encoder.symbol_ids[mark.symbol])
        doubted = (place for place in batch.doubts if place > begin)
        # what is doubted anew with this instant holds for the next
        alone = begin + 1 if begin in batch.doubts else len(batch)
        return min(facts.leaving(batch, begin + 1), next(doubted, len(batch)), alone)

    def _enclose(self, number: int, state: AccountState, judgement: Judgement) -> None:
        """Give a routed account that was just judged a box, or leave it to the exact judge."""
        box = self._boxes.around(number, state, judgement.risk, judgement.cross, self._view.prices)
        self._timers.box(number, box.until_ns if box else None)
        if box is None:
            kernels.dismiss(self._table.columns, number)
        else:
            kernels.enclose(self._table.columns, number, box.reach)

    def _hand_over(self, now_ns: int) -> None:
        """Leave accounts of which a timer has run out to the exact judge."""
        numbers = np.array(self._timers.run_out(now_ns), np.int32)
        if len(numbers):
            kernels.settle(self._table.columns, numbers, np.ones(len(numbers), np.bool_))

    def _remember(self, number: int, risk: AccountRisk) -> None:
        self._risks[number] = risk
        if number in self._apart:
            return
        self._timers.hold(number, self._encoder.due_ns(risk))
        running = any(pool.request is not None for pool in risk.pools.values())
        (self._liquidating.add if running else self._liquidating.discard)(number)
        (self._held.add if risk.held_pools else self._held.discard)(number)
        if not risk.held_pools:
            self.breaker.let_go(risk.account)
        self._reasons.put(number, risk)
        self._unpaid.put(number, risk)

    def _take(self, state: AccountState, risk: AccountRisk | None) -> int:
        """Take an account that is new or changed, without bounds yet; returns its number."""
        number = self._roster.number(state.account)
        before = None if number is None or number in self._seen else self._roster.recent(number)
        if number is None:
            number = self._roster.add(state)
            self._table.enrol(number)
        else:
            if self.breaker.armed:
                self._replaced.setdefault(number, self._roster.kept(number))
            self._roster.replace(number, state)
        tried(self, number, partial(self._encode, number, before, state, risk))
        return number

    def _encode(
        self, number: int, before: AccountState | None, state: AccountState, risk: AccountRisk | None
    ) -> None:
        was_apart, watched = number in self._apart, None
        if before is None or state.unjudged or not self._encoder.watches_same(before, state):
            state, watched = self._look_at(number, state)
        reason = self._reason(number, state)
        self._routed.classify(number, reason)
        self._whole.take(number, state, routed=reason is not None)
        if was_apart and risk is None:
            risk = self._risks.get(number)
        if risk is not None:
            self._remember(number, risk)
        self._write(number, state)
        if watched is not None:
            self._table.watch(number, watched)
        self._boxes.forget(number)
        self._timers.box(number, None)

    def _look_at(self, number: int, state: AccountState) -> tuple[AccountState, frozenset[int]]:
        """What is judged of the account, and the symbols that concern it."""
        self._apart.discard(number)
        self._seen.pop(number, None)
        if state.unjudged:
            self._apart.add(number)
            self._timers.hold(number, None)
            self._liquidating.discard(number)
            self._held.discard(number)
            self._reasons.drop(number)
            self._unpaid.drop(number)
            self._seen[number] = nothing_of(state)
            return self._seen[number], frozenset()
        watched = self._encoder.watched(state)
        if watched is None:
            state = self._seen[number] = listed_part(state, self._policy)
            watched = self._encoder.watched(state)
        return state, watched or frozenset()

    def _reason(self, number: int, state: AccountState) -> Reason | None:
        reason = self._encoder.reason(state)
        unlisted = number in self._seen and number not in self._apart and state.stopped
        return Reason.UNLISTED if reason is None and unlisted else reason

    def _settle(self, numbers: Sequence[int]) -> None:
        """Settle accounts that were taken at the present prices."""
        self._of_all(partial(self._settle_at_once, numbers))

    def _settle_at_once(self, numbers: Sequence[int]) -> None:
        numbers = [number for number in numbers if number not in self._apart]
        due = [number in self._routed or self._due(number) for number in numbers]
        kernels.settle(self._table.columns, np.array(numbers, np.int32), np.array(due, np.bool_))

    def _take_packed(self, data: bytes, leaving: Leaving, hashes: list[Array]) -> None:
        """Take packed accounts up to their records in the columns; their names are not found before `Roster.seat`."""
        accounts = unpacked(data, leaving)
        self._roster.agree_on_names(accounts.names)
        self._table.take_records(len(self._roster), accounts.records)
        self._roster.extend(accounts.states)
        hashes.append(accounts.hashes)

    def _remember_packed(self, names: Iterable[str], risks: Mapping[str, AccountRisk]) -> None:
        """Take the risk records of packed accounts; each is well, so its rows are those of one that was never spoken of."""
        for name in names:
            number = self._roster.number(name)
            if number is not None:
                self._remember(number, risks[name])

    def _take_stored(self, batch: Iterable[bytes], risks: Mapping[str, AccountRisk]) -> None:
        """Take stored accounts up to their records in the columns."""
        loaded, first = Loaded(), len(self._roster)
        for data in batch:
            self._load(data, risks, loaded)
        self._table.take_records(first, loaded.records())

    def _load(self, data: bytes, risks: Mapping[str, AccountRisk], loaded: Loaded) -> None:
        """Take one stored account up to its records in the columns."""
        state = as_floats(data)
        number, risk = self._roster.add(as_text(data)), risks.get(state.account)
        try:
            loaded.add(*self._loaded(number, state, risk, data))
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - as `tried`, before there is a record of it in the columns
            whole = decode(data)
            self.failures.append(Failure(whole, error))
            self._roster.replace(number, not_judged(whole))
            self._routed.classify(number, None)
            loaded.add(*self._loaded(number, not_judged(whole), risk, data))

    def _loaded(
        self, number: int, state: AccountState, risk: AccountRisk | None, data: bytes
    ) -> tuple[bytes, bytes, frozenset[int]]:
        watched = None if state.unjudged else self._encoder.watched(state)
        if watched is None:
            state, watched = self._look_at(number, state if state.unjudged else decode(data))
        reason = self._reason(number, state)
        if reason is not None:
            self._routed.classify(number, reason)
            self._whole.take(number, state, routed=True)
        if risk is not None:
            self._remember(number, risk)
        stopped = self._is_stopped(number, state)
        terms, rows = self._encoder.encode(state, risk or _NEW, routed=reason is not None, stopped=stopped)
        return terms, rows, watched

    def _is_stopped(self, number: int, state: AccountState) -> bool:
        """Whether it is the account that is stopped, and not only what is judged of it that cannot be trusted."""
        return (self._roster.state(number) if number in self._seen else state).stopped

    def _write(self, number: int, state: AccountState) -> None:
        self._routed_heat.forget(number)
        risk = self._risks.get(number) or _NEW
        stopped = self._is_stopped(number, state)
        self._table.write(
            number, *self._encoder.encode(state, risk, routed=number in self._routed, stopped=stopped)
        )


def _batches(items: Iterable[_T]) -> Iterator[list[_T]]:
    """Lists of at most `LOADED_TOGETHER` of the items."""
    remaining = iter(items)
    while batch := list(islice(remaining, LOADED_TOGETHER)):
        yield batch
