"""Policies of deleveraging: who is cut by how much at what price, what that gives, and how it is scored."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from engine.liquidation.adl import AdlCandidate
from engine.liquidation.adl_score import Deleveraged, adl_score
from engine.liquidation.deficit_cover import cover_deficit
from engine.liquidation.deleveraging import Closing, closing_short_of, deleverage
from engine.numbers import exact
from engine.policy import Instrument
from engine.policy.rules.deleveraging_rules import DeleveragingRules
from engine.policy.rules.policy_switches import (
    DeleveragedSize,
    Deleveraging,
    InstrumentKind,
    Payoff,
)

D = Decimal
PERPETUAL = Instrument(
    kind=InstrumentKind.PERPETUAL, base="BTC", settle="USDT", quantity_step=D("0.1"), price_step=D("0.5")
)
LONG_10 = Closing(instrument=PERPETUAL, quantity=D(10), price=D(120), mark=D(100), index=D(1))
"""A long of 10, bankrupt at 120 while the mark is 100: 200 short. A short that is closed there gives 20 a contract."""


def short(account, contracts, entry, equity=100, **changes):
    """A short of LONG_10's contract at the mark of 100."""
    value = D(contracts) * D(entry)
    profit = value - D(contracts) * 100
    made = AdlCandidate(account, -D(contracts), profit, D(contracts) * 100, D(equity), -value)
    return replace(made, **changes)


def rules(rule="queue", size="deficit", **changes):
    return DeleveragingRules(rule=Deleveraging(rule), size=DeleveragedSize(size), **changes)


def told(cuts):
    return [(cut.account, cut.quantity, cut.price, cut.forgone) for cut in cuts]


def test_cut_when_a_small_winner_faces_a_large_deficit_then_it_gives_no_more_than_closing_it_can():
    # 0.1 BTC at 60,000, closed at 61,000: 0.1 * 1,000 of the 5,000, whatever its profit is
    closing = Closing(instrument=PERPETUAL, quantity=D(5), price=D(61_000), mark=D(60_000), index=D(1))
    winner = AdlCandidate("w", D("-0.1"), D(6_000), D(6_000), D(100), D(-12_000))
    (cut,) = deleverage(closing, [winner], rules(), D(5_000))
    assert (cut.quantity, cut.price, cut.forgone) == (D("0.1"), 61_000, 100)
    cover = cover_deficit(D(5_000), D(0), [(closing, [winner])], rules())
    assert (cover.uncovered, cover.overshoot) == (5_000 - 100, 0)


def test_cut_when_the_winner_entered_nearer_to_the_mark_then_closed_at_its_entry_and_not_at_a_loss():
    # entered at 110.3: down to the tick, 110; gives 10 a contract where others give 20
    (cut,) = deleverage(LONG_10, [short("w", 4, "110.3")], rules(), D(200))
    assert (cut.price, cut.forgone) == (110, 4 * 10)


def test_cut_when_the_winners_are_long_then_the_same_below_the_mark():
    # a short of 10 bankrupt at 80 while the mark is 100; longs entered at 70 and at 90.2, up to the tick 90.5
    closing = replace(LONG_10, quantity=D(-10), price=D(80))
    longs = [
        AdlCandidate("a", D(3), D(90), D(300), D(100), D(210)),
        AdlCandidate("b", D(4), D("39.2"), D(400), D(100), D("360.8")),
    ]
    cuts = deleverage(closing, longs, rules(), D(200))
    assert told(cuts) == [("a", 3, 80, 60), ("b", 4, D("90.5"), 38)]


def test_cut_when_the_contract_is_inverse_then_given_in_coin_at_its_index():
    # 100,000 contracts of 1 USD short at 50,000, closed at 40,000 instead of 50,000: 2.5 - 2 coins at 50,000
    inverse = replace(PERPETUAL, payoff=Payoff.INVERSE, settle="BTC", quantity_step=D(1))
    closing = Closing(
        instrument=inverse, quantity=D(-100_000), price=D(40_000), mark=D(50_000), index=D(50_000)
    )
    long = AdlCandidate("w", D(100_000), D(500_000), D(100_000), D(1), D(4))
    (cut,) = deleverage(closing, [long], rules(), D(10_000))
    # 10,000 / (100,000 * (1 / 40,000 - 1 / 50,000) * 50,000 / 100,000) = 10,000 / 0.25
    assert (cut.quantity, cut.price, cut.forgone) == (40_000, 40_000, 10_000)


def test_cut_when_the_takeover_loses_nothing_or_nobody_is_in_profit_then_none():
    gaining = replace(LONG_10, price=D(90))
    with exact():
        assert gaining.deficit == 0
    assert deleverage(gaining, [short("w", 4, 150)], rules(), D(10)) == ()
    assert deleverage(LONG_10, [short("loses", 4, 90)], rules(), D(10)) == ()
    same_side = AdlCandidate("long", D(4), D(10), D(400), D(1), D(390))
    assert deleverage(LONG_10, [same_side], rules(), D(10)) == ()


# 50 of 200 are needed: 2.5 contracts. Profits 40 * 1, 50 * 3, 30 * 6; leverage 100 / 10, 300 / 100, 600 / 1,000
WINNERS = [short("a", 1, 140, equity=10), short("b", 3, 150, equity=100), short("c", 6, 130, equity=1_000)]


@pytest.mark.parametrize(
    ("rule", "size", "cuts"),
    [
        # scores 40 * 10, 150 * 3, 180 * 0.6: b, a, c
        ("queue", "deficit", [("b", "2.5")]),
        ("queue", "position", [("b", 3), ("a", 1), ("c", 6)]),
        # 2.5 * 40 / 370 = 0.27, 2.5 * 150 / 370 = 1.01, the rest: running sums 0.27, 1.28, 2.5 up to lots of 0.1
        ("pro_rata_profit", "deficit", [("a", "0.3"), ("b", "1.0"), ("c", "1.2")]),
        # equity 50, 250, 1,180 of 1,480: running sums 0.084, 0.507, 2.5
        ("pro_rata_equity", "deficit", [("a", "0.1"), ("b", "0.5"), ("c", "1.9")]),
        # 1, 3, 6 of 10: running sums 0.25, 1, 2.5
        ("per_contract", "deficit", [("a", "0.3"), ("b", "0.7"), ("c", "1.5")]),
        ("per_contract", "position", [("a", 1), ("b", 3), ("c", 6)]),
        # 10 * 40 / 370 = 1.08 and 10 * 150 / 370 = 4.05 are more than they hold: the third gives the rest
        ("pro_rata_profit", "position", [("a", 1), ("b", 3), ("c", 6)]),
    ],
)
def test_policy_when_chosen_then_so_is_who_gives_what(rule, size, cuts):
    found = deleverage(LONG_10, WINNERS, rules(rule, size), D(50))
    assert [(cut.account, cut.quantity) for cut in found] == [(name, D(lots)) for name, lots in cuts]
    assert {cut.price for cut in found} == {120}


def test_shares_when_one_cannot_give_its_own_then_the_others_do_by_the_same_weights():
    # 90 needed, 4.5 contracts; by equity 140, 1,050 and 1,180 of 2,370: 0.27, 1.99, 2.24; the second holds but 1
    winners = [
        short("a", 1, 140, equity=100),
        short("b", 1, 150, equity=1_000),
        short("c", 6, 130, equity=1_000),
    ]
    cuts = deleverage(LONG_10, winners, rules("pro_rata_equity"), D(90))
    # 3.5 left by 140 and 1,180 of 1,320: 0.37 and 3.13; running sums 0.37, 1.37, 4.5
    assert [(cut.account, cut.quantity) for cut in cuts] == [("a", D("0.4")), ("b", D(1)), ("c", D("3.1"))]


def test_shares_when_all_contracts_do_not_give_the_money_then_contracts_are_spread():
    # entries at 110 give 10 a contract: all 10 give 100 of 200, and 30 are held: a third of each
    winners = [short(name, 10, 110) for name in "abc"]
    cuts = deleverage(LONG_10, winners, rules("per_contract"), D(200))
    # running sums 3.33, 6.67, 10
    assert [cut.quantity for cut in cuts] == [D("3.4"), D("3.3"), D("3.3")]


def test_neutral_when_cut_last_then_only_what_the_others_cannot_give():
    winners = [short("hedged", 10, 190, neutral=True), short("open", 4, 130)]
    first = rules("pro_rata_profit")
    assert [cut.account for cut in deleverage(LONG_10, winners, first, D(100))] == ["hedged", "open"]
    last = replace(first, neutral_last=True)
    # 4 * 20 of the one, 20 of the hedged one
    assert told(deleverage(LONG_10, winners, last, D(100))) == [("open", 4, 120, 80), ("hedged", 1, 120, 20)]
    assert [cut.account for cut in deleverage(LONG_10, winners, last, D(80))] == ["open"]


def test_cut_when_the_takeover_loses_nothing_but_all_is_closed_then_at_the_mark_and_nobody_gives_or_gains():
    gaining = replace(LONG_10, price=D(90))
    cuts = deleverage(gaining, [short("w", 4, 150), short("v", 9, 150)], rules(size="position"), D(0))
    # leverage 4 and 9
    assert told(cuts) == [("v", 9, 100, 0), ("w", 1, 100, 0)]


def test_cover_when_the_fund_suffices_then_no_winner_gives():
    cover = cover_deficit(D(200), D(900), [(LONG_10, WINNERS)], rules())
    assert (cover.from_fund, cover.fund_after, cover.cuts, cover.uncovered) == (200, 700, (), 0)


@pytest.mark.parametrize(
    ("size", "given", "overshoot"),
    [
        # the fund's 150 are kept out of it: 50 / 20 = 2.5 contracts
        ("deficit", 50, 0),
        # all ten contracts give 200, and 150 of them the fund could have paid
        ("position", 200, 150),
    ],
)
def test_cover_when_the_fund_bears_a_part_then_the_size_decides_whether_too_much_is_taken(
    size, given, overshoot
):
    cover = cover_deficit(D(200), D(150), [(LONG_10, WINNERS)], rules("queue", size))
    assert sum(cut.forgone for cut in cover.cuts) == given
    assert (cover.fund_after, cover.overshoot, cover.uncovered) == (0, overshoot, 0)


def test_cover_when_two_positions_are_taken_over_then_each_asks_for_its_part():
    # deficits 200 and 100: of the 90 that are needed 60 and 30, 3 and 1.5 contracts
    other = replace(LONG_10, quantity=D(5))
    cover = cover_deficit(D(300), D(210), [(LONG_10, WINNERS), (other, WINNERS)], rules())
    assert [cut.quantity for cut in cover.cuts] == [D(3), D("1.5")]


def test_closing_when_a_shortfall_is_given_then_the_position_that_leaves_it():
    # 50 at 20 a contract
    closing = closing_short_of(D(50), D(120), D(100), D(1), PERPETUAL, taken_long=True)
    assert (closing.quantity, closing.price) == (D("2.5"), 120)
    assert closing_short_of(D(50), D(90), D(100), D(1), PERPETUAL, taken_long=True) is None
    assert closing_short_of(D(50), D(90), D(100), D(1), PERPETUAL, taken_long=False).quantity == -5


def test_cut_when_contracts_run_short_in_equal_shares_then_they_give_what_is_needed_and_no_more():
    # equal profit; in equal shares of the 60 the one who gives 1 a contract would have to close 30 of the 10.
    # 5 contracts each would give 5 * 20 + 5 * 1 = 105; 60 / 105 of that is 2.857... each, in lots 2.9 and 2.9
    winners = [short("a", 8, 120, unrealised_pnl=D(100)), short("b", 8, 101, unrealised_pnl=D(100))]
    cuts = deleverage(LONG_10, winners, rules("pro_rata_profit"), D(60))
    assert told(cuts) == [("a", D("2.9"), 120, 58), ("b", D("2.9"), 101, D("2.9"))]


def test_score_when_takeovers_are_summed_then_one_that_took_too_much_pays_for_none_that_took_too_little():
    too_much = Deleveraged(D(200), D(150), deleverage(LONG_10, WINNERS, rules("queue", "position"), D(50)))
    too_little = Deleveraged(D(200), D(0), deleverage(LONG_10, WINNERS[:1], rules(), D(200)))
    score = adl_score([too_much, too_little])
    assert (score.takeovers, score.deficit, score.needed, score.taken) == (2, 400, 50 + 200, 200 + 20)
    assert (score.covered, score.overshoot, score.uncovered) == (50 + 20, 150, 180)
    # c gave 6 * 20 of 220; a gave 20 of its 40, c 120 of 180
    assert (score.largest_share, score.largest_haircut) == (
        D("0.545454545454545455"),
        D("0.666666666666666667"),
    )
    assert (score.cuts, score.accounts) == (4, 3)


def test_score_when_nobody_was_deleveraged_then_nothing():
    score = adl_score([])
    assert (score.takeovers, score.taken, score.largest_share, score.accounts) == (0, 0, 0, 0)


HELD = st.builds(
    short,
    account=st.sampled_from("abcd"),
    contracts=st.decimals("0.1", 8, places=2),
    entry=st.decimals(90, 160, places=1),
    equity=st.integers(-50, 500),
    neutral=st.booleans(),
)
POLICIES = st.builds(
    DeleveragingRules,
    rule=st.sampled_from(Deleveraging),
    size=st.sampled_from(DeleveragedSize),
    neutral_last=st.booleans(),
)


@given(winners=st.lists(HELD, max_size=6), rules=POLICIES, needed=st.decimals(1, 200, places=2))
def test_deleveraging_when_anybody_is_cut_by_any_policy_then_within_what_is_held_needed_and_gained(
    winners, rules, needed
):
    named = [replace(it, position=str(place)) for place, it in enumerate(winners)]
    of = {it.position: it for it in named}
    cuts = deleverage(LONG_10, named, rules, needed)
    assert len({cut.position for cut in cuts}) == len(cuts)
    assert sum(cut.quantity for cut in cuts) <= 10
    for cut in cuts:
        winner = of[cut.position]
        assert 0 < cut.quantity <= abs(winner.quantity)
        assert 100 <= cut.price <= 120
        assert 0 <= cut.forgone == cut.quantity * (cut.price - 100) <= winner.unrealised_pnl
        assert cut.equity_after == winner.equity + winner.unrealised_pnl - cut.forgone
    given = sum(cut.forgone for cut in cuts)
    if rules.size is DeleveragedSize.DEFICIT:
        # at most a lot of 0.1 at 20 a contract for each of the two groups
        assert given < needed + 2 * 2
    able = [it for it in named if it.unrealised_pnl > 0 and it.equity + it.unrealised_pnl > 0]
    if given < needed and sum(cut.quantity for cut in cuts) < 10:
        # who could still give is none of those
        left = {it.position for it in able} - {cut.position for cut in cuts}
        assert all(abs(of[it].entry_value / of[it].quantity) < D("100.5") for it in left)


@given(winners=st.lists(HELD, max_size=6), rules=POLICIES, fund=st.integers(0, 300))
def test_cover_when_any_deficit_is_spread_then_no_money_is_made_or_lost(winners, rules, fund):
    cover = cover_deficit(D(200), D(fund), [(LONG_10, winners)], rules)
    given = sum(cut.forgone for cut in cover.cuts)
    assert cover.from_fund + given - cover.overshoot + cover.uncovered == 200
    assert cover.from_fund + cover.fund_after == fund
    assert not (cover.overshoot and cover.uncovered)
