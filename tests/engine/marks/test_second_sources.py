"""An index held against a second source: what is in force, how wide the doubt is, when it begins and ends."""

import itertools
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.marks.doubts import Doubt
from engine.marks.instants import MarksRecord
from engine.marks.mark_book import MarkBook
from engine.marks.notices import NoticeKind
from engine.policy import PolicyError
from engine.rejections import RejectionCode
from tests.support.builders import mark, sample, seconds

D = Decimal
INDEX, OTHER = "USDT-USD", "USDT-ORACLE"
DIVERGED, AGREES = NoticeKind.SECOND_SOURCE_DIVERGED, NoticeKind.SECOND_SOURCE_AGREES


def policy(rule='symbol = "USDT-ORACLE"', **more):
    """The sample policy, USDT held against another source; prices may jump as they like."""
    lines = [rule, "divergence_max = 0.05", *(f"{name} = {value!r}" for name, value in more.items())]
    return sample(
        ("[assets.USDT]\n", "[assets.USDT]\nsecond_source = { " + ", ".join(lines) + " }\n"),
        ("jump_fraction = 0.1", "jump_fraction = 100"),
    )


class Desk:
    def __init__(self, made):
        self.book, self.sequence = MarkBook(made), 0

    def at(self, at, refused=0, **prices):
        """One record: `index` and `other` by their prices; the instant it becomes."""
        self.sequence += 1
        names = {"index": INDEX, "other": OTHER, "btc": "BTC-PERP"}
        marks = tuple(mark(names[name], price, self.sequence, at) for name, price in prices.items())
        instant, why = self.book.accept(MarksRecord(marks), seconds(at))
        assert len(why) == refused
        return instant

    @property
    def in_force(self):
        return self.book.prices.marks[INDEX].price

    def kinds(self):
        return [it.kind for it in self.book.take_notices()]


@pytest.mark.parametrize(
    ("when", "in_force", "haircut"),
    [
        ("lower", "0.65", "0.54"),
        ("higher", "1", "0.35"),
        ("reference", "1", "0.35"),
        ("mark", "0.65", "0.54"),
    ],
)
def test_second_source_when_an_index_depegs_then_the_policys_price_is_in_force_and_doubt_spans_to_the_other(
    when, in_force, haircut
):
    desk = Desk(policy(when_divergent=when))
    assert desk.at(0, index=1, other=1).doubts is None
    instant = desk.at(1, index="0.65")
    assert instant.doubts == desk.book.prices.sourced == {INDEX: Doubt(D(haircut))}
    assert [(it.symbol, it.price) for it in instant.marks] == [(INDEX, D(in_force))]
    assert desk.in_force == D(in_force)
    standing = desk.book.standings[INDEX]
    assert (standing.quoted, standing.other, standing.in_force) == (D("0.65"), D(1), D(in_force))
    for price in (standing.quoted, standing.other):
        assert D(in_force) * (1 - D(haircut)) <= price <= D(in_force) * (1 + D(haircut))
    assert desk.kinds() == [DIVERGED]


def test_second_source_when_the_reference_moves_alone_then_the_index_in_force_moves_with_it():
    desk = Desk(policy(when_divergent="reference"))
    desk.at(0, index="0.65", other="0.66")
    instant = desk.at(1, other=1)
    assert {it.symbol: it.price for it in instant.marks} == {OTHER: D(1), INDEX: D(1)}
    assert instant.doubts == {INDEX: Doubt(D("0.35"))}
    # again: nothing of the index has changed
    assert [it.symbol for it in desk.at(2, other=1).marks] == [OTHER]
    assert desk.at(3, btc=50_000).doubts is None


def test_second_source_when_marks_of_a_record_are_permuted_then_nothing_changes():
    prices = {"index": "0.65", "other": "0.9", "btc": 50_000}
    told = set()
    for order in itertools.permutations(prices):
        desk = Desk(policy())
        desk.at(0, index="0.9", other="0.9", btc=50_000)
        instant = desk.at(1, **{name: prices[name] for name in order})
        told.add((frozenset(instant.marks), msgspec.json.encode(instant.doubts), desk.in_force))
    assert len(told) == 1


def test_second_source_when_both_fall_together_then_nothing_diverges():
    desk = Desk(policy())
    desk.at(0, index=1, other=1)
    assert desk.at(1, index="0.6", other="0.61").doubts is None
    assert (desk.in_force, desk.kinds()) == (D("0.6"), [])


@pytest.mark.parametrize(
    ("quoted", "doubted"), [("0.95", False), ("1.05", False), ("0.949999", True), ("1.06", True)]
)
def test_second_source_when_exactly_at_the_largest_divergence_then_no_doubt(quoted, doubted):
    desk = Desk(policy("redemption = 1.0"))
    desk.at(0, index=1)
    assert (desk.at(1, index=quoted).doubts is not None) is doubted


@pytest.mark.parametrize(
    ("quoted", "in_force"), [("1.5", "1.5"), ("0.94", "0.94"), ("0.93", "0.98"), ("0.2", "0.98")]
)
def test_second_source_when_it_is_a_floor_then_only_prices_below_it_diverge(quoted, in_force):
    desk = Desk(policy("floor = 0.98", when_divergent="higher"))
    desk.at(0, index=1)
    desk.at(1, index=quoted)
    assert (desk.in_force, bool(desk.book.prices.sourced)) == (D(in_force), in_force != quoted)


def test_second_source_when_they_agree_again_then_doubt_ends_after_the_hold_and_once():
    desk = Desk(policy("redemption = 1.0"))
    desk.at(0, index=1)
    desk.at(1, index="0.65")
    desk.at(10, index=1)
    assert desk.book.prices.sourced
    desk.at(20, index="0.9")  # and not yet: the hold begins anew
    desk.at(21, index=1)
    desk.at(50, index=1)
    assert desk.book.prices.sourced
    instant = desk.at("51", btc=50_000)  # time passes by any mark
    assert instant.doubts == {} == desk.book.prices.sourced
    assert desk.kinds() == [DIVERGED, AGREES]
    assert desk.at(52, index=1).doubts is None


def test_second_source_when_the_divergence_wobbles_then_its_width_is_told_in_steps():
    desk = Desk(policy("redemption = 1.0"))
    desk.at(0, index=1)
    told = [desk.at(n, index=D("0.65") + D(n % 7) / 10_000).doubts for n in range(1, 100)]
    assert sum(it is not None for it in told) <= 2
    assert desk.at(100, index="0.4").doubts == {INDEX: Doubt(D("1.5"))}
    assert desk.at(101, index="0.8").doubts == {INDEX: Doubt(D("0.25"))}


def test_second_source_when_the_reference_falls_silent_then_it_begins_no_doubt_and_its_doubt_ends():
    desk = Desk(policy())
    desk.at(0, index=1, other=1)
    assert desk.at(20, index="0.65").doubts is None  # the reference is stale after 10 s
    desk = Desk(policy())
    desk.at(0, index=1, other=1)
    desk.at(1, index="0.65")
    for at in range(2, 41, 3):
        desk.at(at, index="0.65")
    assert desk.book.prices.sourced
    desk.at(44, index="0.65")
    assert (desk.book.prices.sourced, desk.in_force) == ({}, D("0.65"))


def test_second_source_when_the_reference_was_never_seen_then_the_index_is_believed():
    desk = Desk(policy())
    assert desk.at(0, index="0.65").doubts is None
    assert desk.in_force == D("0.65")


def test_second_source_when_a_first_mark_is_far_from_it_then_it_is_confirmed_first_whatever_the_order():
    for names in (("index", "other"), ("other", "index")):
        desk = Desk(policy())
        instant = desk.at(0, refused=1, **{name: {"index": "0.65", "other": 1}[name] for name in names})
        assert [it.symbol for it in instant.marks] == [OTHER]
        assert desk.at(1, refused=1, index="0.66") is None
        assert desk.at(2, index="0.65").doubts
    book = MarkBook(policy("redemption = 1.0"))
    _, (why,) = book.accept(MarksRecord((mark(INDEX, 2, 1),)), 0)
    assert why.code is RejectionCode.REFERENCE_UNCONFIRMED


def test_second_source_when_a_worker_restarts_then_saved_marks_lead_to_the_same_doubt():
    before = Desk(policy())
    before.at(0, index=1, other=1)
    before.at(1, index="0.65")
    after = MarkBook(policy())
    for saved in before.book.prices.marks.values():
        after.prime(saved)
    assert after.prices.sourced == before.book.prices.sourced


def test_second_source_when_the_price_in_force_is_another_then_jumps_are_measured_by_what_was_quoted():
    made = sample(
        (
            "[assets.USDT]\n",
            '[assets.USDT]\nsecond_source = { redemption = 1.0, when_divergent = "reference" }\n',
        )
    )
    book = MarkBook(made)
    for n, price in enumerate((1, "0.65", "0.65", "0.65", "0.66", "0.62")):
        book.accept(MarksRecord((mark(INDEX, price, n + 1, n),)), seconds(n))
    assert book.prices.marks[INDEX] == mark(INDEX, 1, 6, 5)
    assert book.standings[INDEX].quoted == D("0.62")


@given(st.lists(st.tuples(st.sampled_from(["0.2", "0.65", "0.93", "0.96", "1", "1.04", "1.2", "3"]),
                          st.sampled_from(["0.5", "1", "1.1"]), st.integers(0, 40)), max_size=30),
       st.sampled_from(["lower", "higher", "reference", "mark"]))  # fmt: skip
def test_second_source_when_anything_comes_then_doubt_spans_both_sources_and_instants_tell_every_change(
    stream, when
):
    desk = Desk(policy(when_divergent=when))
    desk.at(0, index=1, other=1)
    at, told = 0, {}
    for quoted, other, later in stream:
        at += later
        instant = desk.at(at, index=quoted, other=other)
        told = told if instant.doubts is None else instant.doubts
        assert told == desk.book.prices.sourced
        in_force = desk.in_force
        assert in_force in {D(quoted), D(other)}
        if abs(D(quoted) / D(other) - 1) > D("0.05"):
            haircut = told[INDEX].haircut
            assert all(abs(D(it) / in_force - 1) <= haircut for it in (quoted, other))
            assert haircut % D("0.01") == 0
        else:
            assert INDEX in told or in_force == D(quoted)
        assert {it.symbol: it for it in instant.marks} == {
            symbol: it for symbol, it in desk.book.prices.marks.items() if symbol != "BTC-PERP"
        }


@pytest.mark.parametrize(
    ("rule", "key"),
    [
        ('redemption = 1.0, symbol = "BTC-USD"', "assets.USDT.second_source"), ("", "assets.USDT.second_source"),
        ('symbol = "USDT-USD"', "assets.USDT.second_source.symbol"), ("floor = 0.0", "assets.USDT.second_source.floor"),
        ("redemption = 1.0, divergence_max = 1.0", "divergence_max"), ("redemption = 1.0, heal_seconds = -1", "heal_seconds"),
        ('redemption = 1.0, when_divergent = "median"', "when_divergent"),
    ],
)  # fmt: skip
def test_second_source_when_its_rule_is_broken_then_the_policy_is_refused_by_its_key(rule, key):
    with pytest.raises(PolicyError, match=key):
        sample(("[assets.USDT]\n", f"[assets.USDT]\nsecond_source = {{ {rule} }}\n"))


def test_second_source_when_the_currency_or_a_shared_index_has_one_then_the_policy_is_refused():
    rule = "second_source = { redemption = 1.0 }\n"
    with pytest.raises(PolicyError, match="needs an index"):
        sample(("[assets.USD]\n", f"[assets.USD]\n{rule}"))
    twice = f'[assets.USDX]\nindex = "USDT-USD"\n{rule}[assets.USDT]\n{rule}'
    with pytest.raises(PolicyError, match="has one already"):
        sample(("[assets.USDT]\n", twice))


def test_second_source_when_its_symbol_is_priced_by_nothing_else_then_the_engine_listens_to_it():
    assert OTHER in policy().price_symbols
