"""State in Redis as a worker leaves it, written through the store that workers use."""

import asyncio
import time
from collections.abc import Iterable, Mapping

import msgspec

from engine.events.effects import AccountRisk
from engine.inputs import Mark
from engine.ledger.accounts import AccountState, encode
from engine.liquidation.adl_risk import AdlState
from streams.contract.commit import Commit
from streams.observe.metrics import Metrics
from streams.store.redis_client import connect
from streams.store.shard_store import ShardStore
from tests.support.builders import Number, mark

OWNER = "worker-1"


def leave_state(
    url: str,
    shard: int,
    states: Iterable[AccountState] = (),
    risks: Iterable[AccountRisk] = (),
    marks: Iterable[Mark] = (),
    watermarks: Mapping[str, int] | None = None,
) -> None:
    """Take the shard over and commit."""

    async def write() -> None:
        async with connect(url) as client:
            store = ShardStore(client, shard, OWNER, Metrics())
            await store.take_over()
            await store.commit(
                Commit(
                    advance={topic: (0, offset) for topic, offset in (watermarks or {}).items()},
                    accounts={state.account: encode(state) for state in states},
                    risks={risk.account: msgspec.json.encode(risk) for risk in risks},
                )
            )
            await store.save_marks({it.symbol: msgspec.json.encode(it) for it in marks})

    asyncio.run(write())


def leave_adl(url: str, shard: int, states: Mapping[str, AdlState]) -> None:
    """Take the shard over and commit where contracts stand."""

    async def write() -> None:
        async with connect(url) as client:
            store = ShardStore(client, shard, OWNER, Metrics())
            await store.take_over()
            await store.commit(Commit(adl=msgspec.json.encode(states)))

    asyncio.run(write())


def marks_now(quotes: Mapping[str, Number], age_s: float = 0) -> list[Mark]:
    """Marks dated now, or `age_s` seconds ago."""
    time_ns = time.time_ns() - int(age_s * 1e9)
    return [
        msgspec.structs.replace(mark(symbol, price, sequence=7), time_ns=time_ns)
        for symbol, price in quotes.items()
    ]
