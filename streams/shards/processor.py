"""The Faust-free heart of a shard: raw records and marks in, one `Commit` out. No I/O, no clock.

Life of a batch of account inputs
---------------------------------
1. `decode`   raw bytes -> typed messages or rejections
2. the caller asks the store for the ids that `ids_to_ask` names: which of them were applied, and what they said
3. `apply`    in offset order, each record is one of
     - below the watermark: delivered again, skipped
     - a rejection, at decoding or in the ledger: quarantined; the account it belongs to is stopped
     - one that the engine fails on: the same, with the traceback in `errors`
     - a duplicate id or `account_seq`: counted; one that says something else than what was applied is a rejection
     - applied: a new account state
4. the returned `Commit` {watermark, states, ids, quarantine} becomes durable as a whole (`on_committed`); only then are
   the records acknowledged, and only then need these ids not be kept here any longer
5. `settle`, once both topics have been applied up to one instant: the new states are put before the judge. Until then
   an account is judged as it was: a fill must not be judged without the deposit that paid for it, which is on its
   way in the other topic

Life of a batch of prices: `on_instants` hands instants to the book, which judges their holders in order; what
changed becomes `Commit` parts too. These are verdicts; `reasons` says behind them what takes longer to find out.

Judging comes in slices, the most urgent first, each a bounded piece of work: the caller makes one durable and gives way before it
asks for the next. Until it has taken all of them it must let nothing else judge, settle or operate this shard; `apply` may go on
while it is `judging`.

The order of these turns is kept here. What one of them does stands beside it: `input_batch` applies records, `shard_breaker` says what
becomes of the breaker, `shard_adl` of deleveraging risks, `operator_records` of operators' commands, `adoption` of what was published.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

import msgspec

from engine.book.account_book import AccountBook, Concerned
from engine.book.failures import Failure
from engine.events.effects import AccountRisk
from engine.events.judgement import Judgement
from engine.inputs import Topic
from engine.ladder.breaker import BreakerState
from engine.ledger.accounts import AccountState, decode
from engine.ledger.applying import not_judged
from engine.ledger.orders_apart import encode_stored
from engine.marks.instants import Instant
from engine.marks.mark_book import Prices
from engine.policy import Policy
from engine.rejections import Rejection
from streams.contract.commit import Commit, SoughtId
from streams.contract.operator_command import AccountsResume, OperatorCommand
from streams.contract.record import Decoded, Record
from streams.shards.adoption import adoption_of
from streams.shards.engine_errors import EngineError, place_of, stop_told
from streams.shards.input_batch import InputBatch, Outcome
from streams.shards.input_booking import InputBooking
from streams.shards.newest import Newest
from streams.shards.operator_records import OperatorRecords
from streams.shards.rebuilt_book import rebuilt
from streams.shards.shard_adl import ShardAdl
from streams.shards.shard_breaker import ShardBreaker
from streams.shards.shard_identity import ShardIdentity
from streams.shards.taken_inputs import TakenInputs

Slices = Iterator[list[Commit]]
"""What judging has to make durable, piece by piece."""


class ShardProcessor:
    """All account states, risk records and ids of one shard, kept ahead of the store by one commit."""

    def __init__(
        self,
        shard: int,
        policy: Policy,
        book: AccountBook,
        *,
        partition_of: Callable[[bytes], int],
        topics: dict[Topic, str],
        quarantine_topic: str,
        source: str,
        booking: Callable[[int], Policy] | None = None,
        operator_topic: str | None = None,
    ) -> None:
        """Build an empty shard; `load` fills it. `topics` names the Kafka topic of each input topic.

        `operator_topic` is where it is said what became of operators' commands; None says it nowhere.

        `booking` has the terms that an input of an event time (Unix ns) is booked by, also those of what has left the policy; by default
        they are always the policy's.
        """
        self.shard, self.book = shard, book
        self.policy = policy
        """By which accounts are judged."""
        self.identity = ShardIdentity(shard, partition_of, topics, quarantine_topic, source)
        self.operator_records = OperatorRecords(shard, topics, operator_topic)
        self.adl = ShardAdl(self.identity, policy)
        self._breaker = ShardBreaker(self.identity, self.operator_records, book.breaker, policy)
        self.errors: list[EngineError] = []
        """What the engine failed on, for the caller to tell and take away."""
        self.inputs = InputBooking(self.identity, booking or (lambda _: policy), self.state, self.errors)
        self.watermarks: dict[Topic, int] = dict.fromkeys(Topic, 0)
        self.applied_until_ns = 0
        """Event time of the newest input that was applied here."""
        self.judging = False
        """Off until prices have caught up: judging at unknown prices would degrade every account."""
        self._ahead: dict[str, AccountState] = {}
        """States newer than the book's, until `settle`."""
        self._taken = TakenInputs()
        """What the batch that `settle` ends has brought."""
        self._rebuilds = False
        """Whether the book is being built anew: what is applied meanwhile waits for it."""

    def load(
        self,
        stored: Iterable[bytes],
        risks: Mapping[str, AccountRisk],
        watermarks: dict[Topic, int],
        breaker: BreakerState | None = None,
    ) -> None:
        """Take over what the store holds."""
        for _ in self.load_in_parts(stored, risks, watermarks, breaker):
            pass

    def load_in_parts(
        self,
        stored: Iterable[bytes],
        risks: Mapping[str, AccountRisk],
        watermarks: dict[Topic, int],
        breaker: BreakerState | None,
        packed: Sequence[bytes] = (),
        outdated: AbstractSet[str] = frozenset(),
    ) -> Iterator[None]:
        """`load` in bounded pieces of work; with what `packed` holds of all accounts but those that are outdated and `stored`."""
        self._breaker.load(breaker or BreakerState())
        yield from self.book.load_in_parts(stored, risks, packed, outdated)
        self.watermarks |= watermarks

    @property
    def unsettled(self) -> Collection[str]:
        """Accounts of which the book has an older state than the newest that was applied."""
        return self._ahead.keys()

    def renew(self, stored: Mapping[str, bytes], risks: Mapping[str, AccountRisk]) -> None:
        """Take what has changed in the store since `load`, while another owns the shard."""
        for account in sorted(stored.keys() | risks.keys()):
            data = stored.get(account)
            state = self.book.state(account) if data is None else decode(data)
            self.book.put(state or AccountState(account), risks.get(account))

    def decode(self, topic: Topic, records: Sequence[Record]) -> list[Decoded]:
        """Records at or above the watermark, decoded."""
        start = self.watermarks[topic]
        return [Decoded(it, self.inputs.read(topic, it)) for it in records if it.offset >= start]

    def ids_to_ask(self, topic: Topic, decoded: Sequence[Decoded]) -> list[SoughtId]:
        """Which of the ids that were applied may be among these; the store's answers go to `take_ids` before `apply`."""
        messages = [message for _, message in decoded if not isinstance(message, Rejection)]
        return self.inputs.ids.to_ask(topic, messages, self.state)

    def take_ids(self, topic: Topic, answers: Mapping[SoughtId, bytes]) -> None:
        """Take what the store has of the ids that were asked for."""
        self.inputs.ids.answered(topic, answers)

    def apply(self, topic: Topic, decoded: Sequence[Decoded]) -> Outcome:
        """Apply decoded records in order; see the life of a batch above."""
        batch = InputBatch(topic, self.inputs, self._taken if self.judging else None)
        start = self.watermarks[topic]
        for record, message in decoded:
            if record.offset < self.watermarks[topic]:
                continue
            batch.apply(record, message)
            self.watermarks[topic] = record.offset + 1
        outcome = batch.end(start, self.watermarks[topic])
        self.applied_until_ns = max(self.applied_until_ns, batch.applied_until_ns)
        if self.judging or self._rebuilds:
            self._ahead |= batch.states
        else:
            self.book.put_all(batch.states.values())
        return outcome

    def on_committed(self, commit: Commit) -> None:
        """A commit of this processor has become durable."""
        for topic, (_, end) in commit.advance.items():
            self.inputs.ids.stored(Topic(topic), end)

    def state(self, account: str) -> AccountState | None:
        """The newest state of the account, which may be ahead of what is judged; None if there is none."""
        return self._ahead.get(account) or self.book.state(account)

    def settle(self) -> Slices:
        """Both topics have been applied up to one instant: judge the accounts in their new state."""
        settled, self._ahead = self._ahead, {}
        self.book.put_all(settled.values())
        inputs = self._taken.end(self.identity.topics)
        yield from self._spoken_in_slices(self.book.judge(sorted(settled), inputs))

    def skip_to(self, topic: Topic, offset: int) -> Commit:
        """Move the watermark over offsets that the log holds no record for (transaction markers)."""
        start, self.watermarks[topic] = self.watermarks[topic], offset
        return Commit(advance={topic: (start, offset)})

    def on_instants(self, instants: Sequence[Instant]) -> Slices:
        """Judge the holders of each of these instants, one after the other."""
        yield from self._spoken_in_slices(self.book.on_instants(instants))

    @property
    def reasons_due(self) -> bool:
        """Whether there may be plans or details to say."""
        return self.judging and bool(self.book.reasons_due)

    def reasons(self, accounts_max: int) -> list[Commit]:
        """Plans and details that are due, of so many accounts, the worst first; [] where none is due."""
        if not self.judging:
            return []
        said = list(map(self._spoken, self.book.reasons(accounts_max)))
        return [*self._set_apart(), *said]

    def all_reasons(self) -> Iterator[Commit]:
        """All of these, for who need not give way."""
        while parts := self.reasons(1):
            yield from parts

    def on_clock(self, prices: Prices) -> Slices:
        """Judge whom the passing of time, or what it makes stale, concerns."""
        yield from self._spoken_in_slices(self.book.on_clock(prices))

    def stop_judging(self) -> None:
        """The feed is silent: inputs are applied, and nobody is judged until `start_judging`."""
        if self.judging:
            self.book.put_all(self._ahead.values())
            self._ahead = {}
        self.judging = False

    def concerned(self, symbol: str) -> Concerned:
        """Accounts that an outage of the symbol concerns; without a symbol all of them."""
        if symbol:
            return self.book.concerned(symbol)
        totals = self.book.totals(())
        return Concerned(sum(totals.accounts_by_band.values()), totals.equity)

    def start_judging(self, prices: Prices) -> Slices:
        """Prices have caught up: take them all, in time order, and judge every account at them."""
        self.judging = True
        self._taken = TakenInputs()
        yield from self._judge_all(prices)

    def _judge_all(self, prices: Prices) -> Slices:
        marks = sorted(prices.marks.values(), key=lambda mark: (mark.time_ns, mark.symbol))
        self.book.prime(marks, prices)
        yield from self._spoken_in_slices(self.book.judge_all())

    def rule_by(self, policy: Policy, prices: Prices) -> Slices:
        """Judge by another policy from now on, at the event time of `prices`: every account is taken over as it is, and judged by it.

        It is a take-over of a shard that one has: what follows from states and records is the same whoever does it. Slices may be empty.
        """
        yield self._set_apart()
        self._rebuilds = True
        book = yield from rebuilt(self.book, policy)
        self.book, self.policy = book, policy
        self._breaker.rule_by(book.breaker, policy)
        self.adl.rule_by(policy)
        self._rebuilds = False
        if self.judging:
            yield from self._judge_all(prices)
            return
        self.book.put_all(self._ahead.values())
        self._ahead = {}

    def operate(self, command: OperatorCommand, *, told: bool = False) -> Slices:
        """Do what an operator says; nothing where the command is of another shard, or was done.

        `told`: it is on record what became of the command here.
        """
        if command.shard not in (None, self.shard):
            return
        if isinstance(command, AccountsResume):
            ours = [it for it in command.stops if self.identity.is_home_of(it.account)]
            if ours and not told:
                yield [self.operator_records.resumed(command, ours, self.state)]
            return
        said, closed = self._breaker.operate(command, told=told)
        if said:
            yield [said]
        if closed:
            yield from self._spoken_in_slices(self.book.judge_held())

    def adopt(self, newest: Newest) -> list[Commit]:
        """Take over the states of events that were published but are not in the store (it was rewound)."""
        parts = [] if newest.breaker is None else self._breaker.adopt(newest.breaker)
        parts += self.adl.adopt(newest.adl)
        for account in newest.sequences:
            adoption = adoption_of(self.book.risk(account), newest, self.policy)
            if adoption is None:
                continue
            self.book.put(self.book.state(account) or AccountState(account), adoption.risk)
            outbox = tuple(map(self.identity.said, adoption.words))
            parts.append(Commit(risks={account: msgspec.json.encode(adoption.risk)}, outbox=outbox))
        return parts

    def _spoken_in_slices(self, slices: Iterable[list[Judgement]]) -> Slices:
        """A part for each judgement: it becomes durable as a whole, and each at its own pace."""
        for judgements in slices:
            yield [*self._set_apart(), *self._breaker.changes(), *map(self._spoken, judgements)]
        if rest := [*self._set_apart(), *self._breaker.changes()]:
            yield rest

    def _set_apart(self) -> list[Commit]:
        """The stops of accounts that the book could not judge."""
        failures, self.book.failures = self.book.failures, []
        return [self._stop(failure) for failure in failures]

    def _stop(self, failure: Failure) -> Commit:
        account = failure.state.account
        place = place_of(failure.state, self.identity)
        self.errors.append(EngineError("judge", account, place, failure.error))
        if account in self._ahead:
            self._ahead[account] = not_judged(self._ahead[account])
        newest = self.state(account) or not_judged(failure.state)
        told = stop_told(failure, self.identity)
        return Commit(accounts={account: encode_stored(newest)}, outbox=(told,))

    def stop(self, account: str, error: Exception) -> Slices:
        """Stop the account for something that concerns it alone; nothing where it is not here, or is stopped so already."""
        state = self.state(account)
        if state is not None and not state.unjudged:
            if self.book.state(account) is None:
                self.book.put(state)
            self.book.set_apart(account, error)
            yield self._set_apart()

    def _spoken(self, judgement: Judgement) -> Commit:
        risk = judgement.risk
        return Commit(
            risks={risk.account: msgspec.json.encode(risk)},
            outbox=tuple(map(self.identity.said, judgement.events)),
        )
