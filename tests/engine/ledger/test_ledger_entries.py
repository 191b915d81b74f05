from decimal import Decimal

import pytest

from engine.inputs import (
    Deposit,
    Fee,
    FundingPayment,
    IsolatedTransfer,
    LeverageSetting,
    MarginMode,
    Topic,
    Withdrawal,
)
from engine.ledger.accounts import FLAT, AccountState, IsolatedPosition
from engine.ledger.applying import apply
from engine.rejections import Rejection, RejectionCode
from tests.support.builders import account, applied

D = Decimal
NEW = AccountState("alice")


def entry(kind, **fields):
    return kind(account="alice", entry_id="e", time_ns=0, **fields)


def booked(policy, start, *entries):
    return applied(start, policy, Topic.LEDGER, *entries)


def test_deposit_when_booked_then_the_wallet_grows(policy):
    after = booked(policy, account({"USD": 1}), entry(Deposit, asset="USD", amount=D("2.50")))
    assert after.balances == {"USD": D(1) + D("2.5")}


def test_withdrawal_when_larger_than_the_wallet_then_it_becomes_a_liability(policy):
    after = booked(policy, account({"BTC": 1}), entry(Withdrawal, asset="BTC", amount=D(3)))
    assert after.balances == {"BTC": D(1) - 3}


def test_withdrawal_when_of_everything_then_no_zero_is_kept(policy):
    assert booked(policy, account({"BTC": 1}), entry(Withdrawal, asset="BTC", amount=D(1))).balances == {}


@pytest.mark.parametrize(("amount", "balance"), [("0.3", D(1) - D("0.3")), ("-0.3", D(1) + D("0.3"))])
def test_fee_when_booked_then_charged_or_refunded(policy, amount, balance):
    after = booked(policy, account({"USD": 1}), entry(Fee, asset="USD", amount=D(amount)))
    assert after.balances == {"USD": balance}


@pytest.mark.parametrize("amount", [D(7), D(-7)])
def test_isolated_transfer_when_booked_then_what_one_pool_loses_the_other_gains(policy, amount):
    start = account({"USDT": 50}, isolated={"BTC-PERP": (1, 100, 20)})
    after = booked(policy, start, entry(IsolatedTransfer, symbol="BTC-PERP", amount=amount))
    assert after.balances == {"USDT": D(50) - amount}
    assert after.isolated["BTC-PERP"].margin == D(20) + amount
    assert after.isolated["BTC-PERP"].position == start.isolated["BTC-PERP"].position


def test_isolated_transfer_when_it_comes_before_its_fill_then_margin_waits_without_a_position(policy):
    after = booked(policy, account({"USDT": 50}), entry(IsolatedTransfer, symbol="BTC-PERP", amount=D(9)))
    assert after.isolated == {"BTC-PERP": IsolatedPosition(FLAT, D(9))}


@pytest.mark.parametrize("amount", [D(3), D(-3)])
def test_funding_when_cross_then_the_wallet_is_the_pool(policy, amount):
    start = account({"USDT": 50}, {"BTC-PERP": (1, 100)}, {"BTC-PERP": (1, 100, 20)})
    after = booked(policy, start, entry(FundingPayment, symbol="BTC-PERP", amount=amount))
    assert after.balances == {"USDT": D(50) + amount}
    assert after.isolated == start.isolated


@pytest.mark.parametrize("amount", [D(3), D(-3)])
def test_funding_when_isolated_then_the_positions_margin_is_the_pool(policy, amount):
    start = account({"USDT": 50}, isolated={"BTC-PERP": (1, 100, 20)})
    after = booked(
        policy,
        start,
        entry(FundingPayment, symbol="BTC-PERP", amount=amount, margin_mode=MarginMode.ISOLATED),
    )
    assert after.balances == start.balances
    assert after.isolated["BTC-PERP"].margin == D(20) + amount


def test_leverage_when_set_then_only_the_setting_changes(policy):
    start = account({"USDT": 50}, {"BTC-PERP": (1, 100)}, leverage={"BTC-PERP": 5})
    after = booked(policy, start, entry(LeverageSetting, symbol="BTC-PERP", leverage=D("20.0")))
    assert after.leverage == {"BTC-PERP": D(20)}
    assert (after.balances, after.positions) == (start.balances, start.positions)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (entry(Deposit, asset="DOGE", amount=D(1)), RejectionCode.UNKNOWN_ASSET),
        (entry(Withdrawal, asset="DOGE", amount=D(1)), RejectionCode.UNKNOWN_ASSET),
        (entry(Fee, asset="DOGE", amount=D(1)), RejectionCode.UNKNOWN_ASSET),
        (entry(IsolatedTransfer, symbol="DOGE", amount=D(1)), RejectionCode.UNKNOWN_INSTRUMENT),
        (entry(IsolatedTransfer, symbol="BTC-USDT", amount=D(1)), RejectionCode.UNKNOWN_INSTRUMENT),
        (entry(FundingPayment, symbol="DOGE", amount=D(1)), RejectionCode.UNKNOWN_INSTRUMENT),
        (entry(FundingPayment, symbol="BTC-USDT", amount=D(1)), RejectionCode.UNKNOWN_INSTRUMENT),
        (entry(LeverageSetting, symbol="DOGE", leverage=D(2)), RejectionCode.UNKNOWN_INSTRUMENT),
    ],
)
def test_entry_when_it_names_something_that_cannot_carry_it_then_it_is_rejected(policy, message, code):
    verdict = apply(NEW, message, Topic.LEDGER, 0, policy)
    assert isinstance(verdict, Rejection)
    assert verdict.code is code


def test_entry_when_applied_then_its_offset_is_the_ledgers_progress(policy):
    after = apply(NEW, entry(Deposit, asset="USD", amount=D(1)), Topic.LEDGER, 41, policy)
    assert after.ledger.offset == 41
    assert after.fills.offset == -1
