"""How long a worker waits for what it has to prove."""

import asyncio
import time

import pytest

from streams.config.problem import Problem
from streams.config.settings import Settings
from streams.store.redis_access import client_of
from streams.store.redis_client import CALL_TIMEOUT_S
from streams.worker.proving import Proofs


async def _silent(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


def test_proof_when_redis_takes_a_connection_and_never_answers_then_given_up_in_the_time_that_is_told() -> (
    None
):
    async def proving() -> None:
        server = await asyncio.start_server(_silent, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        settings = Settings(redis_url=f"redis://127.0.0.1:{port}/0", prove_seconds=1)
        client = client_of(settings)
        begun_s = time.monotonic()
        with pytest.raises(Problem, match="gave up after 1 s"):
            await Proofs(settings, client).redis()
        assert time.monotonic() - begun_s < CALL_TIMEOUT_S
        await client.aclose(close_connection_pool=True)
        server.close()

    asyncio.run(proving())
