"""What holds for every portfolio: order is nothing, hedges never cost, size scales, lines sum up."""

from decimal import Decimal

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.margin.portfolio import Exposure, portfolio_margin
from engine.numbers import exact
from engine.policy.rules.portfolio_rules import (
    BasisRisk,
    Correlation,
    DeltaOneCharge,
    ForwardShock,
    Grid,
    MinimumCharge,
    PortfolioRules,
    Rates,
    Scenario,
    ShortOptionCharge,
    UnitRules,
    VolatilityShock,
)

D = Decimal
UNIT = UnitRules(
    grid=Grid(prices=(D("-0.15"), D("-0.05"), D(0), D("0.05"), D("0.15"))),
    scenarios=(
        Scenario(price=D("-0.5"), volatility="up", weight=D("0.3")),
        Scenario(price=D(1), weight=D("0.1")),
    ),
    volatility=VolatilityShock(
        up=D("0.4"), down=D("0.2"), short_term_power=D("0.3"), long_term_power=D("0.1")
    ),
    basis=BasisRisk(move_min=D("0.004"), annualised_move=D("0.05")),
    delta_one=DeltaOneCharge(rate=Rates(maintenance=D("0.002"), initial=D("0.004"))),
    short_option=ShortOptionCharge(rate=Rates(maintenance=D("0.01"))),
    forward=ForwardShock(prices=(D("0.03"), D("-0.03")), factor_base=D("0.5"), factor_per_year=D(1)),
    minimum=MinimumCharge(delta_one_rate=D("0.003"), option_rate=D("0.005")),
)
RULES = PortfolioRules(
    units={"default": UNIT},
    correlations=(
        Correlation(first="BTC", second="ETH", rate=D("0.7"), cap=D("0.6")),
        Correlation(first="BTC", second="SOL", rate=D("0.5"), cap=D("0.5")),
    ),
    initial_factor=D("1.3"),
)
WITHOUT_CREDITS = msgspec.structs.replace(RULES, correlations=())
EXPIRIES = {"near": D(7 * 86_400), "far": D(180 * 86_400)}

quantities = st.decimals(min_value=-50, max_value=50, places=3)
marks = st.decimals(min_value="0.5", max_value=90_000, places=2)
underlyings = st.sampled_from(["BTC", "ETH", "SOL"])


def future(underlying, kind, quantity, mark, expiry):
    return Exposure(
        symbol=f"{underlying}-{kind}-{expiry}", underlying=underlying, kind=kind, quantity=quantity, mark=mark,
        conversion=mark if kind == "inverse" else D(1), expiry=expiry, seconds_to_expiry=EXPIRIES.get(expiry, D(0)),
    )  # fmt: skip


def option(underlying, quantity, forward, moneyness, right, volatility, expiry):
    with exact():
        strike = forward * moneyness
    return Exposure(
        symbol=f"{underlying}-{expiry}-{strike}-{right}", underlying=underlying, kind="option", quantity=quantity,
        strike=strike, right=right, volatility=volatility, forward=forward, expiry=expiry,
        seconds_to_expiry=EXPIRIES[expiry],
    )  # fmt: skip


futures = st.builds(
    future, underlyings, st.sampled_from(["linear", "inverse", "spot"]), quantities, marks,
    st.sampled_from(["", "near", "far"]),
)  # fmt: skip
options = st.builds(
    option, underlyings, quantities, marks, st.decimals(min_value="0.6", max_value="1.6", places=2),
    st.sampled_from(["call", "put"]), st.decimals(min_value="0.1", max_value=2, places=2),
    st.sampled_from(["near", "far"]),
)  # fmt: skip
books = st.lists(futures | options, max_size=6)


def both(book, rules=RULES):
    margin = portfolio_margin(book, rules)
    return margin.maintenance_margin, margin.initial_margin


@settings(max_examples=60)
@given(books, st.randoms())
def test_margin_when_exposures_are_permuted_then_the_same(book, random):
    shuffled = list(book)
    random.shuffle(shuffled)
    assert both(shuffled) == both(book)


@settings(max_examples=60)
@given(books, books)
def test_margin_when_two_books_are_joined_then_no_more_than_their_sum(first, second):
    # without credits: a credit of one book may be lost to a netted position of the other
    joined, *alone = (both(book, WITHOUT_CREDITS) for book in ([*first, *second], first, second))
    with exact():
        assert all(together <= sum(apart, D(0)) for together, *apart in zip(joined, *alone, strict=True))


@settings(max_examples=60)
@given(books, st.sampled_from([D(2), D("0.5"), D(10)]))
def test_margin_when_all_quantities_scale_then_it_scales(book, factor):
    with exact():
        scaled = [msgspec.structs.replace(one, quantity=one.quantity * factor) for one in book]
        assert abs(both(scaled)[0] - both(book)[0] * factor) <= D("1e-10")


@settings(max_examples=60)
@given(underlyings, quantities, marks, st.decimals(min_value=0, max_value=1, places=3))
def test_price_risk_when_an_offsetting_exposure_is_added_then_it_never_rises(
    underlying, quantity, mark, share
):
    naked = future(underlying, "linear", quantity, mark, "")
    with exact():
        hedge = future(underlying, "spot", -quantity * share, mark, "")
    risks = [
        portfolio_margin(book, RULES).units[underlying].price_risk.maintenance
        for book in ([naked], [naked, hedge])
    ]
    assert risks[1] <= risks[0]


@settings(max_examples=60)
@given(books)
def test_lines_when_summed_then_both_margins_to_the_last_digit(book):
    margin = portfolio_margin(book, RULES)
    with exact():
        for figure in ("maintenance_margin", "initial_margin"):
            lines = [line.value for line in margin.lines if line.figure == figure]
            assert sum(lines, D(0)) == getattr(margin, figure)
    assert margin.initial_margin >= margin.maintenance_margin >= 0


@settings(max_examples=60)
@given(books)
def test_credits_when_given_then_never_more_than_the_cap_of_the_smaller_unit(book):
    margin = portfolio_margin(book, RULES)
    caps = {(pair.first, pair.second): pair.cap for pair in RULES.correlations}
    for credit in margin.credits:
        smaller = min(margin.units[name].price_risk.maintenance for name in (credit.first, credit.second))
        with exact():
            assert 0 <= credit.maintenance <= caps[credit.first, credit.second] * smaller
