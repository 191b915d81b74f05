"""What an instant is: the marks of a record in any order, and records of one time joined."""

import random
from decimal import Decimal

import pytest

from engine.marks.instants import Instant, InstantName, Joining, MarksRecord, joined
from engine.marks.intake import PriceIntake
from engine.marks.mark_book import MarkBook
from tests.support.builders import mark, sample, seconds
from tests.support.instants import singly

D = Decimal
WAIT_NS = 50


def record(*marks, partition=0, offset=0):
    return MarksRecord(marks, partition, offset)


def at(time_ns, symbol="BTC-PERP", partition=0, sequence=1):
    return record(mark(symbol, 100, sequence, at=D(time_ns) / 1_000_000_000), partition=partition)


def times(records):
    return [[it.time_ns for it in each.marks] for each in records]


def test_accept_when_the_marks_of_a_record_are_permuted_then_nothing_changes():
    rng = random.Random(3)
    for _ in range(200):
        marks = [
            mark(
                symbol,
                rng.choice(("90", "95", "100", "104", "112", "0")),
                rng.randint(2, 9),
                at=rng.randint(0, 30),
            )
            for symbol in rng.choices(("BTC-PERP", "ETH-PERP", "USDT-USD", "DOGE"), k=rng.randint(1, 6))
        ]
        # one sequence is one mark: which of two with the same number came first nobody can tell
        marks = list({(it.symbol, it.sequence): it for it in marks}.values())
        books = []
        for _ in range(3):
            rng.shuffle(marks)
            book = MarkBook(sample())
            book.accept(record(mark("BTC-PERP", 100), mark("ETH-PERP", 100), mark("USDT-USD", 1)), 0)
            instant, refused = book.accept(record(*marks, offset=7), seconds(30))
            told = None if instant is None else (set(instant.marks), instant.name)
            books.append(
                (told, sorted(it.code for it in refused), dict(book.prices.marks), book.prices.stale)
            )
        assert books[0] == books[1] == books[2]


def test_accept_when_a_record_is_believed_then_its_instant_bears_its_newest_time_and_place():
    book = MarkBook(sample())
    instant, _ = book.accept(
        record(mark("BTC-PERP", 1, at=3), mark("ETH-PERP", 1, at=2), partition=4, offset=9), seconds(3)
    )
    assert instant.name == InstantName(seconds(3), 4, 9) == book.prices.instant


def test_joined_when_instants_follow_each_other_then_the_newest_mark_of_each_symbol_stands():
    one, two, three = singly([mark("A", 1, 1), mark("B", 2, 1), mark("A", 3, 2)])
    assert joined([one, two, three]) == Instant((mark("A", 3, 2), mark("B", 2, 1)), three.name)


def test_joining_when_partitions_tell_one_time_then_they_are_one_record_once_all_have_passed_it():
    joining = Joining(WAIT_NS)
    assert joining.offer([at(5, partition=0), at(5, "ETH-PERP", partition=1)], 0) == []
    assert joining.offer([at(6, partition=0, sequence=2)], 1) == []
    ready = joining.offer([at(6, "ETH-PERP", partition=1, sequence=2)], 2)
    assert times(ready) == [[5, 5]]
    assert times(joining.rest()) == [[6, 6]]


def test_joining_when_a_partition_is_silent_then_the_others_wait_for_it_no_longer_than_the_bound():
    joining = Joining(WAIT_NS)
    joining.offer([at(5, partition=0), at(4, "ETH-PERP", partition=1)], 0)
    assert times(joining.due(WAIT_NS - 1)) == []
    assert times(joining.due(WAIT_NS)) == [[4], [5]]
    # it holds up nobody any more
    assert times(joining.offer([at(6, sequence=2), at(7, sequence=3)], WAIT_NS + 1)) == [[6]]


def test_joining_when_a_record_comes_after_its_instant_then_it_is_one_of_its_own_and_counted():
    joining = Joining(WAIT_NS)
    joining.offer([at(5)], 0)
    joining.due(WAIT_NS)
    assert times(joining.offer([at(5, "ETH-PERP", partition=1)], WAIT_NS + 1)) == [[5]]
    assert joining.late == 1


@pytest.mark.parametrize(("instant", "wanted"), [("record", [1, 1]), ("time", [2])])
def test_intake_when_the_policy_joins_by_time_then_two_partitions_are_one_instant(instant, wanted):
    policy = sample(("[prices]", f'[prices]\ninstant = "{instant}"'))
    intake = PriceIntake(policy, MarkBook(policy))
    taken = intake.take([at(5), at(5, "ETH-PERP", partition=1)], 0)
    rest = intake.rest(0)
    assert [len(it.marks) for it in (*taken.instants, *rest.instants)] == wanted
