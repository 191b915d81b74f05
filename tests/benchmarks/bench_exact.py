"""What the exact reference costs per account, beside a bare loop over the same numbers in the same run.

    cross, 10 positions      equity, collateral value, IM, MM of 10 linear perpetuals and one stablecoin
    ... 3 coins, 6 orders    the same with three collateral assets and six open orders
    portfolio, 10 positions  27 scenarios over 10 linear contracts of five underlyings and one coin
    portfolio, 10 options    27 scenarios over 10 options, Black-76 each
    bare loop                sums of quantity * price, rates and one division a position: no tiers, no rounding, no checks

Seconds of CPU time of one thread, the least of several repeats.
"""

import json
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

from engine.inputs import Mark
from engine.ledger.accounts import AccountState, OpenOrder, Position
from engine.margin.margin_model import shared_figures
from engine.marks.mark_book import Prices
from engine.policy import Policy, parse

POLICY_FILE = Path(__file__).parents[2] / "deploy" / "policies" / "default.toml"
CALLS, REPEATS = 1000, 7
OPTIONS = 10
D = Decimal

_OPTION = """
[instruments.BTC-{number}]
kind = "option"
base = "BTC"
settle = "USDT"
right = "{right}"
strike = {strike}
expiry = 2027-03-26T08:00:00Z
margin = "option"
"""
_OPTION_RULES = """
[margin.option]
option = "short"
[option_margin.short]
initial_rate = 0.15
initial_floor_rate = 0.1
call_maintenance_rate = 0.075
put_maintenance_rate = 0.075
"""
_NOW_NS = 1_790_000_000_000_000_000


def bench_exact() -> dict[str, float]:
    """Microseconds per account, and each as a multiple of the bare loop."""
    policy = _policy()
    prices = _prices(policy)
    contracts = [name for name, it in policy.instruments.items() if it.kind == "perpetual"][:10]
    held = {name: Position(D("1.5"), D("1.5") * prices.marks[name].price + 7) for name in contracts}
    stable = {"USDT": D(10_000)}
    cross = AccountState("cross", stable, held)
    orders = {
        str(i): OpenOrder(name, D(1 - i % 2 * 2), prices.marks[name].price)
        for i, name in enumerate(contracts[:6])
    }
    coins = {**stable, "BTC": D("0.25"), "ETH": D(-1)}
    busy = AccountState("busy", coins, held, orders=orders)
    net = AccountState("net", {**stable, "BTC": D("0.25")}, held, margin_model="portfolio")
    options = {f"BTC-{i}": Position(D(i % 3 - 1) or D(2), D(5000)) for i in range(OPTIONS)}
    writer = AccountState("writer", stable, options, margin_model="portfolio")
    accounts = {
        "cross, 10 positions": cross,
        "cross, 10 positions, 3 coins, 6 orders": busy,
        "portfolio, 10 positions, a coin": net,
        "portfolio, 10 options": writer,
    }
    bare = _microseconds(lambda: _bare_loop(cross, prices), CALLS)
    figures = {"bare Decimal loop, 10 positions, us": bare}
    for name, state in accounts.items():
        calls = CALLS // (20 if state.margin_model else 1)
        took = _microseconds(lambda state=state: shared_figures(state, prices, policy), calls)
        figures[f"{name}, us"] = took
        figures[f"{name}, x bare loop"] = took / bare
    return figures


def _bare_loop(state: AccountState, prices: Prices) -> tuple[Decimal, Decimal, Decimal]:
    """The same sums with nothing around them."""
    equity, initial, maintenance = state.balances["USDT"], D(0), D(0)
    rate, leverage = D("0.01"), D(10)
    for symbol, position in state.positions.items():
        value = position.quantity * prices.marks[symbol].price
        equity += value - position.entry_value
        notional = abs(value)
        initial += notional / leverage
        maintenance += notional * rate
    return equity, initial, maintenance


def _microseconds(call: Callable[[], object], calls: int) -> float:
    """CPU time of one call: the least of several repeats."""
    best = float("inf")
    for _ in range(REPEATS):
        began = time.thread_time()
        for _ in range(calls):
            call()
        best = min(best, time.thread_time() - began)
    return best / calls * 1e6


def _policy() -> Policy:
    series = [
        _OPTION.format(number=i, right="call" if i % 2 else "put", strike=50_000 + 4_000 * i)
        for i in range(OPTIONS)
    ]
    return parse(POLICY_FILE.read_text() + _OPTION_RULES + "".join(series))


def _prices(policy: Policy) -> Prices:
    quotes = {symbol: D("123.45") + i for i, symbol in enumerate(policy.price_symbols)}
    quotes |= {"USDT-USD": D("0.9995"), "BTC-USD": D(68_000), "ETH-USD": D(2_500)}
    marks = {
        symbol: Mark(symbol, price, 1, _NOW_NS, volatility=D("0.55")) for symbol, price in quotes.items()
    }
    return Prices(marks, frozenset(), _NOW_NS)


if __name__ == "__main__":
    json.dump(bench_exact(), sys.stdout, indent=1)
