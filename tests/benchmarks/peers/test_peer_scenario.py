"""The scenario that all peers get, and what is said of their answers."""

from decimal import Decimal

import numpy as np
import pytest

from engine.events.effects import AccountRisk
from engine.events.judgement import judge
from engine.inputs import Mark
from engine.ladder.states import Band
from engine.ledger.accounts import AccountState, Position
from engine.marks.mark_book import Prices
from engine.numbers import exact
from streams.bench.bench_market import bench_policy, contract
from tests.benchmarks.peers.peer_answer import TICK, Answer, figures
from tests.benchmarks.peers.peer_scenario import POSITIONS, SYMBOLS, Scenario
from tests.benchmarks.peers.peers import PEERS
from tests.benchmarks.peers.unimargin_peer import level_of

ACCOUNTS = 3_000
FIRST_TIER = 100_000


@pytest.fixture(scope="module")
def scenario():
    return Scenario.made_up(ACCOUNTS, seed=3)


def test_scenario_when_made_twice_then_it_is_the_same(scenario):
    again = Scenario.made_up(ACCOUNTS, seed=3)

    assert all(np.array_equal(first, second) for first, second in zip(scenario, again, strict=True))
    assert not np.array_equal(scenario.wallets, Scenario.made_up(ACCOUNTS, seed=4).wallets)


def test_scenario_when_made_then_accounts_hold_five_different_symbols_and_the_first_is_held_most(scenario):
    held = np.sort(scenario.symbols.reshape(ACCOUNTS, POSITIONS), axis=1)

    assert (np.diff(held, axis=1) > 0).all()
    assert 0.42 < np.count_nonzero(held == 0) / ACCOUNTS < 0.49
    assert np.bincount(scenario.symbols).argmax() == 0


def test_tick_when_it_comes_then_one_account_in_a_hundred_crosses_and_nobody_before(scenario):
    crossings = scenario.crossings()

    assert min(crossings.values()) == TICK
    assert 30 <= sum(number == TICK for number in crossings.values()) <= 33
    assert max(crossings.values()) > TICK


def test_linear_margin_when_no_position_is_large_then_it_says_what_the_engine_says(scenario):
    price = float(scenario.ticks[TICK])
    bands = scenario.bands(price)
    sizes = np.abs(scenario.quantities * scenario.prices[scenario.symbols]).reshape(ACCOUNTS, POSITIONS)
    small = (sizes < FIRST_TIER).all(axis=1)
    some = [account for band in range(3) for account in np.flatnonzero(small & (bands == band))[:12].tolist()]
    policy = bench_policy(SYMBOLS)
    quoted = {contract(it): Decimal(str(at)) for it, at in enumerate(scenario.prices.tolist())}
    quoted |= {contract(0): Decimal(str(price)), "USDT-USD": Decimal(1)}
    prices = Prices({name: Mark(name, at, 1, 1) for name, at in quoted.items()}, frozenset(), 1)

    judged = [_band(_state(scenario, account), prices, policy) for account in some]

    assert set(judged) == {0, 1, 2}
    assert judged == bands[some].tolist()


def _state(scenario, account):
    rows = slice(account * POSITIONS, (account + 1) * POSITIONS)
    positions = {}
    for symbol, quantity, price in zip(
        scenario.symbols[rows].tolist(),
        scenario.quantities[rows].tolist(),
        scenario.entry_prices[rows].tolist(),
        strict=True,
    ):
        with exact():
            amount = Decimal(str(quantity))
            positions[contract(symbol)] = Position(amount, amount * Decimal(str(price)))
    return AccountState(str(account), {"USDT": Decimal(str(scenario.wallets[account]))}, positions)


def _band(state, prices, policy):
    judgement = judge(state, AccountRisk(state.account), prices, 1, policy)
    band = judgement.risk.pools[""].band if "" in judgement.risk.pools else Band.HEALTHY
    return level_of(band)


def test_figures_when_rows_are_missing_late_or_besides_then_they_are_counted():
    expected = {(1, 1): TICK, (2, 2): TICK, (2, 1): TICK, (3, 1): TICK + 1}
    rows = {(1, 1): (TICK, 0.004), (9, 1): (TICK, 0.006), (2, 2): (TICK + 1, 0.5)}

    found = figures(Answer(rows, 0.002, 10.0), expected)

    assert (found["missing_at_tick"], found["besides_at_tick"]) == (2, 1)
    assert (found["missing_in_all"], found["besides_in_all"], found["passed_over_in_all"]) == (2, 1, 1)
    assert (found["first_row_ms"], found["last_row_ms"]) == (4.0, 6.0)
    assert found["fall_row_p50_ms"] == 500.0


def test_peers_when_listed_then_their_code_is_there_and_names_differ():
    assert len({it.name for it in PEERS}) == len(PEERS)
    assert all(file.is_file() for it in PEERS for file in it.files)
