"""The liquidation heat map of a book: 21 points from -50 % to +50 %, cross accounts in columns, and routed ones exactly.

    points        the prices at every move, once for all shards of a worker
    accounts      all accounts in columns, in parts; the longest part is what a mark may have to wait for
    routed        one account under portfolio margin, computed exactly at every point
    exact         the same map by the specification, of the first accounts, to compare with

Seconds of CPU time of one thread, the least of several repeats.

python -m tests.benchmarks.bench_heat_map [accounts]
"""

import json
import sys
import time
from collections.abc import Callable, Iterator

import msgspec

from engine.analytics.heat_map import MarketPoint, PoolsNow, heat_map, market_points
from engine.book.account_book import AccountBook
from engine.book.columnar_book import ColumnarBook
from engine.ledger.accounts import AccountState
from engine.marks.mark_book import Prices
from streams.bench.bench_market import Market, bench_policy
from streams.bench.bench_population import PopulationPlan, made_up
from streams.config.market_moves import moves_of

ACCOUNTS, REPEATS = 100_000, 5
EXACT_ACCOUNTS, ROUTED_ACCOUNTS = 500, 50
MOVES = moves_of("-50..50/5")


def bench_heat_map(accounts: int = ACCOUNTS) -> dict[str, float]:
    """Times of a default population of this size."""
    plan = PopulationPlan(accounts=accounts)
    policy, market = bench_policy(plan.symbols), Market(plan.symbols, plan.seed)
    marks = {mark.symbol: mark for mark in market.all_marks()}
    prices = Prices(marks, frozenset(), market.time_ns)
    states = made_up(plan)
    points = list(market_points(MOVES, prices, policy))
    book = _filled(states, policy)
    few = msgspec.structs.replace(plan, accounts=ROUTED_ACCOUNTS, portfolio_share=1.0)
    routed = _filled(made_up(few), policy)
    rounds = [list(_parts(book, points)) for _ in range(REPEATS)]
    whole = min(sum(seconds) for seconds in rounds)
    exact = _seconds(
        lambda: heat_map([(it, PoolsNow()) for it in states[:EXACT_ACCOUNTS]], points, policy), 1
    )
    return {
        "accounts": float(accounts),
        "points, ms": 1e3 * _seconds(lambda: list(market_points(MOVES, prices, policy)), REPEATS),
        "accounts, s": whole,
        "accounts, us each": 1e6 * whole / accounts,
        "longest part, ms": 1e3 * min(max(seconds) for seconds in rounds),
        "routed, ms each": 1e3 * sum(_parts(routed, points)) / ROUTED_ACCOUNTS,
        "exact, us each": 1e6 * exact / EXACT_ACCOUNTS,
    }


def _filled(states: list[AccountState], policy) -> AccountBook:
    book = ColumnarBook(policy)
    for state in states:
        book.put(state)
    return book


def _parts(book: AccountBook, points: list[MarketPoint]) -> Iterator[float]:
    """Seconds that each part takes."""
    parts = book.heat_map_in_parts(points)
    while True:
        began = time.thread_time()
        if next(parts, None) is None:
            return
        yield time.thread_time() - began


def _seconds(call: Callable[[], object], repeats: int) -> float:
    best = float("inf")
    for _ in range(repeats):
        began = time.thread_time()
        call()
        best = min(best, time.thread_time() - began)
    return best


if __name__ == "__main__":
    json.dump(bench_heat_map(*map(int, sys.argv[1:2])), sys.stdout, indent=1)
