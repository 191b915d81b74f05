"""How fast the book of accounts is: one process, one thread, medians.

    build       from N accounts as stored: `load` their bytes, take all prices, judge everybody once
    stream      marks in batches of 100, each about one basis point from the last, popular symbols more often
    one by one  every symbol is ticked alone: the most held one, and the one that took longest
    put         one fill of an open position, booked beforehand, together with 99 of other accounts
    totals      the sums for the metrics

A *holder answered for* is an account for which one mark of something it holds has been decided, as if it had been
computed exactly. That is what the book promises; most are answered for by bounds on prices, many at once.
"""

import gc
import statistics
from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from typing import NamedTuple

import msgspec

from engine.book.account_book import AccountBook, drained
from engine.book.columnar_book import ColumnarBook
from engine.inputs import Fill, Topic
from engine.ledger.accounts import AccountState
from engine.ledger.applying import apply
from engine.marks.mark_book import Prices
from engine.policy import Policy
from streams.bench.bench_market import Market, bench_policy
from streams.bench.bench_population import PopulationPlan, made_up, stored_accounts
from streams.bench.stopwatch import Clock, Stopwatch, resident_bytes

BATCH = 100
TICKS_ALONE = 21
"""Of each symbol; their median counts."""
PUTS = 4_000
"""More than a book keeps unpacked (`roster.RECENT_MAX`), so that a put counts with the packing that it causes."""
PUT_TOGETHER = 100
WARM_ACCOUNTS = 50
PRICE_PLACES = 9
"""Of a fill's price: the market's prices have fewer."""
EDGES = tuple(map(Decimal, ("1.5", "1.2", "1.05", "1")))
"""Ratios that the totals count accounts below."""


class BuildFigures(msgspec.Struct, frozen=True, kw_only=True):
    """From stored bytes to a book in which everybody has been judged."""

    seconds: float
    """All of the following."""
    load_seconds: float
    prime_seconds: float
    judge_all_seconds: float
    stored_bytes_per_account: float
    resident_bytes_per_account: float | None
    """What the process grew by, as the operating system sees it: states, columns and risk records, garbage collected.
    The stored bytes were there before. Only right in a fresh process: memory freed before is taken again."""


class StreamFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Answering for a stream of marks."""

    marks_per_second: float
    holders_per_mark: float
    ns_per_holder: float
    """Time / holders answered for: every symbol weighs by its marks and holders."""
    exact_looks_per_1000_marks: float


class SymbolFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One mark of one symbol alone."""

    symbol: str
    holders: int
    us: float
    us_max: float
    """The slowest of its ticks."""
    ns_per_holder: float


class BookFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One run; times in the unit that their names end in."""

    accounts: int
    routed_share: float
    """Part of the accounts that the columns cannot express."""
    routed: dict[str, int]
    """How many of them for which reason."""
    build: BuildFigures
    stream: StreamFigures
    most_held_symbol: SymbolFigures
    slowest_symbol: SymbolFigures
    put_us: float
    totals_ms: float


class _Built(NamedTuple):
    loaded: float
    primed: float
    judged: float


def bench_book(plan: PopulationPlan, *, marks: int, repeats: int, clock: Clock) -> BookFigures:
    """Measure a book of the planned accounts by `clock`: medians of `repeats`, each over `marks` marks."""
    watch = Stopwatch(clock)
    policy, market = bench_policy(plan.symbols), Market(plan.symbols, plan.seed)
    _warm(policy, market, plan)
    stored = stored_accounts(plan)
    before = _settled_memory()
    book, first = _build(policy, market, stored, watch)
    after = _settled_memory()
    builds = [first, *(_build(policy, market, stored, watch)[1] for _ in range(repeats - 1))]
    stream = _stream(book, market, marks, repeats, watch)
    alone = list(_one_by_one(book, market, watch))
    grown = None if before is None or after is None else (after - before) / plan.accounts
    return BookFigures(
        accounts=plan.accounts,
        routed_share=sum(book.routed.values()) / plan.accounts,
        routed=dict(book.routed),
        build=_build_figures(builds, sum(map(len, stored)) / plan.accounts, grown),
        stream=stream,
        most_held_symbol=max(alone, key=lambda it: it.holders),
        slowest_symbol=max(alone, key=lambda it: it.us),
        put_us=1e6 * _put_seconds(book, policy, plan, watch),
        totals_ms=1e3 * watch.median_seconds([lambda: book.totals(EDGES)] * repeats),
    )


def _warm(policy: Policy, market: Market, plan: PopulationPlan) -> None:
    """Load the compiled code and fill the caches, so that neither time nor memory of it counts."""
    few = msgspec.structs.replace(plan, accounts=WARM_ACCOUNTS)
    book = ColumnarBook(policy)
    book.prime(market.all_marks(), Prices({}, frozenset(), market.time_ns))
    for state in made_up(few):
        book.put(state)
    drained(book.judge(list(book.accounts())))
    drained(book.on_instants(market.batch(BATCH)))
    book.totals(EDGES)


def _settled_memory() -> int | None:
    gc.collect()
    return resident_bytes()


def _build(
    policy: Policy, market: Market, stored: list[bytes], watch: Stopwatch
) -> tuple[AccountBook, _Built]:
    """As a worker does that takes over a shard: it knows no prices until all accounts are there."""
    book = ColumnarBook(policy)
    marks = market.all_marks()
    return book, _Built(
        loaded=watch.seconds(lambda: book.load(stored, {})),
        primed=watch.seconds(lambda: book.prime(marks, Prices({}, frozenset(), market.time_ns))),
        judged=watch.seconds(lambda: drained(book.judge_all())),
    )


def _build_figures(builds: list[_Built], stored_bytes: float, grown_bytes: float | None) -> BuildFigures:
    loaded, primed, judged = (statistics.median(step) for step in zip(*builds, strict=True))
    return BuildFigures(
        seconds=statistics.median(sum(steps) for steps in builds),
        load_seconds=loaded,
        prime_seconds=primed,
        judge_all_seconds=judged,
        stored_bytes_per_account=stored_bytes,
        resident_bytes_per_account=grown_bytes,
    )


def _stream(book: AccountBook, market: Market, marks: int, repeats: int, watch: Stopwatch) -> StreamFigures:
    """After one round to settle: whoever was judged at the first prices gets bounds at the first touch."""
    rounds = []
    for _ in range(repeats + 1):
        batches = [market.batch(BATCH) for _ in range(max(1, marks // BATCH))]
        screened, exact = book.screened, book.exact
        spent = watch.seconds(lambda batches=batches: [drained(book.on_instants(batch)) for batch in batches])  # type: ignore[misc]
        rounds.append((spent, book.screened - screened, book.exact - exact, BATCH * len(batches)))
    del rounds[0]
    return StreamFigures(
        marks_per_second=statistics.median(count / spent for spent, _, _, count in rounds),
        holders_per_mark=statistics.median(screened / count for _, screened, _, count in rounds),
        ns_per_holder=statistics.median(1e9 * spent / max(1, screened) for spent, screened, _, _ in rounds),
        exact_looks_per_1000_marks=statistics.median(1000 * exact / count for _, _, exact, count in rounds),
    )


def _one_by_one(book: AccountBook, market: Market, watch: Stopwatch) -> Iterator[SymbolFigures]:
    """Each symbol that anybody holds."""
    for number, symbol in enumerate(market.names):
        before = book.screened
        times = []
        for _ in range(TICKS_ALONE):
            tick = [market.instant(number)]
            times.append(watch.seconds(lambda tick=tick: drained(book.on_instants(tick))))  # type: ignore[misc]
        holders = (book.screened - before) // TICKS_ALONE
        if holders:
            spent = statistics.median(times)
            yield SymbolFigures(
                symbol=symbol,
                holders=holders,
                us=1e6 * spent,
                us_max=1e6 * max(times),
                ns_per_holder=1e9 * spent / holders,
            )


def _put_seconds(book: AccountBook, policy: Policy, plan: PopulationPlan, watch: Stopwatch) -> float:
    """`put_all` alone, over accounts spread evenly, each after a fill of a hundredth of its first position.

    That is more than a worker pays: it asks for the state right before, so what the account watches is not looked up again.
    """
    chosen = list(book.accounts())[:: max(1, plan.accounts // PUTS)]
    states = [state for name in chosen if (state := book.state(name))]
    changed = [_after_a_fill(state, policy) if state.positions else state for state in states]
    batches = [changed[first : first + PUT_TOGETHER] for first in range(0, len(changed), PUT_TOGETHER)]
    return statistics.median(watch.seconds(partial(book.put_all, it)) / len(it) for it in batches)


def _after_a_fill(state: AccountState, policy: Policy) -> AccountState:
    symbol, held = next(iter(state.positions.items()))
    fill = Fill(
        account=state.account,
        time_ns=0,
        trade_id="bench",
        symbol=symbol,
        side="buy" if held.quantity > 0 else "sell",
        quantity=abs(held.quantity) / 100,
        price=round(abs(held.entry_value / held.quantity), PRICE_PLACES),
    )
    after = apply(state, fill, Topic.FILLS, state.fills.offset + 1, policy)
    if not isinstance(after, AccountState):
        raise TypeError(f"the ledger refuses a fill of the benchmark: {after}")
    return after
