"""The engine fails on one account: it is set apart, and everybody else is judged as if nothing had been."""

from decimal import Decimal, InvalidOperation

import pytest
from msgspec.structs import replace

from engine.book import columnar_book, hearing, kernels, plain_book, reasons_queue
from engine.book.account_book import drained
from engine.book.columnar_book import ColumnarBook
from engine.book.plain_book import PlainBook
from engine.events.pools import CROSS
from engine.inputs import Topic
from engine.ladder import Band
from engine.ledger.accounts import Stop, encode
from engine.ledger.applying import with_progress
from engine.policy.rules.breaker_rules import BreakerRules
from engine.rejections import RejectionCode
from tests.support.builders import account, mark, prices, sample
from tests.support.instants import singly

D = Decimal
POLICY = sample()
BOOKS = [PlainBook, ColumnarBook]
NAMES = ["a", "b", "c", "d"]
GUILTY = "b"
PLANTED = InvalidOperation("planted")


def long(name):
    """2 contracts bought at 100: at 78 it has 6 against 7.8."""
    return account({"USD": 50}, {"BTC-PERP": (2, 100)}, name=name)


def filled(book_type, names=NAMES, policy=POLICY):
    book = book_type(policy)
    book.put_all([long(name) for name in names])
    fresh = prices(dict.fromkeys(policy.price_symbols, 100) | {"USDT-USD": 1, "BTC-USD": 30_000})
    book.prime(list(fresh.marks.values()), fresh)
    assert drained(book.judge_all()) == []
    return book


def fall(book, price=78, number=2):
    return drained(book.on_instants(singly([mark("BTC-PERP", price, number)])))


def plant(monkeypatch, module, name, guilty=GUILTY, error=PLANTED):
    sound = getattr(module, name)

    def faulty(state, *rest, **options):
        if state.account == guilty:
            raise error
        return sound(state, *rest, **options)

    monkeypatch.setattr(module, name, faulty)


def bands(book):
    return {name: book.risk(name).pools[CROSS].band for name in book.accounts() if book.risk(name).pools}


def check_apart(book, name=GUILTY):
    (failure,) = book.failures
    assert failure.state.account == name
    assert not failure.state.unjudged
    state = book.state(name)
    assert state.unjudged
    assert state.fills.stop == Stop(RejectionCode.ENGINE_ERROR, failure.state.fills.offset, unjudged=True)
    assert (state.balances, state.positions) == (failure.state.balances, failure.state.positions)


@pytest.mark.parametrize("book_type", BOOKS)
def test_instant_when_judging_one_account_raises_then_it_is_set_apart_and_all_others_are_judged(
    monkeypatch, book_type
):
    book = filled(book_type)
    module = plain_book if book_type is PlainBook else columnar_book
    plant(monkeypatch, module, "judge")
    said = fall(book)
    assert [it.risk.account for it in said] == ["a", "c", "d"]
    assert bands(book) == dict.fromkeys(["a", "c", "d"], Band.LIQUIDATION)
    check_apart(book)
    book.failures.clear()
    # nobody asks again
    assert fall(book, 40, 3)
    assert book.failures == []
    assert book.totals(()).accounts_stopped == 1
    assert book.totals(()).equity == pytest.approx(3 * (50 - 120))


@pytest.mark.parametrize("book_type", BOOKS)
def test_account_when_it_is_resumed_in_both_topics_then_it_is_judged_again(monkeypatch, book_type):
    book = filled(book_type)
    module = plain_book if book_type is PlainBook else columnar_book
    with monkeypatch.context() as planted:
        plant(planted, module, "judge")
        fall(book)
    state = book.state(GUILTY)
    for topic, progress in ((Topic.FILLS, state.fills), (Topic.LEDGER, state.ledger)):
        assert drained(book.judge([GUILTY])) == []
        state = with_progress(state, topic, replace(progress, stop=None))
        book.put(state)
    (judgement,) = drained(book.judge([GUILTY]))
    assert judgement.risk.pools[CROSS].band is Band.LIQUIDATION
    assert book.totals(()).equity == pytest.approx(4 * 6)


@pytest.mark.parametrize("book_type", BOOKS)
def test_reasons_when_a_plan_raises_then_its_account_is_set_apart_and_all_other_plans_are_said(
    monkeypatch, book_type
):
    book = filled(book_type)
    fall(book)
    plant(monkeypatch, reasons_queue, "reasons")
    said = []
    while book.reasons_due:
        said += book.reasons(1)
    assert {it.risk.account for it in said} == {"a", "c", "d"}
    check_apart(book)


@pytest.mark.parametrize("book_type", BOOKS)
@pytest.mark.parametrize("name", ["worst_by_figures", "pool_figures"])
def test_count_or_order_when_one_account_raises_then_it_is_set_apart(monkeypatch, book_type, name):
    policy = sample(("[ladder]", "[pool]\nliquidation_fee_rate = 0.001\n\n[ladder]"))  # nobody is expressible
    book = filled(book_type, policy=policy)
    plant(monkeypatch, plain_book if book_type is PlainBook else columnar_book, name)
    said = fall(book)
    book.put(long("e"))
    book.totals([D(1)])
    list(book.totals_in_parts([D(1)]))
    expected = ["a", "c", "d"] if name == "worst_by_figures" else NAMES
    assert [it.risk.account for it in said] == expected
    check_apart(book)


@pytest.mark.parametrize("book_type", BOOKS)
def test_breaker_when_what_is_at_stake_of_one_raises_then_the_others_open_it(monkeypatch, book_type):
    book = filled(book_type, policy=replace(POLICY, breaker=BreakerRules(accounts_min=2)))
    sound = hearing._Hearing._staked

    def faulty(self, key, state, pools):
        if state.account == GUILTY:
            raise OverflowError
        return sound(self, key, state, pools)

    monkeypatch.setattr(hearing._Hearing, "_staked", faulty)
    said = fall(book)
    assert book.breaker.hold is not None
    assert {it.risk.account for it in said} >= {"a", "c", "d"}
    check_apart(book)


def test_put_when_encoding_one_of_a_block_raises_then_the_others_are_taken(monkeypatch):
    book = ColumnarBook(POLICY)
    sound = book._encoder.encode

    def faulty(state, *rest, **options):
        if state.account == GUILTY and state.positions:
            raise KeyError("planted")
        return sound(state, *rest, **options)

    monkeypatch.setattr(book._encoder, "encode", faulty)
    book.load([encode(long(name)) for name in NAMES[:3]], {})
    book.put_all([long(name) for name in NAMES[3:]])
    check_apart(book)
    assert list(book.accounts()) == NAMES
    fresh = prices(dict.fromkeys(POLICY.price_symbols, 100))
    book.prime(list(fresh.marks.values()), fresh)
    drained(book.judge_all())
    assert [it.risk.account for it in fall(book)] == ["a", "c", "d"]


@pytest.mark.parametrize("name", ["settle", "walk", "review"])
def test_block_when_compiled_code_raises_then_the_guilty_account_is_found_alone(monkeypatch, name):
    book = filled(ColumnarBook)
    guilty = book._number(GUILTY)

    def present():
        return guilty not in book._apart

    def raising(sound, concerns):
        def faulty(*arguments):
            if present() and concerns(*arguments):
                raise ZeroDivisionError
            return sound(*arguments)

        return faulty

    concerned = raising(kernels.settle, lambda _, numbers, __: guilty in numbers.tolist())
    monkeypatch.setattr(kernels, "settle", concerned)
    if name == "settle":
        book.put_all([long(it) for it in NAMES])
        said = fall(book)
    elif name == "walk":
        monkeypatch.setattr(kernels, "walk", raising(kernels.walk, lambda *_: True))
        said = fall(book)
    else:
        monkeypatch.setattr(kernels, "review", raising(kernels.review, lambda *_: True))
        fresh = prices(dict.fromkeys(POLICY.price_symbols, 78) | {"USDT-USD": 1})
        book.prime(list(fresh.marks.values()), fresh)
        said = drained(book.judge_all())
    assert [it.risk.account for it in said] == ["a", "c", "d"]
    check_apart(book)


def test_block_when_it_raises_for_nobody_in_particular_then_it_raises(monkeypatch):
    book = filled(ColumnarBook)

    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(kernels, "walk", broken)
    with pytest.raises(ZeroDivisionError):
        fall(book)
