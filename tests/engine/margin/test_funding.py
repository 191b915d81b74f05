"""Funding by hand: a rate of 0.1 % per 8 hours on a notional of 10,000 costs a long 10 per interval."""

from decimal import Decimal

import msgspec
import pytest

from engine.analytics.funding_drain import funding_drain
from engine.inputs import Fill, FundingPayment, MarginMode, Topic
from engine.ledger.applying import apply
from engine.margin.cross.cross_lines import explain_cross
from engine.margin.cross.cross_pool import cross_figures
from engine.margin.funding_accrual import funding_accrued, funding_payment
from engine.margin.isolated_pool import explain_isolated, isolated_figures
from engine.margin.position_margin import position_margin
from engine.numbers import divide, exact
from engine.policy import PolicyError, parse
from engine.policy.rules.portfolio_rules import Grid, PortfolioRules, UnitRules
from engine.rejections import Duplicate, Rejection
from tests.support.builders import mark, prices, sample_text
from tests.support.wide import holding, opened, wide, with_pool

D = Decimal
POLICY = wide()
ACCRUING = with_pool(POLICY, funding_accrual=True)
HOUR = 3_600


def at_rates(hours=0, stale=(), **rates):
    """Index prices of 1 and 50,000, contracts at 50,000 with funding rates, `hours` after a settlement."""
    quotes = {"USDT-USD": 1, "BTC-USD": 50_000, "BTC-DEC": mark("BTC-DEC", 50_000, funding_rate="0.001")}
    for name, rate in ({"BTC_PERP": "0.001"} | rates).items():
        symbol = name.replace("_", "-")
        quotes[symbol] = mark(symbol, 50_000, funding_rate=rate)
    return prices(quotes, stale, at=hours * HOUR)


def margin(symbol, quantity):
    with exact():
        held = opened(POLICY, symbol, quantity, 50_000)
        return position_margin(symbol, held, D(50_000), D(10), POLICY)


def accrued(symbol, quantity, at, policy=None, **settled):
    with exact():
        state = holding(POLICY, {}, **settled)
        return funding_accrued(margin(symbol, quantity), state, at, policy or ACCRUING)


# accrual


@pytest.mark.parametrize(
    ("quantity", "rate", "payment"),
    [
        ("0.2", "0.001", -D(10_000) * D("0.001")),  # a long pays
        ("-0.2", "0.001", D(10_000) * D("0.001")),  # a short receives
        ("0.2", "-0.001", D(10_000) * D("0.001")),
        ("-0.2", "-0.001", -D(10_000) * D("0.001")),
        ("0.2", "0", D(0)),
    ],
)
def test_payment_when_an_interval_is_over_then_the_rate_of_the_value_at_the_mark(quantity, rate, payment):
    with exact():
        assert funding_payment(margin("BTC-PERP", quantity), at_rates(BTC_PERP=rate), POLICY) == payment


@pytest.mark.parametrize(("quantity", "payment"), [(100, D("-0.0002")), (-100, D("0.0002"))])
def test_payment_when_inverse_then_in_coin(quantity, payment):
    # 100 contracts of 100 USD at 50,000 are 0.2 BTC
    with exact():
        assert funding_payment(margin("BTC-INV", quantity), at_rates(BTC_INV="0.001"), POLICY) == payment


@pytest.mark.parametrize(
    ("hours", "share"), [(0, D(0)), (2, D(2) / 8), (6, D(6) / 8), (8, D(0)), (17, D(1) / 8)]
)
@pytest.mark.parametrize("sign", [1, -1])
def test_accrued_when_between_settlements_then_in_proportion_to_the_time_and_nothing_at_a_settlement(
    hours, share, sign
):
    assert accrued("BTC-PERP", sign * D("0.2"), at_rates(hours)) == -sign * 10 * share


def test_accrued_when_the_interval_is_another_then_it_settles_at_its_own_multiples():
    hourly = msgspec.structs.replace(POLICY.instruments["BTC-PERP"], funding_interval_hours=D(1))
    policy = msgspec.structs.replace(ACCRUING, instruments={**POLICY.instruments, "BTC-PERP": hourly})
    assert accrued("BTC-PERP", "0.2", at_rates(D("2.25")), policy) == D(-10) / 4
    assert accrued("BTC-PERP", "0.2", at_rates(2), policy) == 0


def test_accrued_when_it_does_not_divide_evenly_then_18_places_half_even():
    # a third of a second of 8 hours
    with exact():
        after = msgspec.structs.replace(at_rates(), time_ns=333_333_333)
        held = margin("BTC-PERP", "0.2")
        # 10 * 333,333,333 / 28,800,000,000,000
        assert funding_accrued(held, holding(POLICY, {}), after, ACCRUING) == D("-0.000115740740625000")


def hours(count):
    return int(count * HOUR * 10**9)


@pytest.mark.parametrize(
    ("now", "booked", "share"),
    [
        (8, 0, D(1)),  # the hour has come, the payment has not
        (8, 8, D(0)),
        (D("8.5"), 0, D("8.5") / 8),
        (9, 0, D(9) / 8),  # the last moment of grace
        (D("9.001"), 0, D("1.001") / 8),  # settled elsewhere
        (D("7.999"), 8, -D("0.001") / 8),  # it came before its hour
        (10, 8, D(2) / 8),
    ],
)
def test_accrued_when_the_last_payment_is_known_then_since_its_settlement(now, booked, share):
    assert accrued("BTC-PERP", "0.2", at_rates(now), funded_ns={"BTC-PERP": hours(booked)}) == -10 * share


def test_accrued_when_settlements_are_not_aligned_to_midnight_then_by_their_offset():
    moved = msgspec.structs.replace(POLICY.instruments["BTC-PERP"], funding_offset_hours=D(3))
    policy = msgspec.structs.replace(ACCRUING, instruments={**POLICY.instruments, "BTC-PERP": moved})
    assert accrued("BTC-PERP", "0.2", at_rates(3), policy) == 0
    assert accrued("BTC-PERP", "0.2", at_rates(10), policy) == -D(10) * 7 / 8
    assert accrued("BTC-PERP", "0.2", at_rates(2), policy) == -D(10) * 7 / 8
    with pytest.raises(PolicyError, match=r"funding_offset_hours: must be >= 0, and below"):
        parse(sample_text(('kind = "perpetual"', 'kind = "perpetual"\nfunding_offset_hours = 8')))


# across a settlement, through the ledger


def traded(at_hours, signed="0.2", **fields):
    quantity = D(signed)
    return Fill(
        account="a",
        trade_id=f"t-{at_hours}",
        time_ns=hours(at_hours),
        symbol="BTC-PERP",
        side="buy" if quantity > 0 else "sell",
        quantity=abs(quantity),
        price=D(50_000),
        **fields,
    )


def paid(at_hours, amount=-10, **fields):
    return FundingPayment(
        account="a",
        entry_id=f"f-{at_hours}",
        time_ns=hours(at_hours),
        symbol="BTC-PERP",
        amount=D(amount),
        **fields,
    )


def booked(*inputs, policy=ACCRUING, **start):
    state = holding(policy, {"USDT": 1_000}, **start)
    for offset, message in enumerate(inputs):
        topic = Topic.FILLS if isinstance(message, Fill) else Topic.LEDGER
        state = apply(state, message, topic, offset, policy)
        assert not isinstance(state, Rejection | Duplicate), state
    return state


MOMENTS = [D("7.9999"), D(8), D("8.0001"), D("8.2")]


@pytest.mark.parametrize("isolated", [False, True])
@pytest.mark.parametrize("payment", MOMENTS)
@pytest.mark.parametrize("now", MOMENTS)
def test_equity_when_the_hour_comes_then_it_does_not_jump_whichever_comes_first(payment, now, isolated):
    mode = {"margin_mode": MarginMode.ISOLATED} if isolated else {}
    inputs = [traded(1, **mode)]
    if payment <= now:
        inputs.append(paid(payment, **mode))
    state = booked(*inputs)
    figures = (
        isolated_figures(state, "BTC-PERP", at_rates(now), ACCRUING)
        if isolated
        else cross_figures(state, at_rates(now), ACCRUING)
    )
    # 10 for every eight hours since midnight
    with exact():
        assert figures.equity == (0 if isolated else 1_000) + divide(-10 * now, D(8))


def test_equity_when_a_position_is_opened_late_then_it_owes_nothing_of_before():
    # closed for two days, opened anew at 50:00: since the settlement at 48:00
    state = booked(traded(1), paid(8), traded(9, "-0.2"), traded(50))
    assert cross_figures(state, at_rates(52), ACCRUING).equity == D(1_000) - 10 - 10 * D(4) / 8


def test_state_when_fills_and_payments_come_in_another_order_then_it_is_the_same():
    opening, closing, again = traded(1), traded(9, "-0.2"), traded(50)
    one = booked(opening, paid(8), closing, again, paid(56))
    other = booked(paid(8), paid(56), opening, closing, again)
    assert (
        (one.funded_ns, one.positions)
        == (other.funded_ns, other.positions)
        == ({"BTC-PERP": hours(56)}, one.positions)
    )


def test_state_when_the_policy_counts_no_accrual_then_nothing_is_remembered():
    assert booked(traded(1), paid(8), policy=POLICY).funded_ns == {}


def test_explain_when_an_isolated_position_accrues_then_its_lines_sum_to_its_equity():
    state = booked(traded(1, margin_mode=MarginMode.ISOLATED, margin_transfer=D(500)))
    explained = explain_isolated(state, "BTC-PERP", at_rates(4), ACCRUING)
    assert explained.figures.equity == explained.total("equity") == D(500) - 5


@pytest.mark.parametrize("symbol", ["BTC-DEC", "BTC-INV-DEC"])
def test_accrued_when_the_contract_is_no_perpetual_then_nothing(symbol):
    assert accrued(symbol, 1, at_rates(3, BTC_INV_DEC="0.001")) == 0


def test_accrued_when_the_feed_tells_no_rate_then_nothing():
    at = prices({"USDT-USD": 1, "BTC-PERP": 50_000}, at=3 * HOUR)
    assert accrued("BTC-PERP", 1, at) == 0


@pytest.mark.parametrize(("policy", "funding"), [(POLICY, D(0)), (ACCRUING, D(-10) * 6 / 8)])
def test_equity_when_the_policy_counts_accrual_then_it_is_in_equity_and_collateral(policy, funding):
    state = holding(policy, {"USDT": 1_000}, {"BTC-PERP": ("0.2", 50_000)})
    figures = cross_figures(state, at_rates(6), policy)
    assert figures.equity == figures.collateral_value == D(1_000) + funding
    assert figures.maintenance_margin == D("0.05") * 10_000


def test_equity_when_inverse_funding_accrues_then_the_coins_take_their_haircut():
    state = holding(ACCRUING, {"BTC": 1}, {"BTC-INV": (-500, 50_000)})
    figures = cross_figures(state, at_rates(4, BTC_INV="0.001"), ACCRUING)
    # a short of 1 BTC receives 0.001 BTC per interval, half of it so far
    assert figures.equity == (D(1) + D("0.0005")) * 50_000
    assert figures.collateral_value == D("1.0005") * D("0.95") * 50_000


def test_equity_when_the_whole_loss_of_an_account_is_accrued_funding_then_it_is_owed():
    state = holding(ACCRUING, {}, {"BTC-PERP": ("0.2", 50_000)})
    assert cross_figures(state, at_rates(4), ACCRUING).equity == D(-5)


def test_lines_when_funding_has_accrued_then_it_is_a_line_of_its_own_and_they_sum():
    state = holding(ACCRUING, {"USDT": 1_000}, {"BTC-PERP": ("0.2", 49_000)})
    breakdown = explain_cross(state, at_rates(2), ACCRUING)
    assert [line.value for line in breakdown.lines if "funding" in line.formula] == [D("-2.5")]
    assert breakdown.total("equity") == breakdown.figures.equity == D(1_000) + 200 - D("2.5")


# drain


LINES = (D("1.5"), D("1.2"), D("1.05"), D(1))


def drain(state, at, policy=POLICY, lines=LINES):
    return funding_drain(state, at, policy, lines)


def test_example_7_when_a_long_of_ten_times_its_equity_pays_then_one_percent_of_equity_per_interval():
    state = holding(POLICY, {"USDT": 1_000}, {"BTC-PERP": ("0.2", 50_000)})
    told = drain(state, at_rates())
    assert [(it.key, it.interval_hours, it.payment) for it in told.positions] == [("BTC-PERP", 8, D(-10))]
    assert told.positions[0].payment / 1_000 == D("-0.01")
    assert told.drain_per_hour == D(10) / 8
    # MM 500: (1,000 - line * 500) / 1.25 per hour
    assert told.hours_to_line == (
        (D("1.5"), (D(1_000) - 750) / D("1.25")),
        (D("1.2"), (D(1_000) - 600) / D("1.25")),  # the margin call: 320 hours, 40 intervals of 1 %
        (D("1.05"), (D(1_000) - 525) / D("1.25")),
        (D(1), (D(1_000) - 500) / D("1.25")),
    )


def test_drain_when_the_hours_have_passed_then_the_account_stands_on_the_line():
    # 40 intervals of 10 later
    later = holding(POLICY, {"USDT": 1_000 - 400}, {"BTC-PERP": ("0.2", 50_000)})
    assert cross_figures(later, at_rates(), POLICY).ratio == D("1.2")
    assert drain(later, at_rates(), lines=(D("1.2"),)).hours_to_line == ((D("1.2"), 0),)


def test_drain_when_a_line_is_crossed_already_then_zero_hours():
    state = holding(POLICY, {"USDT": 599}, {"BTC-PERP": ("0.2", 50_000)})
    assert drain(state, at_rates()).hours_to_line[:2] == ((D("1.5"), 0), (D("1.2"), 0))


@pytest.mark.parametrize("rate", ["0.001", "0"])
def test_drain_when_funding_is_received_or_nothing_then_never(rate):
    state = holding(POLICY, {"USDT": 1_000}, {"BTC-PERP": ("-0.2", 50_000)})
    told = drain(state, at_rates(BTC_PERP=rate))
    assert told.drain_per_hour == -D(10_000) * D(rate) / 8
    assert [hours for _, hours in told.hours_to_line] == [None] * 4


def test_drain_when_nothing_is_held_then_never_and_no_positions():
    told = drain(holding(POLICY, {"USDT": 1_000}), at_rates())
    assert (told.positions, told.drain_per_hour) == ((), 0)
    assert [hours for _, hours in told.hours_to_line] == [None] * 4


def test_drain_when_one_leg_pays_what_the_other_receives_then_none():
    hedge = holding(
        POLICY, {"USDT": 10_000}, {"BTC-PERP|long": ("0.2", 50_000), "BTC-PERP|short": ("-0.2", 50_000)}
    )
    told = drain(hedge, at_rates())
    assert {it.key: it.payment for it in told.positions} == {"BTC-PERP|long": -10, "BTC-PERP|short": 10}
    assert told.drain_per_hour == 0


def test_drain_when_coins_are_paid_then_they_are_lost_at_their_collateral_ratio():
    state = holding(POLICY, {"BTC": 1}, {"BTC-INV": (500, 50_000)})
    told = drain(state, at_rates(BTC_INV="0.0008"), lines=(D(1),))
    # 1 BTC * 0.08 % / 8 hours = 0.0001 BTC, 5 USD of equity and 4.75 of collateral an hour
    assert told.positions[0].payment == -D("0.0008") * 50_000
    assert told.drain_per_hour == D("0.0001") * 50_000 * D("0.95")
    # C 47,500, MM 250
    assert told.hours_to_line == ((D(1), divide(D(47_500) - 250, D("4.75"))),)


def test_drain_when_liabilities_are_a_requirement_then_what_is_owed_more_reaches_the_line():
    policy = with_pool(POLICY, liabilities="requirement")
    state = holding(policy, {"USD": 2_000, "USDT": -100}, {"BTC-PERP": ("0.2", 50_000)})
    told = drain(state, at_rates(), policy, lines=(D("1.2"), D(1)))
    # C 2,000 stays; the requirement of 500 + 100 grows by 1.25 an hour
    assert told.drain_per_hour == D("1.25")
    assert told.hours_to_line == (
        (D("1.2"), divide(D(2_000) - D("1.2") * 600, D("1.2") * D("1.25"))),
        (D(1), (D(2_000) - 600) / D("1.25")),
    )


def test_drain_when_under_portfolio_margin_then_the_room_is_that_of_the_net_risk():
    rules = PortfolioRules(
        units={"default": UnitRules(grid=Grid(prices=(D("-0.02"), D("0.02")), volatilities=("none",)))}
    )
    policy = msgspec.structs.replace(with_pool(POLICY, model="portfolio"), portfolio=rules)
    state = holding(policy, {"USDT": 1_000}, {"BTC-PERP": ("0.2", 50_000)})
    # MM 2 % of 10,000
    assert drain(state, at_rates(), policy, (D(1),)).hours_to_line == ((D(1), (D(1_000) - 200) / D("1.25")),)
