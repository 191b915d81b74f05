"""A flood of what is set aside: every record is told of, and only so many bytes are copied."""

from engine.rejections import Rejection, RejectionCode
from streams.contract.commit import OutboxEntry
from streams.contract.quarantine_budget import BYTES_MAX, BYTES_PER_SECOND, QuarantineBudget
from streams.contract.quarantine_record import RECORD_BYTES_MAX, quarantine_entry

NS = 1_000_000_000
BEGIN_NS = 1_700_000_000 * NS


def entry(size: int, offset: int = 0) -> OutboxEntry:
    rejection = Rejection(RejectionCode.MALFORMED, "no JSON")
    return quarantine_entry("quarantine", "fills", 3, offset, b"k", b"x" * (size - 1), rejection)


def test_flood_when_beyond_the_budget_then_each_is_told_by_its_place_and_the_next_second_copies_again():
    budget, size = QuarantineBudget(), 1_000
    records = 2 * BYTES_MAX // size
    kept = [budget.within(entry(size, n), BEGIN_NS) for n in range(records)]
    whole = [it for it in kept if it.value]
    assert len(whole) == BYTES_MAX // size
    assert budget.places == records - len(whole)
    assert [dict(it.headers)["offset"] for it in kept] == [b"%d" % n for n in range(records)]
    assert {dict(it.headers).get("cut_from_bytes") for it in kept if not it.value} == {b"999"}
    assert {it.key for it in kept} == {b"k"}
    later = [budget.within(entry(size), BEGIN_NS + NS) for _ in range(1_000)]
    # what was left over is below one record
    assert len([it for it in later if it.value]) in {BYTES_PER_SECOND // size, BYTES_PER_SECOND // size + 1}


def test_budget_when_times_go_back_or_are_unknown_then_nothing_is_filled_up():
    budget = QuarantineBudget()
    for _ in range(16):
        assert budget.within(entry(RECORD_BYTES_MAX), BEGIN_NS).value
    for time_ns in (BEGIN_NS - 100 * NS, 0, BEGIN_NS):
        assert not budget.within(entry(RECORD_BYTES_MAX), time_ns).value


def test_record_when_it_was_cut_already_then_its_length_is_still_that_of_the_whole():
    budget = QuarantineBudget()
    rejection = Rejection(RejectionCode.OVERSIZED, "large")
    kept = [
        budget.within(quarantine_entry("q", "fills", 0, n, b"k", bytes(3_000_000), rejection), 0)
        for n in range(20)
    ]
    assert not kept[-1].value
    assert {dict(it.headers)["cut_from_bytes"] for it in kept} == {b"3000000"}
