"""Two policies over the same inputs: who differs, from what is stored on."""

from decimal import Decimal

import pytest
from msgspec.structs import replace

from engine.events.effects import AccountRisk
from engine.inputs import Topic
from engine.ladder import Band, LadderState
from engine.ladder.breaker import BreakerState
from engine.ledger.accounts import Progress, encode
from streams.contract.record import Decoded, Record
from streams.replay.arrivals import PRICES, Arrival
from streams.replay.shadow import Shadow, StoredShard, UnlistedHolding
from tests.support.builders import account, deposit, mark, sample, seconds

D = Decimal
QUOTES = {"USDT-USD": 1, "BTC-USD": 100, "BTC-PERP": 100, "ETH-PERP": 50, "ADA-PERP": 1, "USD-PERP": 100}
STRICT = sample(
    ("maintenance_rate = 0.05", "maintenance_rate = 0.08"), ('name = "sample"', 'name = "strict"')
)


def shadow_of(*states, risks=(), other=STRICT, watermark=0):
    told = []
    shadow = Shadow(
        sample(), other, partitions=1, partition_of=lambda _: 0, clock=lambda: 0, tell=told.append
    )
    stored = StoredShard(
        states=[encode(it) for it in states],
        risks={it.account: it for it in risks},
        watermarks=dict.fromkeys(Topic, watermark),
        breaker=BreakerState(),
    )
    shadow.load(0, stored)
    return shadow, told


def priced(shadow, at, sequence, **changes):
    quotes = {**QUOTES, **{name.replace("_", "-"): price for name, price in changes.items()}}
    marks = tuple(mark(symbol, price, sequence=sequence, at=at) for symbol, price in quotes.items())
    shadow.take(Arrival(seconds(at), PRICES, 0, sequence, marks))


def put(shadow, at, offset, message):
    named = replace(message, time_ns=seconds(at), entry_id=f"d-{offset}")
    body = Decoded(Record(offset, message.account.encode(), b"{}"), named)
    shadow.take(Arrival(seconds(at), Topic.LEDGER.value, 0, offset, body))


def test_shadow_when_the_other_policy_asks_for_more_then_who_differs_and_how():
    # 70 against 5 % of 1,000 (1.4: warning), and against 8 % (0.875: liquidation); 900 is healthy under both
    shadow, told = shadow_of(
        account({"USD": 70}, {"USD-PERP": (10, 100)}, name="a"),
        account({"USD": 900}, {"USD-PERP": (10, 100)}, name="b"),
    )
    priced(shadow, 1, 1)
    priced(shadow, 2, 2)
    (one,) = told
    assert (one.account, one.position, one.band, one.shadow_band) == (
        "a",
        None,
        Band.WARNING,
        Band.LIQUIDATION,
    )
    assert (one.ratio, one.shadow_ratio) == (D("1.4"), D("0.875"))
    assert shadow.judging
    assert [it.account for it in shadow.differing()] == ["a"]
    tally = shadow.tally()
    assert (tally.called_both, tally.called_only_now, tally.called_only_shadow) == (0, 0, 1)
    assert (tally.liquidated_both, tally.liquidated_only_now, tally.liquidated_only_shadow) == (0, 0, 1)


def test_shadow_when_the_market_brings_both_to_the_same_band_then_told_as_alike():
    shadow, told = shadow_of(account({"USD": 70}, {"USD-PERP": (10, 100)}, name="a"))
    priced(shadow, 1, 1)
    priced(shadow, 2, 2)
    # 70 - 75 = -5: bankrupt under both
    priced(shadow, 3, 3, USD_PERP="92.5", BTC_USD="92.5")
    shadow.finish()
    assert [(it.band, it.shadow_band) for it in told][-1] == (Band.BANKRUPT, Band.BANKRUPT)
    assert shadow.differing() == []
    assert shadow.tally().liquidated_both == 1


def test_shadow_when_the_same_rules_are_tried_then_nobody_differs():
    shadow, told = shadow_of(account({"USD": 55}, {"USD-PERP": (10, 100)}), other=sample())
    for second in range(1, 6):
        priced(shadow, second, second)
    shadow.finish()
    assert (told, shadow.differing()) == ([], [])
    assert shadow.tally().called_both == 1


def test_shadow_when_bands_are_stored_then_both_begin_there():
    # healthy by its figures, still in a call because of the exit hold; under both
    risk = AccountRisk("a", {"": LadderState(Band.MARGIN_CALL, "e")})
    shadow, told = shadow_of(account({"USD": 5_000}, {"USD-PERP": (10, 100)}, name="a"), risks=[risk])
    assert shadow.differing() == []
    priced(shadow, 1, 1)
    priced(shadow, 2, 2)
    assert told == []


def test_shadow_when_an_input_is_in_the_stored_state_then_it_is_passed_over_and_a_new_one_is_applied():
    state = replace(account({"USD": 70}, {"USD-PERP": (10, 100)}), ledger=Progress(offset=4))
    shadow, told = shadow_of(state, watermark=3)
    priced(shadow, 1, 1)
    # the state, read after the watermark, has it
    put(shadow, 2, 4, deposit(500))
    priced(shadow, 3, 2)
    assert [it.shadow_band for it in told] == [Band.LIQUIDATION]
    # 570 against 80
    put(shadow, 4, 5, deposit(500))
    for second in range(5, 14):
        priced(shadow, second, second)
    shadow.finish()
    assert shadow.differing() == []
    assert (told[-1].band, told[-1].shadow_band) == (Band.HEALTHY, Band.HEALTHY)


def test_shadow_when_an_input_is_dated_before_the_one_in_front_then_time_does_not_go_back():
    shadow, _ = shadow_of(account({"USD": 70}, {"USD-PERP": (10, 100)}))
    priced(shadow, 9, 1)
    put(shadow, 2, 5, deposit(1))
    assert shadow.time_ns == seconds(9)


def test_shadow_when_the_other_policy_lacks_what_is_held_then_refused():
    other = sample(("[instruments.USD-PERP]", "[instruments.X-PERP]"))
    with pytest.raises(UnlistedHolding):
        shadow_of(account({"USD": 70}, {"USD-PERP": (10, 100)}), other=other)
