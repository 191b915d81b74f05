"""How fast the columnar book is: one process, one thread, medians.

    python -m tests.benchmarks.bench_book [accounts ...] [--json] [--cpu]

`--cpu` counts the thread's processor time instead of the wall clock: for a machine that is busy with other things.

The population is what an exchange looks like: positions drawn from a few hundred symbols by Zipf's law, leverage
from 1 to 20 around 3, a fifth of the accounts with coin collateral, 2 % isolated positions, and some accounts near a line.
Prices walk at random, each mark about one basis point, popular symbols ticking more often.
"""

import argparse
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np

from engine.accounts import AccountState, IsolatedPosition, Position
from engine.book import kernels
from engine.book.columnar import ColumnarBook
from engine.inputs import Fill, Mark, Topic
from engine.ledger import apply
from engine.policy import Policy, parse

D = Decimal
_Timer = Callable[[Callable[[], object]], float]
SEED = 7
TICK = 1e-4
"""Standard deviation of one mark's relative change."""

_HEAD = """
name = "bench"
account_currency = "USD"
[ladder]
[assets.USD]
[assets.USDT]
index = "USDT-USD"
tiers = [{ floor = 0, ratio = 0.99 }, { floor = 10000000, ratio = 0.975 }]
[assets.BTC]
index = "BTC-USD"
tiers = [{ floor = 0, ratio = 0.95 }, { floor = 100, ratio = 0.9 }]
liability_factor = 1.05
[[tiers.all]]
floor = 0
maintenance_rate = 0.01
initial_rate = 0.02
[[tiers.all]]
floor = 100000
maintenance_rate = 0.02
initial_rate = 0.04
[[tiers.all]]
floor = 1000000
maintenance_rate = 0.05
initial_rate = 0.1
"""


def bench_book(
    accounts: int,
    positions: int = 5,
    symbols: int = 400,
    marks: int = 20_000,
    repeats: int = 5,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> dict[str, float]:
    """Build a book of `accounts` and measure it by `clock`; times in the unit their names end in."""

    def seconds(run: Callable[[], object]) -> float:
        start = clock()
        run()
        return (clock() - start) / 1e9

    policy = parse(_HEAD + "".join(_listing(_symbol(i)) for i in range(symbols)))
    rng = np.random.default_rng(SEED)
    market = _Market(rng, symbols)
    book = ColumnarBook(policy)
    book.prime([market.mark(i, 0.0) for i in range(len(market.names))], 0, frozenset())
    resident = _resident_bytes()
    states = _population(rng, market, accounts, positions)
    gc.collect()
    state_bytes, resident = _resident_bytes() - resident, _resident_bytes()
    build_seconds = seconds(lambda: [book.put(state) for state in states])
    book_bytes = _resident_bytes() - resident
    first_seconds = (
        seconds(lambda: book.judge([state.account for state in states])) if accounts <= 100_000 else 0.0
    )
    return {
        "accounts": accounts,
        "build_seconds": build_seconds,
        "state_bytes_per_account": state_bytes / accounts,
        "book_bytes_per_account": book_bytes / accounts,
        "judge_all_seconds": first_seconds,
        **_ticks(book, market, marks, repeats, seconds),
        **_worst_tick(book, market, repeats, seconds),
        **_whole_symbol(book, market, repeats, seconds),
        "put_us": _puts(book, policy, states, rng, seconds),
        "totals_ms": 1e3
        * statistics.median(seconds(lambda: book.totals([D("1.5"), D("1.2"), D(1)])) for _ in range(repeats)),
    }


class _Market:
    """Prices that walk at random."""

    def __init__(self, rng: np.random.Generator, symbols: int) -> None:
        self._rng = rng
        self.names = [_symbol(i) for i in range(symbols)] + ["USDT-USD", "BTC-USD"]
        self.prices = np.concatenate([10 ** rng.uniform(-1, 4, symbols), [1.0, 60_000.0]])
        self.weights = _zipf(symbols)
        self._sequence = 0
        self._time_ns = 0

    def mark(self, number: int, tick: float = TICK) -> Mark:
        """The next mark of a symbol; the stablecoin moves a hundredth as much."""
        scale = tick / 100 if self.names[number] == "USDT-USD" else tick
        self.prices[number] *= np.exp(scale * self._rng.standard_normal())
        self._sequence += 1
        self._time_ns += 1_000
        price = D(f"{self.prices[number]:.7g}")
        return Mark(self.names[number], price, self._sequence, self._time_ns)

    def batch(self, count: int) -> list[Mark]:
        """Marks of symbols drawn by the square root of their popularity; every 50th is an index price."""
        weights = np.sqrt(self.weights)
        drawn = self._rng.choice(len(weights), count, p=weights / weights.sum())
        drawn[::50] = len(weights) + (np.arange(len(drawn[::50])) % 2)
        return [self.mark(int(number)) for number in drawn]


def _population(
    rng: np.random.Generator, market: _Market, accounts: int, positions: int
) -> list[AccountState]:
    states = []
    for number in range(accounts):
        count = min(1 + rng.poisson(positions - 1), len(market.weights))
        held = np.unique(rng.choice(len(market.weights), count, p=market.weights))
        equity = 10 ** rng.uniform(2, 6)
        leverage = min(20.0, 3 * np.exp(0.7 * rng.standard_normal()))
        shares = rng.dirichlet(np.ones(len(held))) * equity * leverage
        open_ = {}
        for i, share in zip(held, shares, strict=True):
            price = market.prices[i]
            quantity = D(f"{share / price:.6g}") * (1 if rng.random() < 0.6 else -1)
            if quantity:
                open_[market.names[i]] = Position(quantity, quantity * D(f"{price:.7g}"))
        coins = {"BTC": D(f"{equity / 2 / 60_000:.6f}"), "USDT": D(f"{equity / 2:.2f}")}
        balances = coins if rng.random() < 0.2 and coins["BTC"] else {"USDT": D(f"{equity:.2f}")}
        isolated = {}
        if rng.random() < 0.02 and open_:
            symbol, position = open_.popitem()
            isolated[symbol] = IsolatedPosition(position, abs(position.entry_value) / 10)
        states.append(AccountState(f"account-{number:07}", balances, open_, isolated))
    return states


def _ticks(
    book: ColumnarBook, market: _Market, marks: int, repeats: int, seconds: _Timer
) -> dict[str, float]:
    """A realistic stream in batches of 100, after one round to settle."""
    rates, shares, nanoseconds, examined = [], [], [], []
    for _ in range(repeats + 1):
        batches = [market.batch(100) for _ in range(marks // 100)]
        before = (book.screened, book.examined, book.exact)
        spent = seconds(lambda batches=batches: [book.on_marks(batch) for batch in batches])
        screened, summed, exact = (
            now - then for now, then in zip((book.screened, book.examined, book.exact), before, strict=True)
        )
        rates.append(marks / spent)
        shares.append(exact / screened)
        examined.append(summed / screened)
        nanoseconds.append(1e9 * spent / screened)
    return {
        "marks_per_second": statistics.median(rates[1:]),
        "ns_per_holder": statistics.median(nanoseconds[1:]),
        "holders_per_mark": screened / marks,
        "examined_share": statistics.median(examined[1:]),
        "exact_share": statistics.median(shares[1:]),
    }


def _worst_tick(book: ColumnarBook, market: _Market, repeats: int, seconds: _Timer) -> dict[str, float]:
    """The symbol most accounts hold, one ordinary tick at a time."""
    times, holders = [], 0
    for _ in range(40 * repeats):
        mark = market.mark(0)
        before = book.screened
        times.append(seconds(lambda mark=mark: book.on_marks([mark])))
        holders = book.screened - before
    return {
        "worst_symbol_holders": holders,
        "worst_symbol_ms": 1e3 * statistics.median(times),
        "worst_symbol_ms_p99": 1e3 * float(np.quantile(times, 0.99)),
    }


def _whole_symbol(book: ColumnarBook, market: _Market, repeats: int, seconds: _Timer) -> dict[str, float]:
    """Every holder of the most held symbol summed anew, in one compiled sweep: the price of a stale symbol."""
    number = book._encoder.symbol_ids[market.names[0]]
    holders = int(book._holders.columns[1][number])
    times = [seconds(lambda: kernels.sweep(book._columns(), number, book._found)) for _ in range(repeats)]
    return {"sweep_ns_per_holder": 1e9 * statistics.median(times) / holders}


def _puts(
    book: ColumnarBook, policy: Policy, states: list[AccountState], rng: np.random.Generator, seconds: _Timer
) -> float:
    """One fill of an open position, booked beforehand: the cost of `put` alone, in microseconds."""
    changed = []
    for number in rng.choice(len(states), 2_000):
        state = states[int(number)]
        for symbol, held in state.positions.items():
            fill = Fill(
                account=state.account,
                time_ns=0,
                trade_id="t",
                symbol=symbol,
                side="buy" if held.quantity > 0 else "sell",
                quantity=abs(held.quantity) / 100,
                price=abs(held.entry_value / held.quantity),
            )
            after = apply(state, fill, Topic.FILLS, 0, policy)
            assert isinstance(after, AccountState)
            changed.append(after)
            break
    times = [seconds(lambda state=state: book.put(state)) for state in changed]
    return 1e6 * statistics.median(times)


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def _zipf(symbols: int) -> np.ndarray:
    weights = 1 / np.arange(1, symbols + 1)
    return weights / weights.sum()


def _symbol(number: int) -> str:
    return f"S{number:03}-PERP"


def _listing(symbol: str) -> str:
    return f'[instruments.{symbol}]\nkind = "perpetual"\nbase = "BTC"\nsettle = "USDT"\ntiers = "all"\n'


def main() -> None:
    """Print one row per population, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("accounts", nargs="*", type=int, default=[10_000, 100_000])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--cpu", action="store_true")
    arguments = parser.parse_args()
    clock = time.thread_time_ns if arguments.cpu else time.perf_counter_ns
    results = [bench_book(accounts, clock=clock) for accounts in arguments.accounts]
    if arguments.json:
        json.dump(results, sys.stdout, indent=1)
        return
    for key in results[0]:
        sys.stdout.write(f"{key:24}" + "".join(f" {result[key]:>14,.6g}" for result in results) + "\n")


if __name__ == "__main__":
    main()
