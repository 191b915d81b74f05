"""Timers that only compare what is missing with what was said: answered by the columns, with what the exact judge would leave."""

import random
from decimal import Decimal

import numpy as np
import pytest
from msgspec.structs import replace

from engine.book import kernels
from engine.book.encode import pools_of
from engine.events.pools import CROSS, WELL, pool_figures
from engine.inputs import Deposit
from engine.ladder import Band, exit_line
from engine.ledger.accounts import AccountState, Execution, IsolatedPosition, Position
from engine.marks.mark_book import Prices
from engine.numbers import exact
from engine.policy import parse
from tests.engine.book.book_twins import Twins, place
from tests.engine.book.test_book_equivalence import PERPS, POLICY, START
from tests.support.builders import account, seconds

D = Decimal
CHECKS = """update_check_seconds = 5
update_seconds = 60
update_shortfall_change = 0.25
exit_hold_seconds = 7
call_deadline_seconds = 90
[liquidation]
replan_seconds = 5
stuck_seconds = 40
"""
RULES = parse(POLICY.format(ladder=CHECKS))
LINES = ("1.5", "1.2", "1.05", "1", "0.6", "0")
BAND_OF = {"1.4": Band.WARNING, "1.1": Band.MARGIN_CALL, "1.02": Band.REDUCE_ONLY, "0.8": Band.LIQUIDATION}


def crowd(rng: random.Random, accounts: int) -> Twins:
    """Accounts of many kinds, in all bands, each judged."""
    twins = Twins(RULES, START)
    for number in range(accounts):
        name, isolated = f"account-{number}", {}
        held = {
            symbol: Position(quantity, quantity * START[symbol] * (10 if symbol == "B-PERP" else 1))
            for symbol in rng.sample(PERPS[:3], rng.randint(1, 3))
            if (quantity := D(rng.choice((-30, -3, -1, 1, 2, 20))))
        }
        if rng.random() < 0.4:
            isolated = {"A-PERP": IsolatedPosition(Position(D(3), D(300)), D(rng.randint(-4, 9)))}
            held.pop("A-PERP", None)
        asset, owed = rng.choice(("USDT", "BTC", "JUNK")), D(rng.choice((-4, -2, 3, 5)))
        twins.put(AccountState(name, {"USD": D(3_000), asset: owed}, held, isolated))
        place(twins, name, rng.choice(LINES), D(rng.choice(("0.03", "-0.02"))), relative=True)
        twins.judge(name)
    return twins


def standing(line: str) -> Twins:
    """One account of two pools with something missing: 20 A-PERP at 100, so MM = 0.05 * 2,000 - 40 = 60."""
    twins = Twins(RULES, START)
    twins.put(account({"USD": D(line) * 60}, {"A-PERP": (20, 100)}, {"C-PERP": (1, 50, 20)}))
    twins.judge("alice")
    twins.say_reasons()
    assert twins.fast.risk("alice").pools[CROSS].band is BAND_OF[line]
    return twins


def asked(twins: Twins, after_seconds: int) -> int:
    """Exact judgements at the clock, so many seconds later."""
    before = twins.fast.exact
    twins.now_ns += seconds(after_seconds)
    twins.on_clock(())
    return twins.fast.exact - before


@pytest.mark.parametrize("seed", range(6))
def test_missing_when_accounts_stand_anywhere_then_exact_shortfalls_lie_between_the_ends(seed):
    twins = crowd(random.Random(seed), 12)
    book, lacking = twins.fast, 0
    for number, name in enumerate(book._roster.names()):
        state, risk = twins.state(name), book.risk(name)
        pools = pools_of(state, risk)
        with exact():
            lines = [exit_line(risk.pools.get(pool, WELL), RULES.ladder) for pool in pools]
        least, most, quiet = np.zeros(len(pools)), np.zeros(len(pools)), np.zeros(1, np.bool_)
        kernels.missing(
            book._table.columns, np.array([number]), np.array(lines, np.float64), least, most, quiet
        )
        prices = Prices(twins.prices, frozenset(), twins.now_ns)
        for pool, line, low, high in zip(pools, lines, least, most, strict=True) if quiet[0] else ():
            shortfall = pool_figures(state, pool, prices, RULES).shortfall(line)
            lacking += shortfall > 0
            assert D(repr(float(low))) <= shortfall <= D(repr(float(high)))
            assert high - low <= 1e-6
    assert lacking > 2


@pytest.mark.parametrize("line", BAND_OF)
def test_clock_when_prices_stand_still_then_comparisons_are_noted_without_an_exact_judgement(line):
    twins = standing(line)
    assert [asked(twins, 5) for _ in range(6)] == [0] * 6
    assert twins.fast.risk("alice").pools[CROSS].checked_ns == twins.now_ns


@pytest.mark.parametrize("line", BAND_OF)
def test_clock_when_a_plan_is_stuck_or_nothing_was_said_for_long_then_the_exact_judge_says_so(line):
    twins = standing(line)
    said = twins.judgements
    assert sum(asked(twins, 5) for _ in range(12)) == 1
    assert twins.judgements == said + 1


def test_clock_when_the_deadline_of_a_call_passes_then_the_exact_judge_says_so():
    twins = standing("1.1")
    for _ in range(17):
        asked(twins, 5)
    assert not twins.fast.risk("alice").pools[CROSS].expired
    assert asked(twins, 5) == 1
    assert twins.fast.risk("alice").pools[CROSS].expired


@pytest.mark.parametrize(("price", "judged"), [("99.95", 0), ("100.05", 0), ("99.7", 1), ("100.3", 1)])
def test_clock_when_prices_have_moved_then_only_what_may_be_told_is_judged(price, judged):
    # missing to the exit line 1.52: 0.12 * 60 = 7.2, of which 1.8 may be kept silent; a fall of 0.1 costs 2 - 1.52 * 0.05 * 2
    twins = standing("1.4")
    twins.on_marks(twins.mark("A-PERP", D(price)))
    said = twins.judgements
    assert asked(twins, 5) == judged
    assert twins.judgements == said + judged


def test_instant_when_a_pool_on_its_way_out_falls_back_as_its_comparison_is_due_then_the_exact_judge_sees_it():
    twins = standing("1.4")
    twins.on_marks(twins.mark("A-PERP", D(101)))
    assert twins.fast.risk("alice").pools[CROSS].exit_since_ns is not None
    twins.now_ns += seconds(5)
    twins.on_marks(twins.mark("A-PERP", D(100)))
    assert twins.fast.risk("alice").pools[CROSS].exit_since_ns is None


def test_clock_when_missing_moved_by_exactly_what_is_kept_silent_then_the_exact_judge_decides_in_silence():
    twins = standing("1.4")
    pool = twins.fast.risk("alice").pools[CROSS]
    missing = pool.said_shortfall
    for book in (twins.plain, twins.fast):
        risk = book.risk("alice")
        moved = replace(pool, said_shortfall=missing / D("1.25"))
        book.put(book.state("alice"), replace(risk, pools={**risk.pools, CROSS: moved}))
    said = twins.judgements
    assert asked(twins, 5) == 1
    assert twins.judgements == said


def test_clock_when_inputs_came_since_the_plan_then_the_exact_judge_asks_for_another():
    twins = standing("0.8")
    deposit = Deposit(account="alice", time_ns=0, entry_id="d", asset="USD", amount=D("0.01"))
    twins.apply("alice", deposit)
    twins.judge("alice")
    assert twins.fast.risk("alice").pools[CROSS].request is not None
    assert asked(twins, 5) == 1
    assert twins.fast.risk("alice").pools[CROSS].checked_ns == twins.now_ns


def test_clock_when_a_fill_of_the_plan_was_not_judged_yet_then_the_exact_judge_tells_of_it():
    twins = standing("0.8")
    liquidation = twins.fast.risk("alice").pools[CROSS].request.liquidation_id
    executed = Execution(liquidation, 1, {"A-PERP": D(1)})
    twins.put(replace(twins.state("alice"), executions={CROSS: executed}))
    assert asked(twins, 5) == 1
    assert twins.fast.risk("alice").pools[CROSS].request.execution == executed


@pytest.mark.parametrize("seed", range(4))
def test_crowd_when_time_passes_and_prices_crawl_then_few_are_judged_and_both_books_say_the_same(seed):
    rng = random.Random(seed)
    twins = crowd(rng, 8)
    plain, fast = twins.plain.exact, twins.fast.exact
    for _ in range(25):
        symbol = rng.choice(sorted(START))
        factor = D(rng.choice(("1", "1.0001", "0.9998", "1.003", "0.99")))
        twins.now_ns += seconds(rng.choice(("0.5", "1", "4")))
        if rng.random() < 0.6:
            twins.on_marks(twins.mark(symbol, round(twins.prices[symbol].price * factor, 9)))
        else:
            twins.on_clock(() if rng.random() < 0.9 else {symbol})
    assert 4 * (twins.fast.exact - fast) < 3 * (twins.plain.exact - plain)
