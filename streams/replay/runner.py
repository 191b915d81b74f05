"""The heart of a replay: arrivals in order in, events out. Pure: no I/O, and the clock it is given only measures.

Rules
-----
* A partition of the account topics is a shard with a book of its own, exactly as in a worker (`streams.shards.processor`).
* All account inputs of one instant of event time are applied, then their accounts are judged, then the marks of that
  instant come: a fill is not judged without the deposit of the same instant that paid for it.
* The marks of an arrival are an instant, joined by time where the policy says so. Instants between two other inputs are one batch. Event time also moves by itself: at every whole second the timers and
  the set of stale symbols are looked at, as a worker does.
* Judging begins when every price symbol of the policy has a price, or, as for a worker that starts, with the prices of
  the first `LOOKBACK_SECONDS`; until then account inputs are applied and nothing is said.
* Another policy begins where event time comes to its own: everything before is judged by the one before it, and then every account anew.
* Events are written batch by batch and, within one, shard by shard.
"""

from collections.abc import Callable, Iterable
from itertools import chain

from engine.book.columnar_book import ColumnarBook
from engine.book.instant_batch import InstantEncoder
from engine.book.plain_book import PlainBook
from engine.inputs import Mark, Topic
from engine.marks.instants import Instant, MarksRecord
from engine.marks.intake import PriceIntake, Taken
from engine.marks.mark_book import NANOSECONDS, MarkBook
from engine.marks.plausible_times import NOT_RECEIVED_NS
from engine.policy import Policy
from engine.policy.timeline import PolicyTimeline
from engine.rejections import Rejection
from streams.contract.commit import Commit, OutboxEntry
from streams.contract.operator_command import (
    AccountsResume,
    BreakerRelease,
    BreakerVoid,
    OperatorCommand,
    OperatorOutcome,
)
from streams.contract.quarantine_record import STOPPED_TYPE
from streams.contract.record import Decoded
from streams.replay.arrivals import Arrival
from streams.replay.replay_counts import Counts, Refused
from streams.shards.price_watch import PriceWatch
from streams.shards.processor import ShardProcessor

CLOCK_NS = NANOSECONDS
STEPS_PER_SILENCE_MAX = 3_600
"""A silence of more seconds is passed in so many longer steps: nothing but timers can happen in it."""
LOOKBACK_SECONDS = 15
"""Of event time; a starting worker reads prices from this far back (`streams.prices.price_reader`)."""
BATCH_MARKS_MAX = 2_500
"""Bounds what is held; a worker's batch of prices has about as many."""
KEPT_UP_NS = NANOSECONDS // 50
"""A worker that keeps up has said by then what comes behind its verdicts, so these instants are not judged together."""
HELD_INPUTS_MAX = 5_000
"""Inputs of one instant held before judging begins, when nothing needs to be judged together."""
_QUARANTINE = "quarantine"


class Replay:
    """One run. `take` every arrival, then `finish`."""

    def __init__(
        self,
        policy: Policy,
        *,
        partition_of: Callable[[bytes], int] = lambda _: 0,
        partitions: int = 1,
        plain: bool = False,
        timeline: PolicyTimeline | None = None,
        say: Callable[[bytes], object],
        clock: Callable[[], int],
    ) -> None:
        """`say` gets every event as its topic would; `clock` (ns) tells what a second of event time costs.

        `timeline`: what is in force when; by default `policy` always. `plain` judges everybody exactly at every touch: slow, the specification.
        """
        self._timeline = timeline or PolicyTimeline.always(policy)
        self._ruling = self._timeline.at(0)
        self.policy = policy = self._ruling.policy
        """In force at the newest arrival."""
        self.policies = [policy.digest]
        """Digests of those that were in force so far, in order."""
        self.counts = Counts(clock)
        self.marks = MarkBook(policy)
        self.shards = [
            ShardProcessor(
                shard,
                policy,
                PlainBook(policy) if plain else ColumnarBook(policy),
                partition_of=partition_of,
                topics={topic: topic.value for topic in Topic},
                quarantine_topic=_QUARANTINE,
                source="/unimargin/replay",
                booking=self._timeline.booking,
            )
            for shard in range(partitions)
        ]
        self.judging = False
        self.from_ns = self.time_ns = 0
        """Event time of the first and of the newest arrival."""
        self._say, self._encoder = say, InstantEncoder(policy)
        self._intake = PriceIntake(policy, self.marks)
        self._watch = PriceWatch(policy, self.marks)
        self._symbols = len(policy.price_symbols)
        self._inputs: list[Arrival] = []
        self._commands: list[OperatorCommand] = []
        """Those that came before judging began: as in a worker that starts, they concern what is held then."""
        self._instants: list[Instant] = []
        self._marks_waiting = 0
        self._tick_ns = 0
        """When the clock is to be looked at next; 0 before the first arrival."""
        self._first_mark_ns: int | None = None

    def take(self, arrival: Arrival) -> None:
        """The next arrival; they must come in order."""
        priced = not isinstance(arrival.body, Decoded)
        if self._inputs and (priced or arrival.time_ns > self.time_ns):
            self._settle()
        if arrival.time_ns > self.time_ns:
            self._take(self._intake.rest(arrival.received_ns))
        if self._instants and arrival.time_ns - self._instants[-1].name.time_ns >= KEPT_UP_NS:
            self._judge_marks()
        if arrival.time_ns >= self._tick_ns:
            self._judge_marks()
            self._pass_time(arrival.time_ns)
        self._reach(arrival.time_ns)
        self.time_ns = arrival.time_ns
        if isinstance(arrival.body, Decoded):
            self._judge_marks()
            self._inputs.append(arrival)
            if not self.judging and len(self._inputs) >= HELD_INPUTS_MAX:
                self._settle()
        elif isinstance(arrival.body, BreakerRelease | BreakerVoid):
            self._operate(arrival.body)
        elif isinstance(arrival.body, Rejection):
            self.counts.quarantine(Refused(arrival.place, arrival.body.code, arrival.body.detail))
        elif not isinstance(arrival.body, AccountsResume | OperatorOutcome):
            # who may go on stands among the inputs, where a worker wrote it
            self._offer(arrival.body, arrival)

    def finish(self) -> None:
        """All have come: judge what waits."""
        self._settle()
        self._take(self._intake.rest(NOT_RECEIVED_NS))
        self._judge_marks()
        if not self.judging and self._first_mark_ns is not None:
            self._start_judging(self.time_ns)
        self.counts.end_second()

    def _reach(self, time_ns: int) -> None:
        """Event time comes to `time_ns`: judge by what is in force then, and what came before by what was in force before."""
        ruling = self._timeline.at(max(time_ns, self._ruling.from_ns))
        if ruling is self._ruling:
            return
        self._take(self._intake.rest(NOT_RECEIVED_NS))
        self._judge_marks()
        self._ruling, self.policy = ruling, ruling.policy
        if not self.time_ns:
            self.policies.clear()  # nothing has come under it
        self.policies.append(ruling.policy.digest)
        self._intake.rule_by(ruling.policy)
        self._watch.rule_by(ruling.policy)
        self._encoder = InstantEncoder(ruling.policy)
        self._symbols = len(ruling.policy.price_symbols)
        prices = self.marks.advance(ruling.from_ns) if self.marks.time_ns else self.marks.prices
        for shard in self.shards:
            self._tell(chain.from_iterable(shard.rule_by(ruling.policy, prices)))
        self._explain()

    def _operate(self, command: OperatorCommand) -> None:
        """Have the shards do what an operator said, at the prices that had come by then."""
        self._take(self._intake.rest(NOT_RECEIVED_NS))
        self._judge_marks()
        if not self.judging:
            self._commands.append(command)
            return
        for shard in self.shards:
            self._tell(chain.from_iterable(shard.operate(command)))
        self._explain()

    def _offer(self, marks: tuple[Mark, ...], arrival: Arrival) -> None:
        self._take(
            self._intake.take([MarksRecord(marks, arrival.partition, arrival.offset)], arrival.received_ns)
        )
        self.counts.marks += len(marks)
        if self._marks_waiting >= BATCH_MARKS_MAX:
            self._judge_marks()

    def _take(self, taken: Taken) -> None:
        self._instants += taken.instants
        self._marks_waiting += sum(len(instant.marks) for instant in taken.instants)
        self.counts.refuse_marks(taken.refused)

    def _judge_marks(self) -> None:
        if not self._instants:
            return
        batch, self._instants, self._marks_waiting = self._instants, [], 0
        if self._first_mark_ns is None:
            self._first_mark_ns = batch[0].name.time_ns
        if self.judging:
            for _, commits in self._watch.on_instants(self._encoder.encode(batch), self.shards):
                self._tell(commits)
            self._explain()
        elif len(self.marks.prices.marks) == self._symbols:
            self._start_judging(self.time_ns)

    def _settle(self) -> None:
        """Apply the inputs of one instant and judge whom they concern."""
        inputs, self._inputs = self._inputs, []
        runs: dict[tuple[int, Topic], list[Decoded]] = {}
        places: dict[tuple[int, Topic, int], str] = {}
        for arrival in inputs:
            if isinstance(arrival.body, Decoded):
                run = arrival.partition, Topic(arrival.topic)
                runs.setdefault(run, []).append(arrival.body)
                places[(*run, arrival.offset)] = arrival.place
        for (partition, topic), decoded in runs.items():
            outcome = self.shards[partition].apply(topic, decoded)
            self.counts.count_inputs(outcome.applied, outcome.duplicates, len(outcome.executed))
            for entry in outcome.commit.outbox:
                offset = int(_header(entry, "offset"))
                reason, detail = _header(entry, "reason"), _header(entry, "detail")
                self.counts.quarantine(Refused(places[partition, topic, offset], reason, detail))
        if self.judging:
            for partition in sorted({partition for partition, _ in runs}):
                self._tell(chain.from_iterable(self.shards[partition].settle()))
            self._explain()

    def _pass_time(self, now_ns: int) -> None:
        """Look at the clock at every whole second up to `now_ns`."""
        if not self._tick_ns:
            self.from_ns = now_ns
            self._tick_ns = now_ns - now_ns % CLOCK_NS + CLOCK_NS
            return
        seconds = (now_ns - self._tick_ns) // CLOCK_NS + 1
        step_ns = -(-seconds // STEPS_PER_SILENCE_MAX) * CLOCK_NS
        while self._tick_ns <= now_ns:
            self._reach(self._tick_ns)
            self.counts.end_second()
            if self.judging:
                self.counts.begin_second(self._tick_ns)
            self._on_clock(self._tick_ns)
            self._tick_ns += step_ns
        self._tick_ns = now_ns - now_ns % CLOCK_NS + CLOCK_NS

    def _on_clock(self, now_ns: int) -> None:
        if self.judging:
            for _, commits in self._watch.on_clock(now_ns, self.shards):
                self._tell(commits)
            self._explain()
        elif self._first_mark_ns is not None and now_ns - self._first_mark_ns >= (
            LOOKBACK_SECONDS * NANOSECONDS
        ):
            self._start_judging(now_ns)

    def _start_judging(self, now_ns: int) -> None:
        self.judging = True
        self.marks.advance(now_ns)
        for shard in self.shards:
            self._tell(chain.from_iterable(shard.start_judging(self.marks.prices)))
            for command in self._commands:
                self._tell(chain.from_iterable(shard.operate(command)))
        self._explain()

    def _explain(self) -> None:
        """Say what comes behind the verdicts, once all of them are said."""
        for shard in self.shards:
            self._tell(shard.all_reasons())

    def _tell(self, commits: Iterable[Commit]) -> None:
        for commit in commits:
            for entry in commit.outbox:
                if entry.event_type == STOPPED_TYPE:
                    place, reason, detail = (_header(entry, it) for it in ("ce_id", "reason", "detail"))
                    self.counts.quarantine(Refused(place, reason, detail))
                    continue
                self._say(entry.value)
                self.counts.count_event(entry.event_type)


def _header(entry: OutboxEntry, name: str) -> str:
    return next(value.decode() for key, value in entry.headers if key == name)
