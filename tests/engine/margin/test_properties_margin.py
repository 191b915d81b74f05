"""What holds for every account under every policy: sums, order, monotony, and no safe ratio on negative equity."""

from decimal import Decimal

import msgspec
from hypothesis import assume, given
from hypothesis import strategies as st

from engine.ledger.accounts import Position
from engine.margin.cross.cross_lines import explain_cross
from engine.margin.cross.cross_pool import cross_figures
from engine.margin.position_margin import position_margin
from engine.margin.quotes import open_interest
from engine.numbers import ONE, ZERO, canonical, exact
from engine.policy import RiskTier
from engine.position_keys import symbol_of
from tests.engine.strategies import Case, cases, drawn_case, seeds, thorough
from tests.support.builders import sample

_replace = msgspec.structs.replace

contract_cases = seeds.map(lambda seed: drawn_case(seed, options=False))

FIGURES = ("equity", "collateral_value", "initial_margin", "maintenance_margin", "liquidation_fee")


def figures_of(case: Case):
    return cross_figures(case.state, case.prices, case.policy)


@thorough
@given(cases)
def test_breakdown_when_its_lines_are_summed_then_every_figure_under_every_policy(case):
    breakdown = explain_cross(case.state, case.prices, case.policy)
    assert breakdown.figures == figures_of(case)
    assert {name: breakdown.total(name) for name in FIGURES} == {
        name: getattr(breakdown.figures, name) for name in FIGURES
    }
    assert {line.figure for line in breakdown.lines} <= set(FIGURES)


@thorough
@given(cases, st.randoms())
def test_figures_when_positions_balances_and_orders_are_permuted_then_the_same(case, random):
    def shuffled(entries):
        keys = list(entries)
        random.shuffle(keys)
        return {key: entries[key] for key in keys}

    state = case.state
    other = _replace(
        state,
        balances=shuffled(state.balances),
        positions=shuffled(state.positions),
        orders=shuffled(state.orders),
        leverage=shuffled(state.leverage),
    )
    assert cross_figures(other, case.prices, case.policy) == figures_of(case)


def repriced(case: Case, symbol: str, factor: Decimal) -> Case:
    mark = case.prices.marks[symbol]
    with exact():
        moved = _replace(mark, price=case.policy.moved(symbol, mark.price, factor - ONE))
    return _replace(case, prices=_replace(case.prices, marks={**case.prices.marks, symbol: moved}))


@thorough
@given(cases, st.decimals(min_value="0.01", max_value="0.99", places=2))
def test_equity_when_a_mark_falls_then_a_long_never_gains_and_a_short_never_loses(case, factor):
    for key, held in case.state.positions.items():
        symbol = symbol_of(key)
        alone = _replace(case, state=_replace(case.state, positions={key: held}, orders={}))
        if symbol in case.prices.marks:
            before = figures_of(alone).equity
            after = figures_of(repriced(alone, symbol, factor)).equity
            assert after <= before if held.quantity > 0 else after >= before, key


@thorough
@given(cases, st.data())
def test_available_margin_when_collateral_is_added_then_it_never_falls(case, data):
    asset = data.draw(st.sampled_from(sorted(case.policy.assets)))
    more = data.draw(st.decimals(min_value="0.000001", max_value=1_000_000, places=6))
    with exact():
        balance = canonical(case.state.balances.get(asset, ZERO) + more)
    balances = {**case.state.balances, asset: balance}
    richer = _replace(case, state=_replace(case.state, balances=balances))
    before, after = figures_of(case), figures_of(richer)
    assert after.available_margin >= before.available_margin
    assert after.shortfall(ONE) <= before.shortfall(ONE)
    assert after.equity > before.equity


def priced_soundly(case: Case) -> bool:
    """Where spreads of options offset, the requirement relies on marks that no arbitrage contradicts; drawn ones are any."""
    return all(rules.spreads == "isolated" for rules in case.policy.option_margin.values())


sound_cases = cases.filter(priced_soundly)


@thorough
@given(sound_cases)
def test_ratio_when_equity_is_negative_then_it_is_never_safe(case):
    figures = figures_of(case)
    assume(figures.equity < 0)
    assert figures.available_margin == 0
    pool = case.policy.pool
    if pool.liabilities == "collateral" and (
        pool.option_value == "collateral" or not case.policy.has_options
    ):
        assert figures.ratio is None or figures.ratio <= 0
    else:
        # debts or short options count as a requirement: the collateral value is whole, the ratio low instead of negative
        assert figures.ratio is None or figures.ratio < 1


@thorough
@given(sound_cases)
def test_collateral_value_when_its_requirement_is_taken_away_then_it_never_exceeds_equity(case):
    figures = figures_of(case)
    assert figures.collateral_value - figures.requirement <= figures.equity


quantities = st.decimals(min_value="0.0001", max_value=1_000_000, places=4)


def maintenance_of(case: Case, symbol: str, quantity: Decimal, mark: Decimal) -> Decimal:
    """Maintenance margin of a position entered at its mark."""
    entry_value = case.policy.instruments[symbol].value(quantity, mark)
    leverage = case.state.leverage.get(symbol, case.policy.leverage_default)
    held = Position(quantity, entry_value)
    interest = open_interest(symbol, case.prices)
    return position_margin(symbol, held, mark, leverage, case.policy, interest).maintenance_margin


@thorough
@given(contract_cases, st.tuples(quantities, quantities), st.data())
def test_maintenance_margin_when_the_position_is_larger_then_never_lower(case, sizes, data):
    contracts = [symbol for symbol, it in case.policy.instruments.items() if it.kind != "spot"]
    symbol = data.draw(st.sampled_from(contracts))
    mark = data.draw(st.decimals(min_value="0.01", max_value=100_000, places=2))
    small, large = sorted(sizes)
    with exact():
        for sign in (1, -1):
            less = maintenance_of(case, symbol, sign * small, mark)
            assert less <= maintenance_of(case, symbol, sign * large, mark)


@st.composite
def tier_tables(draw):
    """Tiers with rising floors and maintenance rates."""
    floors = sorted(draw(st.sets(st.integers(1, 10**7), max_size=5)))
    rates = sorted(draw(st.lists(st.integers(1, 1000), min_size=len(floors) + 1, max_size=len(floors) + 1)))
    return tuple(
        RiskTier(floor=Decimal(floor), maintenance_rate=Decimal(rate) / 1000, initial_rate=ONE)
        for floor, rate in zip([0, *floors], rates, strict=True)
    )


@thorough
@given(tier_tables(), st.data())
def test_maintenance_margin_when_the_notional_moves_across_an_edge_then_it_moves_by_no_more_than_the_top_rate(
    tiers, data
):
    policy = _replace(sample(), tiers={"major": tiers})
    notionals = st.decimals(min_value=0, max_value=2 * 10**7, places=6) | st.sampled_from(
        [it.floor for it in tiers]
    )
    low, high = sorted(data.draw(st.tuples(notionals, notionals)))
    with exact():
        # quantity at a mark of 1 is the notional
        less, more = (
            position_margin("BTC-PERP", Position(notional, ZERO), ONE, ONE, policy).maintenance_margin
            for notional in (low, high)
        )
        assert 0 <= more - less <= tiers[-1].maintenance_rate * (high - low)
