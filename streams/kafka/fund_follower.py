"""Following the fund's topic outside the group, from its beginning: every worker knows what each group's fund has."""

from collections.abc import Callable
from typing import Any

import structlog
from aiokafka import TopicPartition

from engine.liquidation.fund_groups import FundBalance
from engine.rejections import Rejection
from streams.config.settings import Settings
from streams.contract.commit import OutboxEntry
from streams.contract.fund_record import decode_fund
from streams.contract.quarantine_record import quarantine_entry
from streams.kafka.whole_topic import open_whole_topic

POLL_MS = 500

_log = structlog.get_logger()


class FundFollower:
    """The newest statement of each group."""

    def __init__(self, settings: Settings, quarantine: Callable[[OutboxEntry], object]) -> None:
        """Nothing is known. `quarantine` takes what is no balance of a fund; every worker hands it over, under the same id."""
        self._settings, self._quarantine = settings, quarantine
        self._newest: dict[bytes | None, FundBalance] = {}
        self._read = False

    @property
    def funds(self) -> list[FundBalance] | None:
        """By group; None until the topic was read to its end, and where there is none."""
        return sorted(self._newest.values(), key=lambda fund: fund.group) if self._read else None

    async def run(self) -> None:
        """Follow until cancelled, where the settings have the topic at all."""
        if not self._settings.fund_topic_enabled:
            return
        async with open_whole_topic(self._settings, self._settings.topic_fund) as topic:
            while True:
                self._read = self._read or await topic.caught_up()
                for place, records in (await topic.poll(POLL_MS)).items():
                    for record in records:
                        self._take(place, record)

    def _take(self, place: TopicPartition, record: Any) -> None:
        if not record.value:
            self._newest.pop(record.key, None)
            return
        fund = decode_fund(record.key, record.value)
        if not isinstance(fund, Rejection):
            self._newest[record.key] = fund
            return
        _log.warning("fund_record_refused", offset=record.offset, reason=fund.code, detail=fund.detail)
        topic = self._settings.topic_quarantine
        self._quarantine(
            quarantine_entry(
                topic, place.topic, place.partition, record.offset, record.key, record.value, fund
            )
        )
