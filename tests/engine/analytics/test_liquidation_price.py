"""Liquidation and bankruptcy prices: by hand, and as properties of the figures at the price found."""

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from engine.analytics.bankruptcy_price import (
    closing_fee_at,
    isolated_bankruptcy_price,
    shared_bankruptcy_price,
)
from engine.analytics.crossing import PRICE_GRID
from engine.analytics.liquidation_price import (
    at_price,
    isolated_liquidation_price,
    on_tick,
    shared_liquidation_price,
)
from engine.inputs import Mark
from engine.ledger.accounts import FLAT, AccountState, IsolatedPosition, Position
from engine.ledger.booking import booked_order, filled
from engine.margin.isolated_pool import isolated_figures
from engine.margin.margin_model import shared_figures
from engine.marks.mark_book import Prices
from engine.numbers import ONE, exact
from engine.policy import MarginRules, RiskTier, parse
from engine.policy.rules.portfolio_rules import Grid, PortfolioRules, UnitRules
from tests.support.builders import account, position, prices, sample
from tests.support.wide import holding, order, wide

D = Decimal
_replace = msgspec.structs.replace
INVERSE = (
    '[instruments.BTC-PERP]\nkind = "perpetual"',
    '[instruments.BTC-PERP]\npayoff = "inverse"\nkind = "perpetual"',
)
COIN_SETTLED = ('settle = "USDT"\ntiers = "major"', 'settle = "BTC"\ntiers = "major"')


@pytest.fixture
def quotes():
    return prices(
        {"BTC-USD": 60_000, "USDT-USD": 1, "BTC-PERP": 60_000, "ETH-PERP": 3000, "USD-PERP": 60_000}
    )


def gap(figures, line=ONE):
    with exact():
        return figures.collateral_value - line * figures.requirement


def with_rules(policy, **rules):
    return _replace(policy, margin={"default": MarginRules(**rules)})


# --- isolated


def test_isolated_price_when_long_then_by_hand(policy, quotes):
    state = account(isolated={"USD-PERP": (2, 60_000, 12_000)})
    # 12000 + 2 * (p - 60000) = 0.05 * 2 * p   =>   p = 108000 / 1.9
    assert isolated_liquidation_price(state, "USD-PERP", quotes, policy) == D("56842.105263157894736842")


def test_isolated_price_when_short_then_by_hand(policy, quotes):
    state = account(isolated={"USD-PERP": (-2, 60_000, 12_000)})
    # 12000 - 2 * (p - 60000) = 0.05 * 2 * p   =>   p = 132000 / 2.1
    assert isolated_liquidation_price(state, "USD-PERP", quotes, policy) == D("62857.142857142857142858")


def test_isolated_price_when_the_next_tier_begins_on_the_way_then_of_that_tier(policy, quotes):
    state = account(isolated={"USD-PERP": (-16, 60_000, 200_000)})
    # at 60000 the notional is 960000, below the tier from 1000000 with 0.1 and a deduction of 50000
    # 200000 - 16 * (p - 60000) = 0.1 * 16 * p - 50000   =>   p = 1210000 / 17.6
    assert isolated_liquidation_price(state, "USD-PERP", quotes, policy) == D(68_750)


def test_isolated_price_when_settled_in_another_asset_then_its_index_does_not_matter(policy, quotes):
    state = account(isolated={"BTC-PERP": (2, 60_000, 12_000)})
    depegged = _replace(quotes, marks={**quotes.marks, **prices({"USDT-USD": "0.9"}).marks})
    price = isolated_liquidation_price(state, "BTC-PERP", quotes, policy)
    assert abs(isolated_liquidation_price(state, "BTC-PERP", depegged, policy) - price) <= PRICE_GRID


def test_isolated_price_when_closed_then_none(policy, quotes):
    state = AccountState(account="a", isolated={"USD-PERP": IsolatedPosition(FLAT, D(-5))})
    assert isolated_liquidation_price(state, "USD-PERP", quotes, policy) is None
    assert isolated_bankruptcy_price(state, "USD-PERP", quotes, policy) is None


# --- the shared pool


def test_shared_price_when_other_positions_are_held_then_at_their_marks(policy, quotes):
    state = account({"USD": 20_000, "USDT": 0}, {"USD-PERP": (1, 58_000), "ETH-PERP": (-10, 3100)})
    # ETH: + 10 * 100, MM 0.05 * 30000
    # 20000 + 1000 + (p - 58000) = 0.05 * p + 1500   =>   p = 38500 / 0.95
    only_mark = prices({s: m.price for s, m in quotes.marks.items() if s != "BTC-USD"})
    assert shared_liquidation_price(state, "USD-PERP", only_mark, policy) == D("40526.315789473684210526")


def test_shared_price_when_coins_are_collateral_then_they_move_with_the_contract(policy, quotes):
    state = account({"BTC": 1}, {"USD-PERP": (1, 60_000)})
    # 0.95 * p + (p - 60000) * 1 = 0.05 * p; a loss is a liability of USD at a factor of 1   =>   p = 60000 / 1.9
    assert shared_liquidation_price(state, "USD-PERP", quotes, policy) == D("31578.947368421052631578")


def test_shared_price_when_coins_stand_at_another_index_then_by_the_same_factor(policy, quotes):
    state = account({"BTC": 1}, {"USD-PERP": (1, 60_000)})
    basis = _replace(quotes, marks={**quotes.marks, **prices({"BTC-USD": 57_000}).marks})
    # 0.95 * 57000 / 60000 * p + p - 60000 = 0.05 * p   =>   p = 60000 / 1.8525
    price = shared_liquidation_price(state, "USD-PERP", basis, policy)
    assert abs(price - D("32388.663967611336032388")) <= PRICE_GRID


def test_shared_price_when_inverse_then_by_hand(quotes):
    policy = sample(INVERSE, COIN_SETTLED, ("{ floor = 0, ratio = 0.95 }", "{ floor = 0, ratio = 1 }"))
    held, _ = filled(FLAT, D(120_000), D(60_000), policy.instruments["BTC-PERP"])
    state = AccountState(account="a", balances={"BTC": D(1)}, positions={"BTC-PERP": held})
    # 1 + 2 - 120000 / p = 0.05 * 120000 / p   =>   p = 126000 / 3; the pool counts coins at the index, which moves too
    price = shared_liquidation_price(state, "BTC-PERP", quotes, policy)
    # a coin value is rounded to 18 digits: one step of it spans 1e-18 * p * p / 120000 of price
    assert abs(price - D(42_000)) < D("1e-13")


def test_shared_price_when_the_account_is_under_portfolio_margin_then_of_its_net_risk(policy, quotes):
    shocks = Grid(prices=(D("-0.1"), D(0), D("0.1")), volatilities=("none",))
    rules = PortfolioRules(units={"default": UnitRules(grid=shocks)})
    portfolio = _replace(policy, portfolio=rules)
    cross = account({"USD": 20_000}, {"USD-PERP": (1, 60_000)})
    state = _replace(cross, margin_model="portfolio")
    # 20000 + p - 60000 = 0.1 * p   =>   p = 40000 / 0.9
    price = shared_liquidation_price(state, "USD-PERP", quotes, portfolio)
    assert abs(price - D("44444.444444444444444444")) <= PRICE_GRID
    # 20000 + p - 60000 = 0.05 * p in cross margin
    assert shared_liquidation_price(cross, "USD-PERP", quotes, portfolio) == D("42105.263157894736842105")


def test_shared_price_when_an_order_turns_the_position_then_on_the_other_side_of_the_mark(policy, quotes):
    long = account({"USD": 20_000}, {"USD-PERP": (1, 60_000)})
    sold = order("USD-PERP", -3, 60_000)
    with exact():
        turned = booked_order(long, sold, policy)
    # 20000 + p - 60000 = 0.05 * p   =>   p = 40000 / 0.95, below the mark of 60000
    assert shared_liquidation_price(long, "USD-PERP", quotes, policy) == D("42105.263157894736842105")
    # 20000 - 2 * (p - 60000) = 0.05 * 2 * p   =>   p = 140000 / 2.1, above it
    assert shared_liquidation_price(turned, "USD-PERP", quotes, policy) == D("66666.666666666666666667")


def test_shared_price_when_a_higher_line_then_nearer(policy, quotes):
    state = account({"USD": 20_000}, {"USD-PERP": (1, 60_000)})
    # 20000 + p - 60000 = 1.5 * 0.05 * p   =>   p = 40000 / 0.925
    price = shared_liquidation_price(state, "USD-PERP", quotes, policy, line=D("1.5"))
    assert price == D("43243.243243243243243243")


def test_shared_price_when_some_is_reserved_then_that_much_less_covers(policy, quotes):
    state = account({"USD": 20_000}, {"USD-PERP": (1, 60_000)})
    less = account({"USD": 19_000}, {"USD-PERP": (1, 60_000)})
    reserved = shared_liquidation_price(state, "USD-PERP", quotes, policy, reserved=(D(400), D(600)))
    assert reserved == shared_liquidation_price(less, "USD-PERP", quotes, policy)


def test_shared_price_when_never_marked_then_looked_for_from_the_entry(policy):
    state = account({"USD": 20_000}, {"USD-PERP": (1, 60_000)})
    # 20000 + p - 60000 = 0.05 * p   =>   p = 40000 / 0.95
    assert shared_liquidation_price(state, "USD-PERP", prices({}), policy) == D("42105.263157894736842105")


def test_shared_price_when_already_below_the_line_then_where_it_comes_back(policy, quotes):
    state = account({"USD": 1000}, {"USD-PERP": (1, 60_000)})
    # 1000 + p - 60000 = 0.05 * p   =>   p = 59000 / 0.95, above the mark; the last price that is not above the line
    price = shared_liquidation_price(state, "USD-PERP", quotes, policy)
    assert price == D("62105.263157894736842105")


def test_shared_price_when_nothing_can_be_lost_to_the_line_then_none(policy, quotes):
    state = account({"USD": 60_000}, {"USD-PERP": (1, 60_000)})
    assert shared_liquidation_price(state, "USD-PERP", quotes, policy) is None


def test_shared_price_when_legs_net_to_nothing_then_none(policy, quotes):
    hedged = with_rules(policy, hedge_legs="net")
    legs = {"USD-PERP|long": position(3, 59_000), "USD-PERP|short": position(-3, 61_000)}
    state = AccountState(account="a", balances={"USD": D(10)}, positions=legs)
    assert shared_liquidation_price(state, "USD-PERP|long", quotes, hedged) is None
    assert shared_liquidation_price(state, "USD-PERP|short", quotes, hedged) is None


def test_shared_price_when_legs_require_gross_then_where_their_margin_eats_the_equity(policy, quotes):
    legs = {"USD-PERP|long": position(3, 60_000), "USD-PERP|short": position(-3, 60_000)}
    state = AccountState(account="a", balances={"USD": D(24_000)}, positions=legs)
    # 24000 = 2 * 0.05 * 3 * p
    assert shared_liquidation_price(state, "USD-PERP|long", quotes, policy) == D(80_000)


def test_shared_price_when_tiers_are_flat_and_the_requirement_jumps_over_then_the_edge(policy, quotes):
    flat = with_rules(policy, tiering="flat")
    state = account({"USD": 240_000}, {"USD-PERP": (-15, 60_000)})
    # at p = 1000000 / 15 the tier's rate of 0.1 holds for all of it: C = 240000 - 100000, MM = 50000 below, 100000 above;
    # 140000 is above both, so the line is in the second tier: 240000 - 15 * (p - 60000) = 1.5 * p
    assert shared_liquidation_price(state, "USD-PERP", quotes, flat) == D("69090.909090909090909091")
    poorer = account({"USD": 190_000}, {"USD-PERP": (-16, 60_000)})
    # at p = 62500: C = 190000 - 40000 = 150000, MM 50000 below the edge and 100000 at it; with a line of 2 it jumps over
    assert shared_liquidation_price(poorer, "USD-PERP", quotes, flat, line=D(2)) == D(62_500)


def test_shared_price_when_the_pool_has_no_such_position_then_an_error(policy, quotes):
    with pytest.raises(KeyError):
        shared_liquidation_price(account({"USD": 1}), "USD-PERP", quotes, policy)


# --- bankruptcy and ticks


def test_bankruptcy_price_when_long_then_equity_is_zero(policy, quotes):
    state = account({"USD": 20_000}, {"USD-PERP": (1, 60_000)}, {"BTC-PERP": (-2, 60_000, 12_000)})
    # 20000 + p - 60000 = 0
    assert shared_bankruptcy_price(state, "USD-PERP", quotes, policy) == 40_000
    # 12000 - 2 * (p - 60000) = 0
    assert isolated_bankruptcy_price(state, "BTC-PERP", quotes, policy) == 66_000


def test_bankruptcy_price_when_closing_costs_a_fee_then_that_is_left(policy, quotes):
    state = account({"USD": 20_000}, {"USD-PERP": (1, 60_000)}, {"USD-PERP": (1, 60_000, 20_000)})
    fee = D("0.001")
    # 20000 + p - 60000 = 0.001 * p   =>   p = 40000 / 0.999
    price = D("40040.040040040040040040")
    assert shared_bankruptcy_price(state, "USD-PERP", quotes, policy, taker_fee_rate=fee) == price
    assert isolated_bankruptcy_price(state, "USD-PERP", quotes, policy, taker_fee_rate=fee) == price
    # 0.001 * 1 * 40040
    assert closing_fee_at(policy.instruments["USD-PERP"], D(-1), D(40_040), fee) == D("40.04")


def test_on_tick_when_rounded_then_never_beyond_the_price():
    assert on_tick(D("5739.08"), D(10), D("0.5")) == D("5739.5")
    assert on_tick(D("5739.08"), D(-10), D("0.5")) == D("5739.0")
    assert on_tick(D("5739.08"), D(10), D(0)) == D("5739.08")


# --- properties


quantities = st.integers(-400, 400).filter(bool).map(lambda n: D(n) / 10)
entries = st.integers(500, 1500)
wallets = st.integers(0, 3_000_000)
SYMBOLS = {"BTC-PERP": 60_000, "ETH-PERP": 3000, "USD-PERP": 60_000}


@st.composite
def accounts(draw):
    held = draw(st.dictionaries(st.sampled_from(sorted(SYMBOLS)), st.tuples(quantities, entries), min_size=1))
    positions = {
        symbol: (quantity, SYMBOLS[symbol] * entry // 1000) for symbol, (quantity, entry) in held.items()
    }
    coins = D(draw(st.integers(-50, 3000))) / 10
    balances = {"USD": draw(wallets), "USDT": draw(wallets), "BTC": coins}
    return account({asset: amount for asset, amount in balances.items() if amount}, positions)


POLICIES = [
    sample(),
    sample(INVERSE, COIN_SETTLED),
    with_rules(sample(), tiering="flat", closing_fee="notional", taker_fee_rate=D("0.0005")),
    with_rules(sample(), initial="leverage", notional="entry"),
    with_rules(sample(), profit_weight=D("0.5"), margin_step=D("0.01"), margin_rounding="up"),
]
QUOTES = prices({"BTC-USD": 59_000, "USDT-USD": "0.999", **SYMBOLS})


@settings(max_examples=150, deadline=None)
@given(state=accounts(), policy=st.sampled_from(POLICIES), line=st.sampled_from([D(1), D("1.2")]))
def test_shared_price_when_found_then_the_line_runs_between_it_and_its_neighbour(state, policy, line):
    for symbol in state.positions:
        price = shared_liquidation_price(state, symbol, QUOTES, policy, line=line)
        if price is None:
            continue

        def at(changed, symbol=symbol):
            with exact():
                moved = at_price(QUOTES, symbol, D(SYMBOLS[symbol]), changed, policy)
            return gap(shared_figures(state, moved, policy), line)

        here = at(price)
        with exact():
            above, below = price + PRICE_GRID, price - PRICE_GRID
        # on the line, or the first price below it
        assert here == 0 or (here < 0 < max(at(above), at(below)))


@settings(max_examples=150, deadline=None)
@given(
    quantity=quantities,
    entry=st.integers(30_000, 90_000),
    margin=st.integers(100, 2_000_000),
)
def test_isolated_price_when_found_then_healthy_on_one_side_and_not_on_the_other(quantity, entry, margin):
    policy = POLICIES[0]
    state = account(isolated={"USD-PERP": (quantity, entry, margin)})
    price = isolated_liquidation_price(state, "USD-PERP", QUOTES, policy)

    def at(changed):
        return gap(isolated_figures(state, "USD-PERP", prices({"USD-PERP": changed}), policy))

    losing = -1 if quantity > 0 else 1
    if price is None:
        # only a long may have none: it loses no more than its value
        assert losing < 0
        assert at(PRICE_GRID) > 0
        return
    with exact():
        # one step of the grid moves the gap by at most |quantity| * (1 + the highest rate)
        assert abs(at(price)) <= abs(quantity) * PRICE_GRID * 2
        for share in (D("0.001"), D("0.03"), D("0.4")):
            assert at(price * (1 + losing * share)) < 0 < at(price * (1 - losing * share))


@settings(max_examples=150, deadline=None)
@given(
    quantity=quantities,
    entry=st.integers(30_000, 90_000),
    wallet=st.integers(100, 2_000_000),
    rate=st.sampled_from([D("0.004"), D("0.025"), D("0.5")]),
    deduction=st.sampled_from([D(0), D(50), D(16300)]),
)
def test_shared_price_when_one_tier_with_a_deduction_then_the_published_formula(
    quantity, entry, wallet, rate, deduction
):
    tier = RiskTier(floor=D(0), maintenance_rate=rate, initial_rate=rate, deduction=deduction)
    policy = _replace(sample(), tiers={"major": (tier,)})
    state = account({"USD": wallet}, {"USD-PERP": (quantity, entry)})
    price = shared_liquidation_price(state, "USD-PERP", prices({"USD-PERP": entry}), policy)
    side = 1 if quantity > 0 else -1
    size = abs(quantity)
    # (wallet + deduction - side * size * entry) / (size * rate - side * size), Binance
    formula = (wallet + deduction - side * size * entry) / (size * rate - side * size)
    if formula > 0 and size * formula * rate > deduction:
        assert abs(price - formula) < D("1e-15")


@given(quantity=st.integers(1, 100), entry=entries, other=entries, wallet=st.integers(1, 1000))
def test_shared_price_when_fully_hedged_then_none(quantity, entry, other, wallet):
    # with nothing left and nothing required it would stand on the line at every price
    assume(wallet + quantity * (other - entry) != 0)
    legs: dict[str, Position] = {
        "USD-PERP|long": position(quantity, entry),
        "USD-PERP|short": position(-quantity, other),
    }
    state = AccountState(account="a", balances={"USD": D(wallet)}, positions=legs)
    hedged = with_rules(sample(), hedge_legs="net")
    for key in legs:
        assert shared_liquidation_price(state, key, QUOTES, hedged) is None


def test_at_price_when_an_option_then_its_underlying_stays():
    # an option that doubles says nothing about the price of the coin
    policy = wide()
    before = prices({"BTC-50000-C": 2_000, "BTC-USD": 50_000, "USDT-USD": 1})
    with exact():
        after = at_price(before, "BTC-50000-C", D(2_000), D(4_000), policy)
    assert after.marks["BTC-50000-C"].price == 4_000
    assert after.marks["BTC-USD"].price == 50_000


@pytest.mark.parametrize("price_of", [shared_liquidation_price, shared_bankruptcy_price])
def test_price_when_the_index_falls_with_the_contract_below_every_grid_then_a_price_or_none_and_no_error(
    price_of,
):
    # half the contract's price, the index rounds to 0 before the contract does; the option is settled in the coin
    rules = parse(Path("deploy/policies/deribit-standard.toml").read_text("utf-8"))
    perpetual, option = "BTC-PERPETUAL", "BTC-26MAR27-100000-C"
    quoted = dict.fromkeys(rules.price_symbols, D(60_000)) | {option: D("0.01")}
    quoted[rules.assets["BTC"].index] = D(30_000)
    at = Prices({symbol: Mark(symbol, price, 1, 1) for symbol, price in quoted.items()}, frozenset())
    size, calls = D(10), D(-1)
    held = {
        perpetual: Position(size, rules.instruments[perpetual].value(size, D(60_000))),
        option: Position(calls, rules.instruments[option].value(calls, D("0.01"))),
    }
    state = AccountState("a", balances={"USD": D(1_000), "BTC": D(100_000)}, positions=held)
    found = price_of(state, perpetual, at, rules)
    assert found is None or 0 < found < D(60_000)


def test_price_when_an_option_was_sold_then_its_own_price_with_the_underlying_held():
    rules, key = wide(), "BTC-50000-C"
    at = prices({"USDT-USD": 1, "BTC-USD": 10_000, "BTC-PERP": 10_000, key: 100})
    sold = holding(rules, {"USDT": 3_000}, {key: (-1, 100)})
    # C = 3,000 whatever it costs, and it requires 0.075 * 10,000 + p
    assert shared_liquidation_price(sold, key, at, rules) == D(3_000) - D("0.075") * 10_000
    # who bought it with money of its own owes nothing at any price
    assert shared_liquidation_price(holding(rules, {"USDT": 3_000}, {key: (1, 100)}), key, at, rules) is None
