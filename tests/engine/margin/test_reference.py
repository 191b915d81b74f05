"""The margin engine against a second, plain implementation: equal in every figure, rounding included.

make test ARGS="tests/engine/margin/test_reference.py --accounts 1000000"
"""

from collections import Counter
from fractions import Fraction
from random import Random

import pytest

from engine.margin.cross.cross_pool import cross_figures
from engine.policy import Asset, MarginRules, PoolRules
from engine.position_keys import symbol_of
from tests.engine.reference.draw_account import draw_account, draw_prices
from tests.engine.reference.draw_policy import draw_policy, switches
from tests.engine.reference.plain import plain
from tests.engine.reference.pool import Pool, pool
from tests.engine.reference.positions import least_worth, worth

ACCOUNTS = 50_000
"""In CI; they take less than a minute."""

POLICIES = 250
VIEWS = 40
"""Views of prices per policy; the accounts of a policy are spread over them."""


KINDS = (
    "wallet on a tier floor",
    "wallet equal to the cap",
    "debt on a borrow floor",
    "notional on a tier floor",
    "legs",
    "price of 0",
    "price below 0",
    "orders",
    "degraded",
    "negative equity",
    "no ratio",
    "healthy",
    "called",
)


@pytest.fixture
def accounts(request):
    # Without a path on the command line pytest comes here too late to learn of the option.
    return int(request.config.getoption("--accounts", None) or ACCOUNTS)


def engine_pool(state, prices, policy):
    """The engine's figures with everything derived from them, in the shape of the reference."""
    figures = cross_figures(state, prices, policy)
    return Pool(
        shortfall=figures.shortfall(1), **{name: getattr(figures, name) for name in Pool._fields[:-1]}
    )


def test_cross_figures_when_computed_a_second_time_in_fractions_then_equal_to_the_last_digit(accounts):
    for seed in range(POLICIES):
        random = Random(seed)
        policy = draw_policy(random)
        plain_policy = plain(policy)
        for view in range(VIEWS):
            prices = draw_prices(random, policy)
            plain_prices = plain(prices)
            for number in range(-(-accounts // (POLICIES * VIEWS))):
                state = draw_account(random, policy, prices)
                expected = pool(plain(state), plain_prices, plain_policy)
                got = engine_pool(state, prices, policy)
                assert got == expected, f"policy {seed}, view {view}, account {number}: {state}"


def test_draw_policy_when_drawn_often_then_every_choice_of_every_switch_occurs():
    policies = [draw_policy(Random(seed)) for seed in range(POLICIES)]
    tables = {
        MarginRules: [rules for policy in policies for rules in policy.margin.values()],
        PoolRules: [policy.pool for policy in policies],
        Asset: [asset for policy in policies for asset in policy.assets.values()],
    }
    for table, drawn in tables.items():
        for name, choices in switches(table).items():
            expected = {"cross"} if name == "model" else set(choices)
            assert {getattr(one, name) for one in drawn} == expected, name


def test_draw_account_when_drawn_often_then_edges_legs_orders_and_debts_are_among_them():
    seen = Counter()
    for seed in range(POLICIES):
        random = Random(seed)
        policy = draw_policy(random)
        prices = draw_prices(random, policy)
        plain_policy, plain_prices = plain(policy), plain(prices)
        for _ in range(10):
            state = plain(draw_account(random, policy, prices))
            figures = pool(state, plain_prices, plain_policy)
            seen.update(kinds_of(state, figures, plain_prices, plain_policy))
    rare = {kind: seen[kind] for kind in KINDS if seen[kind] < 25}
    assert rare == {}


def kinds_of(state, figures, prices, policy):
    """What is special about one account."""
    balances = [(policy.assets[asset], wallet) for asset, wallet in state.balances.items()]
    held = [(symbol_of(key), one) for key, one in state.positions.items()]
    special = {
        "wallet on a tier floor": any(is_floor(wallet, rules.tiers) for rules, wallet in balances),
        "wallet equal to the cap": any(wallet == rules.cap for rules, wallet in balances),
        "debt on a borrow floor": any(is_floor(-wallet, rules.borrow_tiers) for rules, wallet in balances),
        "notional on a tier floor": any(
            is_floor(notional(policy.instruments[symbol], one, prices.marks.get(symbol)), policy.tiers[table])
            for symbol, one in held
            for table in [policy.instruments[symbol].tiers]
        ),
        "legs": len({symbol for symbol, _ in held}) < len(held),
        "price of 0": any(symbol in prices.marks and not prices.marks[symbol].price for symbol, _ in held),
        "price below 0": any(symbol in prices.marks and prices.marks[symbol].price < 0 for symbol, _ in held),
        "orders": bool(state.orders),
        "degraded": figures.degraded,
        "negative equity": figures.equity < 0,
        "no ratio": figures.ratio is None,
        "healthy": figures.ratio is not None and figures.ratio >= 1,
        "called": figures.ratio is not None and figures.ratio < 1,
    }
    return [kind for kind, holds in special.items() if holds]


def is_floor(amount, tiers):
    """Whether the amount lies exactly on the edge of a tier above the first."""
    return any(amount == tier.floor for tier in tiers[1:])


def notional(contract, held, mark):
    """Of a position at its mark; 0 without one."""
    least = least_worth(contract, held.quantity)
    return max(least, abs(worth(contract, held.quantity, mark.price))) if mark else Fraction(0)
