"""The stress of the columnar book is that of the specification, account by account."""

import random
from decimal import Decimal

import numpy as np
import pytest
from msgspec.structs import replace

from engine.analytics.book_stress import account_stress
from engine.analytics.heat_map import PoolsNow, market_points
from engine.book.columnar_book import ColumnarBook
from engine.book.heat_map_parts import pools_now
from engine.book.stress_parts import together
from engine.events.effects import AccountRisk
from engine.events.pools import CROSS
from engine.ladder import Band, LadderState
from engine.ledger.accounts import AccountState
from engine.marks.mark_book import Prices
from tests.engine.book import box_policies as boxed
from tests.engine.book.book_twins import place
from tests.engine.book.test_book_boxes import market
from tests.engine.book.test_book_equivalence import POLICIES, POLICY_NAMES, START, twin_books
from tests.engine.book.test_heat_map_book import nasty, told
from tests.support.builders import account, prices, sample

D = Decimal
MOVES = [D(percent) / 100 for percent in (-90, -30, -10, -1, 1, 10, 30, 400)]
AT = prices({"USDT-USD": 1, "BTC-USD": 100, "BTC-PERP": 100, "ETH-PERP": 50, "USD-PERP": 100})


def markets_of(twins):
    now = Prices(twins.prices, twins.stale, twins.now_ns)
    return [it.prices for it in market_points(MOVES, now, twins.policy)]


def compare(twins, names):
    """The accounts came in this order; returns how many pools are condemned, and how many accounts were computed exactly."""
    markets = markets_of(twins)
    fast = twins.fast.stressed(markets)
    for number, name in enumerate(names):
        state, risk = twins.state(name), twins.fast.risk(name)
        wanted = account_stress(state, pools_now(risk), markets, twins.policy)
        assert fast.pools[:, number].tolist() == [it.pools for it in wanted], name
        for figure in ("notional", "deficit", "equity"):
            np.testing.assert_allclose(
                getattr(fast, figure)[:, number],
                [float(getattr(it, figure)) for it in wanted],
                rtol=1e-11,
                atol=1e-6,
            )
    return int(fast.pools.sum()), fast.exactly


@pytest.mark.parametrize("policy", POLICIES, ids=POLICY_NAMES)
@pytest.mark.parametrize("seed", range(4))
def test_stress_when_accounts_are_in_columns_then_as_the_specification_says(policy, seed):
    rng, twins = random.Random(seed), twin_books(policy)
    names = [f"a-{number:02}" for number in range(50)]
    for name in names:
        state = nasty(rng, name)
        twins.put(state, told(rng, state))
        if rng.random() < 0.3:
            place(twins, name, rng.choice(("1.3", "1.02", "1")), D(rng.choice((0, 5))), relative=False)
    condemned, exactly = compare(twins, names)
    assert condemned > 30
    # those that stand on a line to the digit, and hardly more
    assert exactly < len(names)
    twins.stale = frozenset(rng.sample(sorted(START), 2))
    compare(twins, names)


@pytest.mark.parametrize(("units", "pool"), boxed.CASES[:3])
def test_stress_when_accounts_are_routed_then_exactly(units, pool):
    rng, policy = random.Random(f"stress {units} {pool}"), boxed.policy_of(units, pool)
    twins = market(policy, rng)
    names = [f"a-{number}" for number in range(8)]
    for name in names:
        twins.put(replace(boxed.trader(rng, policy), account=name))
    condemned, exactly = compare(twins, names)
    assert condemned > 3
    assert exactly >= sum(twins.fast.routed.values()) > 3


def book_of(*states, risks=(), policy=None):
    book = ColumnarBook(policy or sample())
    known = {risk.account: risk for risk in risks}
    for state in states:
        book.put(state, known.get(state.account))
    return book


def test_outcome_when_a_fund_is_there_then_it_bears_what_it_can():
    states = [
        account({"USD": usd}, {"USD-PERP": (10, 100)}, name=name)
        for name, usd in (("a", 100), ("b", 150), ("c", 400))
    ]
    points = list(market_points([D("-0.3")], AT, sample()))
    found = book_of(*states).stressed([it.prices for it in reversed(points)])
    now, then = found.outcome(0, 180.0, 9), found.outcome(1, 180.0, 9)
    # 100, 150 and 400 against 5 % of 1,000
    assert (now.accounts, now.equity, now.deficit) == (0, 650, 0)
    # 100 - 300, 150 - 300 are gone, 400 - 300 is above 5 % of 700
    assert (then.accounts, then.pools, then.notional, then.equity) == (2, 2, 1_400, -250)
    assert (then.deficit, then.fund_used, then.uncovered) == (350, 180, 170)
    assert [(it.number, it.deficit, it.notional) for it in then.worst] == [(0, 200, 700), (1, 150, 700)]
    assert len(found.outcome(1, 0.0, 1).worst) == 1


def test_stress_when_exactly_on_the_line_then_not_condemned_and_computed_exactly():
    # 50 = 5 % of 1,000
    found = book_of(account({"USD": 50}, {"USD-PERP": (10, 100)})).stressed([AT])
    assert (found.pools.tolist(), found.exactly) == ([[0]], 1)


def test_stress_when_degraded_then_withheld_and_in_liquidation_then_condemned_whatever_the_prices():
    gone = account({"USD": -50}, {"USD-PERP": (10, 100)}, name="a")
    well = account({"USD": 5_000}, {"USD-PERP": (10, 100)}, name="b")
    empty = AccountState("c")
    risks = [
        AccountRisk("a", {CROSS: LadderState(degraded=True)}),
        AccountRisk("b", {CROSS: LadderState(Band.LIQUIDATION, "e")}),
        AccountRisk("c", {CROSS: LadderState(Band.LIQUIDATION, "e")}),
    ]
    found = book_of(gone, well, empty, risks=risks).stressed([AT])
    assert found.pools.tolist() == [[0, 1, 1]]
    wanted = [
        account_stress(it, pools_now(risk), [AT], sample())[0].pools
        for it, risk in zip((gone, well, empty), risks, strict=True)
    ]
    assert wanted == [0, 1, 1]


def test_stress_when_books_are_added_then_one_after_the_other():
    one, other = (book_of(account({"USD": usd}, {"USD-PERP": (1, 100)})).stressed([AT]) for usd in (-5, 900))
    both = together([one, other], 1)
    assert (both.pools.tolist(), both.outcome(0, 0.0, 5).accounts) == ([[1, 0]], 1)
    assert together([], 2).outcome(1, 0.0, 5).accounts == 0


def test_account_stress_when_dust_is_owed_then_it_bankrupts_nobody():
    (found,) = account_stress(account({"USD": "-0.00000001"}), PoolsNow(), [AT], sample())
    assert (found.pools, found.equity) == (0, 0)
