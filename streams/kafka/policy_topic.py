"""The topic of policies for commands: reading every version as it stands, and sending one more."""

import asyncio

import msgspec
from aiokafka import AIOKafkaConsumer

from engine.policy import Policy
from engine.policy.timeline import PolicyTimeline, Ruling
from engine.rejections import Rejection
from streams.config.problem import Problem
from streams.config.settings import Settings
from streams.contract.policy_version import PolicyVersion, decode_policy_version, ruling_of
from streams.kafka.clients import partition_counts
from streams.kafka.topic_access import open_producer, places, read_to_end

SEND_SECONDS_MAX = 30.0


async def read_versions(settings: Settings, consumer: AIOKafkaConsumer) -> list[PolicyVersion]:
    """Every version that was published, by number; [] where none was, or there is no such topic.

    Raises `Problem` for a record that is none: whatever follows from the versions would be a guess.
    """
    topic = settings.topic_policies
    count = (await partition_counts(settings, [topic]))[topic]
    if not count:
        return []
    found: dict[int, PolicyVersion] = {}
    async for record in read_to_end(consumer, places(topic, count)):
        version = decode_policy_version(record.key, record.value)
        if isinstance(version, Rejection):
            where = f"{topic}/{record.partition}/{record.offset}"
            raise Problem(f"{where} is no version of a policy: {version.code}: {version.detail}")
        found[version.version] = version
    return [found[number] for number in sorted(found)]


def timeline_of(versions: list[PolicyVersion], version_zero: Policy) -> PolicyTimeline:
    """What was in force when: these versions, or `version_zero` where nothing was published."""
    if not versions:
        return PolicyTimeline.always(version_zero)
    rulings: list[Ruling] = []
    for version in versions:
        rulings.append(ruling_of(version, rulings[-1].policy if rulings else version_zero))
    return PolicyTimeline(rulings)


async def send_versions(settings: Settings, versions: list[PolicyVersion]) -> None:
    """Return once all replicas have them, in order. Raises `Problem` where the broker is away or the topic is missing."""
    topic = settings.topic_policies
    if not (await partition_counts(settings, [topic]))[topic]:
        raise Problem(f"missing topics: {topic}; create them with `unimargin topics create`")
    async with open_producer(settings) as producer:
        for version in versions:
            value = msgspec.json.encode(version)
            sent = await producer.send(topic, key=version.key, value=value, partition=0)
            await asyncio.wait_for(sent, timeout=SEND_SECONDS_MAX)
