"""Deltas by underlying, and the share of what is open, by hand."""

from decimal import Decimal

import pytest

from engine.analytics.concentration import concentration, open_interest_of, open_interest_said
from tests.support.builders import account, mark, prices, sample
from tests.support.wide import holding, wide

D = Decimal
AT = prices({"USDT-USD": "0.5", "BTC-USD": 100, "BTC-PERP": 210, "ETH-PERP": 50, "USD-PERP": 100})
POLICY = sample(("[ladder]", "[stress.betas]\nETH = 1.5\n\n[ladder]"))


def test_deltas_when_coins_and_contracts_of_an_underlying_are_held_then_net_and_gross_by_hand():
    state = account(
        {"USD": 1_000, "BTC": 2}, {"USD-PERP": (-3, 90), "ETH-PERP": (4, 60)}, {"BTC-PERP": (1, 100, 50)}
    )
    found = concentration(state, AT, POLICY, {})
    btc, eth = found.underlyings
    # 2 coins at 100, - 3 * 100, and isolated 1 * 210 USDT at 0.5
    assert {it.item: it.delta for it in btc.holdings} == {"BTC": 200, "USD-PERP": -300, "BTC-PERP": 105}
    assert (btc.underlying, btc.net, btc.gross, btc.beta, btc.beta_net) == ("BTC", 5, 605, 1, 5)
    # 4 * 50 USDT at 0.5, by a beta of 1.5
    assert (eth.net, eth.gross, eth.beta_net) == (100, 100, 150)
    assert (found.net, found.gross, found.beta_net, found.degraded) == (105, 705, 155, False)
    # 605 / 705
    assert btc.share == D("0.858156028368794326")


def test_deltas_when_an_inverse_contract_is_held_then_coins_at_the_coins_price():
    policy = wide()
    state = holding(policy, {"USD": 1_000}, {"BTC-INV": (10, 50_000)})
    at = prices({"BTC-USD": 50_000, "BTC-INV": 50_000})
    (btc,) = concentration(state, at, policy, {}).underlyings
    # 10 * 100 / 50,000 coins at 50,000: what it is worth in dollars, and no profit that would be a coin
    assert [(it.item, it.delta) for it in btc.holdings] == [("BTC-INV", 1_000)]


def test_deltas_when_an_option_is_held_then_its_delta_of_black_76():
    policy = wide()
    at = policy.instruments["BTC-50000-C"].expiry_ns // 10**9 - 30 * 86_400
    now = prices(
        {"USDT-USD": 1, "BTC-USD": 50_000, "BTC-50000-C": mark("BTC-50000-C", 3_400, volatility="0.6")}, at=at
    )
    (btc,) = concentration(
        holding(policy, {"USD": 1}, {"BTC-50000-C": (-2, 3_400)}), now, policy, {}
    ).underlyings
    # - 2 * N(0.6 * sqrt(30 / 365) / 2) * 50,000 = - 2 * 0.53427 * 50,000
    assert float(btc.net) == pytest.approx(-53_427, abs=1)


def test_deltas_when_a_price_is_missing_then_degraded_and_nothing_held_is_nothing():
    assert concentration(account({"USD": 9}, {"USD-PERP": (1, 90)}), prices({}), POLICY, {}).degraded
    nothing = concentration(account({"USD": 9}), AT, POLICY, {})
    assert (nothing.underlyings, nothing.gross, nothing.degraded) == ((), 0, False)


def test_interest_when_known_then_the_share_of_the_larger_side():
    held = [
        account({}, {"USD-PERP": (6, 90), "ETH-PERP|long": (3, 9)}, name="a"),
        account({}, {"USD-PERP": (-8, 90), "ETH-PERP|short": (-1, 9)}, name="b"),
        account({}, isolated={"USD-PERP": (4, 90, 10)}, name="c"),
    ]
    # longs 6 + 4, shorts 8;  longs 3, shorts 1
    assert open_interest_of(held) == {"USD-PERP": 10, "ETH-PERP": 3}
    shares = concentration(held[1], AT, POLICY, {"USD-PERP": D(10), "BTC-PERP": D(5)}).interest
    assert [(it.symbol, it.contracts, it.share) for it in shares] == [("USD-PERP", -8, D("0.8"))]


def test_interest_when_marks_say_it_then_the_share_of_the_whole_market():
    said = open_interest_said(
        prices(
            {
                "USD-PERP": mark("USD-PERP", 100, open_interest=32),
                "ETH-PERP": mark("ETH-PERP", 50, open_interest=0),
                "BTC-PERP": 210,
            }
        )
    )
    assert said == {"USD-PERP": 32, "ETH-PERP": 0}
    held = account({}, {"USD-PERP": (-8, 90), "ETH-PERP": (1, 9), "BTC-PERP": (1, 9)})
    # 8 / 32; a market in which nobody has a contract has no share
    shares = concentration(held, AT, POLICY, said).interest
    assert [(it.symbol, it.share) for it in shares] == [("USD-PERP", D("0.25"))]
