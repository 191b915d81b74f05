"""The search that asks sums for what a step changes finds the digits that the search by whole accounts finds."""

from decimal import Decimal
from pathlib import Path
from random import Random

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from engine.ledger.accounts import AccountState, Position
from engine.liquidation.cross_probe import CrossProbe
from engine.liquidation.portfolio_probe import PortfolioProbe
from engine.liquidation.search import Search, probe_of
from engine.liquidation.standing import PoolProbe
from engine.liquidation.trades import cancelled
from engine.numbers import exact
from engine.policy import parse
from tests.benchmarks.bench_exact import OPTIONS
from tests.benchmarks.bench_exact import _policy as with_options
from tests.benchmarks.bench_exact import _prices as quoted
from tests.engine.liquidation.test_liquidation_properties import (
    PERPETUALS,
    QUOTES,
    cross,
    depths,
    drawn_pool,
    lots,
    rules,
    troubled,
)
from tests.engine.strategies import Case, seeds
from tests.support.builders import position, prices

POLICIES = {it.stem: it for it in sorted((Path(__file__).parents[3] / "deploy" / "policies").glob("*.toml"))}
_CONTRACTS = ("perpetual", "future")

compared = settings(max_examples=60, deadline=None)
"""Each asks the margin model for every question of a plan."""


def found_by(probe, case):
    """Steps and last standing of the search that begins with this probe."""
    ladder, policy = case.policy.ladder, case.policy
    line = ladder.liquidation + ladder.exit_band
    search = Search("", line, case.prices, policy)
    if probe.now.bankrupt or probe.now.out(line):
        return [], probe.now
    after = search.reduced(probe) if policy.liquidation.partial else search.closed(probe)
    return [step for it in search.taken for step in it.move.steps(it.lots, it.round)], after


def check_same(case, kind):
    with exact():
        state, _ = cancelled(case.state, "")
        fast = probe_of(state, "", case.prices, case.policy)
        assume(isinstance(fast, kind))
        slow = PoolProbe(state, "", case.prices, case.policy)
        assert found_by(fast, case) == found_by(slow, case)


def alike(case, seed):
    """The case with some of its positions equal in size, so that they free as much per cost."""
    random, held = Random(seed), case.state.positions
    assume(len(held) > 1)
    keys = sorted(held)
    first = held[keys[0]]
    same = {key: first if random.random() < 0.5 else held[key] for key in keys}
    return msgspec.structs.replace(case, state=msgspec.structs.replace(case.state, positions=same))


@compared
@given(cross)
def test_search_when_cross_then_the_digits_of_the_slow_one(case):
    check_same(case, CrossProbe)


@pytest.mark.parametrize("name", POLICIES)
@settings(max_examples=30, deadline=None)
@given(seeds, lots, depths)
def test_search_when_under_a_shipped_policy_then_the_digits_of_the_slow_one(name, seed, lot, depth):
    policy = parse(POLICIES[name].read_text(encoding="utf-8"))
    random, contracts = Random(seed), [key for key, it in policy.instruments.items() if it.kind in _CONTRACTS]
    at = prices({symbol: Decimal(random.randint(50, 200_000)) / 100 for symbol in policy.price_symbols})
    drawn = drawn_pool(policy, "cross", at, contracts, seed)
    # some of the positions lie in a higher tier, some are larger than their book is deep
    larger = {
        key: Position(it.quantity * times, it.entry_value * times)
        for key, it in drawn.state.positions.items()
        for times in [random.choice([1, 1, 1, 1, 40, 4_000])]
    }
    state = msgspec.structs.replace(drawn.state, positions=larger)
    check_same(troubled(Case(state, at, policy), policy.liquidation, lot, depth), CrossProbe)


@pytest.mark.parametrize("share", ["1", "0.25"])
@compared
@given(seeds, rules, lots, depths)
def test_search_when_cross_under_the_default_policy_then_the_digits_of_the_slow_one(
    default_policy, share, seed, rules, lot, depth
):
    drawn = drawn_pool(default_policy, None, prices({**QUOTES, **PERPETUALS}), PERPETUALS, seed)
    dearer = {"BTC-USDT-PERP": rules.slippage_rate * 3 / 2} if seed % 2 else {}
    rules = msgspec.structs.replace(rules, share_per_round_max=type(depth)(share), slippage_rates=dearer)
    check_same(troubled(alike(drawn, seed), rules, lot, depth), CrossProbe)


@compared
@given(seeds, rules, lots, depths)
def test_search_when_under_portfolio_margin_then_the_digits_of_the_slow_one(
    default_policy, seed, rules, lot, depth
):
    drawn = drawn_pool(default_policy, "portfolio", prices({**QUOTES, **PERPETUALS}), PERPETUALS, seed)
    check_same(troubled(drawn, rules, lot, depth), PortfolioProbe)


@pytest.fixture(scope="module")
def option_market():
    policy = with_options()
    return policy, quoted(policy)


@compared
@given(seeds, rules, depths, st.sampled_from(["0.1", "1"]))
def test_search_when_options_are_under_portfolio_margin_then_the_digits_of_the_slow_one(
    option_market, seed, rules, depth, lot
):
    (policy, at), random = option_market, Random(seed)
    symbols = [f"BTC-{place}" for place in range(OPTIONS)] + ["BTC-USDT-PERP", "ETH-USDT-PERP"]
    held = {key: position(random.choice([-3, -1, 2, 5]), 5_000) for key in random.sample(symbols, 3)}
    state = AccountState("a", {"BTC": random.choice([depth, -depth])}, held, margin_model="portfolio")
    check_same(troubled(Case(state, at, policy), rules, type(depth)(lot), depth), PortfolioProbe)
