"""Reasons let prices pass, but not for ever."""

import asyncio
import time

from streams.shards.giving_way import PASSED_SECONDS_MAX, AfterPrices


async def test_turn_when_no_price_waits_then_it_is_taken_at_once() -> None:
    lock = asyncio.Lock()
    async with AfterPrices(lock, lambda: 0).turn():
        assert lock.locked()
    assert not lock.locked()


async def test_turn_when_a_batch_is_judged_and_others_wait_then_they_come_first() -> None:
    lock, batches, order = asyncio.Lock(), ["second", "third"], ["first"]

    async def say_reasons() -> None:
        async with AfterPrices(lock, lambda: len(batches)).turn():
            order.append("reasons")

    await lock.acquire()
    reasons = asyncio.create_task(say_reasons())
    await asyncio.sleep(0)
    lock.release()
    while batches:
        async with lock:
            order.append(batches.pop(0))
            await asyncio.sleep(0)
    await reasons
    assert order == ["first", "second", "third", "reasons"]


async def test_turn_when_prices_never_end_then_it_is_taken_after_a_while_all_the_same() -> None:
    began = time.monotonic()
    async with AfterPrices(asyncio.Lock(), lambda: 1).turn():
        assert time.monotonic() - began >= PASSED_SECONDS_MAX
