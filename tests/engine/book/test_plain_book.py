from decimal import Decimal

import pytest

from engine.book.account_book import drained
from engine.book.plain_book import PlainBook
from engine.events.effects import AccountRisk, EventType
from engine.events.pools import CROSS
from engine.ladder import Band, LadderState
from tests.support.builders import account, mark, sample, seconds
from tests.support.instants import at as moment
from tests.support.instants import singly

D = Decimal
POLICY = sample()
FRESH = (mark("USDT-USD", 1), mark("BTC-USD", 30_000), mark("BTC-PERP", 100), mark("ETH-PERP", 100))


def long(name, equity, symbol="BTC-PERP", quantity=2):
    """An account with 2 contracts bought at 100: MM = 5 % of 200 = 10."""
    return account({"USD": equity}, {symbol: (quantity, 100)}, name=name)


def book_of(*states, marks=FRESH):
    book = PlainBook(POLICY)
    for state in states:
        book.put(state)
    drained(book.on_clock(moment(0, frozenset(POLICY.price_symbols) - {one.symbol for one in marks})))
    drained(book.on_instants(singly(marks)))
    return book


def names(judgements):
    return [judgement.risk.account for judgement in judgements]


def bands(book, *accounts):
    return [book.risk(name).pools.get(CROSS, LadderState()).band for name in accounts]


def test_on_marks_when_a_symbol_moves_then_its_holders_are_judged_and_nobody_else():
    book = book_of(long("a", 50), long("b", 50, "ETH-PERP"), account({"USD": 1}, name="c"))
    # 50 + 2 * (78 - 100) = 6 against 5 % of 156 = 7.8
    assert names(drained(book.on_instants(singly([mark("BTC-PERP", 78, 2)])))) == ["a"]
    assert bands(book, "a", "b", "c") == [Band.LIQUIDATION, Band.HEALTHY, Band.HEALTHY]


def test_on_marks_when_collateral_or_settle_asset_moves_then_its_holders_are_judged():
    backed = account({"BTC": "0.0005"}, {"BTC-PERP": (2, 100)}, name="coin")  # 15 * 0.95 against 10
    book = book_of(backed, long("usd", 15))
    assert names(drained(book.on_instants(singly([mark("BTC-USD", 20_000, 2)])))) == ["coin"]
    book = book_of(backed, long("usd", 15))
    assert names(drained(book.on_instants(singly([mark("USDT-USD", "1.5", 2)])))) == ["coin", "usd"]


def test_on_marks_when_several_accounts_change_then_mark_by_mark_and_sorted_within_one():
    book = book_of(long("b", 50), long("a", 50), long("c", 50, "ETH-PERP", -2))
    marks = [mark("ETH-PERP", 126, 2, at=1), mark("BTC-PERP", 78, 2, at=2)]
    judgements = drained(book.on_instants(singly(marks)))
    assert names(judgements) == ["c", "a", "b"]
    causes = [{event.cause_time_ns for event in judgement.events} for judgement in judgements]
    assert causes == [{seconds(1)}, {seconds(2)}, {seconds(2)}]


def test_on_marks_when_a_batch_dips_and_recovers_then_the_dip_was_seen():
    book = book_of(long("a", 50))
    judgements = drained(book.on_instants(singly([mark("BTC-PERP", 78, 2), mark("BTC-PERP", 100, 3)])))
    assert [event.type for event in judgements[0].events] == [
        EventType.REDUCE_ONLY_OPENED,
        EventType.LIQUIDATION_ENTERED,
    ]
    assert bands(book, "a") == [Band.LIQUIDATION]
    # on its way out already, so no plan is made; why it sank is said of the price as it is now
    (behind,) = book.reasons(1)
    assert [(event.type, event.marks["BTC-PERP"].price) for event in behind.events] == [
        (EventType.EXPLAINED, D(100))
    ]


def test_put_when_positions_change_then_the_holders_of_each_symbol_follow():
    book = book_of(long("a", 50))
    book.put(long("a", 50, "ETH-PERP", -2))
    book.put(long("a", 9, "ETH-PERP", -2))  # in liquidation, but not yet judged
    assert drained(book.on_instants(singly([mark("BTC-PERP", 1, 2)]))) == []
    assert names(drained(book.on_instants(singly([mark("ETH-PERP", 100, 2)])))) == ["a"]


def test_put_when_an_isolated_position_opens_and_closes_then_the_holders_follow():
    book = book_of(account({"USD": 50}, isolated={"BTC-PERP": (1, 100, 8)}, name="a"))
    (judgement,) = drained(book.on_instants(singly([mark("BTC-PERP", 93, 2)])))
    assert {event.position for event in judgement.events} == {"BTC-PERP"}
    book.put(account({"USD": 50}, name="a"), AccountRisk("a"))
    assert drained(book.on_instants(singly([mark("BTC-PERP", 1, 3)]))) == []


def test_put_when_no_risk_is_given_then_the_record_stays():
    book = book_of(long("a", 11))
    called = book.risk("a")
    assert called.pools[CROSS].band is Band.MARGIN_CALL
    book.put(long("a", 12))
    assert book.risk("a") == called
    book.put(long("a", 12), AccountRisk("a"))
    assert book.risk("a") == AccountRisk("a")


def test_judge_when_inputs_were_applied_then_at_the_books_prices_without_a_cause():
    book = book_of(long("a", 50), long("b", 50))
    book.put(long("a", 11))
    (judgement,) = drained(book.judge(["a", "b"]))
    assert [(event.type, event.cause_time_ns) for event in judgement.events] == [
        (EventType.CALL_OPENED, None)
    ]


def test_accounts_when_listed_then_sorted_and_unknown_ones_are_well():
    book = book_of(long("b", 1), long("a", 1))
    assert list(book.accounts()) == ["a", "b"]
    assert book.state("nobody") is None
    assert book.risk("nobody") == AccountRisk("nobody")


def test_on_clock_when_a_symbol_goes_stale_and_fresh_then_its_holders_say_so():
    book = book_of(long("a", 50), long("b", 50, "ETH-PERP"))
    gone = frozenset({"BTC-PERP", "ADA-PERP", "USD-PERP"})
    (judgement,) = drained(book.on_clock(moment(seconds(1), gone)))
    assert (judgement.risk.account, judgement.events[0].type) == ("a", EventType.DEGRADED)
    assert drained(book.on_clock(moment(seconds(2), gone))) == []
    (judgement,) = drained(book.on_instants(singly([mark("BTC-PERP", 100, 2, at=3)])))
    assert (judgement.risk.account, judgement.events[0].type) == ("a", EventType.RECOVERED)


def test_on_clock_when_a_hold_ends_without_a_mark_then_the_band_is_left():
    book = book_of(long("a", 11))
    book.put(long("a", 50))
    assert drained(book.judge(["a"])) == []
    assert drained(book.on_clock(moment(seconds("4.999999999"), frozenset()))) == []
    (judgement,) = drained(book.on_clock(moment(seconds(5), frozenset())))
    assert [event.type for event in judgement.events] == [EventType.CALL_RESOLVED]
    assert judgement.events[0].time_ns == seconds(5)
    assert drained(book.on_clock(moment(seconds(50), frozenset()))) == []


def test_on_clock_when_time_goes_back_then_the_book_keeps_the_newest():
    book = book_of(long("a", 11))
    drained(book.on_clock(moment(seconds(9), frozenset())))
    book.put(long("a", 50))
    drained(book.judge(["a"]))
    assert drained(book.on_clock(moment(seconds(1), frozenset()))) == []
    assert book.risk("a").pools[CROSS].exit_since_ns == seconds(9)


def test_on_marks_when_a_mark_is_dated_beyond_the_stale_limit_then_nobody_is_liquidated_by_it():
    book = book_of(long("a", 50))
    drained(book.on_clock(moment(seconds(100), frozenset({"BTC-PERP"}))))
    (judgement,) = drained(book.on_instants(singly([mark("BTC-PERP", 78, 2, at=50)])))  # 50 s old on arrival
    assert [event.type for event in judgement.events] == [EventType.REDUCE_ONLY_OPENED]
    assert judgement.risk.pools[CROSS].degraded


def test_book_when_nothing_has_a_price_yet_then_a_poor_account_is_degraded_and_not_liquidated():
    book = PlainBook(POLICY)
    book.put(long("a", 1))
    (judgement,) = drained(book.judge(["a"]))
    assert [event.type for event in judgement.events] == [EventType.DEGRADED, EventType.REDUCE_ONLY_OPENED]


@pytest.mark.parametrize("empty", [account(name="a"), account({"BTC": 1}, name="a")])
def test_judge_when_an_account_holds_no_risk_then_nothing_is_said(empty):
    book = PlainBook(POLICY)
    book.put(empty)
    assert drained(book.judge(["a"])) == []


def test_totals_when_counted_then_by_band_pool_flag_and_ratio():
    isolated = account({"USD": 7}, isolated={"BTC-PERP": (1, 100, 4)}, name="d")
    book = book_of(long("a", 50), long("b", 11), long("c", 9), isolated, account({"USD": -3}, name="e"))
    drained(book.judge(["d", "e"]))
    totals = book.totals([D(1), D("1.2")])
    assert totals.accounts_by_band == {
        Band.HEALTHY: 2,  # a, and d whose trouble is isolated
        Band.MARGIN_CALL: 1,
        Band.LIQUIDATION: 1,
        Band.BANKRUPT: 1,
    }
    assert totals.isolated_by_band == {Band.LIQUIDATION: 1}  # 4 against 5 % of 100
    # c at 0.9; b at 1.1; e owes without a requirement, so it has no ratio
    assert totals.accounts_below_ratio == {D(1): 1, D("1.2"): 2}
    assert (totals.accounts_degraded, totals.accounts_stopped) == (0, 0)
    assert totals.equity == 50 + 11 + 9 + 7 - 3
    assert totals.maintenance_margin == 10 + 10 + 10
