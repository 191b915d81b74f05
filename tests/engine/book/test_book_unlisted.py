"""What an account has of what left the policy: judged by the rest, degraded if it holds any, as the plain book does it."""

from decimal import Decimal

import pytest
from msgspec.structs import replace

from engine.book.account_book import drained
from engine.book.columnar_book import ColumnarBook
from engine.book.plain_book import PlainBook
from engine.events.effects import AccountRisk, EventType
from engine.events.pools import CROSS
from engine.ladder import Band, LadderState
from engine.ladder.states import Controls
from engine.ledger.accounts import IsolatedPosition, OpenOrder, Position, encode
from engine.policy.rules.breaker_rules import BreakerRules
from tests.support.builders import account, mark, prices, sample
from tests.support.instants import singly

D = Decimal
POLICY = sample()
GONE = "GONE-PERP"
HELD = Position(D(1), D(100))
BOOKS = [PlainBook, ColumnarBook]

HARMLESS = {
    "leverage": {"leverage": {GONE: D(2)}},
    "order": {"orders": {"1": OpenOrder(GONE, D(1), D(100))}},
    "isolated order": {"orders": {"1": OpenOrder(GONE, D(1), D(100), isolated=True)}},
    "pledge": {"collateral_off": ("GONE",)},
}
HELD_STILL = {
    "asset": {"balances": {"GONE": D(1), "USD": D(50)}},
    "position": {"positions": {GONE: HELD, "BTC-PERP": Position(D(2), D(200))}},
    "leg": {"positions": {f"{GONE}|long": HELD, "BTC-PERP": Position(D(2), D(200))}},
    "isolated": {"isolated": {GONE: IsolatedPosition(HELD, D(10))}},
    "isolated margin": {"isolated": {GONE: IsolatedPosition(Position(D(0), D(0)), D(10))}},
}


def loaded(book_type, how, *states, risks=None, policy=POLICY):
    book = book_type(policy)
    if how == "load":
        book.load([encode(it) for it in states], risks or {})
    else:
        for state in states:
            book.put(state, (risks or {}).get(state.account))
    fresh = prices(dict.fromkeys(POLICY.price_symbols, 100) | {"USDT-USD": 1})
    book.prime(list(fresh.marks.values()), fresh)
    return book, drained(book.judge_all())


def of(fields, name="b"):
    return replace(account({"USD": 50}, {"BTC-PERP": (2, 100)}, name=name), **fields)


def other(name="a"):
    return account({"USD": 50}, {"BTC-PERP": (2, 100)}, name=name)


@pytest.mark.parametrize("how", ["load", "put"])
@pytest.mark.parametrize("book_type", BOOKS)
@pytest.mark.parametrize("what", HARMLESS)
def test_account_when_it_holds_nothing_of_what_left_the_policy_then_nothing_happens(book_type, how, what):
    book, said = loaded(book_type, how, other(), of(HARMLESS[what]))
    assert (said, book.failures) == ([], [])
    fallen = drained(book.on_instants(singly([mark("BTC-PERP", 78, 2)])))
    # 50 + 2 * (78 - 100) = 6 against 7.8
    assert [(it.risk.account, it.risk.pools[CROSS].band) for it in fallen] == [
        ("a", Band.LIQUIDATION),
        ("b", Band.LIQUIDATION),
    ]
    assert book.state("b") == of(HARMLESS[what])


@pytest.mark.parametrize("how", ["load", "put"])
@pytest.mark.parametrize("book_type", BOOKS)
@pytest.mark.parametrize("what", HELD_STILL)
def test_account_when_it_holds_what_left_the_policy_then_it_alone_is_degraded_and_locked(
    book_type, how, what
):
    book, said = loaded(book_type, how, other(), of(HELD_STILL[what]))
    (judgement,) = said
    assert judgement.risk.account == "b"
    assert EventType.DEGRADED in {it.type for it in judgement.events}
    state = judgement.risk.pools[CROSS]
    assert (state.degraded, state.controls) == (True, Controls.LOCKED)
    assert (book.state("b"), book.failures) == (of(HELD_STILL[what]), [])
    totals = book.totals(())
    assert (totals.accounts_degraded, totals.accounts_stopped) == (1, 0)
    fallen = drained(book.on_instants(singly([mark("BTC-PERP", 78, 2)])))
    # the other is liquidated; of this one nobody knows, so it is not
    assert {it.risk.account: it.risk.pools[CROSS].band for it in fallen} == {
        "a": Band.LIQUIDATION,
        "b": Band.REDUCE_ONLY,
    }
    while book.reasons_due:
        assert book.reasons(1)


@pytest.mark.parametrize("book_type", BOOKS)
def test_account_when_it_holds_it_no_more_then_it_recovers(book_type):
    book, _ = loaded(book_type, "put", of(HELD_STILL["position"]))
    book.put(of({}))
    (judgement,) = drained(book.judge(["b"]))
    assert judgement.events[0].type is EventType.RECOVERED
    assert book.totals(()).accounts_degraded == 0


@pytest.mark.parametrize("book_type", BOOKS)
def test_pool_when_its_contract_left_the_policy_then_it_stays_as_it_was_said(book_type):
    """An isolated position in liquidation, of which a plan was due: nothing can be planned, and nobody says that it ended."""
    risk = AccountRisk("b", {GONE: LadderState(Band.LIQUIDATION, episode_id="b/x/1", plan_due=True)})
    book, _ = loaded(book_type, "load", of(HELD_STILL["isolated"]), risks={"b": risk})
    assert book.risk("b").pools[GONE] == risk.pools[GONE]
    assert book.reasons(10) == []
    list(book.look_at_unpaid(10))
    assert book.failures == []


def test_books_when_a_breaker_counts_what_is_at_stake_then_what_left_the_policy_is_not_counted():
    for book_type in BOOKS:
        armed = replace(POLICY, breaker=BreakerRules())
        book, _ = loaded(book_type, "put", other(), of(HELD_STILL["asset"]), policy=armed)
        book.breaker.pass_time(0, book.prices_now, anew=True)
        assert book.whole().accounts == 2
