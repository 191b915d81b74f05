"""Figures of all accounts kept through ticks, in float: within the stated bound of the exact ones, whatever the prices do."""

from decimal import Decimal
from random import Random

import numpy as np
import pytest

from engine.events.pools import CROSS, pool_figures
from engine.inputs import Mark
from engine.marks.mark_book import Prices
from streams.bench import live_figures
from streams.bench.bench_market import Market, bench_policy
from streams.bench.live_figures import ERROR, LiveFigures
from streams.bench.ten_contracts import CONTRACTS, made_up_ten
from tests.support.builders import account, sample

D = Decimal
SEED = 11


def exact_figures(states, prices, policy):
    """Equity, IM, MM and C of every account, and the scale of its rounding errors; USDT at 1."""
    marks = {symbol: Mark(symbol, price, 1, 0) for symbol, price in {**prices, "USDT-USD": D(1)}.items()}
    at = Prices(marks, frozenset(), 0)
    for state in states:
        figures = pool_figures(state, CROSS, at, policy)
        weight = sum(map(abs, state.balances.values()))
        for symbol, held in state.positions.items():
            weight += abs(held.entry_value) + abs(held.quantity * prices[symbol])
        yield figures, float(weight)


@pytest.mark.parametrize("scale", [0.0001, 0.05, 0.9])
def test_live_figures_after_thousands_of_ticks_then_are_within_the_bound_of_the_exact_ones(scale):
    policy, market, random = bench_policy(CONTRACTS), Market(CONTRACTS, SEED), Random(SEED)
    states = made_up_ten(market, SEED, 60)
    first = {mark.symbol: mark.price for mark in market.all_marks()}
    prices, heaviest = dict(first), np.zeros(len(states))
    live = LiveFigures(policy, states, prices, D("1.5"))
    for number in range(5_000):  # more than TICKS_MAX
        symbol = random.choice(market.contracts)
        # tiers are left and entered again and again, and accounts go under
        prices[symbol] = round(first[symbol] * D(1 + random.uniform(-scale, scale)), 7)
        breaches = live.tick(symbol, float(prices[symbol]))
        if number % 250 == 0 or number == 4_999:
            of_all = list(exact_figures(states, prices, policy))
            heaviest = np.maximum(heaviest, [weight for _, weight in of_all])
    pools = live.pools
    for i, (figures, _) in enumerate(of_all):
        error = ERROR * heaviest[i]
        assert pools.equity[i] == pytest.approx(float(figures.equity), rel=0, abs=error)
        assert pools.initial[i] == pytest.approx(float(figures.initial_margin), rel=0, abs=error)
        assert pools.maintenance[i] == pytest.approx(float(figures.maintenance_margin), rel=0, abs=error)
        # C - 1.5 * MM
        room = float(figures.collateral_value - D("1.5") * figures.maintenance_margin)
        assert pools.room[i] == pytest.approx(room, rel=0, abs=3 * error)
    assert breaches == np.count_nonzero(pools.room < 0)
    assert live.resum() < ERROR * heaviest.max()


def test_live_figures_when_a_position_crosses_a_tier_then_both_tiers_count_and_im_jumps():
    policy = bench_policy(CONTRACTS)
    held = account({"USDT": 50_000}, {"S000-PERP": (1, 90_000)})
    live = LiveFigures(policy, [held], {"S000-PERP": D(90_000)}, D(1))
    # 1 / leverage 10 is more than the initial rate 0.02; MM = 0.01 * 90,000
    assert (live.pools.initial[0], live.pools.maintenance[0]) == pytest.approx((9_000, 900))
    live.tick("S000-PERP", 1_200_000.0)
    # the third tier: MM = 0.01 * 100,000 + 0.02 * 900,000 + 0.05 * 200,000; its initial rate is 0.1
    assert live.pools.maintenance[0] == pytest.approx(29_000)
    assert live.pools.initial[0] == pytest.approx(120_000)
    assert live.tick("S000-PERP", 39_000.0) == 1
    # E = 50,000 + 39,000 - 90,000 = -1,000
    assert live.pools.equity[0] == pytest.approx(-1_000)


def test_live_figures_when_an_account_is_not_plain_then_it_is_refused():
    coins = account({"USDT": 1, "BTC": 1}, {"S000-PERP": (1, 1)})
    with pytest.raises(ValueError, match="no plain linear cross account"):
        LiveFigures(bench_policy(CONTRACTS), [coins], {"S000-PERP": D(1)}, D(1))
    with pytest.raises(ValueError, match="one settle asset"):
        LiveFigures(sample(), [account({"USDT": 1}, {})], {}, D(1))


def test_ticks_max_then_keeps_the_error_within_its_bound():
    # 8 u a tick, and 2,048 terms and 4 operations of a sum anew
    assert (8 * live_figures.TICKS_MAX + 2_048 + 4) * 2.0**-53 <= ERROR
