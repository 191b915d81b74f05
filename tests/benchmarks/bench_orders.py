"""What an update of one open order costs, for accounts with 10 to 10,000 of them: a processor, its book and its store on a real Redis, no Kafka.

    apply     decoded, looked up, booked and encoded
    commit    the round trip of its commit; bytes of state and orders in it
    judge     put before the book and judged, as at every price too
    all       of it

Medians of updates that open, change and end orders of five contracts, one commit each; the judged account is near no line, so it is judged by exact figures.

python -m tests.benchmarks.bench_orders [--json]
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from decimal import Decimal

import msgspec

from engine.book.columnar_book import ColumnarBook
from engine.inputs import OrderUpdate, Topic
from engine.ledger.accounts import AccountState, Position
from engine.ledger.applying import apply
from engine.ledger.orders_apart import encode_stored, order_changes
from engine.margin.margin_model import shared_figures
from engine.policy import Policy
from streams.config.settings import load_policy
from streams.contract.commit import Commit
from streams.contract.record import Record
from streams.embedded.embedded_redis import EmbeddedRedis
from streams.observe.metrics import Metrics
from streams.shards.processor import ShardProcessor
from streams.store.redis_client import connect
from streams.store.shard_store import ShardStore
from tests.benchmarks.bench_exact import POLICY_FILE, _prices

COUNTS, UPDATES = (10, 100, 1_000, 5_000, 10_000), 200
_NOW_NS = time.time_ns()


def bench_orders() -> dict[str, float]:
    """Microseconds and bytes by number of orders."""
    figures: dict[str, float] = {}
    policy = load_policy(POLICY_FILE)
    with EmbeddedRedis() as server:
        for shard, count in enumerate(COUNTS):
            asyncio.run(_measure(server.url, policy, shard, count, figures))
    figures["all, 5,000 over 10 orders"] = figures["5,000 orders, all us"] / figures["10 orders, all us"]
    return figures


async def _measure(url: str, policy: Policy, shard: int, count: int, figures: dict[str, float]) -> None:
    contracts = [name for name, it in policy.instruments.items() if it.kind == "perpetual"][:5]
    prices = _prices(policy)
    state = AccountState(
        "maker", {"USDT": Decimal(10**8)}, {contracts[0]: Position(Decimal(1), Decimal(60_000))}
    )
    for number in range(count - 1):
        after = apply(state, _update(number, number, "0.01", contracts), Topic.FILLS, number, policy)
        assert isinstance(after, AccountState), after
        state = after
    spent: dict[str, list[float]] = {"apply": [], "commit": [], "judge": []}
    sizes = []
    async with connect(url) as client:
        store = ShardStore(client, shard, "bench", Metrics())
        await store.take_over()
        changes = order_changes(AccountState("maker"), state, None)
        orders = {} if changes is None else {"maker": changes}
        await store.commit(
            Commit(advance={"fills": (0, count)}, accounts={"maker": encode_stored(state)}, orders=orders)
        )
        processor = _processor(policy)
        processor.book.put(state)
        processor.watermarks[Topic.FILLS] = count
        for number in range(UPDATES):
            # opens one, changes another, ends the first
            name, quantity = ((count, "0.01"), (7, "0.02"), (count, "0"))[number % 3]
            message = _update(name, count + number, quantity, contracts)
            record = Record(count + number, b"maker", msgspec.json.encode(message))
            began = time.perf_counter()
            decoded = processor.decode(Topic.FILLS, [record])
            sought = processor.ids_to_ask(Topic.FILLS, decoded)
            asking = time.perf_counter()
            if sought:
                processor.take_ids(Topic.FILLS, await store.applied_ids(sought))
            asked = time.perf_counter()
            outcome = processor.apply(Topic.FILLS, decoded)
            applied = time.perf_counter()
            await store.commit(outcome.commit)
            processor.on_committed(outcome.commit)
            committed = time.perf_counter()
            newest = processor.state("maker")
            assert newest is not None
            shared_figures(newest, prices, policy)
            judged = time.perf_counter()
            spent["apply"].append(applied - asked + asking - began)
            spent["commit"].append(committed - applied + asked - asking)
            spent["judge"].append(judged - committed)
            sizes.append(_bytes(outcome.commit))
            assert outcome.applied == 1
    medians = {name: statistics.median(it) * 1e6 for name, it in spent.items()}
    for name, value in {**medians, "all": sum(medians.values())}.items():
        figures[f"{count:,} orders, {name} us"] = value
    figures[f"{count:,} orders, bytes a commit"] = statistics.median(sizes)


def _processor(policy: Policy) -> ShardProcessor:
    return ShardProcessor(
        0,
        policy,
        ColumnarBook(policy),
        partition_of=lambda _: 0,
        topics={topic: topic.value for topic in Topic},
        quarantine_topic="quarantine",
        source="/bench",
    )


def _update(name: int, number: int, quantity: str, contracts: list[str]) -> OrderUpdate:
    return OrderUpdate(
        account="maker",
        time_ns=_NOW_NS + number,
        update_id=f"u-{number}",
        order_id=f"o-{name}",
        symbol=contracts[name % len(contracts)],
        side="buy" if name % 2 else "sell",
        quantity=Decimal(quantity),
        price=Decimal(50_000 + name),
    )


def _bytes(commit: Commit) -> int:
    orders = [order for it in commit.orders.values() for order in it.left.values() if order is not None]
    return sum(map(len, [*commit.accounts.values(), *orders]))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.bench_orders", description=__doc__)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = bench_orders()
    if options.json:
        json.dump(figures, sys.stdout, indent=1)
        return
    for name, value in figures.items():
        print(f"{name:32} {value:12,.4g}")  # noqa: T201 - for a person


if __name__ == "__main__":
    main()
