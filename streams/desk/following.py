"""Following the event topics for as long as a process of the desk lives."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from aiokafka.errors import KafkaError

RETRY_SECONDS = 1.0

_log = structlog.get_logger()


async def keep_following(follow: Callable[[], Awaitable[None]], say_away: Callable[[str], None]) -> None:
    """Call `follow` again and again, until cancelled; a broker that is away is told to `say_away`, and waited out."""
    while True:
        try:
            await follow()
        except (KafkaError, OSError, TimeoutError) as error:
            problem = f"{type(error).__name__}: {error}"
            say_away(problem)
            _log.warning("events_not_followed", error=problem)
        await asyncio.sleep(RETRY_SECONDS)
