"""What walks through the life cycle of a liquidation have found, as small as it gets."""

from decimal import Decimal

import pytest

from engine.judgement import CROSS
from engine.ladder import Band
from tests.engine.life_cycle_desk import POLICIES, Desk, cash
from tests.support.builders import seconds, trade
from tests.support.life_cycle import Journal

D = Decimal
NOTIFIES, LIQUIDATES = POLICIES[1], POLICIES[3]
"""By what an expired call leads to; their margin rates are the same."""


@pytest.mark.parametrize(("policy", "band"), [(NOTIFIES, Band.MARGIN_CALL), (LIQUIDATES, Band.LIQUIDATION)])
def test_books_when_a_new_policy_takes_an_expired_call_further_then_both_follow(policy, band):
    desk = Desk(NOTIFIES, Journal())
    desk.pass_time(0)
    # MM = 5 % of 20 * 100 = 100; 115 / 100 is below the call line of 1.2 and above that of reduce-only, 1.05
    desk.take("alice", cash("alice", D(115)), trade("BTC-PERP", 20, 100))
    desk.pass_time(seconds(20))
    called = desk.plain.risk("alice").pools[CROSS]
    assert (called.band, called.expired) == (Band.MARGIN_CALL, True)
    after = desk.restarted(policy)
    assert after.plain.risk("alice").pools[CROSS].band is band
    assert after.fast.risk("alice").pools[CROSS].band is band
