"""Why a worker is not ready, by what is missing; {} where nothing is."""

import asyncio

from streams.shards.shards import Shards
from streams.worker.policy_gate import PolicyGate
from streams.worker.proving import Proofs

STOPPING = {"worker": "is stopping: it makes durable and publishes what it has"}
"""From the moment that it was told to."""


def not_admitted(proofs: Proofs, gate: PolicyGate) -> dict[str, str]:
    """Why we are in no group: what is not proved, or what is in force; and once all is well, that nothing is built yet."""
    if proofs.pending:
        what, _, why = proofs.pending.partition(": ")
        return {what: why}
    return _closed(gate) or {"shards": "none assigned"}


def not_ready(gate: PolicyGate, shards: Shards, prices_ready: asyncio.Event) -> dict[str, str]:
    """What an admitted worker lacks."""
    if closed := _closed(gate):
        return closed
    missing = {} if prices_ready.is_set() else {"prices": "catching up"}
    if shards.feed_silent:
        missing["prices"] = "silent: hardly any symbol has a fresh mark, so nobody is judged"
    if not shards.ready:
        conditions = {str(it.shard): f"{it.condition} {it.stop_reason}".strip() for it in shards.runners}
        missing["shards"] = (
            ", ".join(f"{shard}: {text}" for shard, text in conditions.items()) or "none assigned"
        )
    return missing


def _closed(gate: PolicyGate) -> dict[str, str]:
    return {"policy": gate.closed} if gate.closed else {}
