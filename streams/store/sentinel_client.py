"""A client of whichever Redis the sentinels call the primary.

redis-py asks the sentinels one after the other, without a bound, and believes the first: one that is cut off from the others still names the
primary of before, and one whose machine is gone holds everybody up. Here all are asked at once, and of those that a majority of sentinels
give, the answer of the newest failover counts.
"""

import asyncio
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool
from redis.exceptions import RedisError

from streams.config.host_port import Address
from streams.store.redis_connections import OneServer

SENTINEL_ANSWERS_S = 1.0
"""One that takes longer is away; they answer in well under a millisecond."""


class Sentinels(Sentinel):
    """The sentinels of one service."""

    async def discover_master(self, service_name: str) -> Address:
        """Where the primary is. Raises MasterNotFoundError, an error that passes, while there is none."""
        newest = await self.state(service_name)
        if not self.check_master_state(newest, service_name):
            raise MasterNotFoundError(f"no primary of {service_name!r}: it is down")
        return newest["ip"], newest["port"]

    async def state(self, service_name: str) -> dict[str, Any]:
        """What is known of the primary, of the newest failover that a majority tells of. Raises MasterNotFoundError where nobody answers."""
        asked = [asyncio.create_task(self._ask(it, service_name)) for it in self.sentinels]
        answers: list[dict[str, Any]] = []
        problems: list[str] = []
        try:
            for answer in asyncio.as_completed(asked):
                try:
                    answers.append(await answer)
                except (RedisError, OSError) as error:
                    problems.append(str(error) or type(error).__name__)
                if len(answers) > len(asked) // 2:
                    break
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        if not answers:
            raise MasterNotFoundError(f"no sentinel tells of {service_name!r}: {'; '.join(problems)}")
        return max(answers, key=lambda it: it["config-epoch"])

    async def _ask(self, sentinel: Any, service_name: str) -> dict[str, Any]:
        async with asyncio.timeout(SENTINEL_ANSWERS_S):
            services = await sentinel.sentinel_masters()
        if service_name not in services:
            raise MasterNotFoundError(
                f"a sentinel watches no {service_name!r}, but {', '.join(services) or 'nothing'}"
            )
        state: dict[str, Any] = services[service_name]
        return state


class PrimaryPool(OneServer, SentinelConnectionPool):
    """Connections to the primary; closing it closes those to the sentinels as well."""

    async def state(self) -> dict[str, Any]:
        """What the sentinels say of the primary."""
        state: dict[str, Any] = await self.sentinel_manager.state(self.service_name)
        return state

    async def aclose(self) -> None:
        """Close all."""
        await super().aclose()
        await self.sentinel_manager.aclose()


def sentinel_client(
    hosts: list[Address], service: str, options: dict[str, Any], sentinel_options: dict[str, Any]
) -> Redis:
    """`options` are those of connections to the primary, its class among them."""
    make: Any = Sentinels
    sentinels = make(hosts, sentinel_kwargs=sentinel_options)
    client: Redis = sentinels.master_for(service, connection_pool_class=PrimaryPool, **options)
    return client
