"""The topic of policies for commands: reading every version as it stands, and sending one more."""

import asyncio
from collections.abc import Callable

import msgspec
from aiokafka import AIOKafkaConsumer

from engine.policy import Policy
from engine.policy.timeline import PolicyTimeline, Ruling
from streams.config.problem import Problem
from streams.config.settings import Settings
from streams.contract.policy_version import PolicyVersion, decode_policy_version, ruling_of
from streams.kafka.clients import partition_counts
from streams.kafka.topic_access import open_producer, places, read_to_end

SEND_SECONDS_MAX = 30.0


async def read_versions(
    settings: Settings, consumer: AIOKafkaConsumer, passed_over: Callable[[str], object]
) -> list[PolicyVersion]:
    """Every version that was published, by number; [] where none was, or there is no such topic.

    `passed_over` gets a line for each record that is nobody's: workers pass it over as well. Raises `Problem` where the newest record of
    a version cannot be read: whatever follows from the versions would be a guess.
    """
    topic = settings.topic_policies
    count = (await partition_counts(settings, [topic]))[topic]
    if not count:
        return []
    found: dict[int, PolicyVersion] = {}
    broken: dict[bytes, str] = {}
    async for record in read_to_end(consumer, places(topic, count)):
        broken.pop(record.key, None)
        if record.value is None:  # whoever deletes a record means it
            continue
        version = decode_policy_version(record.key, record.value)
        if isinstance(version, PolicyVersion):
            found[version.version] = version
            continue
        said = f"{topic}/{record.partition}/{record.offset} is no version of a policy"
        said += f": {version.code}: {version.detail}"
        if record.key is not None and record.key.isdigit():
            broken[record.key] = said
        else:
            passed_over(f"{said}; passed over")
    if broken:
        said = next(iter(broken.values()))
        raise Problem(
            f"{said}; workers pass it over: delete it (an empty record with its key), and publish the policy anew"
        )
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
