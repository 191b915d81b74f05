"""What there is before a worker is admitted to the group."""

import asyncio
from typing import NamedTuple

from redis.asyncio import Redis

from engine.inputs import Topic
from streams.config.settings import Settings
from streams.kafka.policy_follower import PolicyFollower
from streams.observe.health_server import HealthServer
from streams.observe.metrics import Metrics
from streams.observe.traces import Traces
from streams.worker.policy_gate import PolicyGate


class Room(NamedTuple):
    """One of each."""

    settings: Settings
    topics: dict[Topic, str]
    metrics: Metrics
    redis: Redis
    gate: PolicyGate
    follower: PolicyFollower
    health: HealthServer
    stopping: asyncio.Event
    traces: Traces
