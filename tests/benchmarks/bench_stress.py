"""The stress of a book: the shipped scenarios over cross accounts in columns, and over routed ones exactly.

    prices      of every scenario
    accounts    all of them, in every scenario and as they are
    routed      one account under portfolio margin, computed exactly in each

Seconds of CPU time of one thread, the least of several repeats.

python -m tests.benchmarks.bench_stress [accounts]
"""

import json
import sys
import time

import msgspec

from engine.analytics.stress_scenario import scenario_prices
from engine.book.columnar_book import ColumnarBook
from engine.marks.mark_book import Prices
from streams.bench.bench_market import Market, bench_policy
from streams.bench.bench_population import PopulationPlan, made_up
from streams.config.stress_scenarios import shipped_scenarios

ACCOUNTS, ROUTED_ACCOUNTS, REPEATS = 100_000, 100, 5


def bench_stress(accounts: int = ACCOUNTS) -> dict[str, float]:
    """Times of a default population of this size."""
    plan = PopulationPlan(accounts=accounts)
    few = msgspec.structs.replace(plan, accounts=ROUTED_ACCOUNTS, portfolio_share=1.0)
    policy, market = bench_policy(plan.symbols), Market(plan.symbols, plan.seed)
    now = Prices({mark.symbol: mark for mark in market.all_marks()}, frozenset(), market.time_ns)
    books = [ColumnarBook(policy) for _ in range(2)]
    for book, of in zip(books, (plan, few), strict=True):
        book.put_all(made_up(of))

    def markets() -> list[Prices]:
        return [now, *(scenario_prices(it, now, policy) for it in shipped_scenarios())]

    known = markets()
    return {
        "accounts": float(accounts),
        "markets": float(len(known)),
        "prices, ms": 1e3 * _seconds(markets),
        "accounts, s": _seconds(lambda: books[0].stressed(known)),
        "routed, ms each": 1e3 * _seconds(lambda: books[1].stressed(known)) / ROUTED_ACCOUNTS,
    }


def _seconds(call) -> float:
    best = float("inf")
    for _ in range(REPEATS):
        began = time.thread_time()
        call()
        best = min(best, time.thread_time() - began)
    return best


if __name__ == "__main__":
    sys.stdout.write(json.dumps(bench_stress(*map(int, sys.argv[1:])), indent=2) + "\n")
