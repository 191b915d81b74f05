"""Group commit: one merged commit leaves the store exactly where the commits one by one would."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.contract.commit import Commit, OutboxEntry, merge

TOPICS = ("fills", "ledger")
ACCOUNTS = ("a", "b", "c")


class ModelStore:
    """The rules of the store's commit, in memory: check every watermark, then write everything."""

    def __init__(self) -> None:
        self.watermarks: dict[str, int] = {}
        self.accounts: dict[str, bytes] = {}
        self.risks: dict[str, bytes] = {}
        self.seen: dict[tuple[str, str], list[str]] = {}
        self.outbox: list[OutboxEntry] = []
        self.breaker: bytes | None = None
        self.adl: bytes | None = None

    def commit(self, commit: Commit) -> None:
        for topic, (expected, _) in commit.advance.items():
            assert self.watermarks.get(topic, 0) == expected
        self.watermarks |= {topic: new for topic, (_, new) in commit.advance.items()}
        self.accounts |= commit.accounts
        self.risks |= commit.risks
        for place, ids in commit.seen.items():
            self.seen.setdefault(place, []).extend(ids)
        self.outbox += commit.outbox
        self.breaker = commit.breaker or self.breaker
        self.adl = commit.adl or self.adl


def entry(value: bytes) -> OutboxEntry:
    return OutboxEntry("margin-events", 0, b"a", value, (), "margin.call.opened")


values = st.binary(max_size=3)
states = st.dictionaries(st.sampled_from(ACCOUNTS), values)
ids = st.lists(st.text("xyz", max_size=2), max_size=3).map(tuple)
places = st.tuples(st.sampled_from(TOPICS), st.sampled_from(ACCOUNTS))


@st.composite
def chains(draw: st.DrawFn) -> list[Commit]:
    reached = dict.fromkeys(TOPICS, 0)
    commits = []
    for _ in range(draw(st.integers(0, 6))):
        advance = {}
        for topic in draw(st.sets(st.sampled_from(TOPICS))):
            end = reached[topic] + draw(st.integers(1, 5))
            advance[topic] = (reached[topic], end)
            reached[topic] = end
        commits.append(
            Commit(
                advance=advance,
                accounts=draw(states),
                risks=draw(states),
                seen=draw(st.dictionaries(places, ids)),
                outbox=tuple(entry(value) for value in draw(st.lists(values, max_size=3))),
                breaker=draw(st.none() | st.just(b"open") | st.just(b"closed")),
                adl=draw(st.none() | st.just(b"none") | st.just(b"soon")),
            )
        )
    return commits


@given(chains())
def test_merge_when_applied_then_equals_applying_one_by_one(commits: list[Commit]) -> None:
    one_by_one, merged = ModelStore(), ModelStore()
    for commit in commits:
        one_by_one.commit(commit)
    merged.commit(merge(commits))
    assert vars(merged) == vars(one_by_one)


@given(chains(), st.data())
def test_merge_when_grouped_anywhere_then_equals_merging_all(
    commits: list[Commit], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(commits)))
    assert merge([merge(commits[:cut]), merge(commits[cut:])]) == merge(commits)


@pytest.mark.parametrize("second", [(2, 4), (4, 5), (0, 3)])
def test_merge_when_ranges_do_not_join_then_broken_invariant(second: tuple[int, int]) -> None:
    with pytest.raises(AssertionError, match="fills"):
        merge([Commit(advance={"fills": (0, 3)}), Commit(advance={"fills": second})])
