"""Sending operators' commands to their topic, from which every worker reads it."""

import asyncio
from collections.abc import Sequence

import msgspec

from streams.config.settings import Settings
from streams.contract.operator_command import OperatorCommand
from streams.kafka.topic_access import find_places, open_producer

SEND_SECONDS_MAX = 30.0


async def send_operator_commands(settings: Settings, commands: Sequence[OperatorCommand]) -> None:
    """Return once all replicas have them, in order. Raises `Problem` where the topic or the broker is missing."""
    await find_places(settings, [settings.topic_operator])
    async with open_producer(settings) as producer:
        sent = [
            await producer.send(settings.topic_operator, value=msgspec.json.encode(command), partition=0)
            for command in commands
        ]
        await asyncio.wait_for(asyncio.gather(*sent), timeout=SEND_SECONDS_MAX)
