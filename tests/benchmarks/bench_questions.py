"""What a desk asks about one account of ten positions, in cross and under portfolio margin.

    grid            41 moves of the market, uniform and by beta
    requirements    segregated, cross and portfolio side by side
    withdrawable    of two assets
    distances       the uniform and the beta-weighted move to each of four lines

Milliseconds of CPU time of one thread, the least of several repeats.

python -m tests.benchmarks.bench_questions
"""

import json
import sys
import time
from collections.abc import Callable
from decimal import Decimal

from msgspec.structs import replace

from engine.analytics.line_move import line_moves
from engine.analytics.model_requirements import policy_figures
from engine.analytics.stress import stress_grid
from engine.analytics.weighting import Weighting
from engine.analytics.withdrawable import withdrawable
from engine.inputs import Mark
from engine.ledger.accounts import AccountState, Position
from engine.marks.mark_book import Prices
from engine.policy.rules.policy_switches import InstrumentKind, MarginModel
from streams.config.settings import load_policy
from streams.exchange.market.sample_market import start_prices

POSITIONS, REPEATS = 10, 15
MOVES = [Decimal(percent) / 100 for percent in range(-20, 21)]


def bench_questions() -> dict[str, float]:
    """Times by question and margin model."""
    policy = load_policy(None)
    quotes = start_prices(policy)
    prices = Prices({symbol: Mark(symbol, price, 1, 0) for symbol, price in quotes.items()}, frozenset())
    symbols = [it for it in quotes if it in policy.instruments][:POSITIONS]
    assert all(policy.instruments[it].kind is InstrumentKind.PERPETUAL for it in symbols)
    held = {
        symbol: Position(Decimal(signed), signed * quotes[symbol])
        for symbol, signed in zip(symbols, (-1, 2, -3, 4, -5, 6, -7, 8, -9, 10), strict=True)
    }
    cross = AccountState("a", {"USDT": Decimal(50_000), "BTC": Decimal(1)}, held)
    lines = [
        policy.ladder.warning,
        policy.ladder.margin_call,
        policy.ladder.reduce_only,
        policy.ladder.liquidation,
    ]
    found = {"requirements of three models": _ms(lambda: policy_figures(cross, prices, policy))}
    for model in (MarginModel.CROSS, MarginModel.PORTFOLIO):
        state = replace(cross, margin_model=model.value)
        for weighting in Weighting:
            found[f"grid, {weighting}, {model}"] = _ms(
                lambda it=state, by=weighting: stress_grid(it, prices, policy, MOVES, weighting=by)
            )
            found[f"distances, {weighting}, {model}"] = _ms(
                lambda it=state, by=weighting: line_moves(it, prices, policy, lines, weighting=by)
            )
        found[f"withdrawable, {model}"] = _ms(
            lambda it=state: withdrawable(it, {}, prices, policy, ["USDT", "BTC"])
        )
    return found


def _ms(call: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(REPEATS):
        began = time.thread_time()
        call()
        best = min(best, time.thread_time() - began)
    return 1e3 * best


if __name__ == "__main__":
    json.dump(bench_questions(), sys.stdout, indent=1)
