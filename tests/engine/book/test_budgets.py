"""Bounds moved out of a reserve: nothing could be said anywhere within them, and few figures are summed anew."""

import random
from decimal import Decimal

import pytest
from msgspec.structs import replace

from engine.book import kernels
from engine.book.account_book import drained
from engine.book.columnar_book import ColumnarBook
from engine.events.judgement import judge
from engine.inputs import Mark
from engine.ledger.accounts import AccountState, IsolatedPosition, Position
from engine.marks.mark_book import Prices
from engine.policy import parse
from tests.engine.book.book_twins import Twins, place
from tests.engine.book.test_book_equivalence import PERPS, POLICY, START
from tests.support.instants import grouped

D = Decimal
BORROWING = """[[assets.BTC.borrow_tiers]]
floor = 0
initial_rate = 0.1
maintenance_rate = 0.05
[[assets.BTC.borrow_tiers]]
floor = 2
initial_rate = 0.3
maintenance_rate = 0.2
"""
RULES = parse(POLICY.format(ladder="").replace("[assets.JUNK]", f"{BORROWING}[assets.JUNK]"))
JUMPS = (0.8, 0.93, 0.97, 0.99, 0.999, 1.001, 1.01, 1.03, 1.07, 1.25)
INSIDE = 3e-7
"""More than single precision bounds are drawn in by."""


@pytest.mark.parametrize("seed", range(8))
def test_bounds_when_prices_have_jumped_to_and_fro_then_nothing_can_be_said_at_any_of_their_corners(seed):
    rng = random.Random(seed)
    twins = crowd(rng)
    stretched = 0
    for _ in range(25):
        symbol = rng.choice(sorted(START))
        price = twins.prices[symbol].price * D(repr(rng.choice(JUMPS)))
        looked = twins.fast.examined
        reserves = twins.fast._table.columns.reserves[: len(NAMES)].copy()
        twins.on_marks(twins.mark(symbol, round(price, 9)))
        stretched += looked == twins.fast.examined and bool(
            (reserves != twins.fast._table.columns.reserves[: len(NAMES)]).any()
        )
        for number, name in enumerate(twins.fast._roster.names()):
            for sides in ((-1, 1), (1, -1), (-1, -1), (1, 1)):
                silent_at_corner(twins, number, name, sides)
    assert stretched > 0
    assert twins.fast.exact < twins.plain.exact


NAMES = tuple(f"account-{number}" for number in range(8))


def crowd(rng: random.Random) -> Twins:
    """Accounts of many kinds, half of them near a line, and all looked at once."""
    twins = Twins(RULES, START)
    for name in NAMES:
        held = {
            symbol: Position(quantity, quantity * START[symbol] * (10 if symbol == "B-PERP" else 1))
            for symbol in rng.sample(PERPS[:3], rng.randint(1, 3))
            if (quantity := D(rng.choice((-30, -3, -1, 1, 2, 20))))
        }
        balances = {
            "USD": D(rng.randint(500, 9000)),
            rng.choice(("USDT", "BTC", "JUNK")): D(rng.randint(-4, 9)),
        }
        isolated = {}
        if rng.random() < 0.3:
            isolated = {"A-PERP": IsolatedPosition(Position(D(3), D(300)), D(rng.randint(20, 200)))}
            held.pop("A-PERP", None)
        twins.put(AccountState(name, {k: v for k, v in balances.items() if v}, held, isolated))
        if rng.random() < 0.5:
            place(
                twins,
                name,
                rng.choice(("1.5", "1.2", "1.05", "1")),
                D(rng.choice(("0.3", "0.05", "-0.02"))),
                relative=True,
            )
        twins.judge(name)
    return twins


def silent_at_corner(twins: Twins, number: int, name: str, sides: tuple[int, int]) -> None:
    """Losing, or gaining, ends of the account's bounds: contracts by the side held, indices by `sides[1]`."""
    columns, state = twins.fast._table.columns, twins.state(name)
    if columns.status[number] != kernels.QUIET:
        return
    marks = dict(twins.prices)
    first = int(columns.watch_start[number])
    numbers = {number: symbol for symbol, number in twins.fast._encoder.symbol_ids.items()}
    for watched, slot in columns.watches[first : first + int(columns.watch_count[number])].tolist():
        symbol = numbers[watched]
        held = state.positions.get(symbol)
        up = (sides[0] * held.quantity if held else D(sides[1])) > 0
        at = int(columns.holder_start[watched]) + slot
        edge = float(columns.ceilings[at]) * (1 - INSIDE) if up else float(columns.floors[at]) * (1 + INSIDE)
        now = float(marks[symbol].price)
        if columns.floors[at] * (1 + INSIDE) < columns.ceilings[at] * (1 - INSIDE) and edge > 0:
            assert float(columns.floors[at]) <= now <= float(columns.ceilings[at])
            marks[symbol] = replace(marks[symbol], price=D(f"{edge:.15g}"))
    prices = Prices(marks, frozenset(twins.stale), twins.now_ns)
    risk = twins.fast.risk(name)
    assert judge(state, risk, prices, twins.now_ns, RULES).risk == risk


def test_jump_when_it_leaves_the_bounds_of_all_then_the_reserves_of_most_pay_for_it():
    book = ColumnarBook(RULES)
    marks = [Mark(symbol, D(price), 1, 0) for symbol, price in START.items()]
    book.prime(marks, Prices({}, frozenset(), 0))
    names = [f"account-{number}" for number in range(100)]
    for number, name in enumerate(names):
        book.put(
            AccountState(
                name,
                {"USD": D(260 + number)},
                {"A-PERP": Position(D(5), D(500)), "C-PERP": Position(D(-9), D(-450))},
            )
        )
    drained(book.judge(names))
    drained(book.on_instants(grouped([Mark("A-PERP", D(100), 2, 0)], 1)))
    before, reserves = book.examined, book._table.columns.reserves[:100].copy()

    drained(book.on_instants(grouped([Mark("A-PERP", D(84), 3, 0)], 1)))

    bounds = book._table.columns.floors[book._table.holders._lists.slice(book._encoder.symbol_ids["A-PERP"])]
    assert (bounds <= 84).all()
    assert book.examined == before
    left = book._table.columns.reserves[:100]
    assert ((left > 0) & (left < reserves)).all()


def test_reserve_when_an_account_must_be_judged_then_there_is_none():
    twins = crowd(random.Random(1))
    columns = twins.fast._table.columns

    twins.fast.put(replace(twins.state(NAMES[0]), balances={"USD": D(-10_000)}))

    number = twins.fast._number(NAMES[0])
    assert columns.status[number] != kernels.QUIET
    assert columns.reserves[number] == 0
