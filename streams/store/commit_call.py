"""A commit as `lua/commit.lua` is called with it."""

from collections.abc import Iterable

import msgspec

from streams.contract.commit import Commit, Lane
from streams.store.id_hashes import forgotten_keys, id_hashes
from streams.store.store_keys import WATERMARK, Argument, ShardKeys
from streams.store.stored_orders import order_parts
from streams.store.stored_outbox import packed

_LANES = (Lane.LIQUIDATIONS, Lane.ORDINARY)
"""In the order of the script's keys."""


def commit_call(
    keys: ShardKeys, commit: Commit, proof: list[Argument], number: int, trail_max: int
) -> tuple[list[str], list[Argument]]:
    """Keys and arguments of the commit with this number, by an owner with this proof; the trail keeps so many entries."""
    touched = [keys.fence, keys.meta, keys.accounts, keys.risks]
    touched += [*(keys.outboxes[lane] for lane in _LANES), keys.breaker, keys.adl, keys.trail]
    touched += [keys.changed, keys.changed_next]
    hashes = id_hashes(keys, commit)
    touched += [*hashes, *map(keys.orders, commit.orders), *forgotten_keys(keys, commit)]
    args: list[Argument] = [*proof, number - 1, number, len(hashes)]
    args.append("".join("1" if it.cleared else "0" for it in commit.orders.values()))
    args += [trail_max, msgspec.msgpack.encode([*{**commit.accounts, **commit.risks}])]
    return touched, args + _counted(commit, hashes.values())


def _counted(commit: Commit, ids: Iterable[list[Argument]]) -> list[Argument]:
    """Counts and values as the script describes them."""
    parts: list[list[Argument]] = [
        [
            part
            for topic, (expected, new) in commit.advance.items()
            for part in (WATERMARK + topic, expected, new)
        ],
        [part for item in commit.accounts.items() for part in item],
        [part for item in commit.risks.items() for part in item],
    ]
    parts += [packed(commit.outbox, lane) for lane in _LANES]
    parts += [[] if state is None else [state] for state in (commit.breaker, commit.adl)]
    parts += ids
    parts += order_parts(commit.orders)
    return [*map(len, parts), *(argument for part in parts for argument in part)]
