"""What went wrong in a run, counted by kind: what `audit` asks for, but all of it is looked at, and nothing ends the count.

lost         accounts whose state lacks an input of the log
double       accounts whose state has one twice
reordered    accounts that have applied the same inputs in another order; events of an account out of order
torn         accounts whose state no prefix of the log gives
forked       ids with two meanings; accounts in two shards
phantom      accounts, or events of inputs and marks, that nobody sent
unexplained  events that do not recompute from what they name, digit for digit
missing      numbers of events that were never said; refused inputs that are not in quarantine
silent       pools that stand in Redis where no event says
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from engine.events.effects import RiskEvent, Stream
from engine.inputs import Fill, Topic
from engine.ledger.accounts import AccountState, Position, encode
from engine.numbers import exact
from streams.contract.cloudevents import read_risk_event
from tests.support.audit import (
    check_behind,
    check_quarantine,
    check_recomputes,
    check_story,
    read_event,
    sent_marks,
    told_by_pool,
)
from tests.support.cluster import Cluster
from tests.support.kafka_log import LogRecord
from tests.support.redis_view import Stored, read_all
from tests.support.replay import ClusterScene, Replay, Scene

KINDS = ("lost", "double", "reordered", "torn", "forked", "phantom", "unexplained", "missing", "silent")
SHOWN_MAX = 5
_NEVER_SENT = "was never sent"


class Anomalies(NamedTuple):
    """How many of each kind, and of how much."""

    counts: dict[str, int]
    inputs: int
    accounts: int
    events: int
    repeats: int
    """Publications beyond the first of an event: allowed."""
    examples: list[str]

    @property
    def total(self) -> int:
        """0 is right."""
        return sum(self.counts.values())

    def __str__(self) -> str:
        counted = ", ".join(f"{kind} {count}" for kind, count in self.counts.items())
        return (
            f"{counted} (n = {self.inputs} inputs, {self.accounts} accounts, {self.events} events, "
            f"{self.repeats} of them published again)"
        )


def count_anomalies(cluster: Cluster) -> Anomalies:
    """Of a run that has come to rest, and whose prices are still repeated: without them accounts are degraded while it counts."""
    return anomalies_of(ClusterScene(cluster), read_all(cluster.redis.url))


def anomalies_of(scene: Scene, stored: Stored) -> Anomalies:
    """Of any scene and what its Redis holds."""
    replay, found = Replay(scene), _Found()
    _states(replay, stored, found)
    events: list[RiskEvent] = []
    repeats = 0
    for stream in Stream:
        records = [it for it in scene.read_topic(stream) if read_risk_event(it.value or b"")]
        firsts = _firsts(records, found)
        repeats += len(records) - len(firsts)
        for record in firsts:
            with found.noted("unexplained"):
                events.append(read_event(record, scene, replay.timeline))
    marks = sent_marks(scene, set())
    for event in events:
        with found.noted("unexplained", {_NEVER_SENT: "phantom"}):
            check_recomputes(event, replay, marks)
    _numbers(events, stored, found)
    with found.noted("unexplained"):
        check_behind(events)
    _stories(events, stored, found)
    with found.noted("missing"):
        check_quarantine(scene, replay)
    counts = {kind: found.counts[kind] for kind in KINDS}
    inputs = len(replay.records)
    return Anomalies(counts, inputs, len(replay.states), len(events), repeats, found.examples)


class _Found:
    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.examples: list[str] = []

    def add(self, kind: str, what: str, count: int = 1) -> None:
        self.counts[kind] += count
        if self.counts[kind] <= SHOWN_MAX:
            self.examples.append(f"{kind}: {what}")

    @contextmanager
    def noted(self, kind: str, others: dict[str, str] | None = None) -> Iterator[None]:
        """An assertion that fails is one anomaly: of `kind`, or of another where its words say so."""
        try:
            yield
        except AssertionError as error:
            words = str(error)
            named = next((other for text, other in (others or {}).items() if text in words), kind)
            self.add(named, words)


def _states(replay: Replay, stored: Stored, found: _Found) -> None:
    for account in stored.states.keys() - replay.states.keys():
        found.add("phantom", f"{account} is in Redis, and in no log")
    for account, wanted in replay.states.items():
        state = stored.states.get(account)
        if state is None or _behind(state, wanted):
            found.add("lost", f"{account}: {state} should be {wanted}")
        elif encode(state) != encode(wanted):
            found.add(_difference(account, state, wanted, replay), f"{account}: {state} should be {wanted}")
        if state is not None and stored.shard_of[account] != replay.partitions.get(account):
            found.add("forked", f"{account} lies in shard {stored.shard_of[account]}")


def _behind(state: AccountState, wanted: AccountState) -> bool:
    return any(state.progress(topic).offset < wanted.progress(topic).offset for topic in Topic)


def _difference(account: str, state: AccountState, wanted: AccountState, replay: Replay) -> str:
    """Of what kind: by a fill whose quantity explains it."""
    nothing = Position(0, 0)  # type: ignore[arg-type]
    moved: defaultdict[str, set[object]] = defaultdict(set)
    for step in replay.steps(account, Topic.FILLS):
        if isinstance(step.message, Fill):
            sign = 1 if step.message.side == "buy" else -1
            moved[step.message.symbol].add(sign * step.message.quantity)
    kinds = set()
    with exact():
        for symbol in {*state.positions, *wanted.positions}:
            more = (
                state.positions.get(symbol, nothing).quantity - wanted.positions.get(symbol, nothing).quantity
            )
            if more:
                kinds.add("double" if more in moved[symbol] else "lost" if -more in moved[symbol] else "torn")
    if not kinds:
        return "reordered" if state.positions != wanted.positions else "torn"
    return kinds.pop() if len(kinds) == 1 else "torn"


def _firsts(records: Iterable[LogRecord], found: _Found) -> list[LogRecord]:
    firsts: dict[str, LogRecord] = {}
    for record in records:
        first = firsts.setdefault(record.headers["ce_id"], record)
        said = (first.key, first.value, first.partition, first.headers)
        if said != (record.key, record.value, record.partition, record.headers):
            found.add("forked", f"two meanings of one id:\n{first}\n{record}")
    return list(firsts.values())


def _numbers(events: list[RiskEvent], stored: Stored, found: _Found) -> None:
    said: defaultdict[tuple[str, Stream], list[int]] = defaultdict(list)
    for event in events:
        said[event.account, event.stream].append(event.sequence)
    for (account, stream), numbers in said.items():
        if numbers != sorted(numbers):
            found.add("reordered", f"{account}/{stream}: {numbers}")
        if absent := set(range(1, max(numbers) + 1)) - set(numbers):
            found.add("missing", f"{account}/{stream}: {sorted(absent)}", len(absent))
    for account, risk in stored.risks.items():
        for stream, count in risk.sequences.items():
            newest = max(said.get((account, stream), [0]))
            if count > newest:
                found.add(
                    "missing", f"{account}/{stream}: Redis counts {count}, said {newest}", count - newest
                )
            elif count < newest:
                found.add("phantom", f"{account}/{stream}: {newest} were said, Redis counts {count}")


def _stories(events: list[RiskEvent], stored: Stored, found: _Found) -> None:
    told = told_by_pool(events)
    for account, risk in stored.risks.items():
        for pool in risk.pools.keys() - {pool for named, pool in told if named == account}:
            found.add("silent", f"{account}/{pool} stands at {risk.pools[pool]}, nothing was said")
    for (account, pool), streams in told.items():
        with found.noted("silent"):
            check_story(account, pool, streams, stored)
