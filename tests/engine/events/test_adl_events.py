"""What is said of a contract's deleveraging risk: once for each change, recomputable from what it names."""

from decimal import Decimal

from engine.events.adl_events import AdlEventType, adl_changes
from engine.liquidation.adl_risk import AdlLevel, AdlReason, AdlState, FundExposure, advance_adl
from tests.support.builders import sample, seconds

D = Decimal
POLICY = sample()
CONTRACTS = ("BTC-PERP", "ETH-PERP")


def exposed(taken, own):
    return FundExposure(
        group="all",
        fund=D(100),
        stated_ns=1,
        expected_shortfall=D(taken),
        expected_shortfall_of_symbol=D(own),
    )


def test_changes_when_a_level_changes_then_one_event_of_each_contract_with_what_it_came_from():
    exposures = {"BTC-PERP": exposed(100, 100), "ETH-PERP": exposed(100, 0), "ADA-PERP": exposed(100, 1)}
    states, (bitcoin, ether) = adl_changes({}, exposures, CONTRACTS, (0, 3), seconds(5), POLICY)
    assert (bitcoin.type, bitcoin.id, bitcoin.subject, bitcoin.sequence) == (
        AdlEventType.RISK_CHANGED,
        "adl/BTC-PERP/margin-events/1",
        "adl/BTC-PERP",
        1,
    )
    assert (bitcoin.previous_level, bitcoin.level, bitcoin.reason) == (
        AdlLevel.NONE,
        AdlLevel.ACTIVE,
        AdlReason.SHORTFALL,
    )
    assert (bitcoin.time_ns, bitcoin.shards, bitcoin.policy_digest) == (seconds(5), (0, 3), POLICY.digest)
    assert ether.level is AdlLevel.SOON
    for event in (bitcoin, ether):
        before = AdlState()
        assert advance_adl(before, event.exposure, event.time_ns, POLICY.deleveraging) == event.state
        assert states[event.symbol] == event.state
    # of the others somebody else speaks
    assert states.keys() == set(CONTRACTS)


def test_changes_when_the_level_stays_then_nothing_is_said_and_the_hold_is_remembered():
    held = {"BTC-PERP": AdlState(AdlLevel.SOON, 1, None, 4)}
    again = adl_changes(held, {"BTC-PERP": exposed(30, 30)}, CONTRACTS, (0,), seconds(5), POLICY)
    assert again == (held, [])
    falling = adl_changes(held, {"BTC-PERP": exposed(0, 0)}, CONTRACTS, (0,), seconds(5), POLICY)
    assert falling.events == []
    assert falling.states["BTC-PERP"].exit_since_ns == seconds(5)
    over = adl_changes(
        falling.states, {"BTC-PERP": exposed(0, 0)}, CONTRACTS, (0,), seconds(65), POLICY
    ).events
    assert [(it.sequence, it.level, it.reason) for it in over] == [(5, AdlLevel.NONE, AdlReason.RELIEVED)]


def test_changes_when_no_fund_is_stated_any_more_then_the_state_stays():
    held = {"BTC-PERP": AdlState(AdlLevel.SOON, 1, seconds(1), 4)}
    assert adl_changes(held, {}, CONTRACTS, (0,), seconds(999), POLICY) == (held, [])
