"""From where on a policy scales with an amount of the whole exchange, by hand."""

from decimal import Decimal

import pytest
from msgspec.structs import replace

from engine.marks.scale_starts import NOTHING_SCALES, scale_starts
from engine.policy import OpenInterestScaling, Policy
from tests.support.oil import oil
from tests.support.wide import wide

D = Decimal
CAPS = OpenInterestScaling(lower_cap=D(1_000_000), upper_cap=D(5_000_000))


def scaled(*contracts: str, **coin: Decimal) -> Policy:
    """The wide policy, in which these contracts, and bitcoin as a coin, scale."""
    policy = wide()
    changed = {name: replace(policy.instruments[name], open_interest=CAPS) for name in contracts}
    bitcoin = replace(policy.assets["BTC"], **coin)
    return replace(
        policy, instruments={**policy.instruments, **changed}, assets={**policy.assets, "BTC": bitcoin}
    )


@pytest.mark.parametrize(
    ("symbol", "least"),
    [
        ("BTC-PERP", D(20)),  # 1,000,000 / 50,000
        ("ADA-PERP", D(2)),  # ... / (10 * 50,000)
        ("BTC-INV", D(500_000_000)),  # a cap of a million coins: 1,000,000 * 50,000 / 100
    ],
)
def test_open_interest_when_a_contract_scales_then_so_many_are_worth_the_lower_cap(symbol, least):
    assert scale_starts(scaled(symbol))[symbol].least("open_interest", D(50_000)) == least
    assert scale_starts(scaled(symbol))[symbol].least("deposits", D(50_000)) is None


@pytest.mark.parametrize(("price", "least"), [("40", 25), ("-40", 25), ("5", 100), ("0", 100), ("-5", 100)])
def test_open_interest_when_the_contract_may_be_quoted_below_0_then_at_the_scale_of_its_price(price, least):
    # 1,000,000 / (1,000 * max(|price|, 10))
    policy = oil()
    crude = replace(policy.instruments["CL-MAY"], open_interest=CAPS)
    found = scale_starts(replace(policy, instruments={**policy.instruments, "CL-MAY": crude}))
    assert found["CL-MAY"].least("open_interest", D(price)) == least


def test_totals_when_a_coin_scales_then_so_many_are_worth_the_start_and_deposits_half():
    found = scale_starts(scaled(deposit_scale_start=D(900_000), borrow_scale_start=D(600_000)))
    assert list(found) == ["BTC-USD"]
    coin = found["BTC-USD"]
    # 450,000 and 600,000 at 30,000
    assert [coin.least(name, D(30_000)) for name in ("deposits", "potential_deposits", "borrows")] == [
        15,
        15,
        20,
    ]
    assert coin.least("open_interest", D(30_000)) is None


def test_totals_when_only_one_side_scales_then_the_other_moves_nothing():
    lent = scale_starts(scaled(borrow_scale_start=D(600_000)))["BTC-USD"]
    assert (lent.least("deposits", D(1)), lent.least("borrows", D(1))) == (None, 600_000)


def test_options_and_pairs_when_they_name_caps_then_nothing_of_them_scales():
    assert scale_starts(scaled("BTC-50000-C", "BTC-USDT")) == {}
    assert NOTHING_SCALES.least("borrows", D(1)) is None


def test_realisable_share_when_a_policy_caps_profits_of_a_contract_then_any_change_of_it_matters_and_of_no_other():
    policy = wide()
    capped = replace(policy.margin_rules("BTC-PERP"), realisable_profit=True)
    changed = replace(policy.instruments["BTC-PERP"], margin="capped")
    pair = replace(policy.instruments["BTC-USDT"], margin="capped")
    found = scale_starts(
        replace(
            policy,
            margin={**policy.margin, "capped": capped},
            instruments={**policy.instruments, "BTC-PERP": changed, "BTC-USDT": pair},
        )
    )
    assert list(found) == ["BTC-PERP"]
    assert found["BTC-PERP"].least("realisable_share", D(50_000)) == 0
    assert found["BTC-PERP"].least("open_interest", D(50_000)) is None
    assert NOTHING_SCALES.least("realisable_share", D(1)) is None
