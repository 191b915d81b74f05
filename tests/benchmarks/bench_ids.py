"""What it costs to tell inputs apart, for accounts of any age: a processor and its store on a real Redis, no Kafka.

    fresh        accounts without an id
    copied       the same, and their second copies are written all the time, as fast as a worker may by its default settings
    4096 ids     accounts that remember so many in a topic: two generations of half
    32768 ids    as many as the policy's bound lets them
    old list     4,096 ids in a list, as editions before generations left them
    numbered     accounts whose feed sends `account_seq`: nothing is remembered, nothing is asked

Each takes the same fills, spread over the accounts, in batches: decoded, looked up, applied, committed, one after the other; all kinds batch by batch
in turn, so that whatever else the machine does meets each alike. Rates are medians over the batches of the whole of it; processor time is that of this process and
of Redis together. Bytes are what Redis has for the ids alone, over the number of ids.

python -m tests.benchmarks.bench_ids [--accounts N] [--json]
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from decimal import Decimal

import msgspec
from redis.asyncio import Redis

from engine.book.columnar_book import ColumnarBook
from engine.inputs import Fill, Topic
from engine.ledger.accounts import AccountState, Progress, Remembered, encode
from engine.policy import Policy
from streams.config.settings import Settings, load_policy
from streams.contract.account_copy import copy_entry
from streams.contract.commit import AppliedId, Commit, Lane
from streams.contract.record import Record
from streams.embedded.embedded_redis import EmbeddedRedis
from streams.observe.metrics import Metrics
from streams.shards.account_copies import PORTION_ACCOUNTS_MAX
from streams.shards.processor import ShardProcessor
from streams.store.redis_client import connect
from streams.store.shard_store import ShardStore
from streams.store.store_format import FORMAT
from streams.store.store_keys import ShardKeys
from tests.benchmarks.bench_exact import POLICY_FILE

ACCOUNTS, BATCH, BATCHES, WARM_BATCHES = 500, 1_000, 12, 2
IDS_TOGETHER = 20_000
OFFSET = 10**6
AGED, NUMBERED = 4096, 1
COPIED = "copied"
KINDS = {
    "fresh": 0,
    COPIED: 0,
    "4096 ids": AGED,
    "32768 ids": 32_768,
    "old list": -AGED,
    "numbered": NUMBERED,
}
"""Ids of an account; those of a list below 0."""
COPIED_BYTES_PER_SECOND = Settings.model_fields["account_state_bytes_per_second"].default
_NOW_NS = time.time_ns()


def bench_ids(accounts: int = ACCOUNTS) -> dict[str, float]:
    """Fills per second of each kind of account, their processor time, and bytes of Redis an id."""
    figures: dict[str, float] = {}
    with EmbeddedRedis() as server:
        asyncio.run(_measure(server.url, accounts, figures))
    figures["4096 ids, rate over fresh"] = figures["4096 ids, fills/s"] / figures["fresh, fills/s"]
    return figures


async def _measure(url: str, accounts: int, figures: dict[str, float]) -> None:
    policy = load_policy(POLICY_FILE)
    async with connect(url) as client:
        runs = {}
        for shard, (name, ids) in enumerate(KINDS.items()):
            # as many ids in all, or filling takes minutes
            states = [
                _state(f"a-{number:06d}", ids) for number in range(accounts if ids <= AGED else accounts // 8)
            ]
            store = ShardStore(client, shard, "bench", Metrics())
            await store.take_over()
            before = (await client.info("memory"))["used_memory"]
            if ids < 0:
                await _fill_lists(client, ShardKeys("unimargin", shard), states, -ids)
            elif ids > 1:
                await _fill(store, states)
            if abs(ids) > 1:
                after = (await client.info("memory"))["used_memory"]
                figures[f"{name}, Redis bytes an id"] = (after - before) / (abs(ids) * len(states))
            stored = {it.account: encode(it) for it in states}
            await store.commit(Commit(advance={"fills": (0, OFFSET)}, accounts=stored))
            runs[name] = _Run(
                policy, store, states, client, numbered=ids == NUMBERED, is_copied=name == COPIED
            )
        for batch in range(BATCHES + WARM_BATCHES):
            for run in runs.values():
                await run.take(batch)
        # in sum: it is not every batch that something is copied behind
        spent_s = {name: sum(run.seconds[WARM_BATCHES:]) for name, run in runs.items()}
        figures["copied, rate over fresh"] = spent_s["fresh"] / spent_s[COPIED]
        for name, run in runs.items():
            figures[f"{name}, fills/s"] = BATCH / statistics.median(run.seconds[WARM_BATCHES:])
            figures[f"{name}, processor us a fill"] = statistics.median(run.cpu[WARM_BATCHES:]) / BATCH * 1e6


async def _fill_lists(client: Redis, keys: ShardKeys, states: list[AccountState], ids: int) -> None:
    pipe = client.pipeline(transaction=False)
    for state in states:
        pipe.rpush(keys.old_ids("fills", state.account), *(f"bench-{number}" for number in range(ids)))
    await pipe.execute()


def _state(account: str, ids: int) -> AccountState:
    progress = Progress(offset=OFFSET - 1)
    if ids == 0:
        return AccountState(account, {"USDT": Decimal(10_000)})
    if ids == NUMBERED:
        progress = Progress(offset=OFFSET - 1, next_seq=1, remembered=Remembered(1))
    elif ids > 1:
        half = ids // 2
        progress = Progress(
            offset=OFFSET - 1,
            remembered=Remembered(7, half - 50, _NOW_NS, _NOW_NS, half, _NOW_NS - 10**9, half),
        )
    return AccountState(account, {"USDT": Decimal(10_000)}, fills=progress)


async def _fill(store: ShardStore, states: list[AccountState]) -> None:
    for state in states:
        kept = state.fills.remembered
        assert kept is not None
        half = kept.before_ids
        ids = [
            AppliedId(generation, half, place, (place * 2 + generation).to_bytes(4, "big") * 2, b"contents")
            for generation, count in ((6, kept.before_ids), (7, kept.ids))
            for place in range(count)
        ]
        for first in range(0, len(ids), IDS_TOGETHER):
            await store.commit(
                Commit(ids={("fills", state.account): tuple(ids[first : first + IDS_TOGETHER])})
            )


class _Run:
    """One kind of account: its processor and store, and what each batch took."""

    def __init__(
        self,
        policy: Policy,
        store: ShardStore,
        states: list[AccountState],
        client: Redis,
        *,
        numbered: bool,
        is_copied: bool,
    ) -> None:
        self._is_copied, self._owed_bytes, self._place = is_copied, 0.0, 0
        self._store, self._states, self._client, self._numbered = store, states, client, numbered
        self._processor = ShardProcessor(
            0,
            policy,
            ColumnarBook(policy),
            partition_of=lambda _: 0,
            topics={topic: topic.value for topic in Topic},
            quarantine_topic="quarantine",
            source="/bench",
        )
        self._processor.load(map(encode, states), {}, {Topic.FILLS: OFFSET})
        self.seconds: list[float] = []
        self.cpu: list[float] = []

    async def take(self, batch: int) -> None:
        records = [_record(batch * BATCH + n, self._states, numbered=self._numbered) for n in range(BATCH)]
        processor, store = self._processor, self._store
        redis_began, own_began, began = await self._redis_cpu(), time.process_time(), time.perf_counter()
        decoded = processor.decode(Topic.FILLS, records)
        sought = processor.ids_to_ask(Topic.FILLS, decoded)
        if sought:
            processor.take_ids(Topic.FILLS, await store.applied_ids(sought))
        outcome = processor.apply(Topic.FILLS, decoded)
        await store.commit(outcome.commit)
        processor.on_committed(outcome.commit)
        if self._is_copied:
            self._owed_bytes += (time.perf_counter() - began) * COPIED_BYTES_PER_SECOND
            await self._copy()
        self.seconds.append(time.perf_counter() - began)
        own = time.process_time() - own_began
        self.cpu.append(own + await self._redis_cpu() - redis_began)
        assert outcome.applied == BATCH, f"{outcome.applied} applied"

    async def _copy(self) -> None:
        """Put copies into the outbox, and cut them from it, until no byte more is allowed."""
        while self._owed_bytes > 0:
            names = [it.account for it in self._states[self._place : self._place + PORTION_ACCOUNTS_MAX]]
            self._place = (self._place + len(names)) % len(self._states)
            known = [it for name in names if (it := self._processor.state(name)) is not None]
            copies = await self._store.copies().read(known, FORMAT)
            entries = [copy_entry("account-state", 0, it) for it in copies.values() if it is not None]
            await self._store.commit(Commit(outbox=tuple(entries)))
            await self._store.published(Lane.ORDINARY, len(entries), {})
            self._owed_bytes -= sum(len(it.value) for it in entries)

    async def _redis_cpu(self) -> float:
        told = await self._client.info("cpu")
        return float(told["used_cpu_sys_main_thread"] + told["used_cpu_user_main_thread"])


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
