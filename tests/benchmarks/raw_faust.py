"""How fast Faust alone hands over and acknowledges records: an agent that does nothing else.

python -m tests.benchmarks.raw_faust BOOTSTRAP RECORDS      prints records per second
"""

import asyncio
import sys
import time
import uuid
from tempfile import TemporaryDirectory
from typing import Any

import faust
from yarl import URL


async def main(bootstrap: str, records: int, directory: str) -> None:
    """Consume `records` of the topic `fills` from its beginning in a fresh group; Faust may write to `directory`."""
    app = faust.App(
        f"raw-{uuid.uuid4().hex[:8]}",
        broker=[URL(f"aiokafka://{bootstrap}")],
        topic_allow_declare=False,
        topic_disable_leader=True,
        stream_wait_empty=False,
        web_enabled=False,
        store="memory://",
        autodiscover=False,
        datadir=directory,
    )
    seen: list[float] = []
    done = asyncio.Event()

    async def count(stream: Any) -> None:
        async for event in stream.noack().events():
            seen.append(time.perf_counter())
            event.ack()
            if len(seen) == records:
                done.set()

    source = app.topic(
        "fills", key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
    )
    app.agent(source, name="count", concurrency=1)(count)
    await app.start()
    await asyncio.wait_for(done.wait(), 150)
    low, high = seen[records // 10], seen[records * 9 // 10]
    print(0.8 * records / (high - low))  # noqa: T201 - its output
    await app.stop()


if __name__ == "__main__":
    with TemporaryDirectory() as scratch:
        asyncio.run(main(sys.argv[1], int(sys.argv[2]), scratch))
