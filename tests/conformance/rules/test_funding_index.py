from decimal import Decimal

from tests.conformance.rules.funding_index import profit_with_funding

D = Decimal


def test_profit_when_the_funding_index_rose_then_longs_have_paid():
    # 2 * (105 - 100) - 2 * (3 - 1)
    assert profit_with_funding(D(2), D(105), D(100), D(3), D(1)) == 6
