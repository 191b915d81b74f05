"""Taking members out of a consumer group that cannot say goodbye any more."""

import asyncio
from collections.abc import Set as AbstractSet

import structlog
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import UnknownMemberIdError, for_code
from aiokafka.protocol.group import LeaveGroupRequest

from streams.config.settings import Settings
from streams.kafka.clients import client_options

REMOVAL_SECONDS_MAX = 5.0
"""Three requests; a broker that is away is for the session's timeout."""

_log = structlog.get_logger()


async def remove_members(settings: Settings, client_ids: AbstractSet[str]) -> list[str]:
    """Take the members of these client ids out of the workers' group, as if they had left; the group rebalances at once.

    Returns the ids of those that were in it. It takes the right to read the group, as being in it does. One that lives all the same hears of
    it at its next heartbeat and joins again. Raises KafkaError, OSError and TimeoutError.
    """
    admin = AIOKafkaAdminClient(**client_options(settings))
    async with asyncio.timeout(REMOVAL_SECONDS_MAX):
        try:
            await admin.start()
            coordinator = await admin.find_coordinator(settings.group)
            (answer,) = await admin.describe_consumer_groups([settings.group], coordinator)
            removed = []
            for group in answer.groups:
                _raise_for(group[0])
                for member, client_id, *_ in group[5]:
                    if client_id in client_ids:
                        # the admin client has no call for it, and any client may say goodbye for a member
                        request = LeaveGroupRequest(settings.group, member)
                        left = await admin._send_request(request, coordinator)  # noqa: SLF001
                        # another worker may have been first
                        if left.error_code != UnknownMemberIdError.errno:
                            _raise_for(left.error_code)
                            removed.append(member)
            return removed
        finally:
            await admin.close()


def _raise_for(code: int) -> None:
    if code:
        raise for_code(code)
