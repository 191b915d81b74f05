"""Rules a policy keeps so that no price and no choice of an account can stop the arithmetic."""

import re

import pytest

from engine.policy import PolicyError
from tests.support.wide import wide

ZERO_ALLOWED = "price = { zero_allowed = true }"


def test_zero_when_allowed_for_an_option_then_the_policy_loads():
    option = "[instruments.BTC-50000-C]"
    listed = wide((option, f"{option}\n{ZERO_ALLOWED}")).instruments["BTC-50000-C"]
    assert listed.price is not None
    assert listed.price.zero_allowed


@pytest.mark.parametrize("symbol", ["BTC-PERP", "BTC-INV", "BTC-DEC"])
def test_zero_when_allowed_for_what_cannot_be_worth_nothing_then_refused(symbol):
    table = f"[instruments.{symbol}]"
    with pytest.raises(PolicyError, match=f"{symbol}.price.zero_allowed"):
        wide((table, f"{table}\n{ZERO_ALLOWED}"))


def test_zero_when_allowed_for_every_price_then_refused():
    with pytest.raises(PolicyError, match=r"prices\.zero_allowed"):
        wide(("[prices]", "[prices]\nzero_allowed = true"))


@pytest.mark.parametrize("model", ["cross", "portfolio"])
def test_option_when_no_rules_margin_a_short_one_in_cross_then_refused_whatever_the_default_model(model):
    with pytest.raises(PolicyError, match="option_margin"):
        wide(
            ('[margin.option]\noption = "short"', '[margin.option]\noption = "none"'),
            ("[prices]", f'[pool]\nmodel = "{model}"\n\n[portfolio.units.default]\n\n[prices]'),
        )


PERPETUAL = "[instruments.BTC-PERP]"


@pytest.mark.parametrize(
    ("rule", "key"),
    [
        # an interval of less than a nanosecond would be divided by
        ("funding_interval_hours = 0.0000000000001", "funding_interval_hours"),
        ("open_interest = { lower_cap = 5, upper_cap = 5 }", "open_interest"),
        ("open_interest = { lower_cap = 1, upper_cap = 5, rate_step = 0 }", "open_interest.rate_step"),
        ("open_interest = { lower_cap = nan, upper_cap = 5 }", "open_interest.lower_cap"),
        (
            "size_rates = { initial_base_rate = 0.1, maintenance_base_rate = 0.1, slope_per_unit = -1 }",
            "size_rates.slope_per_unit",
        ),
    ],
)
def test_contract_when_a_rule_cannot_be_computed_with_then_the_error_names_the_key(rule, key):
    with pytest.raises(PolicyError) as caught:
        wide((PERPETUAL, f"{PERPETUAL}\n{rule}"))
    assert re.match(rf"line \d+: instruments\.BTC-PERP\.{re.escape(key)}: ", str(caught.value))


@pytest.mark.parametrize("field", ["deposit_scale_start", "borrow_scale_start"])
def test_scale_when_no_index_can_say_the_totals_or_that_of_two_assets_does_then_refused(field):
    with pytest.raises(PolicyError, match=rf"^line \d+: assets\.USD\.{field}: needs an index"):
        wide(("[assets.USD]", f"[assets.USD]\n{field} = 5"))
    staked = f'[assets.STBTC]\nindex = "BTC-USD"\n{field} = 5\n[assets.BTC]\n{field} = 5'
    with pytest.raises(
        PolicyError, match=rf"^line \d+: assets\.BTC\.{field}: marks of 'BTC-USD' .* of 'STBTC'"
    ):
        wide(("[assets.BTC]", staked))
    # one of them may, and one asset may scale with both
    other = "borrow_scale_start" if field == "deposit_scale_start" else "deposit_scale_start"
    wide(("[assets.BTC]", f'[assets.STBTC]\nindex = "BTC-USD"\n[assets.BTC]\n{field} = 5\n{other} = 5'))


@pytest.mark.parametrize(
    "field",
    [
        "open_interest_max",
        "open_interest_jump",
        "asset_total_max",
        "asset_total_jump",
        "realisable_share_jump",
    ],
)
def test_price_check_when_an_amount_of_the_exchange_could_never_be_believed_then_refused(field):
    with pytest.raises(PolicyError, match=rf"^line \d+: prices\.{field}: must be > 0"):
        wide(("[prices]", f"[prices]\n{field} = 0"))


def test_future_when_its_expiry_has_no_time_zone_then_refused():
    with pytest.raises(PolicyError, match=r"BTC-DEC\.expiry: needs a time zone"):
        wide(("expiry = 2026-12-25T08:00:00Z", "expiry = 2026-12-25T08:00:00"))


@pytest.mark.parametrize("rate", ["nan", "-0.1", "inf", "1e30"])
def test_option_margin_when_a_rate_is_unusable_then_refused(rate):
    with pytest.raises(PolicyError, match=r"option_margin\.short\.initial_rate"):
        wide(("initial_rate = 0.15", f"initial_rate = {rate}"))
