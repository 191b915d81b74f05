"""How late the event loop runs what is due: everything in a worker waits for it, a mark and its events too."""

import asyncio

from streams.observe.metrics import Metrics

SAMPLE_SECONDS = 0.02
"""Some 50 samples a second: cheap, and a hold of 20 ms is seen by one sample at least."""


async def measure_loop_lag(metrics: Metrics) -> None:
    """Observe until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + SAMPLE_SECONDS
        await asyncio.sleep(SAMPLE_SECONDS)
        metrics.loop_lag_seconds.observe(max(0.0, loop.time() - due))
