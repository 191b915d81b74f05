"""What a cause leads to comes in slices, the most urgent first, and none before the breaker has been asked."""

import random
from decimal import Decimal
from itertools import chain, pairwise

import pytest
from msgspec.structs import replace

from engine.book import hearing
from engine.book.account_book import drained
from engine.book.columnar_book import ColumnarBook
from engine.book.plain_book import PlainBook
from engine.book.urgency import DOOMED, UNCERTAIN, heading_for
from engine.events.effects import AccountRisk
from engine.inputs import Mark, Topic
from engine.ladder import SEVERITY, Band, LadderState
from engine.ladder.table import LIQUIDATING
from engine.ledger.accounts import AccountState, IsolatedPosition, Position
from engine.ledger.applying import stopped
from engine.marks.mark_book import NANOSECONDS
from engine.policy.rules.breaker_rules import BreakerRules
from engine.policy.rules.policy_switches import ExpiredCall
from engine.rejections import RejectionCode
from tests.engine.book import box_policies as boxed
from tests.engine.book.book_twins import place
from tests.engine.book.box_policies import CASES, trader
from tests.engine.book.test_book_boxes import market, tick
from tests.support.builders import sample, seconds
from tests.support.instants import at as moment
from tests.support.instants import together

D = Decimal
BOOKS = [PlainBook, ColumnarBook]
CROWD = 180


def quotes(price, sequence):
    return [
        Mark("BTC-PERP", D(price), sequence, seconds(sequence)),
        Mark("USDT-USD", D(1), sequence, seconds(sequence)),
    ]


def crowd(count=CROWD):
    """Each long 1 BTC at 60,000 with 5 % maintenance; wallets such that a fall to 56,000 leaves them in every band, in no order."""
    wallets = [3_900, 6_500, 6_850, 7_200, 8_000, 10_000]
    return [
        AccountState(
            f"a-{number:03}",
            {"USDT": D(wallets[number * 5 % 6] + number)},
            {"BTC-PERP": Position(D(1), D(60_000))},
        )
        for number in range(count)
    ]


def opened(book, states):
    book.prime(quotes(60_000, 1), moment(seconds(1)))
    for state in states:
        book.put(state)
    drained(book.judge_all())
    return book


def severity(judgement):
    return SEVERITY[judgement.risk.pools[""].band]


def is_liquidation(judgement):
    return any(event.type.value.startswith(("liquidation", "account.bankrupt")) for event in judgement.events)


@pytest.mark.parametrize("book_of", BOOKS)
def test_instant_when_it_takes_a_crowd_into_every_band_then_the_worst_are_said_first_and_among_equals_by_name(
    book_of,
):
    book = opened(book_of(sample()), crowd())
    said = drained(book.on_instants([together(*quotes(56_000, 2))]))
    assert {severity(it) for it in said} == set(range(1, 6))
    assert [(-severity(it), it.risk.account) for it in said] == sorted(
        (-severity(it), it.risk.account) for it in said
    )


@pytest.mark.parametrize("book_of", BOOKS)
def test_instant_when_a_crowd_falls_then_a_slice_comes_after_few_judgements_and_is_small(book_of):
    book = opened(book_of(sample()), crowd())
    judged = []
    for part in book.on_instants([together(*quotes(56_000, 2))]):
        assert len(part) <= hearing.SLICE_JUDGEMENTS_MAX
        judged.append(book.exact)
    assert max(b - a for a, b in pairwise(judged)) <= hearing.SLICE_ACCOUNTS
    assert len(judged) >= CROWD / hearing.SLICE_ACCOUNTS


@pytest.mark.parametrize("book_of", BOOKS)
def test_instant_when_it_takes_a_crowd_into_liquidation_then_the_first_is_said_after_two_were_judged(book_of):
    book = opened(book_of(sample()), crowd())
    before = book.exact
    part = next(part for part in book.on_instants([together(*quotes(56_000, 2))]) if part)
    assert all(is_liquidation(it) for it in part)
    assert book.exact - before <= hearing.FIRST_SLICE_ACCOUNTS


@pytest.mark.parametrize("book_of", BOOKS)
@pytest.mark.parametrize(
    ("accounts_min", "accounts_share_max", "waits"),
    [(10, "0.3", True), (100, "0.3", False), (10, "0.35", False)],
    ids=["both are reached", "too few", "too small a share"],
)
def test_breaker_when_it_may_open_then_all_whom_it_would_hold_are_judged_before_the_first_is_said(
    book_of, accounts_min, accounts_share_max, waits
):
    rules = BreakerRules(
        accounts_share_max=D(accounts_share_max),
        open_interest_share_max=D(1),
        equity_share_max=D(1),
        accounts_min=accounts_min,
    )
    states = [
        # of the 60 who are doomed the inputs of 10 cannot be trusted, and these are not condemned
        stopped(state, Topic.FILLS, 0, RejectionCode.MALFORMED, None) if number % 18 == 0 else state
        for number, state in enumerate(crowd())
    ]
    book = opened(book_of(replace(sample(), breaker=rules)), states)
    before, first = book.exact, None
    parts = []
    for part in book.on_instants([together(*quotes(56_000, 2))]):
        parts.append(part)
        if part and first is None:
            first = book.exact - before
    condemned = sum(map(is_liquidation, chain.from_iterable(parts)))
    assert condemned > 2 * hearing.SLICE_ACCOUNTS
    assert (first >= condemned) is waits
    assert book.breaker.state.window[-1].stake.accounts == condemned


@pytest.mark.parametrize("book_of", BOOKS)
def test_breaker_when_a_crowd_opens_it_then_no_slice_has_a_liquidation_and_it_is_open_before_the_first(
    book_of,
):
    rules = BreakerRules(accounts_share_max=D("0.2"), accounts_min=3)
    book = opened(book_of(replace(sample(), breaker=rules)), crowd())
    for part in book.on_instants([together(*quotes(56_000, 2))]):
        assert not part or book.breaker.state.opening is not None
        assert not any(map(is_liquidation, part))
    assert book.breaker.state.held.accounts > 2 * hearing.SLICE_ACCOUNTS


class Watched:
    """Checks at every judgement that nobody is condemned who was not counted as heading there, and what the columns say of that."""

    condemned = 0

    def headings(self, keys):
        found = super().headings(keys)
        assert all(it in (UNCERTAIN, self.heading(key)) for it, key in zip(found, keys, strict=True))
        return found

    def judged(self, key, state, risk, occasion, **options):
        heading = self.heading(key)
        judgement = super().judged(key, state, risk, occasion, **options)
        for pool, after in judgement.risk.pools.items():
            if after.band in LIQUIDATING and risk.pools.get(pool, LadderState()).band not in LIQUIDATING:
                assert heading >= DOOMED
                Watched.condemned += 1
        return judgement


CALLED = [(*case, call) for case, call in zip(CASES[::3], [*ExpiredCall] * len(CASES), strict=False)]


class WatchedPlain(Watched, PlainBook):
    pass


class WatchedColumnar(Watched, ColumnarBook):
    pass


def test_headings_when_accounts_are_plain_then_the_columns_know_nearly_all_and_know_them_right():
    isolated = IsolatedPosition(Position(D(1), D(60_000)), D(6_500))
    states = [
        replace(it, isolated={"ETH-PERP": isolated}) if n % 7 == 0 else it for n, it in enumerate(crowd())
    ]
    book = opened(ColumnarBook(sample()), states)
    numbers = list(range(CROWD))
    for sequence, price in enumerate((60_000, 57_000, 56_000, 55_000, 52_000), 2):
        drained(book.on_instants([together(*quotes(price, sequence))]))
        seen = book.headings(numbers)
        exactly = [book.heading(number) for number in numbers]
        assert all(it in (UNCERTAIN, right) for it, right in zip(seen, exactly, strict=True))
        assert seen.count(UNCERTAIN) < CROWD / 10


@pytest.mark.parametrize(("units", "pool", "expired_call"), CALLED)
def test_condemned_when_accounts_are_of_any_model_then_they_were_among_those_heading_for_it(
    units, pool, expired_call
):
    rng = random.Random(f"slices {units} {pool} {expired_call}")
    policy = boxed.policy_of(units, pool)
    ladder = replace(policy.ladder, expired_call=expired_call, call_deadline_seconds=D(30))
    policy = replace(policy, ladder=ladder, breaker=BreakerRules(accounts_share_max=D("0.3"), accounts_min=2))
    twins = market(policy, rng)
    prices = list(twins.prices.values())
    twins.plain, twins.fast = WatchedPlain(policy), WatchedColumnar(policy)
    for book in (twins.plain, twins.fast):
        book.prime(prices, moment(twins.now_ns))
    names = [f"account-{i:02}" for i in range(8)]
    for name in names:
        twins.put(replace(trader(rng, policy), account=name))
        place(twins, name, rng.choice(("1.7", "1.1", "1.02")), D(0), relative=False)
    twins.judge(*names)
    Watched.condemned = 0
    for step in range(12):
        twins.now_ns += rng.choice((0, NANOSECONDS, 20 * NANOSECONDS))
        moved = rng.sample(sorted(boxed.START), rng.randint(1, 5))
        twins.on_marks(
            *(tick(twins, it, D(rng.choice(("0.001", "-0.01", "0.03", "-0.05"))), rng) for it in moved)
        )
        twins.on_clock(twins.stale)
        if step % 6 == 5 and twins.plain.breaker.hold is not None:
            twins.end_hold(released=rng.random() < 0.5)
    assert Watched.condemned > 0


@pytest.mark.parametrize(
    ("band", "state", "expired_call", "heading"),
    [
        (Band.MARGIN_CALL, LadderState(Band.MARGIN_CALL, deadline_ns=10), "liquidation", Band.LIQUIDATION),
        (Band.MARGIN_CALL, LadderState(Band.MARGIN_CALL, deadline_ns=11), "liquidation", Band.MARGIN_CALL),
        (Band.MARGIN_CALL, LadderState(Band.LIQUIDATION, expired=True), "reduce_only", Band.REDUCE_ONLY),
        (Band.WARNING, LadderState(Band.MARGIN_CALL, deadline_ns=10), "liquidation", Band.WARNING),
        (Band.BANKRUPT, LadderState(Band.MARGIN_CALL, deadline_ns=10), "liquidation", Band.BANKRUPT),
        (Band.MARGIN_CALL, LadderState(Band.MARGIN_CALL, deadline_ns=10), "notify", Band.MARGIN_CALL),
    ],
)
def test_heading_when_a_call_has_run_out_then_the_band_that_it_leads_to(band, state, expired_call, heading):
    ladder = replace(sample().ladder, expired_call=ExpiredCall(expired_call), call_deadline_seconds=D(30))
    risk = AccountRisk("alice", {"": state})
    assert heading_for(SEVERITY[band], risk, 10, ladder) == SEVERITY[heading]
