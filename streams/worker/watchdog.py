"""Ends a process that is alive but does nothing: open Faust issues tell of consumers that slowly die.

Two watches. A thread ends the process when the event loop itself stops turning. A task compares each running shard's
watermark with the log's end, which is the last stable offset: records waiting and no progress for `stall_seconds` ends the process too. While the
broker cannot be asked, nothing is concluded. The task also ends a process that lost a shard's fence and has kept the
shard for `stall_seconds` since: its group gives it to nobody else, so nobody would serve it.
"""

import asyncio
import threading
import time

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from engine.inputs import Topic
from streams.config.settings import Settings
from streams.kafka.clients import BROKER_PATIENCE_SECONDS, open_reader
from streams.observe.metrics import Metrics
from streams.shards.crash import end_process
from streams.shards.shard_standing import Condition
from streams.shards.shards import Shards
from streams.worker.open_transactions import OpenTransactions

CHECK_SECONDS = 1.0

_log = structlog.get_logger()


class Watchdog:
    """Both watches. `beat` is called by every loop that should be seen turning."""

    def __init__(
        self,
        shards: Shards,
        settings: Settings,
        topics: dict[Topic, str],
        metrics: Metrics,
        transactions: OpenTransactions,
    ) -> None:
        """Nothing is watched before `start` and `run`. `transactions` is told what the shards' inputs wait for."""
        self._shards, self._settings, self._topics, self._metrics = shards, settings, topics, metrics
        self._stall_seconds, self._transactions = settings.stall_seconds, transactions
        self._turned = time.monotonic()
        self._progress: dict[TopicPartition, tuple[int, float]] = {}
        self._fenced: dict[int, float] = {}
        self._closing = threading.Event()

    def beat(self, loop: str) -> None:
        """Say that `loop` turned just now."""
        self._metrics.progress_timestamp_seconds.labels(loop).set_to_current_time()

    def start(self) -> None:
        """Start the thread that watches the event loop; `run` must be started as a task."""
        threading.Thread(target=self._watch_event_loop, name="watchdog", daemon=True).start()

    def stop(self) -> None:
        """Let the process end in peace."""
        self._closing.set()

    async def run(self) -> None:
        """Watch the shards until cancelled."""
        async with open_reader(self._settings, patience_seconds=BROKER_PATIENCE_SECONDS) as consumer:
            while True:
                self._turned = time.monotonic()
                self.beat("event_loop")
                self._check_fenced()
                await self._check_shards(consumer)
                await asyncio.sleep(CHECK_SECONDS)

    def _watch_event_loop(self) -> None:
        while not self._closing.wait(CHECK_SECONDS):
            still_seconds = time.monotonic() - self._turned
            if still_seconds > self._stall_seconds:
                end_process(f"the event loop has not turned for {still_seconds:.0f} s")

    def _check_fenced(self) -> None:
        now = time.monotonic()
        fenced = {it.shard for it in self._shards.runners if it.condition is Condition.FENCED}
        self._fenced = {shard: self._fenced.get(shard, now) for shard in fenced}
        for shard, since in self._fenced.items():
            if now - since > self._stall_seconds:
                end_process(
                    f"shard {shard} is ours by the group and another owner's by Redis for {now - since:.0f} s"
                )

    def _note_uncommitted(self) -> None:
        for runner in self._shards.runners:
            for topic, name in self._topics.items() if runner.condition is Condition.RUNNING else ():
                self._transactions.note(TopicPartition(name, runner.shard), runner.uncommitted(topic))

    async def _check_shards(self, consumer: AIOKafkaConsumer) -> None:
        watermarks = {
            TopicPartition(name, runner.shard): runner.processor.watermarks[topic]
            for runner in self._shards.runners
            if runner.condition is Condition.RUNNING
            for topic, name in self._topics.items()
        }
        if not watermarks:
            return
        self._note_uncommitted()
        try:
            ends = await asyncio.wait_for(consumer.end_offsets(list(watermarks)), self._stall_seconds / 3)
        except (KafkaError, TimeoutError) as error:
            _log.warning("log_ends_unknown", error=repr(error))
            return
        now = time.monotonic()
        for place, watermark in watermarks.items():
            lag = max(0, ends[place] - watermark)
            self._metrics.consumer_lag_records.labels(place.topic, str(place.partition)).set(lag)
            seen, since = self._progress.get(place, (-1, now))
            if watermark != seen or not lag:
                since = now
            self._progress[place] = (watermark, since)
            if now - since > self._stall_seconds:
                end_process(
                    f"{place.topic}/{place.partition}: {lag} records wait, none applied for {now - since:.0f} s"
                )
