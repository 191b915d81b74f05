"""Is whoever uses its margin to the full healthy: by contract, tier, fee, rule, and under portfolio margin."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from engine.analytics.full_use import born_below, healthy_up_to, least_ratios
from engine.ladder import Band, band_at
from engine.ledger.accounts import AccountState
from engine.margin.margin_model import shared_figures
from engine.policy import Policy
from engine.policy.rules.instrument_rules import SizeRates
from tests.support.builders import prices, sample
from tests.support.wide import holding, wide, with_margin, with_pool

D = Decimal


def least(policy: Policy, item: str) -> Decimal:
    return next(it.ratio for it in least_ratios(policy) if it.item == item)


def test_ratio_when_tiers_rise_then_the_tier_in_which_least_is_required_on_top_decides():
    # floors 0 and 50,000: 1 % of 0.5 %, and at 50,000 2 % of 1 % less a deduction of 250
    found = {it.item: it for it in least_ratios(wide())}
    assert found["BTC-INV"].ratio == D("0.01") / D("0.005")


def test_ratio_when_a_liquidation_fee_counts_then_it_is_required_beside_the_maintenance_margin():
    policy = with_pool(wide(), liquidation_fee_rate=D("0.005"))
    assert least(policy, "BTC-INV") == D("0.01") / (D("0.005") + D("0.005"))
    assert "BTC-INV" in {it.item for it in born_below(policy)}


def test_born_below_when_the_first_line_is_raised_then_those_that_stand_below_it():
    policy = wide()
    worst = min(it.ratio for it in least_ratios(policy))
    assert not born_below(replace(policy, ladder=replace(policy.ladder, warning=worst)))
    above = replace(policy.ladder, warning=worst + D("0.01"))
    assert {it.ratio for it in born_below(replace(policy, ladder=above))} == {worst}


@given(st.integers(min_value=1, max_value=4_000_000), st.sampled_from(["BTC-PERP", "ETH-PERP"]))
def test_born_below_when_empty_then_an_account_at_its_initial_margin_is_healthy(notional, symbol):
    policy = sample()
    assert not born_below(policy)
    at = prices({"USDT-USD": 1, "BTC-USD": 10_000, "BTC-PERP": 10_000, "ETH-PERP": 1_000, "ETH-USD": 1_000})
    size = D(notional) / (10_000 if symbol == "BTC-PERP" else 1_000)
    state = holding(
        policy, {"USDT": 0}, {symbol: (size, at.marks[symbol].price)}, leverage={symbol: D(1_000)}
    )
    required = shared_figures(state, at, policy).initial_margin
    used: AccountState = replace(state, balances={"USDT": required})
    figures = shared_figures(used, at, policy)
    assert figures.collateral_value == figures.initial_margin
    assert band_at(figures, policy.ladder) is Band.HEALTHY


@pytest.mark.parametrize("symbol", ["BTC-PERP", "BTC-INV"])
def test_healthy_up_to_when_rates_grow_with_the_size_then_full_use_is_on_the_first_line_there(symbol):
    rates = SizeRates(
        initial_base_rate=D("0.02"), maintenance_base_rate=D("0.01"), slope_per_unit=D("0.00005")
    )
    policy = with_margin(wide(), symbol, {"size_rates": rates}, initial="size", maintenance="size")
    # (2 % + size) / (1 % + size) = 1.5 at 1 % more
    assert policy.ladder.warning == D("1.5")
    assert healthy_up_to(symbol, policy) == 200
    # a fee of 0.2 % beside MM: (2 % + size) / (1.2 % + size) = 1.5
    assert healthy_up_to(symbol, with_pool(policy, liquidation_fee_rate=D("0.002"))) == 80
    assert healthy_up_to("ETH-PERP", policy) is None
    at = prices({"USDT-USD": 1, "BTC-USD": 10_000, symbol: 10_000})
    contracts = 200 if symbol == "BTC-PERP" else 200 * 100
    for more, band in ((0, Band.HEALTHY), (1, Band.WARNING)):
        held = holding(policy, {}, {symbol: (contracts + more, 10_000)})
        required = shared_figures(held, at, policy).initial_margin
        figures = shared_figures(replace(held, balances={"USD": required}), at, policy)
        assert band_at(figures, policy.ladder) is band
