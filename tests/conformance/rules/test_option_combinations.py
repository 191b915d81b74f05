from decimal import Decimal

from engine.margin.options.short_options import OptionHolding, net_calls
from tests.conformance.rules.option_combinations import combination_margin

D = Decimal


def holding(right, strike, quantity, value):
    return OptionHolding(right, D(strike), D(quantity), D(value))


def test_combination_margin_when_premium_was_received_then_it_is_deducted():
    condor = [
        holding("put", "1000", "100", "32"),
        holding("put", "1025", "-100", "35.1"),
        holding("call", "1150", "-100", "9.4"),
        holding("call", "1175", "100", "6.3"),
    ]
    # 25 * 100 - (35.1 + 9.4 - 32 - 6.3) * 100
    assert combination_margin(condor) == 2500 - 620


def test_combination_margin_when_calls_are_net_short_then_none():
    naked = [holding("call", "100", "-1", "5")]
    assert net_calls(naked) == -1
    assert combination_margin(naked) is None
