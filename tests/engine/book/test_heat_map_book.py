"""The heat map of the columnar book is that of the plain one, which is the specification's."""

import random
from decimal import Decimal

import numpy as np
import pytest
from msgspec.structs import replace

from engine.analytics.heat_map import MarketPoint, market_points
from engine.book import kernels
from engine.book.columnar_book import ColumnarBook
from engine.book.heat_map_parts import added
from engine.events.effects import AccountRisk
from engine.events.pools import CROSS, pool_figures
from engine.inputs import Topic
from engine.ladder import Band, LadderState
from engine.ledger.accounts import AccountState, IsolatedPosition, Position
from engine.ledger.applying import stopped
from engine.margin.isolated_pool import judged_isolated
from engine.marks.mark_book import Prices
from engine.numbers import canonical, exact
from engine.rejections import RejectionCode
from tests.engine.book import box_policies as boxed
from tests.engine.book.book_twins import place
from tests.engine.book.test_book_boxes import market
from tests.engine.book.test_book_equivalence import ASSETS, PERPS, POLICIES, POLICY_NAMES, START, twin_books
from tests.support.builders import account, mark, sample

D = Decimal
MOVES = [
    D(percent) / 100 for percent in (-90, -50, -30, -20, -15, -10, -5, -1, 1, 5, 10, 15, 20, 30, 60, 400)
]


def points_of(twins, moves=MOVES) -> list[MarketPoint]:
    prices = Prices(twins.prices, twins.stale, twins.now_ns)
    return list(market_points(moves, prices, twins.policy))


def compare(twins) -> int:
    """Both maps, all routed accounts computed; returns how many pools fall."""
    points = points_of(twins)
    plain, fast = (
        added(book.heat_map_in_parts(points), len(points), twins.policy) for book in (twins.plain, twins.fast)
    )
    if not np.array_equal(plain.pools, fast.pools):
        assert abs(plain.pools - fast.pools).sum() <= 2 * beside_the_line(twins, points)
    else:
        np.testing.assert_allclose(fast.notional, plain.notional, rtol=1e-12, atol=1e-9)
    assert (fast.withheld, fast.late, fast.omitted) == (plain.withheld, 0, 0)
    return int(plain.pools.sum())


def beside_the_line(twins, points) -> int:
    """Pools so close to the line, or to bankruptcy, at a point that their float figures may fall on the other side."""
    found = 0
    for name in twins.plain.accounts():
        state = twins.state(name)
        for pool in (CROSS, *judged_isolated(state)):
            for _, prices in points:
                at = pool_figures(state, pool, prices, twins.policy)
                with exact():
                    gap = at.collateral_value - twins.policy.ladder.liquidation * at.requirement
                # every amount of these accounts is below 10^5, every price below 10^4
                found += min(abs(gap), abs(at.equity)) < D(10**9) * D(kernels.EPSILON) * 5
    return found


def nasty(rng: random.Random, name: str) -> AccountState:
    """A few positions in linear contracts, coins, debts, isolated positions with and without contracts."""

    def position(symbol):
        quantity = D(rng.choice((-30, -10, -3, "-0.5", "0.5", 2, 10, 40)))
        multiplier = {"B-PERP": 10, "D-PERP": D("0.001")}.get(symbol, 1)
        entry = D(START[symbol]) * D(rng.choice(("0.9", "1", "1.07")))
        return Position(quantity, canonical(quantity * multiplier * entry))

    held = rng.sample(PERPS, rng.choice((0, 1, 1, 2, 3)))
    alone = [symbol for symbol in PERPS if symbol not in held and rng.random() < 0.15]
    isolated = {
        symbol: IsolatedPosition(position(symbol), D(rng.choice((3, 40, 300, 2000)))) for symbol in alone
    }
    if "A-PERP" not in (*held, *alone) and rng.random() < 0.2:
        isolated["A-PERP"] = IsolatedPosition(Position(D(0), D(0)), D(rng.choice((5, -5))))
    state = AccountState(
        name,
        {
            asset: D(rng.choice(("-80", "0.3", "2", "17.5", "400", "2500")))
            for asset in ASSETS
            if rng.random() < 0.6
        },
        {symbol: position(symbol) for symbol in held},
        isolated,
        collateral_off=("BTC",) if rng.random() < 0.1 else (),
    )
    return stopped(state, Topic.FILLS, 3, RejectionCode.SEQUENCE_GAP, None) if rng.random() < 0.05 else state


def told(rng: random.Random, state: AccountState) -> AccountRisk:
    pools = {}
    for pool in (CROSS, *PERPS):
        if rng.random() < 0.1:
            pools[pool] = LadderState(rng.choice(list(Band)[1:]), "episode", rng.random() < 0.2)
    return AccountRisk(state.account, pools)


@pytest.mark.parametrize("policy", POLICIES, ids=POLICY_NAMES)
@pytest.mark.parametrize("seed", range(6))
def test_heat_map_when_accounts_are_in_columns_then_both_books_say_the_same(policy, seed, monkeypatch):
    monkeypatch.setattr("engine.book.columnar_book.HEAT_PART_ACCOUNTS", 16)
    rng, twins = random.Random(seed), twin_books(policy)
    for number in range(60):
        state = nasty(rng, f"a-{number:02}")
        twins.put(state, told(rng, state))
        if rng.random() < 0.3:
            place(
                twins, state.account, rng.choice(("1.3", "1.02", "1")), D(rng.choice((0, 5))), relative=False
            )
    assert compare(twins) > 15
    twins.stale = frozenset(rng.sample(sorted(START), 2))
    compare(twins)
    del twins.prices["C-PERP"], twins.prices["JUNK-USD"]
    twins.stale |= {"C-PERP", "JUNK-USD"}
    compare(twins)
    assert not twins.fast.routed


@pytest.mark.parametrize(("units", "pool"), boxed.CASES)
def test_heat_map_when_accounts_are_routed_then_both_books_say_the_same(units, pool):
    rng, policy = random.Random(f"heat {units} {pool}"), boxed.policy_of(units, pool)
    twins = market(policy, rng)
    for number in range(12):
        twins.put(replace(boxed.trader(rng, policy), account=f"a-{number}"))
    assert compare(twins) > 3
    assert sum(twins.fast.routed.values()) > 3


def test_heat_map_when_few_routed_accounts_may_be_computed_then_the_others_are_counted_as_missing_or_late():
    rng, policy = random.Random("late"), boxed.policy_of("mark")
    twins = market(policy, rng)
    for number in range(5):
        state = replace(boxed.trader(rng, policy), account=f"a-{number}", margin_model="portfolio")
        twins.put(state)
    points = points_of(twins)

    def call(limit):
        heat = added(twins.fast.heat_map_in_parts(points, limit), len(points), policy)
        return heat.late, heat.omitted, int(heat.pools.sum())

    assert call(2)[:2] == (0, 3)
    assert call(2)[:2] == (2, 1)
    everybody = call(None)
    assert everybody[:2] == (0, 0)
    # the two that waited longest are computed, the others count as before
    assert call(2) == (3, 0, everybody[2])
    twins.put(replace(twins.state("a-1"), balances={"USD": D(-(10**7))}))
    assert call(0)[:2] == (4, 1)
    assert call(1)[:2] == (4, 0)


def test_heat_map_when_a_routed_account_comes_into_the_columns_then_it_counts_once():
    policy = boxed.policy_of("mark")
    twins = market(policy, random.Random(0))
    held = {"ETH-PERP": Position(D(10), D(30_000))}
    for model in ("portfolio", "cross", "portfolio"):
        twins.put(AccountState("a", {"USD": D(1_000)}, held, margin_model=model))
        assert compare(twins) == 1


def test_heat_map_when_a_pool_in_liquidation_has_nothing_left_then_the_shared_one_counts_and_an_isolated_one_is_gone():
    twins = twin_books(POLICIES[0])
    state = LadderState(Band.LIQUIDATION, "episode")
    twins.put(AccountState("a"), AccountRisk("a", {CROSS: state, "C-PERP": state}))
    points = points_of(twins)
    for book in (twins.plain, twins.fast):
        assert added(book.heat_map_in_parts(points), len(points), twins.policy).pools.sum() == 1


def test_heat_map_in_parts_when_a_part_ends_then_the_book_may_change_before_the_next(monkeypatch):
    monkeypatch.setattr("engine.book.columnar_book.HEAT_PART_ACCOUNTS", 7)
    twins = twin_books(POLICIES[0])
    for number in range(14):
        twins.put(account({"USD": 40}, {"C-PERP": (10, 50)}, name=f"a-{number:02}"))
    points = points_of(twins)
    parts = twins.fast.heat_map_in_parts(points)
    heat = next(parts) + next(parts)
    for number in range(200):  # enough for the columns to grow
        twins.put(account({"USD": 1}, name=f"late-{number}"))
    heat += added(parts, len(points), twins.policy)
    assert heat.pools.sum() == 14


@pytest.mark.parametrize(("line", "falls"), [("1.0", 0), ("1.04", 1)])
def test_heat_map_when_the_policy_has_another_line_then_pools_fall_below_that(line, falls):
    policy = sample(("liquidation = 1.0", f"liquidation = {line}"))
    prices = Prices({"USD-PERP": mark("USD-PERP", 100)}, frozenset(policy.price_symbols) - {"USD-PERP"}, 0)
    points = list(market_points([D("-0.2")], prices, policy))
    book = ColumnarBook(policy)
    # 241 - 10 * 20 = 41 at f = 0.8, where the requirement is 5 % * 10 * 80 = 40 and the line 40 or 41.6
    book.put(account({"USD": 241}, {"USD-PERP": (10, 100)}))
    assert added(book.heat_map_in_parts(points), 2, policy).pools.tolist() == [falls, 0]
