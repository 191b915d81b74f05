import asyncio
import time
from contextlib import suppress

from streams.observe.loop_lag import SAMPLE_SECONDS, measure_loop_lag
from streams.observe.metrics import Metrics

HOLD_S = 0.15


async def test_loop_lag_when_something_holds_the_loop_then_the_hold_is_observed():
    metrics = Metrics()
    task = asyncio.create_task(measure_loop_lag(metrics))
    await asyncio.sleep(SAMPLE_SECONDS / 2)
    time.sleep(HOLD_S)  # noqa: ASYNC251 - the hold under test
    await asyncio.sleep(2 * SAMPLE_SECONDS)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    total = metrics.registry.get_sample_value("margin_loop_lag_seconds_sum")
    # due SAMPLE_SECONDS / 2 after the hold began, so late by the rest of it
    assert total >= HOLD_S - SAMPLE_SECONDS
