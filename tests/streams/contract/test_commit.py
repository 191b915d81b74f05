"""Group commit: one merged commit leaves the store exactly where the commits one by one would."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.ledger.orders_apart import OrderChanges
from streams.contract.commit import AppliedId, Commit, ForgottenIds, OutboxEntry, merge

TOPICS = ("fills", "ledger")
ACCOUNTS = ("a", "b", "c")


class ModelStore:
    """The rules of the store's commit, in memory: check every watermark, then write everything."""

    def __init__(self) -> None:
        self.watermarks: dict[str, int] = {}
        self.accounts: dict[str, bytes] = {}
        self.orders: dict[str, dict[str, bytes | None]] = {}
        self.risks: dict[str, bytes] = {}
        self.ids: dict[tuple[str, str, int], list[AppliedId]] = {}
        self.outbox: list[OutboxEntry] = []
        self.breaker: bytes | None = None
        self.adl: bytes | None = None

    def commit(self, commit: Commit) -> None:
        for topic, (expected, _) in commit.advance.items():
            assert self.watermarks.get(topic, 0) == expected
        self.watermarks |= {topic: new for topic, (_, new) in commit.advance.items()}
        self.accounts |= commit.accounts
        for account, changes in commit.orders.items():
            self.orders[account] = ({} if changes.cleared else self.orders.get(account, {})) | changes.left
        self.risks |= commit.risks
        for place, added in commit.ids.items():
            for it in added:
                self.ids.setdefault((*place, it.generation), []).append(it)
        for gone in commit.forgotten:
            self.ids.pop((gone.topic, gone.account, gone.generation), None)
        self.outbox += commit.outbox
        self.breaker = commit.breaker or self.breaker
        self.adl = commit.adl or self.adl


def entry(value: bytes) -> OutboxEntry:
    return OutboxEntry("margin-events", 0, b"a", value, (), "margin.call.opened")


values = st.binary(max_size=3)
states = st.dictionaries(st.sampled_from(ACCOUNTS), values)
order_changes = st.builds(
    OrderChanges, st.booleans(), st.dictionaries(st.sampled_from("xyz"), st.none() | values)
)
places = st.tuples(st.sampled_from(TOPICS), st.sampled_from(ACCOUNTS))


def draw_ids(
    draw: st.DrawFn, generations: dict[tuple[str, str], int]
) -> tuple[dict[tuple[str, str], tuple[AppliedId, ...]], tuple[ForgottenIds, ...]]:
    """New ids of some accounts, and generations that end: nothing is added to one after that."""
    ids: dict[tuple[str, str], tuple[AppliedId, ...]] = {}
    forgotten = []
    for place in draw(st.lists(places, max_size=3, unique=True)):
        now = generations.setdefault(place, 1)
        digests = draw(st.lists(st.binary(min_size=1, max_size=2), max_size=3))
        ids[place] = tuple(AppliedId(now, 0, number, it, b"said") for number, it in enumerate(digests))
        if draw(st.booleans()):
            forgotten.append(ForgottenIds(*place, now, 3, 0))
            generations[place] += 1
    return ids, tuple(forgotten)


@st.composite
def chains(draw: st.DrawFn) -> list[Commit]:
    reached = dict.fromkeys(TOPICS, 0)
    generations: dict[tuple[str, str], int] = {}
    commits = []
    for _ in range(draw(st.integers(0, 6))):
        advance = {}
        for topic in draw(st.sets(st.sampled_from(TOPICS))):
            end = reached[topic] + draw(st.integers(1, 5))
            advance[topic] = (reached[topic], end)
            reached[topic] = end
        ids, forgotten = draw_ids(draw, generations)
        commits.append(
            Commit(
                advance=advance,
                accounts=draw(states),
                orders=draw(st.dictionaries(st.sampled_from(ACCOUNTS), order_changes, max_size=2)),
                risks=draw(states),
                ids=ids,
                forgotten=forgotten,
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
