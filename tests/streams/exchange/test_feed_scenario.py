"""The synthetic crash: the same every time, as deep as said, and believed by the mark book except its bad ticks."""

import time
from collections import Counter
from decimal import Decimal
from itertools import pairwise

import pytest

from engine.inputs import Mark
from engine.marks.mark_book import NANOSECONDS, MarkBook
from engine.policy import Policy
from engine.rejections import Rejection, RejectionCode
from streams.config.settings import load_policy
from streams.exchange.feed_errors import FeedError
from streams.exchange.market.scenario import FeedMark, SyntheticCrash
from tests.support.instants import offered as accepted_one


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load_policy(None)


def crash(
    policy: Policy, seed: int = 1, seconds: float = 60, ticks_per_second: float = 100
) -> SyntheticCrash:
    return SyntheticCrash(policy, seed=seed, seconds=seconds, ticks_per_second=ticks_per_second)


def started_book(policy: Policy, scenario: SyntheticCrash) -> MarkBook:
    book = MarkBook(policy)
    for symbol, price in scenario.start_prices.items():
        accepted_one(book, Mark(symbol, price, 0, 0), 0)
    return book


def accepted(book: MarkBook, mark: FeedMark) -> RejectionCode | None:
    at_ns = int(mark.at_seconds * NANOSECONDS)
    verdict = accepted_one(book, Mark(mark.symbol, mark.price, mark.sequence, at_ns), at_ns)
    return verdict.code if isinstance(verdict, Rejection) else None


def test_marks_when_made_again_then_are_the_same(policy: Policy) -> None:
    assert list(crash(policy)) == list(crash(policy))
    assert list(crash(policy)) != list(crash(policy, seed=2))


@pytest.mark.parametrize("ticks_per_second", [10, 100, 2_000])
@pytest.mark.parametrize("seed", [1, 2])
def test_marks_when_offered_to_the_mark_book_then_only_the_bad_ticks_are_refused(
    policy: Policy, ticks_per_second: float, seed: int
) -> None:
    scenario = crash(policy, seed, ticks_per_second=ticks_per_second)
    book = started_book(policy, scenario)
    codes: Counter[RejectionCode | None] = Counter()
    for mark in scenario:
        code = accepted(book, mark)
        assert (code is None) is mark.believable
        codes[code] += 1
        assert not book.prices.stale
    assert codes[None] >= 0.99 * codes.total()
    refused = {RejectionCode.JUMP_UNCONFIRMED, RejectionCode.OLD_SEQUENCE, RejectionCode.NOT_POSITIVE}
    assert set(codes) == {None, *refused}
    assert len({codes[code] for code in refused}) == 1


def test_marks_then_come_in_order_of_time_and_sequence(policy: Policy) -> None:
    marks = list(crash(policy))
    assert all(a.at_seconds <= b.at_seconds for a, b in pairwise(marks))
    assert marks[-1].at_seconds < 60
    for symbol in policy.price_symbols:
        sequences = [mark.sequence for mark in marks if mark.symbol == symbol and mark.believable]
        assert all(a < b for a, b in pairwise(sequences))


def test_marks_then_never_leave_a_symbol_stale(policy: Policy) -> None:
    last_seen = dict.fromkeys(policy.price_symbols, 0.0)
    for mark in crash(policy, ticks_per_second=10):
        if mark.believable:
            assert mark.at_seconds - last_seen[mark.symbol] < 10
            last_seen[mark.symbol] = mark.at_seconds


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_prices_then_are_calm_fall_by_their_measure_and_rebound_in_part(policy: Policy, seed: int) -> None:
    scenario = crash(policy, seed)
    lows = dict(scenario.start_prices)
    calm_lows, last = dict(lows), dict(lows)
    for mark in scenario:
        if mark.believable:
            lows[mark.symbol] = min(lows[mark.symbol], mark.price)
            last[mark.symbol] = mark.price
            if mark.at_seconds < 0.3 * 60:
                calm_lows[mark.symbol] = min(calm_lows[mark.symbol], mark.price)
    fallen = {symbol: 1 - lows[symbol] / price for symbol, price in scenario.start_prices.items()}
    assert all(calm_lows[s] > Decimal("0.96") * price for s, price in scenario.start_prices.items())
    assert Decimal("0.13") < fallen["BTC-USD"] < Decimal("0.18")
    assert abs(fallen["BTC-USDT-PERP"] - fallen["BTC-USD"]) < Decimal("0.01")
    assert Decimal("0.003") < fallen["USDT-USD"] < Decimal("0.015")
    others = [f for symbol, f in fallen.items() if not symbol.startswith(("BTC", "USDT-USD"))]
    assert all(Decimal("0.17") < f < Decimal("0.5") for f in others)
    rebounded = [lows[s] < last[s] < price for s, price in scenario.start_prices.items()]
    assert all(rebounded)


def test_scenario_when_ticks_are_too_few_then_says_how_many_are_needed(policy: Policy) -> None:
    with pytest.raises(FeedError, match=r"1 ticks per second .* need at least 8"):
        crash(policy, ticks_per_second=1)


def test_scenario_then_makes_fifty_thousand_marks_a_second(policy: Policy) -> None:
    scenario = crash(policy, seconds=100, ticks_per_second=1_000)
    began = time.perf_counter()
    count = sum(1 for _ in scenario)
    assert count / (time.perf_counter() - began) > 50_000
