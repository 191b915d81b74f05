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
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

import msgspec

from engine.book.account_book import AccountBook, Concerned
from engine.book.failures import Failure
from engine.events.adl_events import adl_changes, adl_subject
from engine.events.breaker_events import BreakerEventType, after_event, breaker_event
from engine.events.effects import AccountRisk, Stream
from engine.events.judgement import Judgement
from engine.events.price_events import PriceEvent
from engine.inputs import AccountInput, Fill, OrderUpdate, Settlement, Topic
from engine.ladder import LadderState
from engine.ladder.breaker import BreakerState, Opening
from engine.ledger.accounts import AccountState, Progress, decode
from engine.ledger.applying import apply, not_judged, stopped
from engine.ledger.orders_apart import OrderChanges, encode_stored, order_changes
from engine.liquidation.adl_risk import AdlLevel, AdlState, FundExposure
from engine.marks.instants import Instant
from engine.marks.mark_book import Prices
from engine.policy import Policy
from engine.rejections import Duplicate, Rejection, RejectionCode
from streams.contract.cloudevents import outbox_entry
from streams.contract.codec import account_of_key, accounts_of_mismatch, decode_account_input
from streams.contract.commit import AppliedId, Commit, ForgottenIds, OutboxEntry, SoughtId
from streams.contract.operator_command import (
    AccountsResume,
    BreakerRelease,
    CommandRefusal,
    OperatorCommand,
)
from streams.contract.quarantine_budget import QuarantineBudget
from streams.contract.quarantine_record import quarantine_entry
from streams.contract.record import Decoded, Record
from streams.shards.engine_errors import EngineError, place_of, rejection_of, stop_told
from streams.shards.input_ids import InputIds
from streams.shards.newest import Newest
from streams.shards.operator_records import OperatorRecords
from streams.shards.rebuilt_book import rebuilt
from streams.shards.taken_inputs import TakenInputs

Slices = Iterator[list[Commit]]
"""What judging has to make durable, piece by piece."""


class Outcome(NamedTuple):
    """A commit and what happened on the way, for the metrics."""

    commit: Commit
    applied: int
    duplicates: int
    quarantined: Counter[RejectionCode]
    executed: tuple[Fill, ...]
    """Applied fills that name a liquidation."""


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
        self.shard = shard
        self.book = book
        self.watermarks: dict[Topic, int] = dict.fromkeys(Topic, 0)
        self.judging = False
        """Off until prices have caught up: judging at unknown prices would degrade every account."""
        self.policy = policy
        """By which accounts are judged."""
        self._partition_of = partition_of
        self._topics = topics
        self.quarantine_topic = quarantine_topic
        self._source = source
        self.operator_records = OperatorRecords(shard, topics, operator_topic)
        self._booking = booking or (lambda _: policy)
        self._ids = InputIds(lambda time_ns: self._booking(time_ns).inputs.id_scope)
        self._ahead: dict[str, AccountState] = {}
        """States newer than the book's, until `settle`."""
        self.rebuilt_to: dict[Topic, int] = dict.fromkeys(Topic, 0)
        """Below these offsets an account may be ahead of the watermark (`streams.shards.rebuilding`)."""
        self._taken = TakenInputs()
        """What the batch that `settle` ends has brought."""
        self._stored = book.breaker.state
        """The breaker as the newest commit has it."""
        self.quarantine_budget = QuarantineBudget()
        self.errors: list[EngineError] = []
        """What the engine failed on, for the caller to take away and tell."""
        self.applied_until_ns = 0
        """Event time of the newest input that was applied here."""
        self._adl: dict[str, AdlState] = {}
        """Of contracts whose deleveraging risk is this shard's to tell, where those stand of which there is anything to remember."""
        self._contracts = self._homed(policy)
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
        self.book.breaker.load(breaker or BreakerState())
        self._stored = self.book.breaker.state
        yield from self.book.load_in_parts(stored, risks, packed, outdated)
        self.watermarks |= watermarks

    def load_adl(self, states: Mapping[str, AdlState]) -> None:
        """Take over where contracts stand, as the store holds it."""
        self._adl = dict(states)

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
        return [Decoded(it, self._decoded(topic, it)) for it in records if it.offset >= start]

    def _decoded(self, topic: Topic, record: Record) -> AccountInput | Rejection:
        try:
            return decode_account_input(topic, record.key, record.value, record.taken_in_ns)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is of this record alone
            return self._failed_on(topic, record, account_of_key(record.key) or "", error)

    def ids_to_ask(self, topic: Topic, decoded: Sequence[Decoded]) -> list[SoughtId]:
        """Which of the ids that were applied may be among these; the store's answers go to `take_ids` before `apply`."""
        messages = [message for _, message in decoded if not isinstance(message, Rejection)]
        return self._ids.to_ask(topic, messages, self.state)

    def take_ids(self, topic: Topic, answers: Mapping[SoughtId, bytes]) -> None:
        """Take what the store has of the ids that were asked for."""
        self._ids.answered(topic, answers)

    def apply(self, topic: Topic, decoded: Sequence[Decoded]) -> Outcome:
        """Apply decoded records in order; see the life of a batch above."""
        batch = _Batch()
        start = self.watermarks[topic]
        for record, message in decoded:
            if record.offset < self.watermarks[topic]:
                continue
            self._apply_one(topic, record, message, batch)
            self.watermarks[topic] = record.offset + 1
        orders = self._order_changes(batch)
        if self.judging or self._rebuilds:
            self._ahead |= batch.states
        else:
            self.book.put_all(batch.states.values())
        return Outcome(
            Commit(
                advance={topic: (start, self.watermarks[topic])} if self.watermarks[topic] > start else {},
                accounts={account: encode_stored(state) for account, state in batch.states.items()},
                orders=orders,
                ids={(topic, account): tuple(ids) for account, ids in batch.ids.items()},
                forgotten=tuple(batch.forgotten),
                outbox=tuple(batch.quarantined),
            ),
            batch.applied,
            batch.duplicates,
            batch.reasons,
            tuple(batch.executed),
        )

    def on_committed(self, commit: Commit) -> None:
        """A commit of this processor has become durable."""
        for topic, (_, end) in commit.advance.items():
            self._ids.stored(Topic(topic), end)

    def state(self, account: str) -> AccountState | None:
        """The newest state of the account, which may be ahead of what is judged; None if there is none."""
        return self._ahead.get(account) or self.book.state(account)

    def settle(self) -> Slices:
        """Both topics have been applied up to one instant: judge the accounts in their new state."""
        settled, self._ahead = self._ahead, {}
        self.book.put_all(settled.values())
        inputs = self._taken.end(self._topics)
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

    def is_home_of(self, subject: str) -> bool:
        """Whether what is said of this subject, an account or something else, is this shard's to say."""
        return self._partition_of(subject.encode()) == self.shard

    def _homed(self, policy: Policy) -> tuple[str, ...]:
        """Contracts whose deleveraging risk is this shard's to tell."""
        return tuple(it for it in policy.instruments if self.is_home_of(adl_subject(it)))

    def concerned(self, symbol: str) -> Concerned:
        """Accounts that an outage of the symbol concerns; without a symbol all of them."""
        if symbol:
            return self.book.concerned(symbol)
        totals = self.book.totals(())
        return Concerned(sum(totals.accounts_by_band.values()), totals.equity)

    def say_of_prices(self, event: PriceEvent) -> Commit:
        """Publish what is said of prices through this shard's outbox."""
        return Commit(outbox=(outbox_entry(event, self.shard, self._source),))

    def tell_adl(self, exposures: Mapping[str, FundExposure], shards: tuple[int, ...], now_ns: int) -> Commit:
        """Say which contracts came to another level of deleveraging risk, of those that are this shard's to tell."""
        states, events = adl_changes(self._adl, exposures, self._contracts, shards, now_ns, self.policy)
        if states == self._adl:
            return Commit()
        self._adl = states
        outbox = tuple(outbox_entry(event, self.shard, self._source) for event in events)
        return Commit(outbox=outbox, adl=msgspec.json.encode(states))

    def adl_levels(self, exposures: Mapping[str, FundExposure]) -> dict[str, AdlLevel]:
        """By contract that is this shard's to tell, and that a fund pays for: its level."""
        return {it: self._adl.get(it, AdlState()).level for it in self._contracts if it in exposures}

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
        self._stored = book.breaker.state
        self._contracts = self._homed(policy)
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
            ours = [it for it in command.stops if self.is_home_of(it.account)]
            if ours and not told:
                yield [self.operator_records.resumed(command, ours, self.state)]
            return
        breaker = self.book.breaker
        was_done = command.id in breaker.state.commands
        if not breaker.commanded(command.id, command.time_ns):
            refused = None if was_done else CommandRefusal.NOTHING_HELD
            outcome = () if told else self.operator_records.outcome(command.id, refused)
            if outcome:
                yield [Commit(outbox=outcome)]
            return
        released = isinstance(command, BreakerRelease)
        held = breaker.state.held
        opening = breaker.close(released=released)
        breaker.numbered()
        kind = BreakerEventType.RELEASED if released else BreakerEventType.VOIDED
        event = msgspec.structs.replace(
            breaker_event(kind, self.shard, breaker.state, opening, command.time_ns, self.policy.digest),
            held=held,
            command_id=command.id,
            who=command.who,
            why=command.why,
            commanded_ns=command.time_ns,
        )
        said = Commit(
            outbox=(
                outbox_entry(event, self.shard, self._source),
                *self.operator_records.outcome(command.id, None),
            ),
            breaker=self._breaker_bytes(),
        )
        yield [said]
        yield from self._spoken_in_slices(self.book.judge_held())

    def adopt(self, newest: Newest) -> list[Commit]:
        """Take over the states of events that were published but are not in the store (it was rewound)."""
        parts = []
        if newest.breaker is not None:
            self.book.breaker.load(after_event(self.book.breaker.state, newest.breaker))
            if self.book.breaker.state != self._stored:
                parts.append(Commit(breaker=self._breaker_bytes()))
        newer = {
            symbol: event.state
            for symbol, event in newest.adl.items()
            if event.sequence > self._adl.get(symbol, AdlState()).sequence
        }
        if newer:
            self._adl |= newer
            parts.append(Commit(adl=msgspec.json.encode(self._adl)))
        for account, sequences in newest.sequences.items():
            risk = self.book.risk(account)
            known = {
                # what the store says from there on is of a history that was given up
                it: min(number, newest.void.get((account, it), number + 1) - 1)
                for it, number in risk.sequences.items()
            }
            was = {pool: it for pool, (_, it) in newest.before.get(account, {}).items()}
            if not was and all(number <= known.get(stream, 0) for stream, number in sequences.items()):
                continue
            told = {
                pool: it.ladder
                for pool, it in newest.told[account].items()
                if it.sequence > known.get(it.stream, 0)
            }
            pools = {pool: it for pool, it in {**risk.pools, **was, **told}.items() if it != LadderState()}
            # the log may end with old events that were published again
            highest = {
                it: max(sequences.get(it, 0), known.get(it, 0)) for it in {*sequences, *risk.sequences}
            }
            words = newest.lost(risk, known, highest, self.policy)
            if words:
                highest[Stream.MARGIN_EVENTS] = words[-1].sequence
            adopted = AccountRisk(account, pools, {it: highest[it] for it in Stream if it in highest})
            self.book.put(self.book.state(account) or AccountState(account), adopted)
            outbox = tuple(outbox_entry(word, self.shard, self._source) for word in words)
            parts.append(Commit(risks={account: msgspec.json.encode(adopted)}, outbox=outbox))
        return parts

    def quarantined(self, topic: str, record: Record, rejection: Rejection) -> OutboxEntry:
        """What keeps a record of this shard's partition that is refused."""
        return quarantine_entry(
            self.quarantine_topic, topic, self.shard, record.offset, record.key, record.value, rejection
        )

    def _apply_one(
        self, topic: Topic, record: Record, message: AccountInput | Rejection, batch: "_Batch"
    ) -> None:
        if isinstance(message, Rejection):
            self._set_aside(topic, record, message, batch)
            for named in self._concerned(topic, record, message, batch):
                self._stop_topic(named, topic, record, message, batch)
            return
        account = message.account
        if record.offset < self.rebuilt_to[topic] and self._is_in_copy(account, topic, record.offset):
            return
        state = batch.states.get(account) or self.state(account)
        if state is None:
            if self._partition_of(account.encode()) != self.shard:
                code = RejectionCode.WRONG_PARTITION
                detail = f"account {account!r} belongs to partition {self._partition_of(account.encode())}"
                self._set_aside(topic, record, Rejection(code, detail), batch)
                return
            state = AccountState(account)
        before = state.progress(topic)
        after = self._ids.verdict(topic, before, message) or self._after(state, message, topic, record)
        if isinstance(after, Duplicate):
            batch.duplicates += 1
        elif isinstance(after, Rejection):
            self._refuse(topic, record, after, account, batch, message.account_seq)
        else:
            self._keep(topic, record, message, before, after, batch)

    def _is_in_copy(self, account: str, topic: Topic, offset: int) -> bool:
        """Whether the account was rebuilt from a copy that has this input, or what became of it."""
        state = self.state(account)
        return state is not None and offset <= state.progress(topic).offset

    def _keep(
        self,
        topic: Topic,
        record: Record,
        message: AccountInput,
        before: Progress,
        after: AccountState,
        batch: "_Batch",
    ) -> None:
        """The message was applied, and `after` is its account now."""
        account = message.account
        batch.applied += 1
        self.applied_until_ns = max(self.applied_until_ns, message.time_ns)
        if self.judging:
            self._taken.add(topic, record.offset, message)
        batch.states[account] = after
        added, gone = self._ids.applied(topic, before, after.progress(topic), message, record.offset + 1)
        if added is not None:
            batch.ids.setdefault(account, []).append(added)
        batch.forgotten += gone
        match message:
            case Fill() if message.liquidation_id is not None:
                batch.executed.append(message)
            case OrderUpdate():
                batch.orders.setdefault(account, set()).add(message.order_id)
            case Settlement():
                batch.settled.add(account)

    def _order_changes(self, batch: "_Batch") -> dict[str, OrderChanges]:
        """From the states before the batch, which are still the newest, to those after it."""
        found = {}
        for account in sorted(batch.orders.keys() | batch.settled):
            before = self.state(account) or AccountState(account)
            touched = None if account in batch.settled else batch.orders[account]
            changes = order_changes(before, batch.states[account], touched)
            if changes is not None:
                found[account] = changes
        return found

    def _after(
        self, state: AccountState, message: AccountInput, topic: Topic, record: Record
    ) -> AccountState | Duplicate | Rejection:
        try:
            booking = self._booking(message.time_ns)
            return apply(state, message, topic, record.offset, booking)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is of this input of this account alone
            return self._failed_on(topic, record, state.account, error)

    def _failed_on(self, topic: Topic, record: Record, account: str, error: Exception) -> Rejection:
        """The engine failed on this record."""
        if isinstance(error, MemoryError):
            raise error
        place = f"{self._topics[topic]}/{self.shard}/{record.offset}"
        self.errors.append(EngineError("apply", account, place, error))
        return rejection_of(error)

    def _concerned(
        self, topic: Topic, record: Record, rejection: Rejection, batch: "_Batch"
    ) -> Iterable[str]:
        """The accounts that may miss a record which could not be read: whom its key names.

        One under another account's key was meant for one of the two, so both are stopped where they are known here. None is made of a
        name alone: it may be nobody's, or live in another shard.
        """
        if rejection.code is RejectionCode.KEY_MISMATCH:
            named = accounts_of_mismatch(topic, record.key, record.value)
            return [it for it in named if it in batch.states or self.state(it) is not None]
        account = account_of_key(record.key)
        return [] if account is None else [account]

    def _refuse(
        self,
        topic: Topic,
        record: Record,
        rejection: Rejection,
        account: str,
        batch: "_Batch",
        account_seq: int | None = None,
    ) -> None:
        """Quarantine the record and stop the account that it is of."""
        self._set_aside(topic, record, rejection, batch)
        self._stop_topic(account, topic, record, rejection, batch, account_seq)

    def _set_aside(self, topic: Topic, record: Record, rejection: Rejection, batch: "_Batch") -> None:
        """Quarantine the record."""
        batch.reasons[rejection.code] += 1
        entry = self.quarantined(self._topics[topic], record, rejection)
        batch.quarantined.append(self.quarantine_budget.within(entry, record.taken_in_ns))

    def _stop_topic(
        self,
        account: str,
        topic: Topic,
        record: Record,
        rejection: Rejection,
        batch: "_Batch",
        account_seq: int | None = None,
    ) -> None:
        """Stop the account in this topic, if it is one of this shard."""
        if record.offset < self.rebuilt_to[topic] and self._is_in_copy(account, topic, record.offset):
            return
        if self._partition_of(account.encode()) == self.shard:
            state = batch.states.get(account) or self.state(account) or AccountState(account)
            batch.states[account] = stopped(state, topic, record.offset, rejection.code, account_seq)

    def _spoken_in_slices(self, slices: Iterable[list[Judgement]]) -> Slices:
        """A part for each judgement: it becomes durable as a whole, and each at its own pace."""
        for judgements in slices:
            yield [*self._set_apart(), *self._of_breaker(), *map(self._spoken, judgements)]
        if rest := [*self._set_apart(), *self._of_breaker()]:
            yield rest

    def _set_apart(self) -> list[Commit]:
        """The stops of accounts that the book could not judge."""
        failures, self.book.failures = self.book.failures, []
        return [self._stop(failure) for failure in failures]

    def _stop(self, failure: Failure) -> Commit:
        account = failure.state.account
        place = place_of(failure.state, self.shard, self._topics)
        self.errors.append(EngineError("judge", account, place, failure.error))
        if account in self._ahead:
            self._ahead[account] = not_judged(self._ahead[account])
        newest = self.state(account) or not_judged(failure.state)
        told = stop_told(failure, self.shard, self._topics, self.quarantine_topic)
        return Commit(accounts={account: encode_stored(newest)}, outbox=(told,))

    def stop(self, account: str, error: Exception) -> Slices:
        """Stop the account for something that concerns it alone; nothing where it is not here, or is stopped so already."""
        state = self.state(account)
        if state is not None and not state.unjudged:
            if self.book.state(account) is None:
                self.book.put(state)
            self.book.set_apart(account, error)
            yield self._set_apart()

    def _of_breaker(self) -> list[Commit]:
        """What has become of the breaker, before what is said of accounts: whoever takes over holds what we hold."""
        breaker = self.book.breaker
        if breaker.state is self._stored:
            return []
        outbox: list[OutboxEntry] = []
        opening = breaker.state.opening
        if opening is not None and opening.number > self._stored.openings:
            outbox.append(self._held(opening))
        return [Commit(outbox=tuple(outbox), breaker=self._breaker_bytes())]

    def _held(self, opening: Opening) -> OutboxEntry:
        breaker = self.book.breaker
        breaker.numbered()
        event = breaker_event(
            BreakerEventType.HELD,
            self.shard,
            breaker.state,
            opening,
            opening.cause.time_ns,
            self.policy.digest,
        )
        return outbox_entry(event, self.shard, self._source)

    def _breaker_bytes(self) -> bytes:
        self._stored = self.book.breaker.state
        return msgspec.json.encode(self._stored)

    def _spoken(self, judgement: Judgement) -> Commit:
        risk = judgement.risk
        return Commit(
            risks={risk.account: msgspec.json.encode(risk)},
            outbox=tuple(outbox_entry(event, self.shard, self._source) for event in judgement.events),
        )


class _Batch:
    """What accumulates while one batch of records is applied."""

    def __init__(self) -> None:
        self.states: dict[str, AccountState] = {}
        self.ids: dict[str, list[AppliedId]] = {}
        self.forgotten: list[ForgottenIds] = []
        self.orders: dict[str, set[str]] = {}
        """Ids of orders that updates named."""
        self.settled: set[str] = set()
        """Accounts in which any order may have ended."""
        self.quarantined: list[OutboxEntry] = []
        self.reasons: Counter[RejectionCode] = Counter()
        self.executed: list[Fill] = []
        self.applied = 0
        self.duplicates = 0
