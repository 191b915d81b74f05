from decimal import Decimal

from tests.conformance.rules.closing_order import Leg, total_deficit, worst_leg_first

D = Decimal


def test_worst_leg_first_when_losses_tie_then_the_larger_notional_then_the_key_decides():
    legs = [
        Leg("b", D(-5), D(10)),
        Leg("win", D(5), D(99)),
        Leg("a", D(-5), D(10)),
        Leg("big", D(-5), D(20)),
        Leg("worst", D(-6), D(1)),
    ]
    assert [leg.key for leg in worst_leg_first(legs)] == ["worst", "big", "a", "b", "win"]


def test_total_deficit_when_some_pools_end_above_zero_then_they_do_not_pay_for_the_others():
    assert total_deficit([D(-300), D(50), D(-20), D(0)]) == 300 + 20
