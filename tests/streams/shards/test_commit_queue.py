"""What waits to become durable: the urgent first, and per account everything in order."""

import asyncio
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.contract.commit import AppliedId, Commit, Lane, OutboxEntry, merge
from streams.shards.commit_queue import (
    COMMIT_ACCOUNTS_MAX,
    PASSED_OVER_MAX,
    PIECE_ACCOUNTS_MAX,
    CommitQueue,
)

ACCOUNTS = ("a", "b", "c", "d")


def entry(account: str, number: int, topic: str = "margin-events") -> OutboxEntry:
    return OutboxEntry(topic, 0, account.encode(), b"%d" % number, (), "any")


def warning(account: str, number: int) -> Commit:
    return Commit(risks={account: b"%d" % number}, outbox=(entry(account, number),))


def liquidation(account: str, number: int) -> Commit:
    said = (entry(account, number), entry(account, number, "liquidations"))
    return Commit(risks={account: b"%d" % number}, outbox=said)


def fill(account: str, offset: int, number: int) -> Commit:
    return Commit(advance={"fills": (offset, offset + 1)}, accounts={account: b"%d" % number})


def values(commit: Commit, topic: str = "margin-events") -> list[tuple[str, int]]:
    return [((it.key or b"").decode(), int(it.value)) for it in commit.outbox if it.topic == topic]


async def take_all(queue: CommitQueue) -> list[Commit]:
    commits = []
    while True:
        try:
            commits.append(await asyncio.wait_for(queue.next(), 0.01))
        except TimeoutError:
            return commits
        queue.committed()


async def test_next_when_parts_of_an_account_waited_together_then_the_commit_is_as_old_as_the_first() -> None:
    queue = CommitQueue()
    queue.add([warning("alice", 1)])
    first_s = time.monotonic()
    await asyncio.sleep(0.002)
    queue.add([warning("alice", 2)])
    queue.add([liquidation("alice", 3)])
    await queue.next()
    assert queue.taken_since_s <= first_s

    queue.committed()
    added_s = time.monotonic()
    queue.add([fill("bob", 0, 1)])
    await queue.next()
    assert added_s <= queue.taken_since_s <= time.monotonic()


async def test_next_when_ten_thousand_updates_wait_then_a_liquidation_is_the_next_commit() -> None:
    queue = CommitQueue()
    queue.add(warning(f"account-{number}", number) for number in range(10_000))
    assert len((await queue.next()).risks) == PIECE_ACCOUNTS_MAX
    queue.committed()
    queue.add([liquidation("alice", 1)])

    commit = await queue.next()

    assert commit == liquidation("alice", 1)
    queue.committed()
    rest = await take_all(queue)
    assert [len(it.risks) for it in rest] == [PIECE_ACCOUNTS_MAX] * 99
    assert [name for it in rest for name in it.risks] == [
        f"account-{number}" for number in range(100, 10_000)
    ]


async def test_next_when_urgent_parts_never_end_then_what_waits_has_a_commit_after_a_few_of_them() -> None:
    queue = CommitQueue()
    queue.add(warning(f"account-{number}", number) for number in range(2 * PIECE_ACCOUNTS_MAX))
    commits = []
    for number in range(2 * (PASSED_OVER_MAX + 1) + 2):
        queue.add([liquidation("alice", number)])
        commits.append(await queue.next())
        queue.committed()
    pieces = [place for place, it in enumerate(commits) if "alice" not in it.risks]
    assert pieces == [PASSED_OVER_MAX, 2 * PASSED_OVER_MAX + 1]
    assert [len(commits[place].risks) for place in pieces] == [PIECE_ACCOUNTS_MAX] * 2
    assert values(commits[PASSED_OVER_MAX + 1], "liquidations") == [
        ("alice", PASSED_OVER_MAX),
        ("alice", PASSED_OVER_MAX + 1),
    ]


async def test_next_when_what_waits_has_its_turn_then_it_overtakes_nothing_urgent_of_the_same_account() -> (
    None
):
    queue = CommitQueue()
    queue.add([warning("bob", 0)])
    for number in range(PASSED_OVER_MAX):
        queue.add([liquidation("carol", number)])
        await queue.next()
        queue.committed()
    queue.add([warning("alice", 1), fill("alice", 0, 2), warning("alice", 3)])
    rest = await take_all(queue)
    assert [values(it) for it in rest] == [[("bob", 0)], [("alice", 1)], [("alice", 3)]]


async def test_next_when_all_that_waits_comes_behind_urgent_parts_then_these_go_on() -> None:
    queue = CommitQueue()
    queue.add(
        [fill("alice", number, number) for number in range(COMMIT_ACCOUNTS_MAX * (PASSED_OVER_MAX + 2))]
    )
    queue.add([warning("alice", 1)])
    commits = await take_all(queue)
    assert [len(values(it)) for it in commits] == [0] * (PASSED_OVER_MAX + 2) + [1]


async def test_next_when_an_urgent_part_comes_then_it_takes_along_what_waits_of_its_account_and_nothing_else() -> (
    None
):
    queue = CommitQueue()
    queue.add([warning("alice", 1), warning("bob", 2), warning("alice", 3), liquidation("alice", 4)])
    first, second = await take_all(queue)
    assert first.risks == {"alice": b"4"}
    assert values(first) == [("alice", 1), ("alice", 3), ("alice", 4)]
    assert values(first, "liquidations") == [("alice", 4)]
    assert second == warning("bob", 2)


async def test_next_when_an_input_of_an_account_comes_then_what_was_judged_before_it_is_in_the_same_commit() -> (
    None
):
    queue = CommitQueue()
    queue.add([warning("alice", 1), fill("alice", 0, 2), warning("alice", 3)])
    first, second = await take_all(queue)
    assert (first.risks, first.accounts, values(first)) == ({"alice": b"1"}, {"alice": b"2"}, [("alice", 1)])
    assert second == warning("alice", 3)


async def test_next_when_the_breaker_or_ids_change_then_they_do_not_wait() -> None:
    queue = CommitQueue()
    seen = Commit(ids={("fills", "bob"): (AppliedId(1, 0, 0, b"t-1", b"1"),)}, accounts={"bob": b"1"})
    queue.add([warning("alice", 1), warning("bob", 2), seen, Commit(breaker=b"open")])
    first, second = await take_all(queue)
    assert (first.breaker, first.ids) == (b"open", seen.ids)
    assert first.risks == {"bob": b"2"}, "it waited, and the account's input took it along"
    assert second == warning("alice", 1)


async def test_next_when_a_deleveraging_risk_changes_then_it_does_not_wait_and_the_newest_is_kept() -> None:
    queue = CommitQueue()
    risks = [
        Commit(adl=level, outbox=(entry("adl/BTC", number),)) for number, level in enumerate((b"1", b"2"))
    ]
    queue.add([warning("alice", 1), *risks])
    first, second = await take_all(queue)
    assert (first.adl, values(first)) == (b"2", [("adl/BTC", 0), ("adl/BTC", 1)])
    assert second == warning("alice", 1)


async def test_next_when_what_is_said_of_no_account_waits_then_it_stays_in_order() -> None:
    queue = CommitQueue()
    queue.add(
        [Commit(outbox=(entry("BTC-USD", 1),)), warning("alice", 2), Commit(outbox=(entry("BTC-USD", 3),))]
    )
    (commit,) = await take_all(queue)
    assert values(commit) == [("BTC-USD", 1), ("alice", 2), ("BTC-USD", 3)]


async def test_next_when_many_urgent_parts_wait_then_commits_are_bounded_and_in_order() -> None:
    queue = CommitQueue()
    queue.add(fill(f"account-{number}", number, number) for number in range(COMMIT_ACCOUNTS_MAX + 1))
    first, second = await take_all(queue)
    assert first.advance == {"fills": (0, COMMIT_ACCOUNTS_MAX)}
    assert second.advance == {"fills": (COMMIT_ACCOUNTS_MAX, COMMIT_ACCOUNTS_MAX + 1)}


async def test_hurry_when_updates_wait_then_they_come_before_what_is_added_later() -> None:
    queue = CommitQueue()
    queue.add([warning("alice", 1), warning("bob", 2)])
    queue.hurry()
    queue.add([Commit(breaker=b"closed")])
    queue.add([warning("alice", 3)])
    first, second = await take_all(queue)
    assert values(first) == [("alice", 1), ("bob", 2)]
    assert first.breaker == b"closed"
    assert second == warning("alice", 3)


async def test_committed_when_records_were_applied_then_acknowledged_after_their_commit_and_not_before() -> (
    None
):
    queue, told = CommitQueue(), []
    queue.add(fill("alice", number, number) for number in range(2))
    queue.acknowledge([lambda: told.append("first")])
    commit = await queue.next()
    queue.add([fill("alice", 2, 2)])
    queue.acknowledge([lambda: told.append("second")])
    assert commit.advance == {"fills": (0, 2)}
    for call in queue.committed():
        call()
    assert told == ["first"]
    assert (await queue.next()).advance == {"fills": (2, 3)}
    for call in queue.committed():
        call()
    assert told == ["first", "second"]


async def test_committed_when_records_changed_nothing_then_acknowledged_though_updates_wait() -> None:
    queue, told = CommitQueue(), []
    queue.acknowledge([lambda: told.append("known")])
    assert not await queue.next()
    for call in queue.committed():
        call()
    assert told == ["known"]


async def test_idle_when_anything_waits_then_not_before_it_is_durable() -> None:
    queue = CommitQueue()
    await queue.idle()
    queue.add([warning("alice", 1)])
    idle = asyncio.create_task(queue.idle())
    await queue.next()
    await asyncio.sleep(0)
    assert not idle.done()
    queue.committed()
    await idle


def test_add_when_a_part_that_can_wait_speaks_of_two_accounts_then_broken_invariant() -> None:
    with pytest.raises(AssertionError, match="2 accounts"):
        CommitQueue().add([Commit(risks={"a": b"1", "b": b"2"})])


JUDGED = (warning, liquidation)
steps_of = st.lists(st.tuples(st.sampled_from((*JUDGED, fill, None)), st.sampled_from(ACCOUNTS)), max_size=40)


async def commits_of(steps: list) -> list[Commit]:
    """Add these parts, numbered, and take a commit where there is none."""
    queue, commits, offset = CommitQueue(), [], 0
    for number, (kind, account) in enumerate(steps):
        if kind in JUDGED:
            queue.add([kind(account, number)])
        elif kind is fill:
            queue.add([fill(account, offset, number)])
            offset += 1
        elif not queue._idle.is_set():
            commits.append(await queue.next())
            queue.committed()
    return commits + await take_all(queue)


def check_order(commits: list[Commit], steps: list) -> None:
    """Watermarks join; per account risks and the events of a topic go forwards, and an input overtakes no judgement before it."""
    last: dict[tuple[str, str], int] = {}
    for commit in commits:
        for it in commit.outbox:
            place = it.topic, (it.key or b"").decode()
            assert int(it.value) > last.get(place, -1)
            last[place] = int(it.value)
        for account, risk in commit.risks.items():
            assert last["margin-events", account] == int(risk), "a risk and all its events in one commit"
        for account, state in commit.accounts.items():
            earlier = [
                n for n, step in enumerate(steps[: int(state)]) if step[1] == account and step[0] in JUDGED
            ]
            assert last.get(("margin-events", account), -1) >= max(earlier, default=-1)


@given(steps_of)
@settings(deadline=None, max_examples=50)
def test_next_when_parts_come_in_any_order_then_per_account_nothing_is_overtaken(steps: list) -> None:
    commits = asyncio.run(commits_of(steps))
    check_order(commits, steps)
    merged = merge(commits)
    fills = sum(kind is fill for kind, _ in steps)
    assert merged.advance == ({"fills": (0, fills)} if fills else {})
    judged = [n for n, (kind, _) in enumerate(steps) if kind in JUDGED]
    assert sorted(int(it.value) for it in merged.outbox if it.lane is Lane.ORDINARY) == judged
