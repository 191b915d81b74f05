"""Which version is in force at which event time, and what an input is booked by."""

import pytest

from engine.policy.timeline import PolicyTimeline, Ruling
from tests.support.builders import sample

FIRST = sample()
SOL = sample(("[instruments.ETH-PERP]", "[instruments.SOL-PERP]"))
STRICT = sample(("warning = 1.5", "warning = 1.6"))


def test_in_force_when_versions_follow_each_other_then_each_from_its_own_time_on():
    timeline = PolicyTimeline([Ruling(0, 0, FIRST), Ruling(1, 100, SOL), Ruling(2, 200, STRICT)])
    assert [timeline.at(it).version for it in (0, 99, 100, 199, 200, 10**19)] == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("time_ns", [-1, 0, 49])
def test_in_force_when_before_every_version_then_the_first(time_ns):
    assert PolicyTimeline([Ruling(4, 50, FIRST), Ruling(5, 60, SOL)]).at(time_ns).version == 4


@pytest.mark.parametrize(("from_ns", "expected"), [(150, [0, 0, 2, 2]), (200, [0, 0, 0, 2])])
def test_in_force_when_a_later_version_is_for_an_earlier_time_or_the_same_then_it_has_the_last_word(
    from_ns, expected
):
    timeline = PolicyTimeline([Ruling(0, 0, FIRST), Ruling(1, 200, SOL)])
    timeline.add(Ruling(2, from_ns, STRICT))
    assert [timeline.at(it).version for it in (0, 149, 199, 200)] == expected


def test_booking_when_contracts_came_and_went_then_by_what_was_listed_until_then_and_by_the_newest_terms():
    timeline = PolicyTimeline([Ruling(0, 0, FIRST), Ruling(1, 100, SOL), Ruling(2, 200, STRICT)])
    assert "SOL-PERP" not in timeline.booking(99).instruments
    assert {"SOL-PERP", "ETH-PERP"} <= timeline.booking(100).instruments.keys()
    last = timeline.booking(10**19)
    assert {"SOL-PERP", "ETH-PERP"} <= last.instruments.keys()
    assert last.instruments["BTC-PERP"] is STRICT.instruments["BTC-PERP"]
    assert (last.ladder, timeline.booking(150).ladder) == (STRICT.ladder, SOL.ladder)


def test_booking_when_a_version_was_replaced_before_it_came_then_what_it_would_have_listed_is_not_booked():
    timeline = PolicyTimeline([Ruling(0, 0, FIRST), Ruling(1, 200, SOL), Ruling(2, 100, STRICT)])
    assert "SOL-PERP" not in timeline.booking(300).instruments


def test_booking_when_something_was_listed_before_all_versions_then_at_every_time():
    timeline = PolicyTimeline([Ruling(0, 0, FIRST), Ruling(1, 100, STRICT)], listed_before=SOL)
    assert all("SOL-PERP" in timeline.booking(it).instruments for it in (0, 100))
    assert "SOL-PERP" not in timeline.at(0).policy.instruments
