"""Liquidation prices of contributors: by one position where nothing else moves, the digits of whole accounts all the same."""

from decimal import Context

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.analytics.liquidation_price import at_price
from engine.analytics.nearest import FACTOR_MAX, nearest_factor
from engine.events.contents import PRICE_DIGITS, detail_of
from engine.events.pools import pool_figures
from engine.margin.quotes import mark_price
from engine.numbers import ONE, ZERO, canonical, exact
from engine.position_keys import symbol_of
from tests.engine.liquidation.test_liquidation_properties import (
    PERPETUALS,
    QUOTES,
    depths,
    drawn_pool,
    lots,
    rules,
    troubled,
)
from tests.engine.strategies import drawn_case, seeds
from tests.support.builders import prices

SHOWN = Context(prec=PRICE_DIGITS)


def by_whole_accounts(case, key):
    """The factor on a contributor's mark at which the whole account stands on the line."""
    state, at, policy = case.state, case.prices, case.policy
    line, symbol = policy.ladder.liquidation, symbol_of(key)
    mark, _ = mark_price(symbol, state.positions[key], at, policy)

    def gap(prices):
        figures = pool_figures(state, "", prices, policy)
        return figures.collateral_value - line * figures.requirement

    def moved(factor):
        return policy.moved(symbol, mark, factor - ONE)

    with exact():
        factor_min = -FACTOR_MAX if symbol in policy.price_scales else ZERO
        factor = nearest_factor(
            lambda it: gap(at_price(at, symbol, mark, canonical(moved(it)), policy)), gap(at), factor_min
        )
        return None if factor is None else SHOWN.plus(moved(factor))


def check_contributors(case):
    state, at, policy = case.state, case.prices, case.policy
    figures = pool_figures(state, "", at, policy)
    detail = detail_of(state, "", at, policy, figures, lambda moved: pool_figures(state, "", moved, policy))
    assert [it.liquidation_price for it in detail.contributors] == [
        by_whole_accounts(case, it.key) for it in detail.contributors
    ]


compared = settings(max_examples=60, deadline=None)


@compared
@given(st.builds(troubled, st.builds(drawn_case, seeds, options=st.booleans()), rules, lots, depths))
def test_contributors_when_the_policy_is_any_then_the_prices_of_whole_accounts(case):
    check_contributors(case)


@compared
@given(seeds, rules, lots, depths)
def test_contributors_when_their_coins_are_held_then_the_prices_of_whole_accounts(
    default_policy, seed, rules, lot, depth
):
    drawn = drawn_pool(default_policy, None, prices({**QUOTES, **PERPETUALS}), PERPETUALS, seed)
    flat = msgspec.structs.replace(drawn.state, balances={}) if seed % 2 else drawn.state
    check_contributors(troubled(msgspec.structs.replace(drawn, state=flat), rules, lot, depth))
