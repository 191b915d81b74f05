from decimal import Decimal, DivisionByZero, Inexact, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.events.effects import AccountRisk
from engine.events.judgement import judge
from engine.inputs import Topic
from engine.ladder import Band, band_at
from engine.ledger.accounts import AccountState, Position
from engine.ledger.applying import apply
from engine.ledger.booking import filled
from engine.margin.cross.cross_pool import cross_figures
from engine.numbers import amount_fault, by_value, canonical, divide, exact
from engine.policy import Instrument
from tests.support.builders import account, prices, sample, trade

LINEAR = Instrument(kind="perpetual", base="BTC", settle="USDT")

D = Decimal
LONGEST = D("9" * 24 + "." + "9" * 18)
LOWEST = LONGEST.copy_negate()
SMALLEST = D("1E-18")
RATE = D("0." + "9" * 18)

amounts = st.decimals(min_value=LOWEST, max_value=LONGEST, places=18)


def test_exact_when_a_result_has_to_round_then_it_raises():
    with exact(), pytest.raises(Inexact):
        _ = D(1) / D(3)


def test_exact_when_left_then_the_context_of_the_caller_is_back():
    with localcontext() as context:
        context.prec = 5
        with exact():
            assert D("1.23456789") * 1 == D("1.23456789")
        assert D("1.23456789") * 1 == D("1.2346")  # five digits again


@pytest.mark.parametrize(
    ("numerator", "denominator", "quotient"),
    [
        (D(1), D(3), D("0.333333333333333333")),
        (D(2), D(3), D("0.666666666666666667")),
        # a half at the nineteenth place goes to the even neighbour
        (D(1), D("2E18"), D(0)),
        (D(3), D("2E18"), D("2E-18")),
        (D(-3), D("2E18"), D("-2E-18")),
    ],
)
def test_divide_when_the_quotient_is_longer_than_18_places_then_it_is_rounded_half_even(
    numerator, denominator, quotient
):
    assert divide(numerator, denominator) == quotient


lengths = st.integers(-18, 24)


@given(amounts, amounts.filter(bool), lengths, lengths)
def test_divide_when_quotients_are_short_or_long_then_the_exact_one_is_rounded_once(top, bottom, up, down):
    with exact():
        top, bottom = top.scaleb(up), bottom.scaleb(down)
    whole = round(Fraction(top) / Fraction(bottom) * 10**18)  # half to even
    assert Fraction(divide(top, bottom)) == Fraction(whole, 10**18)


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**30), st.sampled_from([-1, 0, 1]))
def test_divide_when_next_to_a_half_at_the_nineteenth_place_then_the_exact_side_counts(
    half, denominator, side
):
    # (2 half + 1) / (2 * 10^18), and the least bit to either side of it
    top = (2 * half + 1) * denominator * 10**40 + side
    bottom = denominator * 10**40 * 2 * 10**18
    whole = round(Fraction(top, bottom) * 10**18)
    assert Fraction(divide(D(top), D(bottom))) == Fraction(whole, 10**18)


def test_divide_when_the_denominator_is_zero_then_it_raises():
    with pytest.raises(DivisionByZero):
        divide(D(1), D(0))


@pytest.mark.parametrize("amount", [LONGEST, LOWEST, SMALLEST, D(0), D("1E+23"), D("-0")])
def test_amount_fault_when_within_the_bounds_then_none(amount):
    assert amount_fault(amount) is None


@pytest.mark.parametrize(
    ("amount", "word"),
    [
        (D("NaN"), "finite"),
        (D("sNaN"), "finite"),
        (D("Infinity"), "finite"),
        (D("-Infinity"), "finite"),
        (D("1E+24"), "before"),
        (D("-1E+24"), "before"),
        (D("1E-19"), "after"),
        (D("0E-19"), "after"),
        (D("0E+999999"), "before"),
    ],
)
def test_amount_fault_when_out_of_bounds_then_it_says_which(amount, word):
    assert word in amount_fault(amount)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0E-20", "0"), ("0E+999999", "0"), ("-0E-999999", "0"),
        ("100.00000000000000000000", "100.000000000000000000"),
        ("-1.2345678901234567890", "-1.234567890123456789"), ("12300E-20", "1.23E-16"),
    ],
)  # fmt: skip
def test_by_value_when_zeros_make_it_too_long_then_the_same_within_the_bounds(amount, text):
    short = by_value(D(amount))
    assert short == D(amount)
    assert short == D(text)
    assert amount_fault(D(amount)) is not None or not D(amount)
    assert amount_fault(short) is None


@pytest.mark.parametrize(
    "amount", ["1E-19", "1.2345678901234567891", "1E+24", "NaN", "Infinity", "1E-999999", "1.50"]
)
def test_by_value_when_no_zeros_can_go_then_as_it_was(amount):
    assert str(by_value(D(amount))) == amount


@given(amount=amounts, zeros=st.integers(0, 20))
def test_canonical_when_values_are_equal_then_so_are_their_digits(amount, zeros):
    with exact():
        padded = amount + D(0).scaleb(-18 - zeros)
    assert canonical(padded) == amount
    assert str(canonical(padded)) == str(canonical(amount))


@pytest.mark.parametrize("zero", ["0", "-0", "0.000", "0E+5", "-0E-9"])
def test_canonical_when_zero_then_plain_zero(zero):
    assert str(canonical(D(zero))) == "0"


@pytest.mark.parametrize(
    ("amount", "text"), [("1E+5", "100000"), ("1.500", "1.5"), ("-2.00", "-2"), ("1E-18", "1E-18")]
)
def test_canonical_when_written_oddly_then_one_form(amount, text):
    assert str(canonical(D(amount))) == text


EXTREME = sample(
    ("multiplier = 10", f"multiplier = {LONGEST}"),
    ("warning = 1.5", f"warning = {LONGEST}"),
    ("maintenance_rate = 0.05\ninitial_rate = 0.1", f"maintenance_rate = {D('0.05') + SMALLEST}\ninitial_rate = {RATE}"),
    ("maintenance_rate = 0.1\ninitial_rate = 0.2", f"maintenance_rate = {D('0.1') + SMALLEST}\ninitial_rate = {RATE}"),
    ("maintenance_rate = 0.25\ninitial_rate = 0.5", f"maintenance_rate = {D('0.5') + SMALLEST}\ninitial_rate = {RATE}"),
    ("liability_factor = 1.05", f"liability_factor = {LONGEST}"),
)  # fmt: skip


def test_figures_when_every_amount_is_as_long_as_allowed_then_nothing_rounds_by_accident():
    state = apply(AccountState("alice"), trade("ADA-PERP", LONGEST, SMALLEST), Topic.FILLS, 0, EXTREME)
    state = apply(state, trade("ADA-PERP", -SMALLEST, SMALLEST), Topic.FILLS, 1, EXTREME)
    state = apply(state, trade("BTC-USDT", LOWEST, LONGEST), Topic.FILLS, 2, EXTREME)
    at = prices({"ADA-PERP": LONGEST, "USDT-USD": LONGEST, "BTC-USD": LONGEST})
    figures = cross_figures(state, at, EXTREME)
    # 24 + 24 + 24 integer digits of quantity, multiplier and mark, 24 of the index: nothing was cut off
    assert figures.maintenance_margin.adjusted() == 95
    assert figures.ratio is not None
    # 42 digits each of line, quantity, multiplier, mark and index and 18 of the rate are compared, more than 200
    assert band_at(figures, EXTREME.ladder) is Band.WARNING
    assert judge(state, AccountRisk("alice"), at, 0, EXTREME).events


def test_ratio_when_the_requirement_is_tiny_then_it_is_a_number_and_not_an_error():
    tiny = sample(("multiplier = 10", f"multiplier = {SMALLEST}"), ("rate = 0.05", f"rate = {SMALLEST}"))
    state = account({"BTC": LONGEST})
    state = apply(state, trade("ADA-PERP", SMALLEST, SMALLEST), Topic.FILLS, 0, tiny)
    figures = cross_figures(
        state, prices({"ADA-PERP": SMALLEST, "USDT-USD": SMALLEST, "BTC-USD": LONGEST}), tiny
    )
    # 1E-18 rate * 1E-18 quantity * 1E-18 multiplier * 1E-18 mark * 1E-18 index
    assert figures.maintenance_margin == D("1E-90")
    with exact():
        assert figures.ratio == figures.collateral_value * D("1E+90")


@given(
    quantity=st.decimals(min_value=SMALLEST, max_value=LONGEST, places=18),
    part=st.decimals(min_value=SMALLEST, max_value=1, places=18),
    price=st.decimals(min_value=SMALLEST, max_value=LONGEST, places=18),
)
def test_filled_when_a_part_is_closed_then_released_plus_remaining_is_the_old_entry_value(
    quantity, part, price
):
    with exact():
        closed = min(quantity, part)
        held, _ = filled(Position(D(0), D(0)), quantity, price, LINEAR)
        after, realised = filled(held, -closed, price, LINEAR)
        released = closed * price - realised
        assert released + after.entry_value == held.entry_value
