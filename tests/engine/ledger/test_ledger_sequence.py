from decimal import Decimal

import pytest

from engine.inputs import Resume, Topic
from engine.ledger.accounts import AccountState
from engine.ledger.applying import apply, stopped
from engine.rejections import Duplicate, Rejection, RejectionCode
from tests.support.builders import consumed, deposit, trade

D = Decimal
NEW = AccountState("alice")


def numbered(*sequences):
    """Deposits of 1 USD with these `account_seq`, at offsets 0, 1, .."""
    return [(Topic.LEDGER, offset, deposit(1, account_seq=seq)) for offset, seq in enumerate(sequences)]


def resume(**fields):
    return Resume(account="alice", entry_id="r", time_ns=0, reason="looked at", **fields)


def test_sequence_when_a_number_was_passed_then_it_is_a_duplicate_and_changes_nothing(policy):
    after = consumed(NEW, policy, numbered(4, 5))
    assert apply(after, deposit(1, account_seq=4), Topic.LEDGER, 9, policy) == Duplicate("d")
    assert consumed(after, policy, [(Topic.LEDGER, 9, deposit(1, account_seq=4))]) == after


def test_sequence_when_the_first_number_is_high_then_counting_starts_there(policy):
    assert consumed(NEW, policy, numbered(70)).ledger.next_seq == 70 + 1


def test_sequence_when_a_number_is_skipped_then_the_topic_stops_and_money_stays(policy):
    after = consumed(NEW, policy, numbered(1, 3))
    assert after.balances == {"USD": D(1)}
    assert after.ledger.stop.code is RejectionCode.SEQUENCE_GAP
    assert (after.ledger.stop.offset, after.ledger.stop.through_seq) == (1, 3)
    assert after.ledger.offset == 0
    assert after.stopped


def test_sequence_when_stopped_by_a_gap_then_later_numbers_are_refused_as_stopped(policy):
    after = consumed(NEW, policy, numbered(1, 3))
    verdict = apply(after, deposit(1, account_seq=4), Topic.LEDGER, 2, policy)
    assert isinstance(verdict, Rejection)
    assert verdict.code is RejectionCode.ACCOUNT_STOPPED


@pytest.mark.parametrize(
    ("order", "applied", "through"),
    [
        ((1, 3, 2), 2, 3),  # 2 came, but 3 was refused before: still missing
        ((1, 3, 2, 3), 3, None),
        ((1, 5, 2, 3, 4), 4, 5),
        ((1, 5, 2, 3, 4, 5), 5, None),
        ((1, 3, 6, 2, 3), 3, 6),  # 6 was refused while stopped: the hole reaches up to it
        ((1, 3, 6, 4, 2, 3, 4, 5), 5, 6),
        ((1, 3, 6, 4, 2, 3, 4, 5, 6, 7), 7, None),
    ],
)
def test_gap_when_the_missing_numbers_come_then_it_closes_at_the_highest_refused_one(
    policy, order, applied, through
):
    after = consumed(NEW, policy, numbered(*order))
    assert after.balances == {"USD": D(applied)}
    assert (after.ledger.stop.through_seq if after.ledger.stop else None) == through


def test_gap_when_an_unnumbered_input_was_refused_meanwhile_then_only_an_operator_ends_the_stop(policy):
    # 1, (3), (unnumbered), 2, 3: all numbers came, yet one input of the account was never applied
    after = consumed(NEW, policy, numbered(1, 3, None, 2, 3))
    assert after.stopped
    assert after.balances == {"USD": D(1)}


def test_gap_when_the_number_in_turn_is_itself_refused_then_the_stop_stays(policy):
    after = consumed(NEW, policy, numbered(1, 3))
    unlisted = deposit(1, asset="DOGE", account_seq=2)
    after = consumed(after, policy, [(Topic.LEDGER, 2, unlisted), *numbered(3)])
    assert after.stopped
    assert after.ledger.next_seq == 2


def test_refusal_when_of_an_unknown_instrument_then_nothing_of_that_topic_is_applied_any_more(policy):
    after = consumed(
        NEW,
        policy,
        [
            (Topic.FILLS, 0, trade("DOGE-PERP", 1, 1)),
            (Topic.FILLS, 1, trade("BTC-PERP", 1, 1)),
            (Topic.LEDGER, 0, deposit(5)),
        ],
    )
    assert after.fills.stop.code is RejectionCode.UNKNOWN_INSTRUMENT
    assert after.fills.stop.offset == 0
    assert after.positions == {}
    assert after.balances == {"USD": D(5)}  # the other topic goes on


def test_refusal_when_another_follows_then_the_first_one_is_remembered():
    after = stopped(NEW, Topic.FILLS, 3, RejectionCode.MALFORMED, None)
    assert stopped(after, Topic.FILLS, 8, RejectionCode.UNKNOWN_INSTRUMENT, 5) == after


def test_refusal_when_not_a_gap_then_the_number_in_turn_does_not_end_it(policy):
    after = consumed(NEW, policy, numbered(1))
    after = stopped(after, Topic.LEDGER, 1, RejectionCode.MALFORMED, None)
    assert consumed(after, policy, [(Topic.LEDGER, 2, deposit(1, account_seq=2))]) == after


def test_resume_when_stopped_then_the_topic_moves_again(policy):
    after = stopped(NEW, Topic.LEDGER, 0, RejectionCode.MALFORMED, None)
    after = consumed(after, policy, [(Topic.LEDGER, 1, resume()), (Topic.LEDGER, 2, deposit(5))])
    assert not after.stopped
    assert after.balances == {"USD": D(5)}
    assert after.ledger.offset == 2


def test_resume_when_in_one_topic_then_the_other_stays_stopped(policy):
    after = stopped(NEW, Topic.FILLS, 0, RejectionCode.MALFORMED, None)
    after = consumed(after, policy, [(Topic.LEDGER, 1, resume())])
    assert after.fills.stop is not None


@pytest.mark.parametrize(("told", "expected"), [(None, 2), (9, 9), (0, 0)])
def test_resume_when_it_names_the_next_number_then_that_is_expected(policy, told, expected):
    after = consumed(NEW, policy, numbered(1, 5))
    after = consumed(after, policy, [(Topic.LEDGER, 2, resume(next_account_seq=told))])
    assert after.ledger.next_seq == expected
    assert not after.stopped


def test_resume_when_the_hole_was_not_skipped_then_the_next_number_stops_again(policy):
    after = consumed(NEW, policy, [*numbered(1, 5), (Topic.LEDGER, 2, resume())])
    after = consumed(after, policy, [(Topic.LEDGER, 3, deposit(1, account_seq=6))])
    assert after.ledger.stop.code is RejectionCode.SEQUENCE_GAP
