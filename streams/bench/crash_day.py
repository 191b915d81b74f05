"""A recorded day over a whole population: how long the book takes to judge every account after every trade.

Rules
-----
* Every trade is a mark of the coin's contract and, where it is collateral, of its index; marks pass the book of marks as in
  a worker. The book gets the marks of each second of event time as one batch, and judges after every one of them.
* An exchange marks every second, traded or not; a trade is what moves the mark. So no price becomes stale in a pause, and what
  was never recorded keeps its first price.
* The population is the feed's, opened at the first prices. Nobody executes liquidations, so accounts go on to bankruptcy.
* Only the book's answers are timed: not the reading of the file, the checks of marks, or the opening of accounts.
That the answers are those of brute force is held by tests/engine/book/test_crash_day.py, whatever the size.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

import msgspec

from engine.book.account_book import drained
from engine.book.columnar_book import ColumnarBook
from engine.events.judgement import Judgement
from engine.inputs import Fill, Mark, Topic
from engine.ledger.accounts import AccountState
from engine.ledger.applying import apply
from engine.marks.instants import Instant, MarksRecord
from engine.marks.mark_book import NANOSECONDS, MarkBook, Prices
from engine.policy import Policy, parse
from streams.bench.stopwatch import Clock, Stopwatch
from streams.config.settings import shipped_file
from streams.exchange.market.recording import Recording
from streams.exchange.market.scenario import FeedMark
from streams.exchange.traders.population import Population

FRESH_SECONDS = 7 * 24 * 3600


class CrashDay(msgspec.Struct, frozen=True, kw_only=True):
    """One pass over the day."""

    accounts: int
    seconds: float
    """Judging alone."""
    marks: int
    marks_per_second: float
    worst_second_ms: float
    """The second of event time that took longest to judge."""
    holders: int
    """Answered for: accounts that hold what was marked, once per mark."""
    visited_share: float
    """Of these, the part whose figures were summed or judged exactly; the others were within the prices that keep them silent."""
    exact: int
    """Judgements in exact decimals."""
    transitions: int
    """Judgements that said something."""
    events: int


def bench_crash_day(recording: Path, accounts: int, *, seed: int, clock: Clock) -> CrashDay:
    """Replay the recording over so many accounts. Raises `RecordingError` for a file that cannot be played."""
    policy = _policy()
    day = Recording(recording, policy, speed=1.0)
    book, watch = ColumnarBook(policy), Stopwatch(clock)
    for state in _population(policy, day, accounts, seed):
        book.put(state)
    marks_believed = MarkBook(policy)
    opening = [Mark(symbol, price, 0, 0) for symbol, price in day.start_prices.items()]
    marks_believed.accept(MarksRecord(tuple(opening)), 0)
    book.prime(opening, Prices({}, frozenset(), 0))
    drained(book.judge(list(book.accounts())))
    marks = transitions = events = 0
    spent = worst = 0.0
    screened, examined, exact = book.screened, book.examined, book.exact
    for second, together in groupby(day, key=lambda it: int(it.at_seconds)):
        now_ns = (second + 1) * NANOSECONDS
        instants = _instants(marks_believed, together, now_ns)
        said: list[Judgement] = []
        took = watch.seconds(lambda: _second(book, instants, now_ns, said))  # noqa: B023 - called at once
        spent, worst = spent + took, max(worst, took)
        marks += sum(len(instant.marks) for instant in instants)
        transitions += len(said)
        events += sum(len(judgement.events) for judgement in said)
    holders, looks = book.screened - screened, book.exact - exact
    return CrashDay(
        accounts=accounts,
        seconds=spent,
        marks=marks,
        marks_per_second=marks / spent,
        worst_second_ms=1e3 * worst,
        holders=holders,
        visited_share=(book.examined - examined + looks) / holders,
        exact=looks,
        transitions=transitions,
        events=events,
    )


def _policy() -> Policy:
    shipped = shipped_file("default_policies/default.toml", "policies/default.toml").read_text(
        encoding="utf-8"
    )
    return parse(shipped.replace("stale_after_seconds = 10", f"stale_after_seconds = {FRESH_SECONDS}"))


def _population(policy: Policy, day: Recording, accounts: int, seed: int) -> Iterator[AccountState]:
    population = Population(policy, accounts, seed, day.start_prices)
    for number in range(1, accounts + 1):
        messages = population.account_inputs(number, 0)
        state = AccountState(messages[0].account)
        for offset, message in enumerate(messages):
            topic = Topic.FILLS if isinstance(message, Fill) else Topic.LEDGER
            after = apply(state, message, topic, offset, policy)
            if not isinstance(after, AccountState):
                raise TypeError(f"the ledger refuses an input of the benchmark: {after}")
            state = after
        yield state


def _instants(marks: MarkBook, rows: Iterable[FeedMark], now_ns: int) -> list[Instant]:
    """All rows of one time are an instant."""
    instants = []
    for _, together in groupby(rows, key=lambda it: it.at_seconds):
        instant, _ = marks.accept(MarksRecord(tuple(map(_mark, together))), now_ns)
        instants += [instant] if instant else []
    return instants


def _second(book: ColumnarBook, instants: Sequence[Instant], now_ns: int, said: list[Judgement]) -> None:
    said += drained(book.on_instants(instants))
    said += drained(book.on_clock(Prices({}, frozenset(), now_ns)))


def _mark(it: FeedMark) -> Mark:
    return Mark(it.symbol, it.price, it.sequence, int(it.at_seconds * NANOSECONDS))
