"""The breaker in a book: what it holds and what it leaves alone, by both books alike."""

import random
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from engine.book.account_book import drained
from engine.book.columnar_book import ColumnarBook
from engine.book.plain_book import PlainBook
from engine.events.effects import AccountRisk
from engine.inputs import Mark
from engine.ladder.breaker import InputsTaken, Stake
from engine.ledger.accounts import AccountState, Position, Stop
from engine.marks.mark_book import NANOSECONDS
from engine.policy import PolicyError, parse
from engine.policy.rules.breaker_rules import BreakerRules
from engine.rejections import RejectionCode
from tests.engine.book import box_policies as boxed
from tests.engine.book.book_twins import Twins, place
from tests.engine.book.box_policies import CASES, trader
from tests.engine.book.test_book_boxes import market, tick
from tests.engine.book.test_book_equivalence import POLICIES, STEPS, names, reload_step, twin_books
from tests.support.builders import account, sample, sample_text, seconds
from tests.support.instants import at as moment
from tests.support.instants import together

D = Decimal
BOOKS = [PlainBook, ColumnarBook]
RULES = BreakerRules(
    accounts_share_max=D("0.4"), open_interest_share_max=D("0.5"), equity_share_max=D("0.5"), accounts_min=3
)
# wallets of 1e15 cancel out in the nasty populations, and their sums then have no digit left that both books share
NASTY = [
    replace(policy, breaker=BreakerRules(
        accounts_share_max=D(share), open_interest_share_max=D("0.6"), equity_share_max=D(1),
        accounts_min=accounts_min, window_seconds=D(window),
    ))
    for policy in POLICIES
    for share, accounts_min, window in (("0.3", 1, 10), ("0.5", 2, 0))
]  # fmt: skip


def operate_step(data, twins, _name) -> None:
    if twins.plain.breaker.state.opening is not None:
        twins.end_hold(released=data.draw(st.booleans()))


def judged_reload_step(data, twins, _name) -> None:
    twins.reload(data.draw(st.integers(0, 3)), judged=True, packed=data.draw(st.booleans()))


@settings(
    max_examples=100,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_breakers_when_inputs_marks_and_operators_interleave_at_random_then_both_books_hold_alike(data):
    steps = [judged_reload_step if it is reload_step else it for it in STEPS]
    twins = twin_books(data.draw(st.sampled_from(NASTY)))
    for _ in range(data.draw(st.integers(10, 60))):
        data.draw(st.sampled_from((*steps, *[operate_step] * 3)))(data, twins, data.draw(names))
    twins.totals()


@pytest.mark.parametrize(("units", "pool"), CASES)
def test_breakers_when_accounts_are_of_any_model_then_both_books_hold_alike(units, pool):
    rng = random.Random(f"breaker {units} {pool}")
    policy = replace(
        boxed.policy_of(units, pool), breaker=replace(RULES, accounts_min=2, accounts_share_max=D("0.2"))
    )
    twins = market(policy, rng)
    crowd = [f"account-{i:02}" for i in range(10)]
    for name in crowd:
        twins.put(replace(trader(rng, policy), account=name))
        place(twins, name, rng.choice(("1.7", "1.1", "1.02")), D(0), relative=False)
    twins.judge(*crowd)
    openings = 0
    for step in range(60):
        twins.now_ns += rng.choice((0, NANOSECONDS, 20 * NANOSECONDS))
        moved = rng.sample(sorted(boxed.START), rng.randint(1, 5))
        twins.on_marks(
            *(tick(twins, it, D(rng.choice(("0.001", "-0.004", "0.03", "-0.05"))), rng) for it in moved)
        )
        twins.on_clock(twins.stale)
        if step % 4 == 3 and twins.plain.breaker.hold is not None:
            openings += 1
            twins.end_hold(released=rng.random() < 0.5)
            for name in crowd:
                place(twins, name, rng.choice(("1.7", "1.1", "1.02")), D(0), relative=False)
            twins.judge(*crowd)
    assert openings > 0


def crowd(count, *, long=lambda _number: True):
    """Accounts with 1 BTC each, or short of it: 6,000 USDT of 60,000 with 5 % maintenance, ratio 2."""
    return [
        AccountState(
            f"a-{number:02}", {"USDT": D(6_000)},
            {"BTC-PERP": Position(D(1 if long(number) else -1), D(60_000 if long(number) else -60_000))},
        )
        for number in range(count)
    ]  # fmt: skip


def quotes(bitcoin, sequence, at=None):
    at = sequence if at is None else at
    return [
        Mark("BTC-PERP", D(bitcoin), sequence, seconds(at)),
        Mark("USDT-USD", D(1), sequence, seconds(at)),
    ]


def opened(book_of, policy, states):
    book = book_of(policy)
    book.prime(quotes(60_000, 1), moment(seconds(1)))
    for state in states:
        book.put(state)
    assert drained(book.judge_all()) == []
    return book


def types(judgements):
    return [event.type.value for it in judgements for event in it.events]


def liquidated(book, judgements):
    """Who enters liquidation, each of whom gets a plan behind it, and nobody else."""
    entered = [it.risk.account for it in judgements if "liquidation.entered" in types([it])]
    assert "liquidation.requested" not in types(judgements)
    requests = [event for it in book.reasons(1_000) for event in it.events if event.plan]
    assert all(event.plan.steps for event in requests)
    # a plan that replaces another one is of who was in liquidation before
    assert sorted(event.account for event in requests if event.replaces is None) == entered
    return entered


@pytest.fixture
def policy():
    return replace(sample(), breaker=RULES)


@pytest.mark.parametrize("book_of", BOOKS)
def test_breaker_when_an_instant_condemns_too_many_then_they_are_held_and_the_calls_go_on(policy, book_of):
    book = opened(book_of, policy, crowd(10, long=lambda number: number < 6))
    # 6 of 10 longs: 6,000 - 4,000 = 2,000 < 5 % of 56,000
    judgements = drained(book.on_instants([together(*quotes(56_000, 2))]))
    assert types(judgements) == ["margin.reduce_only.opened"] * 6
    assert {event.ladder.held_by for it in judgements for event in it.events} == {1}
    assert {event.breaker for it in judgements for event in it.events} == {1}
    assert {event.entered for it in judgements for event in it.events} == {"reduce_only"}
    state = book.breaker.state
    assert (state.opening.limit, state.opening.share, state.opening.cause.kind) == (
        "accounts",
        0.6,
        "instant",
    )
    (move,) = state.opening.cause.symbols
    assert (move.symbol, move.before, move.price, move.loss) == ("BTC-PERP", 60_000, 56_000, 24_000)
    # 6 * 60,000 of open interest, at the price before; 6 * 6,000 of equity paid in
    assert state.held == state.opening.condemned == Stake(6, 360_000, 36_000)
    assert state.opening.of == Stake(10, 600_000, 60_000)
    assert [it.account for it in state.opening.worst] == ["a-05", "a-04", "a-03", "a-02", "a-01", "a-00"]


@pytest.mark.parametrize("book_of", BOOKS)
@pytest.mark.parametrize(("longs", "held"), [(4, False), (5, True)])
def test_breaker_when_as_much_is_condemned_as_the_share_then_only_more_than_that_is_held(
    policy, book_of, longs, held
):
    book = opened(book_of, policy, crowd(10, long=lambda number: number < longs))
    judgements = drained(book.on_instants([together(*quotes(56_000, 2))]))
    assert len(liquidated(book, judgements)) == (0 if held else longs)
    assert (book.breaker.hold is not None) is held


@pytest.mark.parametrize("book_of", BOOKS)
def test_breaker_when_fewer_than_the_least_number_are_condemned_then_nothing_is_held(policy, book_of):
    book = opened(book_of, policy, crowd(2))
    judgements = drained(book.on_instants([together(*quotes(56_000, 2))]))
    assert liquidated(book, judgements) == ["a-00", "a-01"]
    assert book.breaker.hold is None


@pytest.mark.parametrize("book_of", BOOKS)
@pytest.mark.parametrize(("apart", "held"), [(3, True), (30, False)])
def test_breaker_when_several_instants_condemn_too_many_then_those_within_the_window_count_together(
    policy, book_of, apart, held
):
    states = crowd(10, long=lambda number: number < 6)
    # three of the longs have more to lose: 6,000 and 7,500
    states[3:6] = [replace(it, balances={"USDT": D(7_500)}) for it in states[3:6]]
    book = opened(book_of, policy, states)
    first = drained(book.on_instants([together(*quotes(56_000, 2))]))
    assert liquidated(book, first) == ["a-00", "a-01", "a-02"]
    drained(book.on_clock(moment(seconds(2 + apart))))
    second = drained(book.on_instants([together(*quotes(54_500, 3, 2 + apart))]))
    assert liquidated(book, second) == ([] if held else ["a-03", "a-04", "a-05"])
    if held:
        opening = book.breaker.state.opening
        assert (opening.cause.kind, opening.condemned.accounts) == ("window", 6)
        assert set(book.breaker.held) == {"a-03", "a-04", "a-05"}


@pytest.mark.parametrize("book_of", BOOKS)
def test_breaker_when_a_batch_of_inputs_condemns_too_many_then_topic_offsets_and_kinds_are_named(
    policy, book_of
):
    book = opened(book_of, policy, crowd(10))
    for state in crowd(10):
        book.put(replace(state, balances={"USDT": D(2_500)}))
    inputs = [InputsTaken("ledger", 40, 52, {"funding_payment": 10, "deposit": 3})]
    judgements = drained(book.judge([it.account for it in crowd(10)], inputs))
    assert liquidated(book, judgements) == []
    opening = book.breaker.state.opening
    assert (opening.cause.kind, opening.cause.inputs) == ("batch", tuple(inputs))
    assert opening.cause.symbols == ()
    # the wallets before the batch: after it there would be less to lose the more it took
    assert opening.condemned == Stake(10, 600_000, 60_000)


@pytest.mark.parametrize("book_of", BOOKS)
def test_breaker_when_it_is_released_then_everything_held_is_requested_at_the_newest_prices(policy, book_of):
    book = opened(book_of, policy, crowd(10, long=lambda number: number < 6))
    drained(book.on_instants([together(*quotes(56_000, 2))]))
    drained(book.on_instants([together(*quotes(55_900, 3))]))
    book.breaker.close(released=True)
    judgements = drained(book.judge_held())
    assert types(judgements) == ["liquidation.entered"] * 6
    behind = book.reasons(1_000)
    assert types(behind).count("liquidation.requested") == 6
    for it in (*judgements, *behind):
        assert {event.marks["BTC-PERP"].price for event in it.events} == {D(55_900)}
        assert {event.ladder.held_by for event in it.events} == {None}
    verdicts = {it.risk.account: it.events[-1].id for it in judgements}
    assert {it.risk.account: event.verdict for it in behind for event in it.events} == verdicts
    assert (book.breaker.hold, book.breaker.held, book.breaker.state.held) == (None, {}, Stake())


@pytest.mark.parametrize("book_of", BOOKS)
@pytest.mark.parametrize(("price", "held"), [(60_000, 0), (56_000, 6)])
def test_breaker_when_it_is_voided_then_who_is_still_condemned_is_held_again(policy, book_of, price, held):
    book = opened(book_of, policy, crowd(10, long=lambda number: number < 6))
    drained(book.on_instants([together(*quotes(56_000, 2))]))
    drained(book.on_instants([together(*quotes(price, 3))]))
    book.breaker.close(released=False)
    assert liquidated(book, drained(book.judge_held())) == []
    assert len(book.breaker.held) == held
    assert book.breaker.hold == (2 if held else None)
    if held:
        assert book.breaker.state.opening.cause.kind == "void"


@pytest.mark.parametrize("book_of", BOOKS)
def test_breaker_when_it_is_open_then_whoever_comes_after_is_held_too_and_who_is_well_again_is_not(
    policy, book_of
):
    states = crowd(10, long=lambda number: number < 7)
    states[6] = replace(states[6], balances={"USDT": D(7_500)})
    book = opened(book_of, policy, states)
    drained(book.on_instants([together(*quotes(56_000, 2))]))
    assert len(book.breaker.held) == 6
    drained(book.on_instants([together(*quotes(54_600, 3))]))
    assert len(book.breaker.held) == 7
    for second in range(4, 20):
        drained(book.on_instants([together(*quotes(60_000, second))]))
        drained(book.on_clock(moment(seconds(second))))
    assert (book.breaker.held, book.breaker.state.held) == ({}, Stake())
    assert book.breaker.hold == 1


@pytest.mark.parametrize("book_of", BOOKS)
def test_breaker_when_a_policy_has_none_then_everybody_is_liquidated(book_of):
    book = opened(book_of, sample(), crowd(10))
    judgements = drained(book.on_instants([together(*quotes(56_000, 2))]))
    assert liquidated(book, judgements) == [it.account for it in crowd(10)]


@pytest.mark.parametrize("book_of", BOOKS)
@pytest.mark.parametrize("released", [False, True])
def test_breaker_when_it_opens_before_a_plan_was_made_then_that_waits_until_it_is_closed_and_details_do_not(
    policy, book_of, released
):
    states = crowd(10, long=lambda number: number < 6)
    states[3:6] = [replace(it, balances={"USDT": D(7_500)}) for it in states[3:6]]
    book = opened(book_of, policy, states)
    # three enter liquidation; of one a plan is made before the other three would come in too
    entered = drained(book.on_instants([together(*quotes(56_000, 2))]))
    assert types(entered).count("liquidation.entered") == 3
    (planned,) = book.reasons(1)
    assert types([planned]) == ["liquidation.requested", "margin.explained"]
    drained(book.on_instants([together(*quotes(54_500, 3))]))
    assert (book.breaker.hold, len(book.breaker.held)) == (1, 3)
    # two that wait for plans, and three that are held: all of them are explained
    assert types(book.reasons(1_000)) == ["margin.explained"] * 5
    assert types(book.reasons(1_000)) == []
    assert book.reasons_due
    waiting = {it.risk.account for it in entered if "liquidation.entered" in types([it])}
    waiting -= {planned.risk.account}
    assert {name for name in waiting if book.risk(name).pools[""].plan_due} == waiting
    # and nothing that happens while it is open changes that; at their next comparison they are known as held
    drained(book.on_instants([together(*quotes(54_400, 10))]))
    drained(book.on_clock(moment(seconds(40))))
    assert types(book.reasons(1_000)) == []
    # the planned one too, of which prices have moved since
    everybody = {"a-00", "a-01", "a-02", "a-03", "a-04", "a-05"}
    assert {name for name in everybody if book.risk(name).pools[""].held_by == 1} == everybody
    assert (set(book.breaker.held), book.breaker.state.held.accounts) == (everybody, 6)
    book.breaker.close(released=released)
    # the three that were held are no more than the share when they are judged anew
    assert types(drained(book.judge_held())) == ["liquidation.entered"] * 3
    behind = book.reasons(1_000)
    assert book.breaker.hold is None
    requests = [event for it in behind for event in it.events if event.type == "liquidation.requested"]
    # of the planned one prices have moved since: its plan is made anew
    assert {it.account for it in requests if it.replaces is None} == {*waiting, "a-03", "a-04", "a-05"}
    assert {it.account for it in requests if it.replaces} == {planned.risk.account}
    assert (book.breaker.held, book.breaker.state.held) == ({}, Stake())
    assert not book.reasons_due


@pytest.mark.parametrize("book_of", BOOKS)
def test_breaker_when_a_liquidation_was_asked_for_before_it_opened_then_nobody_is_said_to_fail_while_it_is_open(
    policy, book_of
):
    states = crowd(10, long=lambda number: number < 6)
    states[3:6] = [replace(it, balances={"USDT": D(7_500)}) for it in states[3:6]]
    book = opened(book_of, policy, states)
    drained(book.on_instants([together(*quotes(56_000, 2))]))
    assert types(book.reasons(1_000)).count("liquidation.requested") == 3
    drained(book.on_instants([together(*quotes(54_500, 3))]))
    stuck = int(policy.liquidation.stuck_seconds)
    said = [types(drained(book.on_clock(moment(seconds(second))))) for second in range(4, 3 * stuck)]
    assert not any("liquidation.failed" in it for it in said)
    # their plans are out of date
    assert set(book.breaker.held) == {"a-00", "a-01", "a-02", "a-03", "a-04", "a-05"}


@pytest.mark.parametrize("book_of", BOOKS)
def test_breaker_when_a_held_account_is_put_with_another_record_then_it_is_held_no_more(policy, book_of):
    book = opened(book_of, policy, crowd(10, long=lambda number: number < 6))
    drained(book.on_instants([together(*quotes(56_000, 2))]))
    book.put(crowd(10)[0], AccountRisk("a-00"))
    assert (set(book.breaker.held), book.breaker.state.held.accounts) == (
        {"a-01", "a-02", "a-03", "a-04", "a-05"},
        5,
    )


@pytest.mark.parametrize("book_of", BOOKS)
def test_breaker_when_accounts_come_after_one_cause_then_the_next_counts_them_too(policy, book_of):
    """What opens it must not depend on when somebody last asked what is at stake in all."""
    states = crowd(10, long=lambda number: number < 9)
    # three who are withheld: with them the first cause might condemn too many, so the whole is asked for
    stop = Stop(RejectionCode.UNKNOWN_ASSET, 0)
    withheld = [replace(it, ledger=replace(it.ledger, stop=stop)) for it in states[3:6]]
    states[6:9] = [replace(it, balances={"USDT": D(7_500)}) for it in states[6:9]]
    book = opened(book_of, policy, states)
    for state in withheld:
        book.put(state)
    first = drained(book.on_instants([together(*quotes(56_000, 2))]))
    assert liquidated(book, first) == ["a-00", "a-01", "a-02"]
    newcomers = [
        replace(it, account=f"b-{number:02}") for number, it in enumerate(crowd(20, long=lambda _: False))
    ]
    for state in newcomers:
        book.put(state)
    drained(book.judge([it.account for it in newcomers]))
    # six of ten, but of thirty less than the share
    second = drained(book.on_instants([together(*quotes(54_500, 3))]))
    assert liquidated(book, second) == ["a-06", "a-07", "a-08"]
    assert book.breaker.hold is None


def test_breaker_when_the_whole_market_falls_by_a_tenth_then_hedged_and_usual_accounts_are_left_alone(policy):
    """Of 100 accounts with 2 to 20 times leverage, half of them hedged, a fall by 10 % in one instant condemns less than the share."""
    states = [
        account({"USDT": 60_000 // (2 + number % 19)}, {"BTC-PERP": (1, 60_000)}, name=f"n-{number:02}")
        for number in range(50)
    ]
    twins = Twins(policy, {"BTC-PERP": 60_000, "USDT-USD": 1})
    for state in states:
        twins.put(state)
    for number in range(50):
        twins.put(
            account(
                {"USDT": 9_000},
                {"BTC-PERP|long": (1, 60_000), "BTC-PERP|short": (-1, 60_000)},
                name=f"h-{number:02}",
            )
        )
    twins.judge(*twins.plain.accounts())
    twins.now_ns = seconds(5)
    twins.on_marks(twins.mark("BTC-PERP", D(54_000)))
    assert twins.plain.breaker.hold is None
    twins.say_reasons()
    requested = [
        name
        for name in twins.plain.accounts()
        if twins.plain.risk(name).pools.get("") and twins.plain.risk(name).pools[""].request
    ]
    assert 10 < len(requested) < 40


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("accounts_share_max = 0", "breaker.accounts_share_max: must lie in 0..1"),
        ("equity_share_max = 1.1", "breaker.equity_share_max: must lie in 0..1"),
        ("window_seconds = -1", "breaker.window_seconds: must be >= 0"),
        ("accounts_min = 0", "breaker.accounts_min: must be >= 1"),
    ],
)
def test_policy_when_the_breaker_breaks_a_rule_then_it_is_refused(line, message):
    with pytest.raises(PolicyError, match=message):
        parse(f"{sample_text()}\n[breaker]\n{line}\n")
