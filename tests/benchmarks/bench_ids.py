"""What it costs to tell inputs apart, for accounts of any age: a processor and its store on a real Redis, no Kafka.

    fresh        accounts without an id
    4096 ids     accounts that remember so many in a topic: two generations of half
    32768 ids    as many as the policy's bound lets them
    old list     4,096 ids in a list, as editions before generations left them
    numbered     accounts whose feed sends `account_seq`: nothing is remembered, nothing is asked

Each takes the same fills, spread over the accounts, in batches: decoded, looked up, applied, committed, one after the other. Rates count the whole
of it. Bytes are what Redis has for the ids alone, over the number of ids.

python -m tests.benchmarks.bench_ids [--accounts N] [--json]
"""

import argparse
import asyncio
import json
import sys
import time
from decimal import Decimal

import msgspec

from engine.book.columnar_book import ColumnarBook
from engine.inputs import Fill, Topic
from engine.ledger.accounts import AccountState, Progress, Remembered, encode
from engine.policy import Policy
from streams.config.settings import load_policy
from streams.contract.commit import AppliedId, Commit
from streams.contract.record import Record
from streams.embedded.embedded_redis import EmbeddedRedis
from streams.observe.metrics import Metrics
from streams.shards.processor import ShardProcessor
from streams.store.redis_client import connect
from streams.store.shard_store import ShardStore
from streams.store.store_keys import ShardKeys
from tests.benchmarks.bench_exact import POLICY_FILE

ACCOUNTS, BATCH, BATCHES, WARM_BATCHES = 500, 1_000, 12, 2
IDS_TOGETHER = 20_000
OFFSET = 10**6
_NOW_NS = time.time_ns()


def bench_ids(accounts: int = ACCOUNTS) -> dict[str, float]:
    """Fills per second of each kind of account, and bytes of Redis an id."""
    figures: dict[str, float] = {}
    for name, ids in (
        ("fresh", 0),
        ("4096 ids", 4096),
        ("32768 ids", 32_768),
        ("old list", -4096),
        ("numbered", -1),
    ):
        # as many ids in all, or filling takes minutes
        count = accounts if ids <= 4096 else accounts // 8
        with EmbeddedRedis() as server:
            asyncio.run(_measure(server.url, name, ids, count, figures))
    figures["4096 ids, rate over fresh"] = figures["4096 ids, fills/s"] / figures["fresh, fills/s"]
    return figures


async def _measure(url: str, name: str, ids: int, accounts: int, figures: dict[str, float]) -> None:
    policy = load_policy(POLICY_FILE)
    async with connect(url) as client:
        store = ShardStore(client, 0, "bench", Metrics())
        await store.take_over()
        before = (await client.info("memory"))["used_memory"]
        states = [_state(f"a-{number:06d}", ids) for number in range(accounts)]
        if ids < -1:
            pipe = client.pipeline(transaction=False)
            for state in states:
                pipe.rpush(
                    ShardKeys("unimargin", 0).old_ids("fills", state.account),
                    *(f"bench-{n}" for n in range(-ids)),
                )
            await pipe.execute()
        elif ids > 0:
            await _fill(store, states)
        after = (await client.info("memory"))["used_memory"]
        if abs(ids) > 1:
            figures[f"{name}, Redis bytes an id"] = (after - before) / (abs(ids) * accounts)
        await store.commit(
            Commit(advance={"fills": (0, OFFSET)}, accounts={it.account: encode(it) for it in states})
        )
        figures[f"{name}, fills/s"] = await _rate(policy, store, states, numbered=ids == -1)


def _state(account: str, ids: int) -> AccountState:
    progress = Progress(offset=OFFSET - 1)
    if ids == 0:
        return AccountState(account, {"USDT": Decimal(10_000)})
    if ids == -1:
        progress = Progress(offset=OFFSET - 1, next_seq=1, remembered=Remembered(1))
    elif ids > 0:
        half = ids // 2
        progress = Progress(
            offset=OFFSET - 1, remembered=Remembered(7, half - 50, _NOW_NS, _NOW_NS, half, _NOW_NS - 10**9)
        )
    return AccountState(account, {"USDT": Decimal(10_000)}, fills=progress)


async def _fill(store: ShardStore, states: list[AccountState]) -> None:
    for state in states:
        kept = state.fills.remembered
        assert kept is not None
        ids = [
            AppliedId(generation, place, (place * 2 + generation).to_bytes(4, "big") * 2, b"contents")
            for generation, count in ((6, kept.before_ids), (7, kept.ids))
            for place in range(count)
        ]
        for first in range(0, len(ids), IDS_TOGETHER):
            await store.commit(
                Commit(ids={("fills", state.account): tuple(ids[first : first + IDS_TOGETHER])})
            )


async def _rate(policy: Policy, store: ShardStore, states: list[AccountState], *, numbered: bool) -> float:
    processor = ShardProcessor(
        0,
        policy,
        ColumnarBook(policy),
        partition_of=lambda _: 0,
        topics={topic: topic.value for topic in Topic},
        quarantine_topic="quarantine",
        source="/bench",
    )
    processor.load(map(encode, states), {}, {Topic.FILLS: OFFSET})
    applied, began = 0, 0.0
    for batch in range(BATCHES + WARM_BATCHES):
        records = [_record(batch * BATCH + n, states, numbered=numbered) for n in range(BATCH)]
        if batch == WARM_BATCHES:
            applied, began = 0, time.perf_counter()
        decoded = processor.decode(Topic.FILLS, records)
        sought = processor.ids_to_ask(Topic.FILLS, decoded)
        if sought:
            processor.take_ids(Topic.FILLS, await store.applied_ids(sought))
        outcome = processor.apply(Topic.FILLS, decoded)
        await store.commit(outcome.commit)
        processor.on_committed(outcome.commit)
        applied += outcome.applied
    assert applied == BATCH * BATCHES, f"{applied} applied"
    return applied / (time.perf_counter() - began)


def _record(number: int, states: list[AccountState], *, numbered: bool) -> Record:
    account = states[number % len(states)].account
    fill = Fill(
        account=account,
        time_ns=_NOW_NS + 1000 * number,
        account_seq=1 + number // len(states) if numbered else None,
        trade_id=f"new-{number}",
        symbol="BTC-USDT-PERP",
        side="buy" if (number // len(states)) % 2 == 0 else "sell",
        quantity=Decimal("0.001"),
        price=Decimal(60_000),
    )
    return Record(OFFSET + number, account.encode(), msgspec.json.encode(fill))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.bench_ids", description=__doc__)
    parser.add_argument("--accounts", type=int, default=ACCOUNTS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = bench_ids(options.accounts)
    if options.json:
        json.dump(figures, sys.stdout, indent=1)
        return
    for name, value in figures.items():
        print(f"{name:32} {value:12,.4g}")  # noqa: T201 - for a person


if __name__ == "__main__":
    main()
