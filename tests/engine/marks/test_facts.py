"""The facts that marks carry: out of range they refuse their mark, by name; jumps of them wait as those of prices do."""

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.inputs import Mark
from engine.marks.fact_checks import FACTS, FloatBounds, near_fact, range_fault
from engine.marks.mark_book import MarkBook
from engine.policy import PriceCheck
from engine.rejections import Rejection, RejectionCode
from streams.config.settings import load_policy
from tests.support.builders import sample, seconds
from tests.support.instants import offered

D = Decimal
SYMBOL = "BTC-PERP"
RANGE, JUMP = RejectionCode.FACT_OUT_OF_RANGE, RejectionCode.FACT_JUMP_UNCONFIRMED
POLICIES = sorted((Path(__file__).parents[3] / "deploy" / "policies").glob("*.toml"))
CALM = {
    "volatility": D("0.5"), "funding_rate": D("0.0001"), "average_price": D(100), "confidence": D("0.99"),
}  # fmt: skip


class Feed:
    def __init__(self, **facts):
        self.book, self.sequence = MarkBook(sample()), 0
        assert self.send(0, **facts) is None

    def send(self, at, price=100, **facts):
        self.sequence += 1
        made = Mark(
            SYMBOL, D(price), self.sequence, seconds(at), **{name: D(it) for name, it in facts.items()}
        )
        self.verdict = offered(self.book, made, seconds(at))
        return self.verdict.code if isinstance(self.verdict, Rejection) else None


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("funding_rate", 50), ("funding_rate", -50), ("funding_rate", "0.11"), ("funding_rate", "-0.11"),
        ("volatility", 80), ("volatility", "10.01"),
        ("average_price", 0), ("average_price", "1E-18"), ("average_price", 501), ("average_price", "19.9"),
        ("average_price", 60_000), ("confidence", "1.01"), ("confidence", 99),
    ],
)  # fmt: skip
def test_fact_when_it_is_out_of_range_then_its_mark_is_refused_and_the_fact_named(name, value, first):
    feed = Feed(**({} if first else CALM))
    assert {feed.send(n, **{name: value}) for n in range(1, 9)} == {RANGE}
    assert feed.verdict.detail.startswith(name)
    assert feed.book.prices.marks[SYMBOL].sequence == 1


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("volatility", -1, RejectionCode.NOT_POSITIVE), ("average_price", -100, RejectionCode.NOT_POSITIVE),
        ("confidence", -1, RejectionCode.NOT_POSITIVE), ("volatility", "NaN", RejectionCode.NOT_FINITE),
        ("funding_rate", "-Infinity", RejectionCode.NOT_FINITE), ("average_price", "sNaN", RejectionCode.NOT_FINITE),
        ("confidence", "1E-19", RejectionCode.NOT_FINITE),
    ],
)  # fmt: skip
def test_fact_when_it_is_no_amount_then_refused_as_before(name, value, code):
    assert Feed(**CALM).send(1, **{name: value}) is code


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("volatility", "0.76"), ("volatility", "0.33"), ("volatility", 8), ("volatility", "0.001"), ("volatility", 0),
        ("funding_rate", "0.02"), ("funding_rate", "-0.09"), ("average_price", 111), ("average_price", 80),
        ("confidence", "0.4"), ("confidence", 0),
    ],
)  # fmt: skip
def test_fact_when_it_jumps_then_confirmed_by_marks_apart_in_time_alone(name, value):
    feed = Feed(**CALM)
    assert {feed.send(1 + D(n) / 10**9, **{name: value}) for n in range(20)} == {JUMP}
    assert feed.verdict.detail.startswith(name)
    assert [feed.send(n, **{name: value}) for n in (2, 3, 4)] == [JUMP, None, None]


def test_fact_when_it_is_left_out_in_between_then_its_jump_is_one_still():
    feed = Feed(**CALM)
    assert feed.send(1) is None
    assert feed.send(2, volatility=8) is JUMP


def test_fact_when_it_walks_away_in_small_steps_within_a_moment_then_held_as_a_price_is():
    feed = Feed(**CALM)
    codes = [feed.send(D(n) / 10**9, volatility=D("0.5") * D("1.4") ** n) for n in range(1, 9)]
    assert codes == [None] + [JUMP] * 6 + [RANGE] if codes[-1] is RANGE else [None] + [JUMP] * 7


def test_fact_when_price_and_fact_jump_together_then_one_run_of_marks_confirms_both():
    feed = Feed(**CALM)
    codes = [feed.send(n, price=70, volatility="1.5", average_price=70) for n in (1, 2, 3)]
    assert codes == [RejectionCode.JUMP_UNCONFIRMED, RejectionCode.JUMP_UNCONFIRMED, None]


def test_fact_when_a_price_has_crashed_for_real_then_its_slow_average_refuses_nothing():
    feed = Feed(average_price=100)
    price, average = D(100), D(100)
    for n in range(1, 60):
        price, average = price * D("0.97"), average * D("0.99")
        assert (
            feed.send(n, price=price.quantize(D("1e-9")), average_price=average.quantize(D("1e-9"))) is None
        )


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
def test_fact_when_any_shipped_policy_is_in_force_then_absurd_ones_are_refused(path):
    policy = load_policy(path)
    for symbol in policy.price_symbols:
        for fact in (
            {"funding_rate": D(50)},
            {"volatility": D(80)},
            {"average_price": D(0)},
            {"confidence": D(2)},
        ):
            book = MarkBook(policy)
            assert not isinstance(offered(book, Mark(symbol, D(1_000), 1, 0), 0), Rejection)
            assert offered(book, Mark(symbol, D(1_000), 2, 1, **fact), 1).code is RANGE


CHECK = PriceCheck()
values = st.decimals(D("1E-9"), D(12), places=9)


@given(st.sampled_from(FACTS), values, values, values)
def test_float_bounds_when_they_pass_a_fact_then_the_exact_checks_do(name, value, last, reference):
    price = D(2)
    if FloatBounds(CHECK).holds(name, float(value), float(last), float(reference), float(price)):
        assert range_fault(name, value, price, CHECK) is None
        assert near_fact(name, value, last, CHECK)
        assert near_fact(name, value, reference, CHECK)


@given(st.sampled_from(FACTS), st.integers(-3, 3), st.integers(9, 17))
def test_float_bounds_when_a_fact_lies_a_hair_from_a_bound_then_the_exact_checks_agree(name, off, digits):
    last = {
        "volatility": D("0.5"),
        "funding_rate": D("0.01"),
        "average_price": D("2"),
        "confidence": D("0.4"),
    }[name]
    bound = {
        "volatility": D("0.75"),
        "funding_rate": D("0.02"),
        "average_price": D("2.2"),
        "confidence": D("0.9"),
    }[name]
    value = bound + off * D(10) ** -digits
    if FloatBounds(CHECK).holds(name, float(value), float(last), float(last), 2.0):
        assert near_fact(name, value, last, CHECK)
