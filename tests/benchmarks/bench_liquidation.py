"""Liquidation plans a second for one account at a time, of 1 to 10 linear perpetuals and a stablecoin at 90 % of the line.

    cross        by the pool's sums (`engine.margin.cross.cross_sums`): what accounts usually are
    ... hedged   the same with both legs of every symbol: each question asked of the margin model
    ... judged   one judgement of the same account without a plan, to compare with
    portfolio    10 perpetuals judged by their net risk: a question costs the underlying that it changes

Seconds of CPU time of one thread, the least of several repeats.
"""

import json
import sys
import time
from collections.abc import Callable
from decimal import Decimal

import msgspec

from engine.ledger.accounts import AccountState, Position
from engine.liquidation.planner import liquidation_plan
from engine.margin.margin_model import shared_figures
from engine.marks.mark_book import Prices
from engine.numbers import canonical, exact
from engine.policy import Policy
from tests.benchmarks.bench_exact import _policy, _prices

SIZES = (1, 3, 10)
CALLS, REPEATS = 100, 5
D = Decimal


def bench_liquidation() -> dict[str, float]:
    """Plans a second by kind of account."""
    policy = _policy()
    prices = _prices(policy)
    figures = {}
    for size in SIZES:
        state = _account(size, prices, policy, hedged=False)
        figures[f"cross, {size} positions, plans/s"] = _per_second(
            lambda state=state: liquidation_plan(state, "", prices, policy)
        )
        figures[f"cross, {size} positions, judgements/s"] = _per_second(
            lambda state=state: shared_figures(state, prices, policy)
        )
    state = _account(5, prices, policy, hedged=True)
    figures["cross, 5 hedged symbols, plans/s"] = _per_second(
        lambda: liquidation_plan(state, "", prices, policy)
    )
    net = _account(10, prices, policy, hedged=False, model="portfolio")
    figures["portfolio, 10 positions, plans/s"] = _per_second(
        lambda: liquidation_plan(net, "", prices, policy), calls=5
    )
    return figures


def _account(
    size: int, prices: Prices, policy: Policy, *, hedged: bool, model: str | None = None
) -> AccountState:
    """Sizes and entries of every kind, and a wallet that leaves C at 90 % of the requirement."""
    contracts = [name for name, it in policy.instruments.items() if it.kind == "perpetual"][:size]
    held = {}
    for place, name in enumerate(contracts):
        quantity = D("1.5") * (place + 1) * (1 - place % 2 * 2)
        entry = quantity * prices.marks[name].price * D("1.01")
        held[f"{name}|{'long' if quantity > 0 else 'short'}" if hedged else name] = Position(quantity, entry)
        if hedged:
            other = -quantity / 3
            held[f"{name}|{'long' if other > 0 else 'short'}"] = Position(
                other, other * prices.marks[name].price
            )
    state = AccountState("a", {"USDT": D(0)}, held, margin_model=model)
    with exact():
        now = shared_figures(state, prices, policy)
        missing = D("0.9") * now.requirement - now.collateral_value
    return msgspec.structs.replace(state, balances={"USDT": D(0), "USD": canonical(missing)})


def _per_second(call: Callable[[], object], calls: int = CALLS) -> float:
    best = float("inf")
    for _ in range(REPEATS):
        began = time.thread_time()
        for _ in range(calls):
            call()
        best = min(best, time.thread_time() - began)
    return calls / best


if __name__ == "__main__":
    json.dump(bench_liquidation(), sys.stdout, indent=1)
