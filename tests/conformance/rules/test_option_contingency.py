"""The charge on all options."""

from decimal import Decimal

from engine.margin.portfolio import Exposure
from tests.conformance.rules.option_contingency import gross_option_contingency

D = Decimal


def held(kind, quantity, **others):
    return Exposure(
        symbol="X", underlying="BTC", kind=kind, quantity=D(quantity), mark=D(7), index=D(100), **others
    )


def test_gross_contingency_when_long_and_short_then_both_count_and_futures_do_not():
    book = [held("option", 120), held("option", -80, right="put"), held("linear", 50)]
    # 0.5 % of (120 + 80) * 100
    assert gross_option_contingency(book, D("0.005")) == 100


def test_gross_contingency_when_settled_in_another_currency_then_converted():
    assert gross_option_contingency([held("option", -2, conversion=D("0.5"))], D("0.01")) == 1
    assert gross_option_contingency([], D("0.01")) == 0
