"""Reading the operators' topic outside the group: every worker hears every command, from the first one on.

Commands are few and act once (`engine.ladder.breaker`), so a worker that starts reads all of them again, and a shard that it takes
over later hears them again.
"""

from collections.abc import Awaitable, Callable

import structlog
from aiokafka import TopicPartition

from engine.rejections import Rejection
from streams.config.settings import Settings
from streams.contract.commit import OutboxEntry
from streams.contract.operator_command import OperatorCommand, OperatorOutcome, decode_operator_record
from streams.contract.quarantine_record import quarantine_entry
from streams.kafka.whole_topic import open_whole_topic

POLL_MS = 200
"""A person waits for the answer."""

_log = structlog.get_logger()


class OperatorReader:
    """Delivers commands in the order of their topic."""

    def __init__(
        self,
        settings: Settings,
        take: Callable[[OperatorCommand | OperatorOutcome], Awaitable[None]],
        quarantine: Callable[[OutboxEntry], object],
    ) -> None:
        """`take` gets commands, and what became of them; `quarantine` what is neither."""
        self._settings, self._take, self._quarantine = settings, take, quarantine

    async def run(self) -> None:
        """Read until cancelled, where the settings name operators at all."""
        if not self._settings.operator_topic_enabled:
            return
        async with open_whole_topic(self._settings, self._settings.topic_operator) as topic:
            while True:
                for place, records in (await topic.poll(POLL_MS)).items():
                    for record in records:
                        await self._deliver(place, record.offset, record.key, record.value)

    async def _deliver(
        self, place: TopicPartition, offset: int, key: bytes | None, value: bytes | None
    ) -> None:
        command = decode_operator_record(value)
        if not isinstance(command, Rejection):
            await self._take(command)
            return
        _log.warning("operator_command_refused", offset=offset, reason=command.code, detail=command.detail)
        topic = self._settings.topic_quarantine
        self._quarantine(quarantine_entry(topic, place.topic, place.partition, offset, key, value, command))
