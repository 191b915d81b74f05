"""Following the topic of policies: every worker knows each version before its time comes.

A version is published at least `lead_seconds` before it comes into force. Whoever judges or books has asked for the end of the topic within the last
`HEARD_SECONDS_MAX`, and has read that far. So whatever is dated at a version's time or later meets a worker that knows it, though clocks
differ, and marks may be dated ahead of their receipt by what the policy tolerates.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from engine.policy import Policy
from engine.policy.timeline import Ruling
from engine.rejections import Rejection
from streams.config.settings import Settings
from streams.contract.commit import OutboxEntry
from streams.contract.policy_version import PolicyVersion, decode_policy_version, ruling_of
from streams.contract.quarantine_record import quarantine_entry
from streams.kafka.whole_topic import WholeTopic, open_whole_topic

HEARD_SECONDS_MAX = 2.5
CLOCKS_DIFFER_SECONDS_MAX = 1.5
"""Of two machines: each proves to be within a second of Redis (`streams.worker.proving`), most are within milliseconds."""
POLL_MS = 250
RETRY_SECONDS = 0.5
SILENT_SECONDS_MAX = 5.0
"""A broker that has not said for longer where the topic ends is connected to anew."""

_log = structlog.get_logger()


def lead_seconds(in_force: Policy) -> float:
    """How long before it comes into force a version must be published."""
    ahead = max((float(it.future_tolerance_seconds) for it in in_force.price_symbols.values()), default=0.0)
    return HEARD_SECONDS_MAX + CLOCKS_DIFFER_SECONDS_MAX + ahead


class PolicyFollower:
    """The versions as one worker knows them."""

    def __init__(self, settings: Settings, like: Policy) -> None:
        """Nothing is known. `like`: what a version counts as, but for its listing, that this edition cannot read."""
        self._settings, self._like = settings, like
        self.versions: dict[int, PolicyVersion] = {}
        self.rulings: dict[int, Ruling] = {}
        self._heard_s = float("-inf")
        self._heard = asyncio.Event()
        self.on_ruling: Callable[[Ruling], object] = lambda _: None
        """Gets every version that comes from now on."""
        self.quarantine: Callable[[OutboxEntry], object] = lambda _: None
        """Gets what is no version; every worker hands it over, under the same id."""

    @property
    def is_heard(self) -> bool:
        """Whether the topic is known to its end, as it was a moment ago."""
        return time.monotonic() - self._heard_s < HEARD_SECONDS_MAX

    async def heard(self) -> None:
        """Return once it is: nothing may be judged or booked before, for another policy may be in force."""
        while not self.is_heard:
            self._heard.clear()
            await self._heard.wait()

    async def run(self) -> None:
        """Follow until cancelled; a broker that is away is waited for."""
        while True:
            try:
                async with open_whole_topic(self._settings, self._settings.topic_policies) as topic:
                    await self._follow(topic)
            except (KafkaError, OSError, TimeoutError) as error:
                _log.warning("policy_follower_interrupted", error=repr(error))
            await asyncio.sleep(RETRY_SECONDS)

    async def _follow(self, topic: WholeTopic) -> None:
        while True:
            asked_s = time.monotonic()
            # a client that waits out a broker which is gone would not notice that it is back
            async with asyncio.timeout(SILENT_SECONDS_MAX):
                while not await topic.polled_to():
                    await self._poll(topic)
            self._heard_s = asked_s
            self._heard.set()
            await self._poll(topic)

    async def _poll(self, topic: WholeTopic) -> None:
        for place, records in (await topic.poll(POLL_MS)).items():
            for record in records:
                self._take(place, record)

    def _take(self, place: TopicPartition, record: Any) -> None:
        if record.value is None:  # what was no version was deleted
            return
        version = decode_policy_version(record.key, record.value)
        if isinstance(version, Rejection):
            _log.error(
                "policy_version_refused", offset=record.offset, reason=version.code, detail=version.detail
            )
            topic = self._settings.topic_quarantine
            self.quarantine(
                quarantine_entry(
                    topic, place.topic, place.partition, record.offset, record.key, record.value, version
                )
            )
            return
        if self.versions.get(version.version) == version:
            return
        ruling = ruling_of(version, self._like)
        self.versions[version.version], self.rulings[version.version] = version, ruling
        _log.info(
            "policy_version_known",
            version=version.version,
            digest=version.digest,
            activated_ns=version.activated_ns,
            who=version.who,
            why=version.why,
        )
        self.on_ruling(ruling)
