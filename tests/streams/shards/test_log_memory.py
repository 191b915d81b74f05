"""What a shard remembers of its logs, against how they stand."""

import pytest

from engine.inputs import Topic
from streams.kafka.log_ends import LogLook
from streams.kafka.topic_identity import TopicIdentity
from streams.shards.log_memory import LogMemory
from streams.shards.shard_standing import ShardStopped

NAMES = {Topic.FILLS: "fills", Topic.LEDGER: "ledger"}
APPLIED = {Topic.FILLS: 100, Topic.LEDGER: 7}
NOTHING = {Topic.FILLS: 0, Topic.LEDGER: 0}


def look(
    fills: str = "id-1", partitions: int = 4, ends: tuple[int, int] = (100, 7), ledger: str = "id-2"
) -> LogLook:
    identities = {
        Topic.FILLS: TopicIdentity(fills, partitions),
        Topic.LEDGER: TopicIdentity(ledger, 4),
    }
    return LogLook(dict(zip(Topic, ends, strict=True)), identities, 0.0)


def memory(**stored: str) -> LogMemory:
    made = LogMemory(2, NAMES, partitions=4)
    made.load({"fills": "id-1/4", "ledger": "id-2/4", **stored})
    return made


def test_check_when_all_fits_then_what_is_remembered_stays() -> None:
    remembered = memory()
    remembered.check(look(), APPLIED)
    assert remembered.stored == {"fills": "id-1/4", "ledger": "id-2/4"}


def test_check_when_nothing_was_remembered_then_what_is_found_is() -> None:
    remembered = LogMemory(2, NAMES, partitions=4)
    remembered.check(look(), APPLIED)
    assert remembered.stored == {"fills": "id-1/4", "ledger": "id-2/4"}


def test_check_when_the_topic_has_another_id_then_stopped() -> None:
    with pytest.raises(
        ShardStopped, match="fills/2: the topic was made anew: Redis is at offset 100 of id-1"
    ):
        memory().check(look("id-9", ends=(150, 7)), APPLIED)


def test_check_when_the_second_topic_has_another_id_then_stopped() -> None:
    with pytest.raises(ShardStopped, match="ledger/2: the topic was made anew"):
        memory().check(look(ledger="id-9"), APPLIED)


def test_check_when_nothing_was_applied_of_the_topic_before_then_the_new_one_is_taken_at_a_take_over_only() -> (
    None
):
    remembered = memory()
    remembered.check(look("id-9"), NOTHING)
    assert remembered.stored["fills"] == "id-9/4"
    with pytest.raises(ShardStopped, match="made anew"):
        remembered.check(look("id-10"), NOTHING)


@pytest.mark.parametrize("partitions", [0, 3, 5, 8])
def test_check_when_the_number_of_partitions_is_another_then_stopped_though_nothing_was_applied(
    partitions: int,
) -> None:
    with pytest.raises(ShardStopped, match=f"fills/2: the topic has {partitions} partitions, and had 4"):
        memory().check(look(partitions=partitions), NOTHING)


def test_check_when_redis_remembers_another_number_than_this_worker_counts_then_stopped() -> None:
    with pytest.raises(ShardStopped, match="has 4 partitions, and had 8"):
        memory(fills="id-1/8").check(look(), APPLIED)


def test_check_layout_when_another_shard_remembers_fewer_partitions_then_a_new_shard_is_stopped() -> None:
    with pytest.raises(ShardStopped, match="has 4 partitions, and had 2"):
        LogMemory(3, NAMES, partitions=4).check_layout({"fills": "id-1/2"})
    LogMemory(3, NAMES, partitions=4).check_layout({"fills": "id-1/4"})


@pytest.mark.parametrize("ends", [(99, 7), (100, 6), (0, 0)])
def test_check_when_a_log_ends_below_what_was_applied_then_stopped(ends: tuple[int, int]) -> None:
    with pytest.raises(ShardStopped, match="the log ends at"):
        memory().check(look(ends=ends), APPLIED)


@pytest.mark.parametrize("begins", [(101, 0), (0, 8)])
def test_check_begins_when_a_log_begins_above_what_was_applied_then_stopped(begins: tuple[int, int]) -> None:
    with pytest.raises(ShardStopped, match="which begins at"):
        memory().check_begins(dict(zip(Topic, begins, strict=True)), APPLIED)


def test_check_when_the_broker_gives_no_ids_then_the_known_one_is_kept() -> None:
    remembered = memory()
    remembered.check(look("", ends=(120, 7), ledger=""), APPLIED)
    assert remembered.stored == {"fills": "id-1/4", "ledger": "id-2/4"}


def test_identity_when_written_and_read_then_the_same() -> None:
    for identity in (TopicIdentity("15a93fd1-b1ed-4b28", 12), TopicIdentity("", 4)):
        assert TopicIdentity.parse(str(identity)) == identity
