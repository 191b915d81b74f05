"""What one shard writes of operators' commands: that an account goes on, among its inputs; and what became of a command. Pure."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from engine.inputs import Resume, Topic
from engine.ledger.accounts import AccountState
from streams.contract.commit import Commit, OutboxEntry
from streams.contract.operator_command import (
    AccountsResume,
    CommandOutcome,
    CommandRefusal,
    NamedStop,
    OperatorOutcome,
    outcome_entry,
    resume_entry,
)


class OperatorRecords:
    """Of one shard."""

    def __init__(self, shard: int, topics: Mapping[Topic, str], operator_topic: str | None) -> None:
        """`operator_topic` is where it is said what became of commands; None says it nowhere."""
        self._shard, self._topics, self._operator_topic = shard, topics, operator_topic

    def outcome(
        self, command_id: str, code: CommandRefusal | None, detail: str = ""
    ) -> tuple[OutboxEntry, ...]:
        """That the command was applied, or refused with this code."""
        if self._operator_topic is None:
            return ()
        said = OperatorOutcome(
            command_id=command_id,
            shard=self._shard,
            outcome=CommandOutcome.APPLIED if code is None else CommandOutcome.REFUSED,
            code=code,
            detail=detail,
        )
        return (outcome_entry(said, self._operator_topic),)

    def resumed(
        self,
        command: AccountsResume,
        ours: Sequence[NamedStop],
        state_of: Callable[[str], AccountState | None],
    ) -> Commit:
        """That those of these accounts go on which are stopped as the command says, and what became of it: as one commit."""
        found = [it for it in ours if _is_stopped_so(it, state_of(it.account))]
        entries = [resume_entry(command, it, self._topics[it.topic], self._shard) for it in found]
        code = None if len(found) == len(ours) else CommandRefusal.NOT_STOPPED_SO
        outcome = self.outcome(command.id, code, f"{len(found)} of {len(ours)} stops lifted")
        return Commit(outbox=(*entries, *outcome))

    def not_resumed(self, entry: OutboxEntry, error: Exception) -> Commit:
        """That an account does not go on, because Kafka does not take the record that would have it go on."""
        command_id = msgspec.json.decode(entry.value, type=Resume).entry_id
        return Commit(
            outbox=self.outcome(command_id, CommandRefusal.NOT_ALLOWED, f"{entry.topic}: {error!r}")
        )


def _is_stopped_so(named: NamedStop, state: AccountState | None) -> bool:
    stop = None if state is None else state.progress(named.topic).stop
    return stop is not None and stop.offset == named.stop_offset
