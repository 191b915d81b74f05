"""The checks of `unimargin doctor` of what happens when a Redis server is lost: who takes its place, and what is lost with it."""

from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from streams.cli.doctor.check import Check, failed, ok, warn
from streams.config.redis_address import Kind, read_address
from streams.config.settings import Settings
from streams.store.redis_client import servers

NAME = "redis failover"
SENTINELS_MIN = 3
ISOLATED = "min-replicas-to-write"


async def examine_failover(client: Redis, settings: Settings) -> list[Check]:
    """How the primary is found, and of each primary: that it is one, its replicas, and whether it stops taking writes without them."""
    kind = read_address(settings.redis_url.get_secret_value()).kind
    each = [await client_facts(it) for it in await servers(client)]
    if replicas := [it for it in each if it["role"] != "master"]:
        action = "name the sentinels, the cluster, or the primary itself"
        return [
            failed(
                NAME, f"{len(replicas)} server(s) at this address are replicas: no worker can write", action
            )
        ]
    how, problems = await _found_by(client, kind)
    alone = sum(1 for it in each if not it["replicas"])
    if kind is Kind.SERVER and alone:
        return [ok(NAME, "one server without replicas: it is restarted, not replaced")]
    found = f"{how}; replicas: {', '.join(str(it['replicas']) for it in each)}"
    if alone:
        problems.append(
            (f"{alone} primary without a replica in step", "start one: nothing can take its place")
        )
    told = {it[ISOLATED] for it in each}
    found = f"{found}; {ISOLATED}: {', '.join(sorted(told))}"
    if "0" in told:
        problems.append(
            (
                "a primary that is cut off goes on taking writes, which are lost",
                f"set `{ISOLATED} 1` (deploy/redis/failover.md)",
            )
        )
    if problems:
        return [
            warn(NAME, f"{found}; {'; '.join(it for it, _ in problems)}", "; ".join(it for _, it in problems))
        ]
    return [ok(NAME, found)]


async def client_facts(server: Any) -> dict[str, Any]:
    """Role, replicas in step, and for how many of them it waits with a write."""
    info = await server.info("replication")
    replicas = sum(1 for name, it in info.items() if name.startswith("slave") and "online" in str(it))
    try:
        wanted = {
            text_of(name): text_of(value) for name, value in (await server.config_get(ISOLATED)).items()
        }
    except ResponseError:
        wanted = {}
    return {"role": info["role"], "replicas": replicas, ISOLATED: wanted.get(ISOLATED, "not told")}


async def _found_by(client: Any, kind: Kind) -> tuple[str, list[tuple[str, str]]]:
    """In words how the primary is found, and what is wrong with that: each with what to do."""
    if kind is Kind.SENTINEL:
        state = await client.connection_pool.state()
        count = state["num-other-sentinels"] + 1
        said = f"{count} sentinels, {state['quorum']} must agree"
        if count < SENTINELS_MIN or state["quorum"] > count // 2 + 1:
            return said, [
                (
                    "one lost sentinel may prevent a failover",
                    f"run {SENTINELS_MIN} or more, quorum a majority",
                )
            ]
        return said, []
    if kind is Kind.CLUSTER:
        info = await client.execute_command("CLUSTER INFO")
        state = info["cluster_state"]
        said = f"cluster of {info['cluster_size']} primaries, {state}"
        return said, [] if state == "ok" else [("slots have no owner", "`redis-cli --cluster check`")]
    return "one address", []


def text_of(value: bytes | str) -> str:
    """What Redis says of its configuration, which the client decodes in some answers and not in others."""
    return value.decode() if isinstance(value, bytes) else value
