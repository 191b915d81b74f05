"""Populations made to deceive float sums and bounds: the columnar book says what the plain one says, in order.

Every step of `Twins` compares the judgements of both books, in order, and every account's risk record.
"""

from decimal import Decimal
from itertools import count, product
from random import Random

import pytest
from msgspec.structs import replace

from engine.events.pools import CROSS
from engine.inputs import Deposit, Fill, MarginMode
from engine.ladder import Band, LadderState
from engine.ledger.accounts import AccountState, Stop
from engine.marks.mark_book import NANOSECONDS
from engine.numbers import canonical
from engine.rejections import RejectionCode
from tests.engine.book.book_twins import Twins, place
from tests.engine.book.test_book_equivalence import LINES, PERPS, POLICIES, START, closing, holding
from tests.support.builders import account, seconds

D = Decimal

AT_ONCE, HOLDING = POLICIES[1], POLICIES[0]
"""Bands that are left at once, and after a hold of five seconds."""
CLOSE = ("0", "1e-18", "1e-15", "1e-13", "1e-12")
BESIDE = sorted({D(sign + close) for sign, close in product(("", "-"), CLOSE)})
"""Relative to the line's value."""


def twin_books(policy=AT_ONCE) -> Twins:
    return Twins(policy, START)


def moved(twins: Twins, symbol: str, *factors: str) -> None:
    """One batch of marks of a symbol, each this factor away from the price that was there before the batch."""
    here = twins.prices[symbol].price
    marks = []
    for factor in factors:
        twins.now_ns += 1
        marks.append(twins.mark(symbol, canonical(here * D(factor))))
    twins.on_marks(*marks)


def various(number: int, name: str) -> AccountState:
    """Accounts of every kind in turn; their USD is what puts them on a line."""
    kinds = (
        lambda: holding(name, A_PERP="7"),
        lambda: holding(name, A_PERP="-7", C_PERP="3"),
        lambda: holding(name, A_PERP="30", B_PERP="-2", C_PERP="-60"),
        lambda: account({"USD": 1, "BTC": "1.5"}, {"A-PERP": ("12", 100)}, name=name),
        lambda: account({"USD": 900, "BTC": "-0.7"}, {"C-PERP": ("12", 50)}, name=name),
        lambda: account({"USD": 50, "USDT": "700", "JUNK": 10}, {"A-PERP": ("-9", 100)}, name=name),
        lambda: account({"USD": 50}, {"A-PERP": (2, 100)}, {"C-PERP": (5, 50, 30)}, name=name),
    )
    return kinds[number % len(kinds)]()


def test_books_when_a_crowd_stands_within_1e_12_of_every_line_on_both_sides_then_they_decide_alike():
    twins = twin_books()
    places = list(product(LINES, BESIDE))
    for number, (line, beside) in enumerate(places):
        name = f"account-{number:03}"
        twins.put(various(number, name))
        place(twins, name, line, beside, relative=line != "0")
    twins.judge(*twins.plain.accounts())
    for symbol in ("A-PERP", "C-PERP", "B-PERP", "USDT-USD", "BTC-USD"):
        # the same price again, a hair to both sides, and ever further; back each time
        moved(twins, symbol, "1", "1.000000000000000001", "1", "0.999999999999999999", "1")
        moved(twins, symbol, "1.000000000001", "0.999999999999", "1")
        moved(twins, symbol, "1.000000001", "1", "0.999999999", "1", "1.00001", "0.99999", "1")
    assert twins.judgements > len(places)
    twins.totals()


@pytest.mark.parametrize("beside", [str(it) for it in BESIDE])
@pytest.mark.parametrize("floor", ["1000", "3000"])
def test_books_when_a_line_lies_exactly_at_a_tier_edge_then_they_decide_alike(floor, beside):
    twins = twin_books()
    edge = D(floor) / 10  # the price at which 10 contracts stand on the floor
    twins.on_marks(twins.mark("A-PERP", edge))
    for number, line in enumerate(LINES):
        for side in ("10", "-10"):
            name = f"account-{number}{side}"
            twins.put(holding(name, A_PERP=side))
            place(twins, name, line, D(beside), relative=line != "0")
    twins.judge(*twins.plain.accounts())
    before = twins.judgements
    moved(twins, "A-PERP", "1", "1.000000000000001", "1", "0.999999999999999", "1")
    moved(twins, "A-PERP", "1.001", "1", "0.999", "1", "2.9", "0.4", "1")
    moved(twins, "USDT-USD", "1.000000000000001", "0.999999999999999", "1")
    assert twins.judgements > before


def test_books_when_profit_brings_coins_exactly_to_collateral_tier_edges_then_they_decide_alike():
    twins = twin_books()
    # wallet + quantity * 0.001 * (price - 7): 0.5 coins and 1 more for each 1 of price
    state = account({"USD": 1, "BTC": "0.5"}, {"C-PERP": ("40", 50)}, name="-")
    state = replace(state, positions={**state.positions, **holding("-", D_PERP="1000").positions})
    edges = {"1": "7.5", "3": "9.5", "9": "15.5", "0": "6.5"}
    for number, (price, line) in enumerate(product(edges.values(), LINES)):
        name = f"account-{number:02}"
        twins.put(replace(state, account=name))
        twins.on_marks(twins.mark("D-PERP", D(price)))
        place(twins, name, line, D("1e-15"), relative=line != "0")
        twins.judge(name)
    before = twins.judgements
    for price in edges.values():
        twins.on_marks(twins.mark("D-PERP", D(price)))
        moved(twins, "D-PERP", "1.0000000000001", "1", "0.9999999999999", "1")
        moved(twins, "BTC-USD", "1.0000000000001", "1", "1.01", "1")
    assert twins.judgements > before


@pytest.mark.parametrize("beside", ["0", "1e-12", "-1e-12", "1e-18", "-1e-18"])
@pytest.mark.parametrize(
    "quantities",
    [
        {"A_PERP": "1e12"},
        {"A_PERP": "1e-12"},
        {"A_PERP": "1e12", "C_PERP": "1e-12"},
        # values of 1e14 that cancel each other but for a trifle
        {"A_PERP": "1e12", "C_PERP": "-2e12"},
        {"A_PERP": "1e12", "B_PERP": "-499999999999.999999999999", "D_PERP": "-1e-12"},
    ],
)
def test_books_when_quantities_are_huge_or_tiny_then_they_decide_alike_beside_every_line(quantities, beside):
    twins = twin_books()
    for number, line in enumerate(LINES):
        name = f"account-{number}"
        twins.put(holding(name, **quantities))
        place(twins, name, line, D(beside), relative=line != "0")
    twins.judge(*twins.plain.accounts())
    for symbol in (key.replace("_", "-") for key in quantities):
        moved(twins, symbol, "1", "1.000000000000000001", "1", "0.999999999999999999", "1")
        moved(twins, symbol, "1.000000000001", "1", "0.999999999999", "1", "1.001", "1", "0.999", "1")
    twins.totals()


def test_books_when_a_hundred_thousand_ticks_pass_then_nothing_drifts_from_the_exact_figures():
    twins = twin_books()
    twins.put(holding("alice", A_PERP="7.3", B_PERP="-3.1", C_PERP="11", usd="330"))
    twins.put(holding("bob", C_PERP="-4.7", usd="31"))
    twins.put(account({"USD": "0.1", "BTC": "0.7"}, {"B-PERP": (-1, 200)}, name="carol"))
    for name, line in (("alice", "1.5"), ("bob", "1.2"), ("carol", "1.05")):
        place(twins, name, line, D(0), relative=True)
    random = Random(1)
    for _ in range(100):
        marks = []
        for _ in range(1_000):
            symbol = random.choice(("A-PERP", "B-PERP", "C-PERP", "BTC-USD", "USDT-USD"))
            # back towards the start, so that the walk stays where the lines are
            pull = 1 if twins.prices[symbol].price < START[symbol] else -1
            step = random.gauss(pull * 2e-5, 1e-3 if symbol != "USDT-USD" else 1e-6)
            twins.now_ns += NANOSECONDS // 100
            marks.append(twins.mark(symbol, (twins.prices[symbol].price * D(1 + step)).quantize(D("1e-9"))))
        twins.on_marks(*marks)
    assert twins.judgements > 200
    twins.totals()
    # bounds, and with them sums, made since the walk ended answer alike within 1e-12 of every line
    for line, beside in product(LINES, BESIDE):
        place(twins, "alice", line, beside, relative=line != "0")
        twins.judge("alice")
        moved(twins, "A-PERP", "1.000000000000000001", "1")
    twins.totals()


def test_books_when_a_symbol_has_one_holder_another_all_and_a_third_none_then_each_is_answered_for():
    twins = twin_books()
    for i in range(200):
        twins.put(holding(f"account-{i:03}", A_PERP=str(1 + i % 9), usd=str(3 + i)))
    twins.put(holding("account-077", A_PERP="1", B_PERP="2", usd="40"))
    twins.judge(*twins.plain.accounts())
    fast = twins.fast
    for symbol, holders in (("A-PERP", 200), ("B-PERP", 1), ("D-PERP", 0), ("USDT-USD", 200), ("BTC-USD", 0)):
        before = fast.screened
        moved(twins, symbol, "1.01", "0.7", "1.3", "1")
        assert fast.screened - before == 4 * holders
    # the only holder leaves, and another one comes
    twins.put(holding("account-077", A_PERP="1", usd="40"))
    moved(twins, "B-PERP", "1.5", "0.5")
    twins.put(holding("account-003", A_PERP="1", B_PERP="-2", usd="60"))
    twins.judge("account-003")
    moved(twins, "B-PERP", "2", "3", "0.1")
    assert fast.screened == twins.plain.screened
    assert fast.risk("account-003").pools == twins.plain.risk("account-003").pools


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("policy", [AT_ONCE, HOLDING])
def test_books_when_fills_and_ticks_interleave_then_they_decide_alike(policy, seed):
    twins, random, numbers = twin_books(policy), Random(seed), count()
    names = [f"account-{i:02}" for i in range(40)]
    for name in names:
        twins.apply(name, deposited(name, next(numbers), random.choice(("100", "700", "3000"))))
    for _ in range(400):
        name = random.choice(names)
        match random.randrange(6):
            case 0 | 1:
                twins.apply(name, traded(twins, name, random))
                twins.judge(name)
            case 2:
                leave_and_come_back(twins, name, random)
            case 3:
                place(twins, name, random.choice(LINES[:-1]), random.choice(BESIDE), relative=True)
                twins.judge(name)
            case _:
                walk(twins, random)
    twins.totals()
    bands = {pool.band for name in names for pool in twins.fast.risk(name).pools.values()}
    assert twins.judgements > 100
    assert len(bands) > 2


def deposited(name: str, number: int, amount: str) -> Deposit:
    return Deposit(account=name, entry_id=f"e-{number}", time_ns=0, asset="USD", amount=D(amount))


def traded(twins: Twins, name: str, random: Random) -> Fill:
    """A fill near the mark: it opens, adds, reduces or turns."""
    symbol = random.choice(PERPS)
    isolated = random.random() < 0.2
    return Fill(
        account=name,
        time_ns=0,
        trade_id="t",
        symbol=symbol,
        side=random.choice(("buy", "sell")),
        quantity=D(random.choice(("0.000000000001", "0.5", "3", "10", "40"))),
        price=canonical(twins.prices[symbol].price * D(random.choice(("1", "1.001", "0.99")))),
        margin_mode=MarginMode.ISOLATED if isolated else MarginMode.CROSS,
        margin_transfer=D(20) if isolated else D(0),
    )


def leave_and_come_back(twins: Twins, name: str, random: Random) -> None:
    """All cross positions closed, ticks of what it no longer holds, and the same positions opened anew."""
    held = twins.state(name).positions
    for _ in held:
        twins.apply(name, closing(twins, name))
    assert not twins.state(name).positions
    twins.judge(name)
    walk(twins, random)
    twins.put(replace(twins.state(name), positions=held))
    twins.judge(name)
    walk(twins, random)


def walk(twins: Twins, random: Random) -> None:
    """A few ticks of a few symbols, sometimes after a pause."""
    marks = []
    for _ in range(random.randint(1, 8)):
        symbol = random.choice((*PERPS, "BTC-USD", "USDT-USD"))
        price = twins.prices[symbol].price * D(random.choice(("1", "1.0001", "0.9999", "1.02", "0.98")))
        twins.now_ns += random.choice((0, NANOSECONDS // 10, 2 * NANOSECONDS))
        marks.append(twins.mark(symbol, price.quantize(D("1e-12"))))
    twins.on_marks(*marks)
    if random.random() < 0.2:
        twins.now_ns += seconds(6)
        twins.on_clock(random.choice(((), (), ("A-PERP",))))


def test_books_when_an_account_empties_and_fills_again_then_the_ticks_between_do_not_reach_it():
    twins = twin_books()
    twins.put(holding("alice", C_PERP="4", usd="20"))
    twins.put(holding("bob", C_PERP="4", usd="500"))
    twins.judge("alice", "bob")
    twins.put(AccountState("alice"))
    twins.judge("alice")
    before = twins.fast.screened
    moved(twins, "C-PERP", "0.5", "2", "1")
    assert twins.fast.screened - before == 3  # bob alone
    assert CROSS not in twins.fast.risk("alice").pools
    twins.put(holding("alice", C_PERP="-4", usd="20"))
    twins.judge("alice")
    moved(twins, "C-PERP", "1.2")  # equity = 20 - 4 * 10
    assert twins.fast.risk("alice").pools[CROSS].band is Band.BANKRUPT


def test_order_when_a_late_mark_leaves_the_doubt_as_it_was_then_the_columns_still_count_its_collateral():
    twins = twin_books()
    twins.put(account({"BTC": 5}, {"C-PERP": (20, 50)}))
    twins.judge("alice")
    for at in (100, 101):
        twins.now_ns = seconds(at)
        twins.on_marks(twins.mark("A-PERP", D(100)))
        twins.on_marks(twins.mark("BTC-USD", D(400), age_ns=seconds(11)))
    (heading,) = twins.fast.headings([twins.fast._number("alice")])
    assert heading == twins.plain.heading("alice") == 0


@pytest.mark.parametrize("stopped", [False, True])
def test_books_when_a_late_mark_moves_a_price_that_was_doubted_before_then_they_decide_alike(stopped):
    """Such a mark changes no doubt, and who is flagged already is asked nothing of it: the move itself must be seen."""
    twins = twin_books()
    state = account({"USDT": 20}, {"C-PERP": (10, 50)}, name="late")
    if stopped:
        stop = Stop(RejectionCode.UNKNOWN_ASSET, 0)
        state = replace(state, ledger=replace(state.ledger, stop=stop))
    twins.put(state)
    twins.judge("late")
    twins.now_ns = seconds(20)
    twins.on_marks(twins.mark("C-PERP", D(50)))
    # 20 USDT * 0.99 secure a maintenance margin of 5 USD; each mark is older than `stale_after_seconds`
    for price, band in (("1", Band.HEALTHY), *(("0.253", Band.REDUCE_ONLY), ("1", Band.HEALTHY)) * 2):
        twins.on_marks(twins.mark("USDT-USD", D(price), age_ns=seconds(11)))
        assert twins.plain.risk("late").pools.get(CROSS, LadderState()).band is band
