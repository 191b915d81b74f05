"""The crash of 10 October 2025 over a whole population: the columnar book says what brute force says, in order.

make test ARGS="tests/engine/book/test_crash_day.py --accounts 20000 --timeout 0"

Rules
-----
* The recorded day is replayed where its file is found: in $UNIMARGIN_DATA, or in ../shared/data beside the checkout.
  The synthetic crash is always replayed.
* A trade is a mark of the coin's contract and of its index, where it is collateral. Of each slot of time (a quarter of
  an hour; 15 seconds in the worst 20 minutes) a coin's last trade counts. Who was silent is told by all trades.
* Brute force, the plain book, computes every account about which the columnar book ever said anything, and a seeded sample
  of the others. Besides, everybody is computed at the start, at the bottom, and at the end.
* What is due behind verdicts is said after most steps, of so many accounts, the worst first: by brute force of the same ones in the
  same order. Who comes into liquidation gets a plan, unless it leaves before; nobody else does.
* Of more than `BRUTE_ACCOUNTS_MAX` accounts that spoke, brute force computes a seeded sample of so many, and what the columnar
  book said of these is compared; of all others it is known that they are settled at the three checkpoints.
"""

import gzip
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest
from msgspec.structs import replace

from engine.book.account_book import AccountBook, drained
from engine.book.columnar_book import ColumnarBook
from engine.book.plain_book import PlainBook
from engine.events.effects import EventType
from engine.events.judgement import Judgement, judge
from engine.events.pools import CROSS
from engine.inputs import Fill, Mark, Topic
from engine.ladder import Band
from engine.ledger.accounts import AccountState, encode
from engine.ledger.applying import apply
from engine.marks.instants import Instant
from engine.marks.mark_book import NANOSECONDS, Prices
from engine.policy import Policy
from streams.exchange.market.scenario import SyntheticCrash
from streams.exchange.traders.population import Population
from tests.support.builders import seconds
from tests.support.instants import at as moment
from tests.support.instants import grouped, together

ACCOUNTS = 700
"""In CI; both markets take less than a minute."""
SAMPLE_EVERY = 20
BRUTE_ACCOUNTS_MAX = 20_000
PORTIONS = (1_000_000, 3, 0)
"""Of how many accounts reasons are said after one step, after the next, and so on."""
PORTFOLIO_EVERY = 200
"""Exact looks at net risk take milliseconds each."""
SEED = 10

DATA = Path(os.environ.get("UNIMARGIN_DATA") or Path(__file__).parents[4] / "shared" / "data")
TRADES = DATA / "trades_2025-10-10_multi.csv.gz"
DAY_MS = 1_760_054_400_000
"""2025-10-10 00:00 UTC."""
CRASH_MS = range(DAY_MS + (21 * 60 + 10) * 60_000, DAY_MS + (21 * 60 + 30) * 60_000)
SLOT_MS, CRASH_SLOT_MS = 900_000, 15_000
SILENCE_MS = 180_000
"""Half of the coins come from thin order books: shorter pauses are their usual."""


class Step(NamedTuple):
    """A batch of marks, then the clock."""

    marks: list[Mark]
    now_ns: int
    stale: frozenset[str]


class Trade(NamedTuple):
    time_ms: int
    coin: str
    price: str


def recorded(policy: Policy) -> list[Step]:
    """The recorded day; the first step has the first price of everything."""
    steps, first, sequence = [], {}, 0
    heard_ms: dict[str, int] = {}
    for _, slot in groupby(trades(), key=slot_of):
        last: dict[str, Trade] = {}
        for trade in slot:
            last.pop(trade.coin, None)  # to keep them in the order of their times
            last[trade.coin] = trade
            first.setdefault(trade.coin, trade)
            heard_ms[trade.coin] = trade.time_ms
        marks = []
        for trade in last.values():
            for symbol in symbols_of(trade.coin, policy):
                sequence += 1
                marks.append(Mark(symbol, Decimal(trade.price), sequence, trade.time_ms * 1_000_000))
        now_ms = max(heard_ms.values())
        silent = [coin for coin, heard in heard_ms.items() if now_ms - heard > SILENCE_MS]
        stale = frozenset(symbol for coin in silent for symbol in symbols_of(coin, policy))
        steps.append(Step(marks, now_ms * 1_000_000, stale))
    opening = [
        Mark(symbol, Decimal(trade.price), 0, DAY_MS * 1_000_000)
        for coin, trade in first.items()
        for symbol in symbols_of(coin, policy)
    ]
    opening.append(Mark("USDT-USD", Decimal(1), 0, DAY_MS * 1_000_000))
    return [Step(opening, DAY_MS * 1_000_000, frozenset()), *steps]


def trades() -> Iterator[Trade]:
    with gzip.open(TRADES, "rt", encoding="ascii") as text:
        assert next(text) == "ts_ms,symbol,price,qty\n"
        for line in text:
            time_ms, symbol, price, _ = line.split(",", 3)
            yield Trade(int(time_ms), symbol.removesuffix("T").removesuffix("USD"), price)


def slot_of(trade: Trade) -> int:
    """Beginning of the slot that a trade falls into."""
    length = CRASH_SLOT_MS if trade.time_ms in CRASH_MS else SLOT_MS
    return trade.time_ms - trade.time_ms % length


def symbols_of(coin: str, policy: Policy) -> list[str]:
    return [symbol for symbol in (f"{coin}-USDT-PERP", f"{coin}-USD") if symbol in policy.price_symbols]


def synthetic(policy: Policy) -> list[Step]:
    """Five minutes of it, in steps of about two seconds; who had no mark for four and a half seconds is stale."""
    crash = SyntheticCrash(policy, seed=SEED, seconds=300, ticks_per_second=9)
    steps = [
        Step([Mark(symbol, price, 0, 0) for symbol, price in crash.start_prices.items()], 0, frozenset())
    ]
    heard_s = dict.fromkeys(crash.start_prices, 0.0)
    believable = (mark for mark in crash if mark.believable)
    for _, drawn in groupby(believable, key=lambda mark: mark.at_seconds // 2):
        marks = []
        for it in drawn:
            marks.append(Mark(it.symbol, it.price, it.sequence, int(it.at_seconds * NANOSECONDS)))
            heard_s[it.symbol] = now_s = it.at_seconds
        stale = frozenset(symbol for symbol, heard in heard_s.items() if now_s - heard > 4.5)
        steps.append(Step(marks, seconds(str(now_s)), stale))
    return steps


MARKETS = {"synthetic": synthetic} | ({"recorded": recorded} if TRADES.exists() else {})


def populated(policy: Policy, accounts: int, opening: Step) -> list[AccountState]:
    """Accounts as the feed makes them up, at the first prices; every so many under portfolio margin."""
    prices = {mark.symbol: mark.price for mark in opening.marks}
    population = Population(policy, accounts, SEED, prices)
    states = []
    for number in range(1, accounts + 1):
        messages = population.account_inputs(number, opening.now_ns)
        state = AccountState(messages[0].account)
        for offset, message in enumerate(messages):
            topic = Topic.FILLS if isinstance(message, Fill) else Topic.LEDGER
            state = apply(state, message, topic, offset, policy)
            assert isinstance(state, AccountState), state
        portfolio = number % PORTFOLIO_EVERY == 0
        states.append(replace(state, margin_model="portfolio") if portfolio else state)
    return states


def replayed(
    book: AccountBook, states: Sequence[AccountState], steps: Sequence[Step]
) -> Iterator[list[Judgement]]:
    """What the book says at the opening, then after each step."""
    book.load([encode(state) for state in states], {})
    book.prime(steps[0].marks, moment(steps[0].now_ns, steps[0].stale))
    yield drained(book.judge_all())
    for step in steps[1:]:
        yield drained(book.on_instants(instants(step.marks))) + drained(
            book.on_clock(moment(step.now_ns, step.stale))
        )


def instants(marks: Sequence[Mark]) -> list[Instant]:
    """As an exchange quotes: a few symbols at a time, all of one moment."""
    few = grouped(marks, 3)
    return [together(*(replace(it, time_ns=each.name.time_ns) for it in each.marks)) for each in few]


def assert_all_settled(book: AccountBook, marks: dict[str, Mark], step: Step, policy: Policy) -> None:
    """Nobody of the whole population would have anything to say if computed now."""
    prices = Prices(dict(marks), step.stale, step.now_ns)
    for name in book.accounts():
        risk = book.risk(name)
        assert judge(book.state(name), risk, prices, step.now_ns, policy).risk == risk


class Answered:
    """Whether each verdict on liquidation is followed by a plan, or by its end."""

    def __init__(self) -> None:
        self.open: dict[tuple[str, str | None], str] = {}
        """By account and pool who waits for a plan, and the verdict."""
        self.planned = self.waited = self.over = 0
        self._verdicts: set[str] = set()
        self._fresh: set[str] = set()

    def hear(self, judgements: Sequence[Judgement]) -> None:
        """What a step says."""
        self._fresh.clear()
        for event in (event for it in judgements for event in it.events):
            pool = event.account, event.position
            assert event.type is not EventType.LIQUIDATION_REQUESTED
            if event.entered is not None:
                self._verdicts.add(event.id)
                self._fresh.add(event.id)
            if event.type in {EventType.LIQUIDATION_ENTERED, EventType.ACCOUNT_BANKRUPT}:
                self.open[pool] = event.id
            elif event.type is EventType.LIQUIDATION_COMPLETED:
                self.over += self.open.pop(pool, None) is not None

    def hear_reasons(self, judgements: Sequence[Judgement]) -> None:
        """What is said behind it."""
        for event in (event for it in judgements for event in it.events):
            assert event.verdict in self._verdicts
            if event.type is EventType.LIQUIDATION_REQUESTED:
                self.planned += 1
                verdict = self.open.pop((event.account, event.position), None)
                assert verdict == event.verdict or event.replaces is not None
                self.waited += verdict is not None and verdict not in self._fresh


def who_spoke(
    book: AccountBook, states: Sequence[AccountState], steps: Sequence[Step]
) -> tuple[set[str], Answered]:
    """Of whom the book says anything, and whether it says it all."""
    spoke, answered = set(), Answered()
    for number, judgements in enumerate(replayed(book, states, steps)):
        answered.hear(judgements)
        behind = book.reasons(PORTIONS[number % len(PORTIONS)])
        answered.hear_reasons(behind)
        spoke |= {judgement.risk.account for judgement in (*judgements, *behind)}
    answered.hear_reasons(book.reasons(PORTIONS[0]))
    for account, pool in answered.open:
        kept = book.risk(account).pools[pool or CROSS]
        assert kept.exit_since_ns is not None or kept.degraded
    return spoke, answered


@pytest.mark.parametrize("market", MARKETS)
def test_crash_when_replayed_over_a_population_then_every_transition_is_that_of_brute_force(
    market, default_policy, request, capsys
):
    policy = default_policy
    steps = MARKETS[market](policy)
    accounts = int(request.config.getoption("--accounts", None) or ACCOUNTS)
    states = populated(policy, accounts, steps[0])
    spoke, answered = who_spoke(ColumnarBook(policy), states, steps)
    random = Random(SEED)
    sample = set(random.sample([state.account for state in states], accounts // SAMPLE_EVERY))
    sample |= set(random.sample(sorted(spoke), min(len(spoke), BRUTE_ACCOUNTS_MAX)))
    checked = [state for state in states if state.account in sample]

    fast, plain = ColumnarBook(policy), PlainBook(policy)
    marks: dict[str, Mark] = {}
    seen: Counter[Band | str] = Counter()
    checkpoints = {0, bottom(steps), len(steps) - 1}
    both = zip(replayed(fast, states, steps), replayed(plain, checked, steps), strict=True)
    for number, (judgements, exactly) in enumerate(both):
        of_checked = [it for it in judgements if it.risk.account in sample]
        assert of_checked == exactly, f"step {number} of {len(steps)}"
        behind = [it for it in fast.reasons(PORTIONS[number % len(PORTIONS)]) if it.risk.account in sample]
        assert plain.reasons(len(behind)) == behind, f"behind step {number} of {len(steps)}"
        for event in (event for judgement in judgements for event in judgement.events):
            seen.update([event.band, "degraded"] if event.degraded else [event.band])
        seen["transitions"] += len(judgements)
        marks |= {mark.symbol: mark for mark in steps[number].marks}
        if number in checkpoints:
            assert_all_settled(fast, marks, steps[number], policy)
    for state in checked:
        assert fast.risk(state.account) == plain.risk(state.account)

    told = (
        f"{market}: {accounts} accounts, {sum(len(step.marks) for step in steps)} marks, "
        f"{seen['transitions']} transitions; {fast.exact} exact looks for {fast.screened} holders, "
        f"of which {(fast.examined + fast.exact) / fast.screened:.2%} were visited; {answered.planned} plans, {answered.waited} of them waited for, "
        f"{answered.over} liquidations over before; brute force: {len(checked)} accounts, {plain.exact} looks"
    )
    with capsys.disabled():
        sys.stdout.write(f"\n{told}\n")
    # the crash reached every band, some prices were silent, and the columns were not bypassed
    assert seen.keys() == {*Band, "degraded", "transitions"}
    assert fast.screened > 20 * fast.exact
    assert answered.planned > answered.waited > 0


def bottom(steps: Sequence[Step]) -> int:
    """The step by which half of the symbols have had their lowest price."""
    least: dict[str, tuple[Decimal, int]] = {}
    for number, step in enumerate(steps):
        for mark in step.marks:
            if mark.symbol not in least or mark.price < least[mark.symbol][0]:
                least[mark.symbol] = mark.price, number
    places = sorted(number for _, number in least.values())
    return places[len(places) // 2]
