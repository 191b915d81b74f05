"""A market moves as one: all prices of an instant are set, then its holders are judged once, by both books alike."""

import random
from decimal import Decimal

import pytest
from msgspec.structs import replace

from engine.book.account_book import drained
from engine.book.columnar_book import ColumnarBook
from engine.book.plain_book import PlainBook
from engine.events.judgement import EXPLAINED_MAX, judge
from engine.events.pools import CROSS, pool_figures
from engine.inputs import Mark
from engine.ledger.accounts import AccountState, Position
from engine.marks.instants import InstantName, joined
from engine.marks.mark_book import NANOSECONDS, Prices
from tests.engine.book import box_policies as boxed
from tests.engine.book.book_twins import place
from tests.engine.book.box_policies import CASES, trader
from tests.engine.book.test_book_boxes import market, tick
from tests.support.instants import at as moment
from tests.support.instants import together

D = Decimal
BOOKS = [PlainBook, ColumnarBook]
HEDGED = AccountState(
    "hedged",
    {"USDT": D(4_000)},
    {"BTC-USDT-PERP": Position(D(2), D(120_000)), "ETH-USDT-PERP": Position(D(-40), D(-120_000))},
)
QUOTES = {"BTC-USDT-PERP": 60_000, "BTC-USD": 60_000, "ETH-USDT-PERP": 3_000, "ETH-USD": 3_000, "USDT-USD": 1}


def quoted(factor, sequence):
    """All quotes but the stablecoin's moved by a factor."""
    return [
        Mark(symbol, D(price) * (1 if symbol == "USDT-USD" else D(factor)), sequence, sequence * NANOSECONDS)
        for symbol, price in QUOTES.items()
    ]


@pytest.mark.parametrize("book_of", BOOKS)
@pytest.mark.parametrize("order", [1, -1])
def test_instant_when_a_hedged_account_falls_with_the_whole_market_then_nothing_is_said(
    default_policy, book_of, order
):
    book = book_of(default_policy)
    book.prime(quoted(1, 1), moment(NANOSECONDS, frozenset()))
    book.put(HEDGED)
    assert drained(book.judge_all()) == []
    before = pool_figures(
        HEDGED, CROSS, Prices({it.symbol: it for it in quoted(1, 1)}, frozenset()), default_policy
    )
    after = pool_figures(
        HEDGED, CROSS, Prices({it.symbol: it for it in quoted("0.95", 2)}, frozenset()), default_policy
    )
    # C = 4,000 * 0.99 both times; MM = 120,000 * 0.004 + 120,000 * 0.004 ... of what the legs are worth
    assert (round(before.ratio, 3), round(after.ratio, 3)) == (D("4.125"), D("4.342"))
    assert drained(book.on_instants([together(*quoted("0.95", 2)[::order])])) == []


@pytest.mark.parametrize("book_of", BOOKS)
def test_instant_when_only_one_leg_of_the_hedge_has_fallen_then_the_account_is_judged_at_that(
    default_policy, book_of
):
    book = book_of(default_policy)
    book.prime(quoted(1, 1), moment(NANOSECONDS, frozenset()))
    book.put(HEDGED)
    drained(book.judge_all())
    (judgement,) = drained(book.on_instants([together(quoted("0.95", 2)[0])]))
    assert judgement.events[-1].band == "bankrupt"
    assert judgement.events[-1].instant == InstantName(2 * NANOSECONDS)


@pytest.mark.timeout(120)
def test_instant_when_it_carries_marks_that_are_newer_than_its_name_and_a_timer_lies_between_then_the_walk_goes_on(
    default_policy,
):
    """As they come when a desk that is behind joins records of several partitions: the last gives the name, another has the newest time."""
    said = []
    for book_of in BOOKS:
        book = book_of(default_policy)
        book.prime(quoted(1, 1), moment(NANOSECONDS, frozenset()))
        book.put(AccountState("called", {"USDT": D(1_000)}, {"BTC-USDT-PERP": Position(D(1), D(60_000))}))
        # 1,000 - 700 = 300 of MM 237: a call, which has timers
        first = drained(book.on_instants([together(Mark("BTC-USDT-PERP", D(59_300), 2, 2 * NANOSECONDS))]))
        assert [it.risk.account for it in first] == ["called"]
        late = together(Mark("BTC-USDT-PERP", D(59_301), 3, 3_600 * NANOSECONDS))
        named = together(Mark("ETH-USDT-PERP", D(3_001), 3, 3 * NANOSECONDS))
        after = together(Mark("BTC-USDT-PERP", D(59_200), 4, 3_601 * NANOSECONDS))
        instants = [joined([late, named]), after]
        assert instants[0].name.time_ns < late.name.time_ns
        said.append([(it.risk, it.events) for it in drained(book.on_instants(instants))])

    assert said[0] == said[1]
    assert said[0], "an hour later there is something to say"


@pytest.mark.parametrize(("units", "pool"), CASES)
def test_instants_when_of_any_model_then_each_judges_its_holders_once_at_its_final_prices(units, pool):
    rng, policy = random.Random(f"instants {units} {pool}"), boxed.policy_of(units, pool)
    twins = market(policy, rng)
    crowd = [f"account-{i:02}" for i in range(8)]
    assert len(crowd) <= EXPLAINED_MAX
    for name in crowd:
        twins.put(replace(trader(rng, policy), account=name))
        place(twins, name, rng.choice(("1.7", "1.3", "1.1", "1.01")), D(0), relative=False)
    twins.judge(*crowd)
    said = 0
    for _ in range(40):
        twins.now_ns += rng.choice((0, NANOSECONDS, 20 * NANOSECONDS))
        moved = rng.sample(sorted(boxed.START), rng.randint(1, 5))
        marks = [
            tick(twins, symbol, D(rng.choice(("0.001", "-0.004", "0.03", "-0.05"))), rng) for symbol in moved
        ]
        instant = together(*marks)
        concerned = sorted(set().union(*(twins.plain._holders[symbol] for symbol in moved)))
        risks = {name: twins.plain.risk(name) for name in concerned}
        exactly = drained(twins.plain.on_instants([instant]))
        view = twins.plain._view.prices
        expected = []
        for name in concerned:
            of = twins.plain.state(name), risks[name], view, view.time_ns, policy, instant.name.time_ns
            # fewer than would be too many to explain
            expected.append(judge(*of))
        assert view.marks == {**view.marks, **{it.symbol: it for it in marks}}
        by_name = sorted(exactly, key=lambda it: it.risk.account)
        assert [it.risk for it in by_name] == [it.risk for it in expected if it.events]
        rng.shuffle(marks)
        assert drained(twins.fast.on_instants([together(*marks)])) == exactly
        said += len(exactly)
        twins.drain()
    assert said > 5


@pytest.mark.parametrize(("units", "pool"), CASES)
def test_instants_when_quotes_wait_beside_them_then_both_books_leave_the_same_accounts_as_they_stand(
    units, pool
):
    rng, policy = random.Random(f"waiting {units} {pool}"), boxed.policy_of(units, pool)
    twins = market(policy, rng)
    crowd = [f"account-{i:02}" for i in range(8)]
    for name in crowd:
        twins.put(replace(trader(rng, policy), account=name))
        place(twins, name, rng.choice(("1.7", "1.3", "1.1", "1.01")), D(0), relative=False)
    twins.judge(*crowd)
    left, waiting = 0, {}
    for _ in range(60):
        twins.now_ns += rng.choice((0, NANOSECONDS, 20 * NANOSECONDS))
        instants = []
        for _ in range(rng.randint(1, 3)):
            marks = [
                tick(twins, symbol, D(rng.choice(("0", "0.001", "-0.004", "0.03", "-0.05"))), rng)
                for symbol in rng.sample(sorted(boxed.START), rng.randint(1, 5))
            ]
            told = rng.random() < 0.5
            if told:
                far = rng.sample(sorted(boxed.START), rng.randint(0, 2))
                waiting = {
                    it: (twins.prices[it].price * D(rng.choice(("0.8", "1.3")))).quantize(D("1e-12"))
                    for it in far
                }
            instants.append(together(*marks)._replace(waiting=waiting if told else None))
        instants = [joined(instants)] if rng.random() < 0.2 else instants
        exactly = drained(twins.plain.on_instants(instants))
        assert drained(twins.fast.on_instants(instants)) == exactly
        view = twins.plain._view.prices
        assert view.waiting == waiting
        for name in crowd:
            known = twins.plain.state(name), twins.plain.risk(name)
            left += judge(*known, view, view.time_ns, policy).waits
        if rng.random() < 0.3:
            waiting = {}
            twins.on_clock(twins.stale, waiting=waiting)
        assert [twins.fast.risk(name) for name in crowd] == [twins.plain.risk(name) for name in crowd]
        twins.drain()
    assert left > 5, "hardly anybody was left"
