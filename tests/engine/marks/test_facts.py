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
INDEX = "BTC-USD"
CALM = {
    "volatility": D("0.5"), "funding_rate": D("0.0001"), "average_price": D(100), "confidence": D("0.99"),
    "open_interest": D(20_000), "deposits": D(20_000), "borrows": D(20_000), "potential_deposits": D(20_000),
    "realisable_share": D("0.9"),
}  # fmt: skip
POLICY = sample(
    (
        f"[instruments.{SYMBOL}]",
        f"""[margin.capped]
realisable_profit = true
[instruments.{SYMBOL}]
margin = "capped"
open_interest = {{ lower_cap = 1e6, upper_cap = 3e6 }}""",
    ),
    (f'index = "{INDEX}"', f'index = "{INDEX}"\ndeposit_scale_start = 2e6\nborrow_scale_start = 1e6'),
)
"""At a price of 100 nothing scales up to 10,000 contracts, or 10,000 coins; deposits and potential ones share 20,000."""
SCALED = [(SYMBOL, "open_interest", D("1.5"))]
SCALED += [(INDEX, name, D("1.1")) for name in ("deposits", "borrows", "potential_deposits")]
"""Facts that scale something, of which symbol, and the factor beyond which they jump."""


class Feed:
    def __init__(self, symbol=SYMBOL, **facts):
        self.book, self.symbol, self.sequence = MarkBook(POLICY), symbol, 0
        assert self.send(0, **facts) is None

    def send(self, at, price=100, **facts):
        self.sequence += 1
        made = Mark(
            self.symbol, D(price), self.sequence, seconds(at), **{name: D(it) for name, it in facts.items()}
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
        ("open_interest", "1000000000000000.1"), ("open_interest", "1E23"), ("deposits", "1000000000000000000.1"),
        ("borrows", "1E23"), ("potential_deposits", "2E18"), ("realisable_share", "1.000001"), ("realisable_share", 90),
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
        ("confidence", "1E-19", RejectionCode.NOT_FINITE), ("open_interest", "1E30", RejectionCode.NOT_FINITE),
        ("open_interest", "NaN", RejectionCode.NOT_FINITE), ("open_interest", -1, RejectionCode.NOT_POSITIVE),
        ("deposits", "Infinity", RejectionCode.NOT_FINITE), ("deposits", "-0.1", RejectionCode.NOT_POSITIVE),
        ("borrows", "-1E23", RejectionCode.NOT_POSITIVE), ("potential_deposits", "sNaN", RejectionCode.NOT_FINITE),
        ("realisable_share", "-0.1", RejectionCode.NOT_POSITIVE), ("realisable_share", "NaN", RejectionCode.NOT_FINITE),
    ],
)  # fmt: skip
def test_fact_when_it_is_no_amount_then_refused_as_before(name, value, code):
    assert Feed(**CALM).send(1, **{name: value}) is code


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("volatility", "0.76"), ("volatility", "0.33"), ("volatility", 8), ("volatility", "0.001"), ("volatility", 0),
        ("funding_rate", "0.02"), ("funding_rate", "-0.09"), ("average_price", 111), ("average_price", 80),
        ("confidence", "0.4"), ("confidence", 0), ("realisable_share", "0.69"), ("realisable_share", 0),
    ],
)  # fmt: skip
def test_fact_when_it_jumps_then_confirmed_by_marks_apart_in_time_alone(name, value):
    feed = Feed(**CALM)
    assert {feed.send(1 + D(n) / 10**9, **{name: value}) for n in range(20)} == {JUMP}
    assert feed.verdict.detail.startswith(name)
    assert [feed.send(n, **{name: value}) for n in (2, 3, 4)] == [JUMP, None, None]


@pytest.mark.parametrize(("symbol", "name"), [it[:2] for it in SCALED])
@pytest.mark.parametrize("share", ["0", "0.001", "0.6", "1.6", "1000"])
def test_amount_of_the_exchange_when_it_jumps_then_its_mark_waits_and_a_market_that_moved_for_good_is_believed(
    symbol, name, share
):
    feed = Feed(symbol, **{name: 20_000})
    far = 20_000 * D(share)
    assert {feed.send(1 + D(n) / 10**9, **{name: far}) for n in range(20)} == {JUMP}
    assert feed.verdict.detail.startswith(f"{name} {far} is a jump from 20000")
    # the price waits with it, and the last good ones stay
    assert feed.send(1 + D(30) / 10**9, price=101, **{name: far}) is JUMP
    assert (feed.book.prices.marks[symbol].price, getattr(feed.book.prices.marks[symbol], name)) == (
        100,
        20_000,
    )
    assert feed.send(2, **{name: 20_000}) is None
    assert [feed.send(n, **{name: far}) for n in (3, 4, 5)] == [JUMP, JUMP, None]


@pytest.mark.parametrize(("symbol", "name", "factor"), SCALED)
@pytest.mark.parametrize("first", ["0", "9999.5", "10000"])
def test_amount_of_the_exchange_when_it_scales_nothing_yet_then_what_is_below_the_start_is_as_one(
    symbol, name, factor, first
):
    for value, code in ((0, None), (10_000, None), (10_000 * factor, None), (10_000 * factor + 1, JUMP)):
        assert Feed(symbol, **{name: first}).send(1, **{name: value}) is code, value
    assert Feed(symbol, **{name: 10_000 * factor}).send(1, **{name: first}) is None


@pytest.mark.parametrize(("symbol", "name", "factor"), SCALED)
def test_amount_of_the_exchange_when_it_scales_then_the_bound_is_the_policys_and_the_start_a_value(
    symbol, name, factor
):
    for value, code in (
        (20_000 * factor, None),
        (20_000 * factor + 1, JUMP),
        (20_000 / factor + 1, None),
        (20_000 / factor - 1, JUMP),
    ):
        assert Feed(symbol, **{name: 20_000}).send(1, **{name: value.quantize(D("1e-9"))}) is code, value
    # at 109 each nothing scales up to 9,174.3 of them
    assert Feed(symbol, **{name: 0}).send(1, price=109, **{name: 9_174 * factor}) is None
    assert Feed(symbol, **{name: 0}).send(1, price=109, **{name: 10_000 * factor}) is JUMP


@pytest.mark.parametrize(
    ("symbol", "name"), [("ETH-PERP", "open_interest"), (INDEX, "open_interest"), ("USDT-USD", "deposits")]
)
def test_amount_of_the_exchange_when_the_policy_scales_nothing_with_it_then_no_price_waits_for_it(
    symbol, name
):
    feed = Feed(symbol, **{name: 1})
    assert [feed.send(1 + n, **{name: it}) for n, it in enumerate((10**9, 0, 10**14, 1))] == [None] * 4
    assert feed.send(9, **{name: 2 * 10**18}) is RANGE


def test_amount_of_the_exchange_when_a_cascade_unwinds_it_step_by_step_then_every_mark_is_believed():
    feed, interest = Feed(**CALM), D(20_000)
    while interest > 100:
        interest = (interest * D("0.8")).quantize(D("0.001"))
        assert feed.send(feed.sequence, **{**CALM, "open_interest": interest}) is None


@pytest.mark.parametrize(("symbol", "name"), [it[:2] for it in SCALED])
@pytest.mark.parametrize("price", [100, 120])
def test_amount_of_the_exchange_when_a_mark_leaves_it_out_then_the_last_good_one_stays(symbol, name, price):
    other = "borrows" if name == "deposits" else "deposits"
    feed = Feed(symbol, volatility="0.5", **{name: 20_000})
    feed.send(1, **{name: 20_000_000})
    feed.send(2, price=101)
    in_force = feed.book.prices.marks[symbol]
    # facts of one price end with it
    assert (in_force.price, getattr(in_force, name), in_force.volatility) == (101, 20_000, None)
    # a jump of the price that is confirmed, another amount, and zero, which ends it
    for n in range(3, 6):
        feed.send(n, price=price)
    feed.send(6, price=price, **{other: 5})
    in_force = feed.book.prices.marks[symbol]
    assert (in_force.price, getattr(in_force, name), getattr(in_force, other)) == (price, 20_000, 5)
    assert [feed.send(n, price=price, **{name: 0}) for n in (7, 8, 9)] == [JUMP, JUMP, None]
    assert feed.send(10, price=price) is None
    assert getattr(feed.book.prices.marks[symbol], name) == 0


@pytest.mark.parametrize(("symbol", "name"), [it[:2] for it in SCALED])
def test_amount_of_the_exchange_when_it_is_first_said_of_a_symbol_with_a_price_then_a_jump_from_nothing(
    symbol, name
):
    feed = Feed(symbol)
    assert {feed.send(1 + D(n) / 10**9, **{name: 10**9}) for n in range(20)} == {JUMP}
    assert feed.send(2, **{name: 10_000}) is None  # it scales nothing yet
    # a symbol's very first mark has nothing to jump from, price or amount
    assert getattr(Feed(symbol, **{name: 10**9}).book.prices.marks[symbol], name) == 10**9
    # for good it is believed
    feed = Feed(symbol)
    assert [feed.send(n, **{name: 10**9}) for n in (1, 2, 3)] == [JUMP, JUMP, None]


def test_amount_of_the_exchange_when_a_worker_starts_then_the_saved_one_stays_and_jumps_are_told_from_it():
    feed = Feed(**CALM)
    saved = feed.book.prices.marks[SYMBOL]
    feed.book = MarkBook(POLICY)
    feed.book.prime(saved)
    assert feed.send(1) is None
    assert feed.book.prices.marks[SYMBOL].open_interest == 20_000
    assert feed.send(2, open_interest=0) is JUMP


def test_amounts_of_the_exchange_when_an_index_is_replaced_by_its_second_source_then_they_stay():
    policy = sample(
        (
            f'index = "{INDEX}"',
            f'index = "{INDEX}"\nborrow_scale_start = 1e6\nsecond_source = {{ redemption = 100 }}',
        )
    )
    book = MarkBook(policy)
    offered(book, Mark(INDEX, D(100), 1, 0, borrows=D(7)), 0)
    offered(book, Mark(INDEX, D("93.9"), 2, 1), 1)
    in_force = book.prices.marks[INDEX]
    assert (in_force.price, in_force.borrows) == (D("93.9"), 7)
    assert book.prices.doubt(INDEX) is not None


def test_fact_when_it_is_left_out_in_between_then_its_jump_is_one_still():
    feed = Feed(**CALM)
    assert feed.send(1) is None
    assert feed.send(2, volatility=8) is JUMP


def test_fact_when_it_walks_away_in_small_steps_within_a_moment_then_held_as_a_price_is():
    feed = Feed(**CALM)
    codes = [feed.send(D(n) / 10**9, volatility=D("0.5") * D("1.4") ** n) for n in range(1, 9)]
    assert codes == [None] + [JUMP] * 6 + [RANGE] if codes[-1] is RANGE else [None] + [JUMP] * 7


def test_realisable_share_when_none_was_stated_then_the_first_is_a_jump_from_all_of_it_and_held_until_another():
    feed = Feed()
    assert feed.send(1, realisable_share="0.8") is None
    assert {feed.send(1 + D(n) / 10**9, realisable_share=0) for n in range(1, 20)} == {JUMP}
    assert feed.send(2) is None
    assert feed.book.prices.marks[SYMBOL].realisable_share == D("0.8")
    assert [feed.send(n, realisable_share=0) for n in (3, 4, 5)] == [JUMP, JUMP, None]
    assert feed.send(6) is None
    assert feed.book.prices.marks[SYMBOL].realisable_share == 0
    # where the policy counts every profit whole, no price waits for it
    other = Feed("BTC-DEC") if "BTC-DEC" in POLICY.price_symbols else Feed(INDEX)
    assert [other.send(n, realisable_share=n % 2) for n in (1, 2, 3)] == [None] * 3


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
            {"open_interest": D(10) ** 16},
            {"deposits": D(10) ** 19},
            {"borrows": D(10) ** 19},
            {"potential_deposits": D(10) ** 19},
            {"realisable_share": D("1.1")},
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


HAIRS = {
    "volatility": (D("0.5"), D("0.75")),
    "funding_rate": (D("0.01"), D("0.02")),
    "average_price": (D(2), D("2.2")),
    "confidence": (D("0.4"), D("0.9")),
    "realisable_share": (D("0.4"), D("0.6")),
    "open_interest": (D(4), D(6)),
    **dict.fromkeys(("deposits", "borrows", "potential_deposits"), (D(4), D("4.4"))),
}
"""Of each fact a last value, and the bound of what is no jump from it."""


@given(st.sampled_from(FACTS), st.integers(-3, 3), st.integers(9, 17))
def test_float_bounds_when_a_fact_lies_a_hair_from_a_bound_then_the_exact_checks_agree(name, off, digits):
    last, bound = HAIRS[name]
    value = bound + off * D(10) ** -digits
    if FloatBounds(CHECK).holds(name, float(value), float(last), float(last), 2.0):
        assert near_fact(name, value, last, CHECK)
