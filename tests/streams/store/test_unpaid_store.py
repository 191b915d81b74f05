"""What shards leave unpaid, on real servers: every worker writes its own entries and reads all of them."""

from decimal import Decimal

from redis.asyncio import Redis

from streams.store.unpaid_store import exchange_unpaid

D = Decimal


async def test_exchange_when_workers_write_their_shards_then_each_reads_all(client: Redis) -> None:
    assert await exchange_unpaid(client, "unimargin", {}) == {}
    ours = {0: {"BTC-PERP": D("0.000000000000000001")}, 10: {}}
    assert await exchange_unpaid(client, "unimargin", ours) == ours
    theirs = {3: {"ETH-PERP": D("1e24")}}
    assert await exchange_unpaid(client, "unimargin", theirs) == {**ours, **theirs}
    assert await exchange_unpaid(client, "unimargin", {0: {}}) == {**ours, **theirs, 0: {}}
    assert await exchange_unpaid(client, "another", {}) == {}
