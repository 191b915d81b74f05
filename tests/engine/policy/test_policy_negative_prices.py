"""Which instruments may be quoted at 0 and below, and what their policy must say."""

from decimal import Decimal

import pytest

from engine.numbers import exact
from engine.policy import PolicyError
from tests.support.oil import oil
from tests.support.wide import wide

D = Decimal
SWITCH = "negative_prices = true\nprice_scale_min = 10"


def test_negative_prices_when_allowed_then_the_symbols_and_their_scales_are_known():
    policy = oil()
    assert policy.price_scales == {"CL-MAY": 10, "SPREAD-PERP": 2}
    assert not any(policy.terms[symbol].plain for symbol in policy.price_scales)
    assert wide().price_scales == {}


@pytest.mark.parametrize(
    ("price", "scale"), [("40", 40), ("10", 10), ("9.99", 10), ("0", 10), ("-9", 10), ("-37.63", D("37.63"))]
)
def test_scale_when_the_price_is_near_zero_then_the_least_scale(price, scale):
    contract = oil().instruments["CL-MAY"]
    with exact():
        assert contract.scale(D(price)) == scale
        # two contracts of 1,000 barrels
        assert contract.notional(D(-2), D(price)) == 2_000 * scale
        assert contract.scaled_value(D(-2), D(price)) == -2_000 * scale


def test_scale_when_prices_are_above_zero_then_the_price():
    policy = wide()
    with exact():
        for symbol in ("BTC-PERP", "BTC-INV"):
            contract = policy.instruments[symbol]
            assert contract.scale(D("0.5")) == D("0.5")
            assert contract.notional(D(-3), D(8)) == abs(contract.value(D(-3), D(8)))


@pytest.mark.parametrize(
    ("price", "move", "moved"),
    [
        (20, "-0.5", 10),
        # half of the least scale, not of 4
        (4, "-0.5", -1),
        (0, "0.1", 1),
        # down is further down
        (-40, "-0.1", -44),
        (-40, "0.1", -36),
    ],
)
def test_moved_when_the_price_may_be_below_zero_then_by_a_share_of_its_scale(price, move, moved):
    with exact():
        assert oil().moved("CL-MAY", D(price), D(move)) == moved


def test_moved_when_prices_are_above_zero_then_a_share_of_the_price_and_no_further_than_zero():
    with exact():
        assert oil().moved("BTC-PERP", D(20), D("-0.5")) == 10
        assert oil().moved("BTC-PERP", D(20), D("-1.5")) == 0


@pytest.mark.parametrize("symbol", ["BTC-USDT", "BTC-INV", "BTC-50000-C"])
def test_negative_prices_when_not_of_a_linear_future_then_refused(symbol):
    table = f"[instruments.{symbol}]"
    with pytest.raises(PolicyError, match=f"{symbol}.negative_prices: only a linear perpetual"):
        wide((table, f"{table}\n{SWITCH}"))


@pytest.mark.parametrize("symbol", ["BTC-PERP", "BTC-DEC"])
def test_negative_prices_when_written_on_a_listed_asset_then_refused(symbol):
    table = f"[instruments.{symbol}]"
    with pytest.raises(PolicyError, match=f"{symbol}.negative_prices: must be on an underlying"):
        wide((table, f"{table}\n{SWITCH}"))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("price_scale_min = 10", "", "CL-MAY.price_scale_min: needed"),
        ("price_scale_min = 10", "price_scale_min = 0", "CL-MAY.price_scale_min: needed"),
        ("price_scale_min = 10", "price_scale_min = -1", "CL-MAY.price_scale_min: needed"),
        ("negative_prices = true\n", "", "CL-MAY.price_scale_min: belongs to negative_prices"),
        ('base = "CL"', 'base = "CL"\nforward = "CL-FWD"', "CL-MAY.negative_prices: must be on"),
        ('index = "BTC-USD"', 'index = "CL-MAY"', "CL-MAY.negative_prices: is the index"),
        (
            'index = "BTC-USD"',
            'index = "BTC-USD"\nsecond_source = { symbol = "CL-MAY", divergence_max = 0.1 }',
            "CL-MAY.negative_prices: is the second source",
        ),
        (
            'tiers = "oil"\nexpiry',
            'tiers = "oil"\nmargin = "bankruptcy"\nexpiry',
            "CL-MAY.negative_prices: its margin rules",
        ),
    ],
)  # fmt: skip
def test_negative_prices_when_something_needs_a_price_above_zero_then_refused(old, new, said):
    rules = '[margin.bankruptcy]\nclosing_fee = "bankruptcy"\ntaker_fee_rate = 0.001\n\n[[tiers.oil]]'
    with pytest.raises(PolicyError, match=said):
        oil(("[[tiers.oil]]", rules), (old, new))


def test_negative_prices_when_an_option_is_priced_by_it_then_refused():
    option = (
        '[margin.option]\noption = "short"\n[option_margin.short]\ninitial_rate = 0.15\n'
        "initial_floor_rate = 0.1\ncall_maintenance_rate = 0.075\nput_maintenance_rate = 0.075\n"
        '[instruments.CL-CALL]\nkind = "option"\nbase = "CL"\nsettle = "USD"\nmargin = "option"\nstrike = 20\n'
        'right = "call"\nexpiry = 2030-05-21T00:00:00Z\nforward = "CL-MAY"\n\n[instruments.CL-MAY]'
    )
    with pytest.raises(PolicyError, match=r"CL-MAY.negative_prices: is the forward of CL-CALL"):
        oil(("[instruments.CL-MAY]", option))
