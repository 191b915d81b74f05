"""Windows of applied ids are bounded in memory, and nothing is lost by that."""

import msgspec
import pytest

from engine.book.columnar_book import ColumnarBook
from engine.inputs import AccountInput, Topic
from streams.contract.commit import Commit, merge
from streams.contract.record import Record
from streams.shards.processor import Outcome, ShardProcessor
from streams.shards.windows import WINDOW_IDS, Windows
from streams.worker.app import account_partitioner
from tests.support.builders import sample
from tests.support.inputs import deposit

POLICY = sample()
LEDGER = Topic.LEDGER


class Store:
    """What Redis would have of the ids."""

    def __init__(self) -> None:
        self.ids: dict[tuple[str, str], tuple[str, ...]] = {}

    def commit(self, commit: Commit) -> None:
        for place, ids in commit.seen.items():
            self.ids[place] = self.ids.get(place, ()) + ids


@pytest.fixture
def processor() -> ShardProcessor:
    """Its windows have room for those of two accounts with one id each."""
    made = ShardProcessor(
        0,
        POLICY,
        ColumnarBook(POLICY),
        partition_of=account_partitioner(1),
        topics={topic: topic.value for topic in Topic},
        quarantine_topic="quarantine",
        source="/test",
    )
    made._windows = Windows(ids_max=2 * (WINDOW_IDS + 1))
    return made


def take(processor: ShardProcessor, store: Store, offset: int, *messages: AccountInput) -> Outcome:
    """Apply a batch as a shard does, missing windows first."""
    records = [
        Record(offset + i, it.account.encode(), msgspec.json.encode(it)) for i, it in enumerate(messages)
    ]
    decoded = processor.decode(LEDGER, records)
    missing = processor.missing_windows(LEDGER, decoded)
    processor.add_windows(
        LEDGER, {account: list(store.ids.get((LEDGER, account), ())) for account in missing}
    )
    return processor.apply(LEDGER, decoded)


def make_durable(processor: ShardProcessor, store: Store, *outcomes: Outcome) -> None:
    commit = merge([it.commit for it in outcomes])
    store.commit(commit)
    processor.on_committed(commit)


NAMES = ("alice", "bob", "carol", "dave")
ONE_EACH = [deposit(name, entry_id=f"d-{name}") for name in NAMES]


def windows_of(processor: ShardProcessor) -> list[str]:
    return [name for name in NAMES if (LEDGER, name) in processor._windows]


def test_duplicate_when_it_comes_after_its_window_was_forgotten_then_found(processor: ShardProcessor) -> None:
    store = Store()
    make_durable(processor, store, take(processor, store, 0, *ONE_EACH))
    make_durable(processor, store, take(processor, store, 4, deposit("dave")))
    assert windows_of(processor) == ["dave"], "dave's has two ids: 2 * 8 + 3 > 2 * (8 + 1)"
    again = take(processor, store, 5, ONE_EACH[0])
    assert (again.applied, again.duplicates) == (0, 1)


def test_windows_when_their_ids_are_not_durable_then_kept_whatever_the_bound(
    processor: ShardProcessor,
) -> None:
    store = Store()
    first = take(processor, store, 0, *ONE_EACH)
    second = take(processor, store, 4, deposit("dave"))
    assert windows_of(processor) == list(NAMES)
    again = take(processor, store, 5, ONE_EACH[0])
    assert (again.applied, again.duplicates) == (0, 1), "found, though the store has nothing yet"
    make_durable(processor, store, first, second, again)
    take(processor, store, 6, deposit("alice"))
    assert windows_of(processor) == ["alice"]


def test_windows_when_one_id_is_not_durable_then_only_older_windows_are_forgotten() -> None:
    windows = Windows(ids_max=0)
    for offset, account in enumerate(NAMES):
        windows.add(LEDGER, account, f"d-{account}", offset + 1)
    windows.stored(LEDGER, 2)  # alice's and bob's
    windows.stored(Topic.FILLS, 9)  # of another topic: says nothing here
    windows.shrink()
    assert [name for name in NAMES if (LEDGER, name) in windows] == ["carol", "dave"]
    windows.stored(LEDGER, 4)
    windows.shrink()
    assert not [name for name in NAMES if (LEDGER, name) in windows]


def test_windows_when_above_the_bound_then_those_used_longest_ago_are_forgotten() -> None:
    windows = Windows(ids_max=2 * WINDOW_IDS)
    for account in NAMES[:3]:
        windows.fetched(LEDGER, account, ())
    assert not windows.knows(LEDGER, "alice", "d-1")
    windows.shrink()
    assert [name for name in NAMES if (LEDGER, name) in windows] == ["alice", "carol"]


def test_windows_when_full_windows_slide_then_they_count_what_they_have() -> None:
    windows = Windows(ids_max=2 * (WINDOW_IDS + 4096))
    for offset in range(3 * 4096):
        windows.add(LEDGER, "alice", f"d-{offset}", offset + 1)
    windows.fetched(LEDGER, "bob", map(str, range(4096)))
    windows.stored(LEDGER, 3 * 4096)
    windows.shrink()
    assert (LEDGER, "alice") in windows
