"""What a tick costs as the number of accounts grows: linear in the holders of its symbol, flat in everybody else.

Of each size of population three costs, medians of single marks one basis point away:

    most held      of the most popular contract, which more accounts hold as there are more
    constant       of a contract that `CONSTANT_HOLDERS` accounts hold, however many others there are
    ns a holder    of a stream of all contracts, time / holders answered for
"""

from collections.abc import Iterator, Sequence

import msgspec

from engine.book.account_book import drained
from engine.book.columnar_book import ColumnarBook
from engine.ledger.accounts import AccountState
from engine.marks.mark_book import Prices
from streams.bench.bench_market import Market, bench_policy
from streams.bench.bench_population import PopulationPlan, opened, stored_accounts
from streams.bench.book_timing import BATCH
from streams.bench.stopwatch import Clock, Stopwatch
from streams.bench.svg import Line, chart

CONSTANT_HOLDERS = 1_000
CONSTANT_NOTIONAL = 100.0
"""Of each of them: small enough to move nobody across a line."""
TICKS = 201


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """One size of population."""

    accounts: int
    most_held_holders: int
    most_held_us: float
    constant_holders: int
    constant_us: float
    holders_per_mark: float
    ns_per_holder: float


def bench_scaling(sizes: Sequence[int], *, seed: int, marks: int, clock: Clock) -> Iterator[Cost]:
    """Measure each size in turn."""
    for accounts in sizes:
        yield _cost(PopulationPlan(accounts=accounts, seed=seed), marks, Stopwatch(clock))


def drawn(costs: Sequence[Cost]) -> str:
    """The costs as an SVG picture, both axes logarithmic."""
    lines = [
        Line("most held contract, us a tick", [(it.accounts, it.most_held_us) for it in costs]),
        Line(
            f"contract with {CONSTANT_HOLDERS:,} holders, us a tick",
            [(it.accounts, it.constant_us) for it in costs],
        ),
        Line("stream of all contracts, ns a holder", [(it.accounts, it.ns_per_holder) for it in costs]),
    ]
    return chart("What a tick costs", "accounts", lines)


def _cost(plan: PopulationPlan, marks: int, watch: Stopwatch) -> Cost:
    # one contract more than the population trades
    market = Market(plan.symbols + 1, plan.seed)
    book = ColumnarBook(bench_policy(plan.symbols + 1))
    book.load(stored_accounts(plan), {})
    rare = market.contracts[-1]
    for account in list(book.accounts())[:CONSTANT_HOLDERS]:
        state = book.state(account) or AccountState(account)
        position = opened(CONSTANT_NOTIONAL, market.price(plan.symbols))
        book.put(msgspec.structs.replace(state, positions={**state.positions, rare: position}))
    book.prime(market.all_marks(), Prices({}, frozenset(), market.time_ns))
    drained(book.judge_all())
    most_held, most_us = _alone(book, market, 0, watch)
    constant, constant_us = _alone(book, market, plan.symbols, watch)
    batches = [market.batch(BATCH) for _ in range(max(1, marks // BATCH))]
    for batch in batches:
        drained(book.on_instants(batch))  # settles: the first touch after a judgement gives bounds
    batches = [market.batch(BATCH) for _ in batches]
    before = book.screened
    spent = watch.seconds(lambda: [drained(book.on_instants(batch)) for batch in batches])
    screened = book.screened - before
    return Cost(
        accounts=plan.accounts,
        most_held_holders=most_held,
        most_held_us=most_us,
        constant_holders=constant,
        constant_us=constant_us,
        holders_per_mark=screened / (BATCH * len(batches)),
        ns_per_holder=1e9 * spent / screened,
    )


def _alone(book: ColumnarBook, market: Market, number: int, watch: Stopwatch) -> tuple[int, float]:
    """Holders of a contract, and the median time of one mark of it in us."""
    drained(book.on_instants([market.instant(number)]))
    before = book.screened
    ticks = [[market.instant(number)] for _ in range(TICKS)]
    spent = watch.median_seconds([lambda tick=tick: drained(book.on_instants(tick)) for tick in ticks])  # type: ignore[misc]
    return (book.screened - before) // TICKS, 1e6 * spent
