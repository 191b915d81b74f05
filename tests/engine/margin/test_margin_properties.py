"""What holds for every account at every price: explanations sum up, order is nothing, a worse price never helps."""

from decimal import Decimal

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from engine.margin.cross.cross_lines import explain_cross
from engine.margin.cross.cross_pool import cross_figures
from engine.margin.isolated_pool import explain_isolated, isolated_figures
from engine.numbers import exact
from tests.support.builders import account, prices, sample

POLICY = sample()
PERPETUALS = ["BTC-PERP", "ETH-PERP", "ADA-PERP", "USD-PERP"]
SYMBOLS = [*PERPETUALS, "USDT-USD", "BTC-USD"]
FIGURES = ("equity", "collateral_value", "initial_margin", "maintenance_margin")

balances = st.decimals(min_value=-5_000, max_value=5_000, places=8)
quantities = st.decimals(min_value=-500, max_value=500, places=6).filter(bool)
quotes = st.decimals(min_value="0.0001", max_value=100_000, places=4)
leverages = st.decimals(min_value=1, max_value=125, places=1)
positions = st.tuples(quantities, quotes)
accounts = st.builds(
    account,
    st.dictionaries(st.sampled_from(["USD", "USDT", "BTC"]), balances),
    st.dictionaries(st.sampled_from(PERPETUALS), positions),
    st.dictionaries(st.sampled_from(PERPETUALS), st.tuples(quantities, quotes, balances)),
    st.dictionaries(st.sampled_from(PERPETUALS), leverages),
)
views = st.builds(
    prices, st.dictionaries(st.sampled_from(SYMBOLS), quotes), st.sets(st.sampled_from(SYMBOLS))
)
full_views = st.builds(prices, st.fixed_dictionaries(dict.fromkeys(SYMBOLS, quotes)))


@given(accounts, views)
def test_explain_cross_when_its_lines_are_summed_then_every_figure_to_the_last_digit(state, at):
    breakdown = explain_cross(state, at, POLICY)
    assert breakdown.figures == cross_figures(state, at, POLICY)
    assert {name: breakdown.total(name) for name in FIGURES} == {
        name: getattr(breakdown.figures, name) for name in FIGURES
    }
    assert {line.figure for line in breakdown.lines} <= set(FIGURES)
    assert breakdown.policy_digest == POLICY.digest


@given(accounts, views)
def test_explain_isolated_when_its_lines_are_summed_then_every_figure_to_the_last_digit(state, at):
    for symbol in state.isolated:
        breakdown = explain_isolated(state, symbol, at, POLICY)
        assert breakdown.figures == isolated_figures(state, symbol, at, POLICY)
        assert {name: breakdown.total(name) for name in FIGURES} == {
            name: getattr(breakdown.figures, name) for name in FIGURES
        }
        assert breakdown.position == symbol


@given(accounts, views, st.randoms())
def test_cross_figures_when_positions_and_assets_are_permuted_then_the_same(state, at, random):
    def shuffled(entries):
        keys = list(entries)
        random.shuffle(keys)
        return {key: entries[key] for key in keys}

    other = msgspec.structs.replace(
        state, balances=shuffled(state.balances), positions=shuffled(state.positions)
    )
    assert cross_figures(other, at, POLICY) == cross_figures(state, at, POLICY)


def moved(at, symbol, factor):
    mark = at.marks[symbol]
    with exact():
        worse = msgspec.structs.replace(mark, price=mark.price * factor)
    return msgspec.structs.replace(at, marks={**at.marks, symbol: worse})


factors = st.decimals(min_value="0.01", max_value="0.99", places=2)


@given(accounts, full_views, st.sampled_from(PERPETUALS), factors)
def test_equity_when_the_mark_of_a_long_falls_then_it_falls_and_a_shorts_rises(state, at, symbol, factor):
    before = cross_figures(state, at, POLICY)
    after = cross_figures(state, moved(at, symbol, factor), POLICY)
    quantity = state.positions[symbol].quantity if symbol in state.positions else 0
    if quantity > 0:
        assert after.equity < before.equity
        assert after.collateral_value < before.collateral_value
    elif quantity < 0:
        assert after.equity > before.equity
        assert after.maintenance_margin < before.maintenance_margin
    else:
        assert after == before


@given(accounts, full_views, factors)
def test_collateral_when_the_index_of_an_asset_falls_then_its_holder_never_gains(state, at, factor):
    before = cross_figures(state, at, POLICY).collateral_value
    after = cross_figures(state, moved(at, "BTC-USD", factor), POLICY).collateral_value
    held = state.balances.get("BTC", Decimal(0))
    assert (after < before, after > before) == (held > 0, held < 0)


@given(accounts, full_views)
def test_figures_when_prices_are_fresh_then_value_never_exceeds_equity_and_initial_covers_maintenance(
    state, at
):
    figures = cross_figures(state, at, POLICY)
    assert figures.collateral_value <= figures.equity
    assert figures.initial_margin >= figures.maintenance_margin
    assert (figures.ratio is None) == (not state.positions)


@given(accounts, full_views, st.sets(st.sampled_from(SYMBOLS)))
def test_collateral_when_prices_go_stale_then_it_never_counts_more(state, at, stale):
    worse = msgspec.structs.replace(at, stale=frozenset(stale))
    before, after = cross_figures(state, at, POLICY), cross_figures(state, worse, POLICY)
    assert after.collateral_value <= before.collateral_value
    assert (after.equity, after.maintenance_margin) == (before.equity, before.maintenance_margin)
