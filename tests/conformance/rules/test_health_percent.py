from decimal import Decimal

import msgspec

from engine.margin.cross.cross_pool import cross_figures
from tests.conformance.rules.health_percent import health_percent
from tests.support.builders import account, prices, sample

D = Decimal
FILLED = ("[prices]", '[pool]\nspot_orders = "filled"\nliabilities = "requirement"\n\n[prices]')


def test_health_percent_when_the_requirement_takes_a_share_then_the_rest_in_whole_percent():
    policy = sample(FILLED)
    at = prices({"USDT-USD": 1, "BTC-PERP": 100})
    # 5 % of 6,000 of 900: 33.3 % are taken
    some = account({"USDT": 900}, {"BTC-PERP": (60, 100)})
    assert health_percent(cross_figures(some, at, policy)) == 67
    assert health_percent(cross_figures(account({"USDT": 900}), at, policy)) == 100
    short = msgspec.structs.replace(some, balances={"USDT": D(200)})
    assert health_percent(cross_figures(short, at, policy)) == 0
    assert health_percent(cross_figures(account({"USDT": -1}), at, policy)) == 0
