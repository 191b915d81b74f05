"""A move of the market as an account sees it, by the shipped policy and through the mark book: once, whole, and not by dust."""

from decimal import Decimal

import pytest

from engine.book.account_book import drained
from engine.book.columnar_book import ColumnarBook
from engine.book.plain_book import PlainBook
from engine.events.effects import EventType
from engine.ladder import Band
from engine.ledger.accounts import AccountState, IsolatedPosition, Position
from engine.marks.instants import MarksRecord
from engine.marks.mark_book import MarkBook
from streams.config.settings import load_policy
from tests.support.builders import account, mark, seconds

D = Decimal
POLICY = load_policy(None)
BEFORE = {
    "USDT-USD": D(1),
    "BTC-USD": D(60_000),
    "ETH-USD": D(3_000),
    "SOL-USD": D(150),
    "BTC-USDT-PERP": D(60_000),
    "ETH-USDT-PERP": D(3_000),
}


@pytest.fixture(params=[ColumnarBook, PlainBook])
def market(request):
    return Market(request.param(POLICY))


class Market:
    """One book, and the prices it is told."""

    def __init__(self, book):
        self.book, self.marks, self.number = book, MarkBook(POLICY), 0
        self.tell(0, BEFORE)

    def hold(self, state):
        self.book.put(state)
        return drained(self.book.judge([state.account]))

    def tell(self, at, prices, refused=()):
        """One record, of which the marks of these symbols are refused."""
        made = []
        for symbol, price in prices.items():
            self.number += 1
            made.append(mark(symbol, price, self.number, at=at))
        instant, found = self.marks.accept(MarksRecord(tuple(made)), seconds(at))
        assert (instant is not None, {it.symbol for it in found}) == (True, set(refused))
        return [event for it in drained(self.book.on_instants([instant])) for event in it.events]

    def pass_time(self, at):
        return [
            event
            for it in drained(self.book.on_clock(self.marks.advance(seconds(at))))
            for event in it.events
        ]

    def band(self):
        return self.book.risk("acc").pools[""].band


HEDGED = account({"USDT": 4_000}, {"BTC-USDT-PERP": (2, 60_000), "ETH-USDT-PERP": (-40, 3_000)}, name="acc")


def test_hedged_account_when_both_legs_fall_in_one_record_then_nothing_is_said(market):
    assert market.hold(HEDGED) == []
    fallen = {symbol: price * D("0.95") for symbol, price in BEFORE.items() if symbol != "USDT-USD"}
    for order in (fallen, dict(reversed(fallen.items()))):
        assert market.tell(1, order) == []


def test_hedged_account_when_one_leg_falls_alone_then_it_is_liquidated(market):
    market.hold(HEDGED)
    said = market.tell(1, {"BTC-USDT-PERP": D(57_000)})
    assert EventType.ACCOUNT_BANKRUPT in {it.type for it in said}


ETH = ("ETH-USD", "ETH-USDT-PERP")
PARTS = [("0.91", "0.89"), ("1.09", "1.11")]
"""Of the price before: bitcoin's is believed at once, ether's has to be confirmed."""


def moved(btc, eth):
    return {
        symbol: price * D(btc if symbol.startswith("BTC") else eth if symbol.startswith("ETH") else 1)
        for symbol, price in BEFORE.items()
    }


@pytest.mark.parametrize("parts", PARTS)
@pytest.mark.parametrize("sides", [1, -1])
def test_hedged_account_when_one_leg_of_a_move_has_to_be_confirmed_then_nothing_is_said(market, parts, sides):
    legs = {"BTC-USDT-PERP": (2 * sides, 60_000), "ETH-USDT-PERP": (-40 * sides, 3_000)}
    market.hold(account({"USDT": 6_000}, legs, name="acc"))
    btc, eth = parts
    for at in (1, 2):
        assert market.tell(at, moved(btc, eth), refused=ETH) == []
        assert market.pass_time(at) == []
    assert market.tell(3, moved(btc, eth)) == []
    assert market.marks.prices.waiting == {}


def test_account_when_it_is_bankrupt_at_the_prices_and_at_the_quote_that_waits_then_it_is_at_once(market):
    market.hold(
        account({"USDT": 6_100}, {"BTC-USDT-PERP": (1, 60_000), "ETH-USDT-PERP": (10, 3_000)}, name="acc")
    )
    said = market.tell(1, moved("0.90", "0.80"), refused=ETH)
    assert {it.type for it in said} >= {EventType.LIQUIDATION_ENTERED}


def test_account_when_the_quote_that_waits_was_wrong_then_it_is_judged_as_soon_as_that_is_known(market):
    """The market goes back on the one leg, to the very price of before."""
    market.hold(HEDGED)
    assert market.tell(1, moved("0.91", "0.89"), refused=ETH) == []
    said = market.tell(2, {symbol: price for symbol, price in BEFORE.items() if symbol in ETH})
    assert EventType.ACCOUNT_BANKRUPT in {it.type for it in said}


def test_account_when_a_quote_is_neither_confirmed_nor_taken_back_then_it_is_judged_all_the_same(market):
    """One absurd mark, and then silence of that symbol."""
    market.hold(HEDGED)
    assert market.tell(1, moved("0.91", "0.89"), refused=ETH) == []
    for at in range(2, 11):
        assert market.pass_time(at) == []
    said = market.pass_time("11.001")
    assert EventType.ACCOUNT_BANKRUPT in {it.type for it in said}


def test_account_when_a_symbol_flickers_then_it_is_judged_all_the_same(market):
    """Far up, far down, each mark refused: nobody can keep an account from being judged."""
    market.hold(HEDGED)
    assert market.tell(1, moved("0.91", "0.89"), refused=ETH) == []
    said = []
    for at in range(2, 13):
        said += market.tell(at, moved("0.91", "0.5" if at % 2 else "1.5"), refused=ETH)
    assert EventType.ACCOUNT_BANKRUPT in {it.type for it in said}
    assert market.marks.prices.waiting == {}


@pytest.mark.parametrize("dust", ["0.00000001", "-0.000000000000000001"])
def test_bankrupt_account_when_it_also_holds_dust_in_a_stale_coin_then_it_is_bankrupt(market, dust):
    market.tell(20, {symbol: price for symbol, price in BEFORE.items() if symbol != "SOL-USD"})
    market.pass_time(20)
    assert "SOL-USD" in market.marks.prices.aged
    judged = market.hold(account({"USDT": 1_000, "SOL": D(dust)}, {"BTC-USDT-PERP": (1, 61_500)}, name="acc"))
    behind = market.book.reasons(1)
    said = {it.type for judgement in (*judged, *behind) for it in judgement.events}
    assert {EventType.ACCOUNT_BANKRUPT, EventType.LIQUIDATION_REQUESTED} <= said
    assert EventType.DEGRADED not in said
    assert market.band() is Band.BANKRUPT


def test_account_when_all_it_owes_is_dust_then_it_is_well(market):
    assert market.hold(account({"USDT": D("-0.000000000000000001")}, name="acc")) == []


def test_account_when_all_that_a_closed_isolated_position_owes_is_dust_then_it_is_well(market):
    owing = IsolatedPosition(Position(D(0), D(0)), D("-0.000000000000000001"))
    state = AccountState("acc", {"USDT": D(5)}, isolated={"BTC-USDT-PERP": owing})
    assert market.hold(state) == []


def test_account_when_the_price_it_lives_by_is_late_then_only_a_verdict_that_hangs_on_it_is_flagged(market):
    """A symbol that is quoted every eleven seconds flags nobody who stands well clear of every line."""
    market.hold(account({"USDT": 60_000}, {"BTC-USDT-PERP": (1, 60_000)}, name="acc"))
    for at in range(11, 110, 11):
        assert market.pass_time(at) == []
        assert market.tell(at, BEFORE) == []


def test_account_when_its_verdict_hangs_on_a_late_price_then_it_is_told_once_an_outage(market):
    # MM 300 of 60,000 at 0.5 %: 460 is 1.53 times that, and any doubt may lead below 1.5
    market.hold(account({"USDT": 460}, {"BTC-USDT-PERP": (1, 60_000)}, name="acc"))
    for at in (11, 31, 51):
        assert [it.type for it in market.pass_time(at)] == [EventType.DEGRADED]
        assert [it.type for it in market.pass_time(at + 9)] == []
        assert [it.type for it in market.tell(at + 9, BEFORE)] == [EventType.RECOVERED]
