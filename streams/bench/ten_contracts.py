"""The fixed scenario: 10,000 accounts, each with the same 10 linear perpetuals and one stablecoin. One process, one thread.

    one tick       a mark of one contract, one basis point away: breach of every line decided for all accounts
    ten ticks      a mark of each of the ten: the same, ten times for every account, once after each mark
    ten jumps      the same with each mark 5 % away: most accounts leave their bounds and are summed anew
    sums           equity and MM of every account in float from nothing but its positions, summed up, and how many stand
                   below each line: what the metrics ask for once a second
    live figures   equity, IM, MM and breach of every account after each of 5,000 marks of the ten in turn, in float, kept by
                   increments with a stated error bound (`live_figures`); one sum anew is in the mean, not in the median
    every figure   equity, IM, MM and band of every account in exact decimals, by the reference: no book, no shortcut

A tick decides breaches, and is held by tests to decide exactly as computing every figure would; it computes equity and
MM (in float, with an error bound) only for accounts that left their bounds, and every figure in exact decimals only for
accounts at a line. So the first three rows are decisions per second; the figures themselves are in the last two.
"""

import statistics
from collections.abc import Iterator

import msgspec
import numpy as np

from engine.book.account_book import drained
from engine.book.columnar_book import ColumnarBook
from engine.events.effects import AccountRisk
from engine.events.judgement import judge
from engine.ledger.accounts import AccountState
from engine.marks.mark_book import Prices
from engine.numbers import canonical
from engine.policy import Policy
from streams.bench.bench_market import TICK, Market, bench_policy, quoted
from streams.bench.bench_population import opened
from streams.bench.book_timing import EDGES
from streams.bench.live_figures import LiveFigures
from streams.bench.stopwatch import Clock, Stopwatch

CONTRACTS = 10
JUMP = 0.05
LEVERAGES = (1.0, 12.0)
"""Even in this range; the highest stand near the liquidation line of 2 % maintenance margin."""
LIVE_MARKS, LIVE_MARKS_BEFORE = 5_000, 1_000
WEALTH_DECADES = (3.0, 6.0)


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """One pass over the accounts, and how many of them that makes in a second."""

    us: float
    accounts_per_second: float
    """An account counts once per mark."""


class TenContracts(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of the scenario."""

    accounts: int
    one_tick: Rate
    ten_ticks: Rate
    ten_jumps: Rate
    sums: Rate
    live_figures: Rate
    live_figures_mean_us: float
    """The same mean over all marks, sums anew included."""
    live_figures_drift: float
    """Greatest difference that a sum anew made afterwards, relative to the greatest equity."""
    every_figure: Rate


def bench_ten_contracts(accounts: int, *, seed: int, repeats: int, clock: Clock) -> TenContracts:
    """Measure the scenario by `clock`: medians of `repeats`."""
    watch = Stopwatch(clock)
    policy, market = bench_policy(CONTRACTS), Market(CONTRACTS, seed)
    states = made_up_ten(market, seed, accounts)
    book = ColumnarBook(policy)
    book.prime(market.all_marks(), Prices({}, frozenset(), market.time_ns))
    for state in states:
        book.put(state)
    drained(book.judge([state.account for state in states]))

    def rate(seconds: float, marks: int = 1) -> Rate:
        return Rate(us=1e6 * seconds, accounts_per_second=marks * accounts / seconds)

    def ticked(contracts: int, move: float) -> Rate:
        """A batch of a mark of each of the first contracts, one instant after the other, away and back by turns."""
        moves = [move, 1 / (1 + move) - 1] * repeats
        batches = [[market.instant(number, it) for number in range(contracts)] for it in moves]
        drained(book.on_instants(batches[0]))  # settles: the first touch after a judgement gives bounds
        passes = [lambda batch=batch: drained(book.on_instants(batch)) for batch in batches[1:]]
        return rate(watch.median_seconds(passes), contracts)

    marks = {mark.symbol: mark for mark in market.all_marks()}
    live = LiveFigures(policy, states, {symbol: it.price for symbol, it in marks.items()}, EDGES[-1])
    seconds = list(_live_seconds(live, market, watch))
    drift = live.resum() / float(np.abs(live.pools.equity).max(initial=1.0))
    prices = Prices(marks, frozenset(), market.time_ns)
    return TenContracts(
        accounts=accounts,
        one_tick=ticked(1, TICK),
        ten_ticks=ticked(CONTRACTS, TICK),
        ten_jumps=ticked(CONTRACTS, JUMP),
        sums=rate(watch.median_seconds([lambda: book.totals(EDGES)] * repeats)),
        live_figures=rate(statistics.median(seconds)),
        live_figures_mean_us=1e6 * statistics.mean(seconds),
        live_figures_drift=drift,
        every_figure=rate(watch.median_seconds([lambda: _every_figure(states, prices, policy)] * repeats)),
    )


def _live_seconds(live: LiveFigures, market: Market, watch: Stopwatch) -> Iterator[float]:
    """Of each mark, the ten in turn, after the first ones."""
    for count in range(LIVE_MARKS_BEFORE + LIVE_MARKS):
        mark = market.mark(count % CONTRACTS)
        price = float(mark.price)
        spent = watch.seconds(lambda mark=mark, price=price: live.tick(mark.symbol, price))  # type: ignore[misc]
        if count >= LIVE_MARKS_BEFORE:
            yield spent


def _every_figure(states: list[AccountState], prices: Prices, policy: Policy) -> None:
    for state in states:
        judge(state, AccountRisk(state.account), prices, prices.time_ns, policy)


def made_up_ten(market: Market, seed: int, count: int) -> list[AccountState]:
    """So many accounts that hold every contract of the market, at its first prices."""
    rng = np.random.default_rng((seed, 2))
    states = []
    for number in range(count):
        wealth = 10 ** rng.uniform(*WEALTH_DECADES)
        notionals = rng.dirichlet(np.ones(CONTRACTS)) * wealth * rng.uniform(*LEVERAGES)
        sides = rng.choice((-1, 1), CONTRACTS)
        held = {
            symbol: opened(float(notional), market.price(i))
            for i, (symbol, notional) in enumerate(zip(market.contracts, sides * notionals, strict=True))
        }
        positions = {symbol: position for symbol, position in held.items() if position.quantity}
        states.append(AccountState(f"account-{number:05}", {"USDT": canonical(quoted(wealth))}, positions))
    return states
