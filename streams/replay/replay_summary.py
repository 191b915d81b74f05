"""What a run says of itself when it is over."""

from collections.abc import Mapping, Sequence

import msgspec

from engine.edition import ENGINE_VERSION
from engine.events.effects import EventType
from streams.replay.digests import digests
from streams.replay.replay_counts import Refused, Second
from streams.replay.runner import Replay


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """One run. All but `wall_seconds`, `marks_per_second` and the slowest second follows from the inputs alone."""

    policy: str
    policy_digest: str
    """In force at the end."""
    policies: list[str]
    """Digests of those that were in force, in order."""
    engine_version: str
    book: str
    accounts: int
    inputs_applied: int
    inputs_duplicate: int
    marks: int
    marks_refused: dict[str, int]
    """By reason."""
    quarantined: dict[str, int]
    """By reason: records put aside."""
    first_quarantined: list[Refused]
    rows_left_out: dict[str, int]
    """Of recordings, by recorded symbol: the policy prices no such coin."""
    from_ns: int
    to_ns: int
    """Event time of the first and the last input."""
    events: int
    by_type: dict[str, int]
    wall_seconds: float
    marks_per_second: float
    """Without the time spent waiting for `--speed`."""
    most_events: Second | None
    slowest: Second | None
    digests: dict[str, str]
    notes: list[str]


def summary(
    replay: Replay,
    *,
    events_digest: str,
    wall_seconds: float,
    busy_seconds: float,
    rows_left_out: Mapping[str, int],
    notes: Sequence[str],
) -> Summary:
    """The summary of a replay that has finished; `busy_seconds` are those in which it did not wait for its pace."""
    counts = replay.counts
    policy = replay.policy
    return Summary(
        policy=policy.name,
        policy_digest=policy.digest,
        policies=replay.policies,
        engine_version=ENGINE_VERSION,
        book=type(replay.shards[0].book).__name__,
        accounts=sum(1 for shard in replay.shards for _ in shard.book.accounts()),
        inputs_applied=counts.applied,
        inputs_duplicate=counts.duplicates,
        marks=counts.marks,
        marks_refused=_sorted(counts.marks_refused),
        quarantined=_sorted(counts.quarantined),
        first_quarantined=counts.first_refused,
        rows_left_out=_sorted(rows_left_out),
        from_ns=replay.from_ns,
        to_ns=replay.time_ns,
        events=counts.events,
        by_type=_sorted(counts.by_type),
        wall_seconds=wall_seconds,
        marks_per_second=counts.marks / busy_seconds,
        most_events=counts.most_events,
        slowest=counts.slowest,
        digests={**msgspec.structs.asdict(digests(replay)), "events": events_digest},
        notes=[*notes, *_notes(replay)],
    )


def _notes(replay: Replay) -> list[str]:
    counts, notes = replay.counts, []
    if not replay.judging:
        notes.append("no price was believed, so nobody was judged")
    asked = counts.by_type[EventType.LIQUIDATION_REQUESTED]
    if asked and not counts.executing_fills:
        notes.append(
            f"{asked} liquidations were requested and none is executed: a replay executes nothing, and no fill of the "
            "input names a liquidation"
        )
    return notes


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items()))
