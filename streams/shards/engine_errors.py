"""What the engine failed on: one account each, which is stopped, while the shard goes on.

An input that cannot be *applied* is set aside like one that is refused: quarantined, its topic of the account stopped at its offset. An
account that cannot be *judged* is stopped in both topics where it stands. Nothing was wrong with its last inputs, so what is
set aside is the account as it was, in an `account.stopped` record of the quarantine topic.
"""

from typing import NamedTuple

from engine.book.failures import Failure
from engine.inputs import Topic
from engine.ledger.accounts import AccountState, encode
from engine.rejections import Rejection, RejectionCode
from streams.contract.commit import OutboxEntry
from streams.contract.quarantine_record import stopped_entry
from streams.shards.shard_identity import ShardIdentity


class EngineError(NamedTuple):
    """To be told: where the engine failed, on whom, with what."""

    step: str
    """`apply`, or `judge` for all that is asked of a book."""
    account: str
    place: str
    """The input, or the last inputs of the account that is judged."""
    error: Exception


def rejection_of(error: Exception) -> Rejection:
    """Why an input is set aside that the engine failed on."""
    return Rejection(RejectionCode.ENGINE_ERROR, f"the engine failed: {error!r}")


def stop_told(failure: Failure, identity: ShardIdentity) -> OutboxEntry:
    """The record that says an account is not judged any more."""
    state = failure.state
    topic = Topic.LEDGER if state.fills.offset < 0 else Topic.FILLS
    offset = max(state.fills.offset, 0) if topic is Topic.FILLS else max(state.ledger.offset, 0)
    detail = f"the engine failed to judge the account after {place_of(state, identity)}: {failure.error!r}"
    return stopped_entry(
        identity.quarantine_topic,
        (identity.topics[topic], identity.shard, offset),
        state.account,
        encode(state),
        Rejection(RejectionCode.ENGINE_ERROR, detail),
    )


def place_of(state: AccountState, identity: ShardIdentity) -> str:
    """Which inputs the account is the result of."""
    offsets = {Topic.FILLS: state.fills.offset, Topic.LEDGER: state.ledger.offset}
    return ", ".join(
        f"{identity.topics[topic]}/{identity.shard} {offset}" for topic, offset in offsets.items()
    )
