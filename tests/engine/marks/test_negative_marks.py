"""Marks of 0 and below: believed where the instrument allows them, by jumps that are shares of its scale."""

from decimal import Decimal

import msgspec
import pytest

from engine.events.pools import pool_figures
from engine.inputs import Mark
from engine.marks.doubts import Doubt
from engine.marks.mark_book import MarkBook
from engine.rejections import Rejection, RejectionCode
from tests.support.builders import mark, prices, seconds
from tests.support.instants import offered
from tests.support.oil import oil
from tests.support.wide import holding

D = Decimal
SYMBOL = "CL-MAY"
JUMP, NOT_POSITIVE = RejectionCode.JUMP_UNCONFIRMED, RejectionCode.NOT_POSITIVE
START = 1_000


class Feed:
    """Marks of one symbol, a second apart."""

    def __init__(self, price, symbol=SYMBOL, **facts):
        self.book, self.symbol, self.sequence = MarkBook(oil()), symbol, 0
        assert self.send(price, **facts) is None

    def send(self, price, **facts):
        """The code of its refusal, None where it is believed."""
        self.sequence += 1
        at_ns = seconds(START + self.sequence)
        made = Mark(
            self.symbol, D(price), self.sequence, at_ns, **{name: D(it) for name, it in facts.items()}
        )
        verdict = offered(self.book, made, at_ns)
        return verdict.code if isinstance(verdict, Rejection) else None

    @property
    def price(self):
        return self.book.prices.marks[self.symbol].price


def test_mark_when_it_falls_through_zero_in_small_steps_then_every_one_is_believed():
    feed = Feed(5)
    # a tenth of the least scale of 10 each
    assert [feed.send(price) for price in (4, 3, 2, 1, 0, "-0.5", "-1.5", "-2.5")] == [None] * 8
    assert feed.price == D("-2.5")


@pytest.mark.parametrize(
    ("last", "near", "far"),
    [
        # 10 % of |price|, and of at least 10
        (20, 22, "22.01"), (20, 18, "17.99"), (5, 6, "6.01"), (5, 4, "3.99"), (0, 1, "1.01"), (0, -1, "-1.01"),
        (-5, -6, "-6.01"), (-20, -22, "-22.01"), (-20, -18, "-17.99"),
    ],
)  # fmt: skip
def test_jump_when_beyond_a_share_of_the_scale_then_it_waits(last, near, far):
    assert Feed(last).send(near) is None
    assert Feed(last).send(far) is JUMP


def test_jump_when_the_price_crashes_through_zero_then_believed_once_confirmed():
    # 2020-04-20
    feed = Feed(10)
    assert [feed.send("-37.63") for _ in range(3)] == [JUMP, JUMP, None]
    assert feed.price == D("-37.63")
    assert [feed.send(price) for price in (10, "10.5", 11)] == [JUMP, JUMP, None]


def test_jump_when_small_steps_come_within_a_moment_then_only_one_scale_share_is_believed():
    book, refused = MarkBook(oil()), []
    for n, price in enumerate(("2", "1.5", "1", "0.5", "0", "-0.5")):
        verdict = offered(book, Mark(SYMBOL, D(price), n + 1, seconds(START) + n), seconds(START) + n)
        refused.append(isinstance(verdict, Rejection))
    # one dollar from where the moment began
    assert refused == [False, False, False, True, True, True]
    assert book.prices.marks[SYMBOL].price == 1


@pytest.mark.parametrize("price", ["0", "-0", "-0.01", "-100"])
@pytest.mark.parametrize("symbol", ["BTC-PERP", "USDT-USD", "BTC-USD"])
def test_mark_when_the_symbol_does_not_allow_it_then_refused_as_ever(symbol, price):
    feed = Feed("0.5", symbol)
    assert [feed.send(price) for _ in range(5)] == [NOT_POSITIVE] * 5


@pytest.mark.parametrize("price", ["NaN", "Infinity", "-Infinity", "1e-19", "-1e24"])
def test_mark_when_below_zero_is_allowed_then_it_must_be_a_number_within_the_digits(price):
    assert Feed(1).send(price) is RejectionCode.NOT_FINITE


@pytest.mark.parametrize(
    ("price", "average", "code"),
    [
        # within 4 times the scale (10, then 40) of the price
        (0, 40, None), (0, -40, None), (0, "40.01", RejectionCode.FACT_OUT_OF_RANGE), (0, 0, None),
        (-40, 120, None), (-40, "-200.01", RejectionCode.FACT_OUT_OF_RANGE),
    ],
)  # fmt: skip
def test_average_price_when_near_zero_then_its_range_is_of_the_scale(price, average, code):
    verdict = offered(MarkBook(oil()), mark(SYMBOL, price, average_price=average, at=START), seconds(START))
    assert (verdict.code if isinstance(verdict, Rejection) else None) is code


def test_average_price_when_it_jumps_by_more_than_a_share_of_the_scale_then_it_waits():
    assert Feed(0, average_price="0.5").send(0, average_price="-0.5") is None
    fact = RejectionCode.FACT_JUMP_UNCONFIRMED
    assert Feed(0, average_price="0.5").send(0, average_price="-0.51") is fact


@pytest.mark.parametrize(("wallet", "degraded"), [(18_499, True), (18_501, False)])
def test_doubt_when_the_price_is_below_zero_then_its_range_is_of_the_scale(wallet, degraded):
    policy = oil()
    state = holding(policy, {"USD": wallet}, {SYMBOL: (1, 10)})
    now = prices({SYMBOL: -5})
    doubted = msgspec.structs.replace(now, aged={SYMBOL: Doubt(D("0.2"))})
    # 20 % of the least scale: between -7 and -3. At -5 C = wallet - 15,000 is healthy, above 1.5 * 10 % * 10,000;
    # at -7 C = wallet - 17,000 against the same 1,500
    assert pool_figures(state, "", doubted, policy).degraded is degraded
