"""What an instant brings first gets on its way while nothing else is judged."""

import asyncio
from types import SimpleNamespace

from streams.contract.commit import Commit, OutboxEntry
from streams.shards.shards import Shards


async def test_take_when_a_slice_brings_the_first_liquidation_then_io_has_time_before_the_next_and_only_then() -> (
    None
):
    entry = OutboxEntry("liquidations", 0, b"alice", b"", (), "any")
    urgent, other = [Commit(outbox=(entry,))], [Commit(risks={"bob": b""})]
    answered = 0

    def answer() -> None:
        nonlocal answered
        answered += 1

    def take(_: list[Commit]) -> None:
        asyncio.get_running_loop().call_later(0.0005, answer)

    shards = Shards.__new__(Shards)
    shards._runners = {0: SimpleNamespace(take=take, seek_reasons=lambda: None)}  # type: ignore[dict-item]
    heard = []

    def told():  # type: ignore[no-untyped-def]
        for parts in ([], urgent, urgent, other):
            heard.append(answered)
            yield SimpleNamespace(shard=0), parts
        heard.append(answered)

    await shards._take(told())
    assert heard[1] < heard[2]
    assert heard[2] >= 2, "the empty slice's and the first liquidation's answers"
