"""The largest amount that may leave an account: by hand, and no step more on random accounts."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.analytics.withdrawable import withdrawable
from engine.ladder import LadderState
from engine.ladder.states import Controls
from engine.ledger.accounts import Progress, Stop
from engine.margin.margin_model import shared_figures
from engine.marks.doubts import Doubt
from engine.numbers import exact
from engine.policy.rules.portfolio_rules import BasisRisk, Grid, PortfolioRules, UnitRules
from engine.rejections import RejectionCode
from tests.support.builders import account, prices, sample
from tests.support.wide import order

D = Decimal
AT = prices({"USDT-USD": 1, "BTC-USD": 100, "BTC-PERP": 100, "ETH-PERP": 50, "USD-PERP": 100})
STEP = D("0.00000001")
NOTHING = {}
RULES = PortfolioRules(
    units={
        "default": UnitRules(
            grid=Grid(prices=(D("-0.1"), D("0.1")), volatilities=("none",)),
            basis=BasisRisk(move_min=D("0.005"), netting="each"),
        )
    },
    initial_factor=D("1.2"),
)
_replace = msgspec.structs.replace


def of(state, asset="USD", policy=None, at=AT, pools=NOTHING):
    (found,) = withdrawable(state, pools, at, policy or sample(), [asset])
    return found


def test_withdrawable_when_nothing_is_required_then_the_wallet():
    found = of(account({"USD": 250}))
    assert (found.amount, found.bound, found.room_to_initial, found.beyond) == (250, "balance", 0, None)


def test_withdrawable_when_a_position_is_held_then_what_initial_margin_leaves():
    # 250 - 10 % of 1,000; the warning line needs 1.5 * 50 only
    found = of(account({"USD": 250}, {"USD-PERP": (10, 100)}))
    assert (found.amount, found.bound, found.room_to_initial, found.room_to_line) == (
        150,
        "initial_margin",
        0,
        25,
    )
    assert found.beyond == STEP


def test_withdrawable_when_the_warning_line_is_nearer_then_it_bounds():
    # a line of 3: 250 - 3 * 50
    policy = sample(("warning = 1.5", "warning = 3"))
    found = of(account({"USD": 250}, {"USD-PERP": (10, 100)}), policy=policy)
    assert (found.amount, found.bound, found.room_to_initial) == (100, "line", 50)


def test_withdrawable_when_the_pool_is_warned_already_then_down_to_the_line_of_a_call():
    # lines of 3 and 2.4, IM 100, MM 50: 130 is below 150, and may go to 120
    policy = sample(("warning = 1.5", "warning = 3"), ("margin_call = 1.2", "margin_call = 2.4"))
    state = account({"USD": 130}, {"USD-PERP": (10, 100)})
    found = of(state, policy=policy)
    assert (found.amount, found.bound, found.line) == (10, "line", D("2.4"))
    called = of(account({"USD": 110}, {"USD-PERP": (10, 100)}), policy=policy)
    assert (called.amount, called.bound, called.beyond) == (0, "line", 10)


@pytest.mark.parametrize(
    ("controls", "amount", "bound"),
    [("trade_and_withdraw", 150, "initial_margin"), ("trade_only", 0, "controls"), ("locked", 0, "controls")],
)
def test_withdrawable_when_the_controls_forbid_it_then_nothing_whatever_the_figures_say(
    controls, amount, bound
):
    pools = {"": LadderState(controls=Controls(controls)), "ETH-PERP": LadderState(controls=Controls.LOCKED)}
    found = of(account({"USD": 250}, {"USD-PERP": (10, 100)}), pools=pools)
    assert (found.amount, found.bound) == (amount, bound)


def test_withdrawable_when_a_profit_is_not_realised_then_only_what_is_in_the_wallet():
    # 30 + 10 * (100 - 50) = 530, less 100: but there are only 30
    found = of(account({"USD": 30}, {"USD-PERP": (10, 50)}))
    assert (found.amount, found.bound, found.room_to_initial) == (30, "balance", 400)


def test_withdrawable_when_coins_have_a_haircut_then_to_their_step():
    # (200 + 95 * 2 - 300) / 95 = 0.947..., in eighths of a coin: 0.875
    policy = sample(("liability_factor = 1.05", "step = 0.125"))
    state = account({"USD": 200, "BTC": 2}, {"USD-PERP": (30, 100)})
    found = of(state, "BTC", policy)
    assert (found.amount, found.bound) == (D("0.875"), "initial_margin")
    # 95 * (0.947... - 0.875), and what the next eighth lacks
    assert (found.room_to_initial, found.beyond) == (D("6.875"), D("5"))


def test_withdrawable_when_the_tier_of_the_collateral_ends_within_it_then_both_ratios_count():
    # 150 coins: 100 * 95 + 50 * 90 = 14,000; less 13,000 leaves 1,000, from the upper tier: 1,000 / 90
    state = account({"BTC": 150}, {"USD-PERP": (1_300, 100)})
    assert of(state, "BTC").amount == D("11.11111111")


def test_withdrawable_when_orders_rest_then_they_are_counted():
    state = account({"USD": 250}, {"USD-PERP": (10, 100)})
    ordered = _replace(state, orders={"o": order("USD-PERP", 5, 100)})
    # 250 - 10 % of 1,500
    assert of(ordered).amount == 100


def test_withdrawable_when_short_already_then_nothing_and_by_how_much():
    # 90 against 100 of initial margin
    found = of(account({"USD": 90}, {"USD-PERP": (10, 100)}))
    assert (found.amount, found.bound, found.room_to_initial, found.beyond) == (0, "initial_margin", -10, 10)
    owing = of(account({"USD": 90}), "BTC")
    assert (owing.amount, owing.balance, owing.bound) == (0, 0, "balance")


def test_withdrawable_when_the_asset_secures_nothing_then_all_of_it():
    policy = sample(("liability_factor = 1.05", "collateral = false"))
    state = account({"USD": 90, "BTC": 3}, {"USD-PERP": (9, 100)})
    assert of(state, "BTC", policy).amount == 3
    # exactly covered
    assert of(state, policy=policy).amount == 0


def test_withdrawable_when_the_index_is_doubted_then_at_its_worse_end():
    state = account({"USD": 0, "BTC": 2}, {"USD-PERP": (10, 100)})
    # 2 * 95 - 100 = 90, of 95 a coin;  2 * 76 - 100 = 52, of 76 a coin
    assert of(state, "BTC").amount == D("0.94736842")
    doubted = _replace(AT, sourced={"BTC-USD": Doubt(D("0.2"))})
    assert of(state, "BTC", at=doubted).amount == D("0.68421052")


def test_withdrawable_when_a_loss_that_is_not_realised_will_be_owed_then_at_the_high_end():
    # 2 coins at 95 % of 100; 10 contracts have lost 100 USDT and require 100; of the wallet of 150 all but 60 may go
    state = account({"USDT": 150, "BTC": 2}, {"BTC-PERP": (10, 110)})
    assert of(state, "USDT").amount == 140
    doubted = _replace(AT, sourced={"USDT-USD": Doubt(D("0.1"))})
    # at 1.1: 190 - 1.1 * (100 - wallet) - 110 = 0
    assert of(state, "USDT", at=doubted).amount == D("122.72727272")


def test_withdrawable_when_an_order_worse_than_the_mark_rests_then_as_if_it_had_filled():
    # 10 at 150 with the mark at 100: 500 lost and 100 required, of which the order alone requires 100
    state = _replace(account({"USD": 900}), orders={"a": order("USD-PERP", 10, 150)})
    assert of(state).amount == 300
    assert of(_replace(state, orders={"a": order("USD-PERP", 10, 100)})).amount == 800
    isolated = _replace(state, orders={"a": order("USD-PERP", 10, 150, isolated=True)})
    assert of(isolated).amount == 300


@pytest.mark.parametrize(
    ("state", "at", "bound"),
    [
        (
            _replace(account({"USD": 9}), fills=Progress(stop=Stop(RejectionCode.SEQUENCE_GAP, 6))),
            AT,
            "account_stopped",
        ),
        (
            account({"USD": 900}, {"USD-PERP": (1, 100)}),
            prices({"USD-PERP": 100}, stale=["USD-PERP"]),
            "degraded",
        ),
    ],
)
def test_withdrawable_when_the_figures_cannot_be_trusted_then_nothing(state, at, bound):
    found = of(state, at=at)
    assert (found.amount, found.bound, found.beyond) == (0, bound, None)


def test_withdrawable_when_coins_hedge_under_portfolio_margin_then_what_the_hedge_needs_stays():
    policy = _replace(sample(), portfolio=RULES)
    state = _replace(account({"USD": -60, "BTC": 3}, {"USD-PERP": (-3, 100)}), margin_model="portfolio")
    found = of(state, "BTC", policy)
    # w coins less: C = 95 (3 - w) - 60;  MM = 0.1 * 100 w + 0.005 * (100 (3 - w) + 300) = 9.5 w + 3
    # 1.5 MM is the nearer line:  225 - 95 w = 14.25 w + 4.5    =>    w = 220.5 / 109.25
    assert (found.amount, found.bound) == (D("2.01830663"), "line")


@settings(max_examples=150, deadline=None)
@given(
    usd=st.decimals(-500, 3_000, places=2),
    btc=st.decimals(-1, 120, places=4),
    first=st.integers(-60, 60),
    second=st.integers(-60, 60),
    resting=st.integers(-20, 20),
    asset=st.sampled_from(["USD", "BTC"]),
    warning=st.sampled_from(["1.5", "3"]),
    model=st.sampled_from(["cross", "portfolio"]),
)
def test_withdrawable_when_found_then_it_stands_well_and_no_larger_amount_does(
    usd, btc, first, second, resting, asset, warning, model
):
    policy = _replace(sample(("warning = 1.5", f"warning = {warning}")), portfolio=RULES)
    held = {key: it for key, it in {"BTC-PERP": (first, 95), "ETH-PERP": (second, 52)}.items() if it[0]}
    state = _replace(account({"USD": usd, "BTC": btc}, held), margin_model=model)
    if resting:
        state = _replace(state, orders={"o": order("USD-PERP", resting, 100)})
    found = of(state, asset, policy)

    def well(amount):
        left = _replace(state, balances={**state.balances, asset: state.balances.get(asset, D(0)) - amount})
        figures = shared_figures(left, AT, policy)
        with exact():
            gap = figures.standing.gap(found.line)
            return (
                min(figures.collateral_value - figures.initial_margin, gap) >= 0
                and not figures.standing.bankrupt
            )

    assert found.amount % STEP == 0
    assert 0 <= found.amount <= max(0, found.balance)
    assert well(found.amount) or found.amount == 0
    if found.bound != "balance" and well(found.amount):
        larger = [found.amount + STEP * 10**power for power in range(12)]
        assert not any(well(amount) for amount in larger if amount <= found.balance)
