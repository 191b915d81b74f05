"""How near the winners of a contract are to being deleveraged, by numbers worked out by hand."""

from decimal import Decimal

import pytest
from msgspec.structs import replace

from engine.liquidation.adl_risk import (
    AdlLevel,
    AdlReason,
    AdlState,
    FundExposure,
    advance_adl,
    fund_exposures,
    reason_of,
)
from engine.liquidation.fund_groups import FundBalance
from engine.policy.rules.deleveraging_rules import DeleveragingRules
from tests.support.builders import prices, sample, seconds

D = Decimal
NONE, SOON, ACTIVE = AdlLevel
RULES = DeleveragingRules()
POLICY = sample()
AT = prices({"USDT-USD": "0.5", "BTC-USD": 30_000})


def exposed(taken, fund=1_000, own=None):
    """What is taken of a fund, and what of it in the contract itself: all of it."""
    return FundExposure(
        group="all",
        fund=D(fund),
        stated_ns=7,
        expected_shortfall=D(taken),
        expected_shortfall_of_symbol=D(taken if own is None else own),
    )


def level(taken, fund=1_000, own=None):
    return advance_adl(AdlState(), exposed(taken, fund, own), seconds(5), RULES).level


@pytest.mark.parametrize(
    ("taken", "fund", "expected"),
    [
        ("299.99", 1_000, NONE),
        ("300", 1_000, SOON),
        ("999.99", 1_000, SOON),
        ("1000", 1_000, ACTIVE),
        ("0", 0, SOON),
        ("0", -20, SOON),
        ("0.01", 0, ACTIVE),
        ("0.01", -20, ACTIVE),
    ],
)
def test_level_when_so_much_of_the_fund_is_taken_then_by_the_shares_of_the_policy(taken, fund, expected):
    assert level(taken, fund) is expected


def test_level_when_only_other_contracts_of_the_group_take_all_of_the_fund_then_soon_and_not_active():
    assert level("5000", own="0") is SOON
    assert level("5000", own="0.01") is ACTIVE


def test_state_when_a_level_is_entered_then_at_once_and_counted():
    first = advance_adl(AdlState(), exposed(300), seconds(5), RULES)
    assert first == AdlState(SOON, seconds(5), None, 1)
    assert advance_adl(first, exposed(1_000), seconds(6), RULES) == AdlState(ACTIVE, seconds(6), None, 2)


def test_state_when_the_share_falls_within_the_exit_band_then_it_stays_however_long():
    soon = AdlState(SOON, seconds(5), None, 1)
    # left below 0.3 - 0.05 of 1,000
    assert advance_adl(soon, exposed(250), seconds(9_999), RULES) == soon
    active = AdlState(ACTIVE, seconds(5), None, 2)
    assert advance_adl(active, exposed(950), seconds(9_999), RULES) == active


def test_state_when_below_the_band_for_the_hold_then_left_and_a_dip_is_forgotten():
    state = AdlState(SOON, seconds(5), None, 1)
    state = advance_adl(state, exposed("249.99"), seconds(10), RULES)
    assert state == AdlState(SOON, seconds(5), seconds(10), 1)
    state = advance_adl(state, exposed(250), seconds(40), RULES)
    assert state.exit_since_ns is None
    for at, expected in ((50, SOON), ("109.999999999", SOON), (110, NONE)):
        state = advance_adl(state, exposed(0), seconds(at), RULES)
        assert state.level is expected, at
    assert state == AdlState(NONE, seconds(110), None, 2)


def test_state_when_active_is_left_then_for_what_the_exit_lines_say_of_the_end():
    active = AdlState(ACTIVE, seconds(5), seconds(10), 2)
    # 0.27 is above the exit line of soon, not above its entry
    assert advance_adl(active, exposed(270), seconds(70), RULES) == AdlState(SOON, seconds(70), None, 3)
    assert advance_adl(active, exposed(0), seconds(70), RULES) == AdlState(NONE, seconds(70), None, 3)
    # the contract itself leaves nothing unpaid any more
    assert advance_adl(active, exposed(5_000, own=0), seconds(70), RULES).level is SOON


def test_state_when_the_policy_has_other_shares_then_by_these():
    rules = replace(RULES, soon_fund_share=D("0.1"), active_fund_share=D("0.3"), risk_hold_seconds=D(0))
    assert advance_adl(AdlState(), exposed(300), 1, rules).level is ACTIVE
    assert advance_adl(AdlState(ACTIVE, 1, None, 1), exposed("49.9"), 2, rules).level is NONE
    assert advance_adl(AdlState(ACTIVE, 1, None, 1), exposed(50), 2, rules).level is SOON


def test_reason_when_the_level_changed_then_what_did_it():
    none, soon = AdlState(), AdlState(SOON)
    assert reason_of(none, soon, exposed(300)) is AdlReason.SHORTFALL
    assert reason_of(none, soon, exposed(0, fund=0)) is AdlReason.FUND_EMPTY
    assert reason_of(soon, none, exposed(100)) is AdlReason.RELIEVED


def test_exposures_when_shards_leave_something_unpaid_then_summed_by_contract_and_by_group():
    funds = [
        FundBalance(group="major", symbols=("BTC-PERP", "ETH-PERP"), balances={"USDT": D(400)}, time_ns=3),
        FundBalance(group="rest", balances={"USD": D(9)}, time_ns=4),
    ]
    unpaid = [{"BTC-PERP": D(10), "ADA-PERP": D(1)}, {"BTC-PERP": D("0.5"), "ETH-PERP": D(2)}, {}]
    found = fund_exposures(unpaid, funds, AT, POLICY)
    # 400 * 0.5;  10 + 0.5 + 2
    assert found["BTC-PERP"] == FundExposure(
        group="major",
        fund=D(200),
        stated_ns=3,
        expected_shortfall=D("12.5"),
        expected_shortfall_of_symbol=D("10.5"),
    )
    of_symbol = {symbol: it.expected_shortfall_of_symbol for symbol, it in found.items()}
    assert of_symbol == {"BTC-PERP": D("10.5"), "ETH-PERP": 2, "ADA-PERP": 1, "USD-PERP": 0}
    assert (found["ADA-PERP"].group, found["ADA-PERP"].fund, found["ADA-PERP"].expected_shortfall) == (
        "rest",
        9,
        1,
    )


def test_exposures_when_no_fund_pays_for_a_contract_then_nothing_is_said_of_it():
    funds = [FundBalance(group="major", symbols=("BTC-PERP",), balances={}, time_ns=3)]
    assert fund_exposures([{"ETH-PERP": D(5)}], funds, AT, POLICY).keys() == {"BTC-PERP"}
    assert fund_exposures([{"ETH-PERP": D(5)}], [], AT, POLICY) == {}


def test_exposures_when_debts_alone_leave_something_unpaid_then_the_group_that_names_none_is_nearer_and_no_contract_active():
    funds = [
        FundBalance(group="bitcoin", symbols=("BTC-PERP",), balances={"USD": D(100)}, time_ns=7),
        FundBalance(group="all", balances={"USD": D(100)}, time_ns=7),
    ]
    found = fund_exposures([{"": D(90)}, {"": D(30), "BTC-PERP": D(5)}], funds, AT, POLICY)
    bitcoin, rest = found["BTC-PERP"], found["ETH-PERP"]
    assert (bitcoin.expected_shortfall, bitcoin.expected_shortfall_of_symbol) == (5, 5)
    assert (rest.expected_shortfall, rest.expected_shortfall_of_symbol) == (120, 0)
    assert advance_adl(AdlState(), rest, seconds(5), RULES).level is SOON
    assert advance_adl(AdlState(), bitcoin, seconds(5), RULES).level is NONE
    # where every fund names its contracts, nobody's fund pays for it
    alone = fund_exposures([{"": D(90)}], funds[:1], AT, POLICY)
    assert {it.expected_shortfall for it in alone.values()} == {0}
