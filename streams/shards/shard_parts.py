"""What the jobs of one shard share: taking over, reading, judging, committing and publishing."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple

from engine.inputs import Topic
from engine.marks.mark_book import MarkBook
from streams.contract.rulings import OneRuling, Rulings
from streams.kafka.log_ends import LogEnds
from streams.kafka.log_reader import LogReader
from streams.observe.cascade import Cascade
from streams.observe.metrics import Metrics
from streams.observe.traces import NO_TRACES, Traces
from streams.outbox.relays import OutboxRelays
from streams.shards.commit_queue import CommitQueue
from streams.shards.processor import ShardProcessor
from streams.shards.shard_standing import Standing
from streams.store.shard_store import ShardStore


class ShardParts(NamedTuple):
    """One of each."""

    processor: ShardProcessor
    store: ShardStore
    relays: OutboxRelays
    queue: CommitQueue
    standing: Standing
    marks: MarkBook
    topics: dict[Topic, str]
    log_ends: LogEnds
    open_log: Callable[[], AbstractAsyncContextManager[LogReader]]
    """For stretches of any log, as far as it is committed."""
    open_whole_log: Callable[[], AbstractAsyncContextManager[LogReader]]
    """For stretches of a topic of which others may keep a transaction open: what we have written is never in one."""
    open_inputs: Callable[[], AbstractAsyncContextManager[LogReader]]
    """For following the inputs."""
    turn: asyncio.Lock
    """Held while anybody on this worker judges."""
    cascade: Cascade
    metrics: Metrics
    rulings: Rulings = OneRuling()
    traces: Traces = NO_TRACES
