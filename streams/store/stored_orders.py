"""Open orders that are stored apart from the state of their account (`engine.ledger.orders_apart`)."""

from collections.abc import Mapping
from typing import Any

from engine.ledger.orders_apart import OrderChanges, is_apart, joined
from streams.store.redis_client import bounded
from streams.store.store_keys import Argument, ShardKeys

ACCOUNTS_TOGETHER = 20
"""In one answer: 2 MB where each has 1,000 orders."""


async def with_orders(client: Any, keys: ShardKeys, accounts: dict[str, bytes]) -> dict[str, bytes]:
    """These stored states, each with its orders. One that lacks them is read again beside them, so that both are of one moment."""
    apart = [name for name, stored in accounts.items() if is_apart(stored)]
    for first in range(0, len(apart), ACCOUNTS_TOGETHER):
        some = apart[first : first + ACCOUNTS_TOGETHER]
        pipe = client.pipeline(transaction=True)
        for name in some:
            pipe.hget(keys.accounts, name).hgetall(keys.orders(name))
        answers = await bounded(pipe.execute())
        for name, stored, orders in zip(some, answers[::2], answers[1::2], strict=True):
            accounts[name] = joined(stored, orders) if is_apart(stored) else stored
    return accounts


def order_parts(changes: Mapping[str, OrderChanges]) -> list[list[Argument]]:
    """For each account: which of its orders go, and which are set; as `commit.lua` has them."""
    parts: list[list[Argument]] = []
    for change in changes.values():
        parts.append([name for name, order in change.left.items() if order is None])
        parts.append(
            [part for name, order in change.left.items() if order is not None for part in (name, order)]
        )
    return parts
