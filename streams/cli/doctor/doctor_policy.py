"""The checks of `unimargin doctor` that compare policies: the settings' file, what was published, and what the workers go by."""

import time
from collections.abc import Sequence

from redis.asyncio import Redis

from engine.policy import Policy
from streams.cli.doctor.check import Check, failed, ok, warn
from streams.config.problem import Problem
from streams.config.settings import Settings, SettingsError, load_policy
from streams.config.terminal import printable
from streams.contract.cloudevents import rfc3339
from streams.contract.policy_version import PolicyVersion
from streams.kafka.policy_topic import read_versions, timeline_of
from streams.kafka.topic_access import open_reader
from streams.store.policy_store import PolicyInForce, policy_in_force

IN_FORCE = "policy in force"
VERSIONS = "policy versions"
LATE_NS_MAX = 5_000_000_000
"""Workers come to a version within a second of its time."""


async def published_versions(settings: Settings) -> tuple[list[PolicyVersion] | None, list[Check]]:
    """What the topic of policies holds; None where it cannot be read, and why. What is in it besides is a check each."""
    foreign: list[str] = []
    try:
        async with open_reader(settings) as consumer:
            versions = await read_versions(settings, consumer, foreign.append)
    except Problem as problem:
        action = "runbook MarginPolicyMismatch"
        return None, [failed(VERSIONS, str(problem), action)]
    action = "who writes to this topic? An empty record with its key removes it"
    return versions, [warn(VERSIONS, printable(it), action) for it in foreign]


async def examine_policy(
    client: Redis, settings: Settings, published: Sequence[PolicyVersion] | None
) -> list[Check]:
    """Whether the settings' file, the topic and Redis agree. `published` is None where it is not known."""
    found = await policy_in_force(client, settings.redis_prefix)
    try:
        ours = load_policy(settings.policy_file)
    except SettingsError:
        return [
            warn(
                IN_FORCE,
                "these settings name no policy",
                "correct the policy of these settings, to compare it",
            )
        ]
    checks = [_in_force(found, ours, published or ())]
    if found is not None and published:
        checks.append(_topic(found, ours, list(published), time.time_ns()))
    return checks


def _in_force(found: PolicyInForce | None, ours: Policy, published: Sequence[PolicyVersion]) -> Check:
    if found is None:
        return ok(IN_FORCE, "none yet: the first worker puts its own in force")
    said = f"{found.name}, digest {found.digest}, version {found.version} by {printable(found.who)}"
    if ours.digest not in {found.digest, *(it.digest for it in published)}:
        action = (
            "a worker with these settings takes no shard: give UNIMARGIN_POLICY_FILE a version that was published "
            "(`unimargin policy history`), or `unimargin policy publish` this one"
        )
        return failed(IN_FORCE, f"{said}; these settings name {ours.digest}", action)
    return ok(IN_FORCE, said)


def _topic(found: PolicyInForce, ours: Policy, published: list[PolicyVersion], now_ns: int) -> Check:
    timeline = timeline_of(published, ours)
    now, to_come = timeline.at(now_ns), [it for it in published if it.activated_ns > now_ns]
    said = f"{len(published)} published, version {now.version} is in force"
    said += "".join(f", {it.version} comes at {rfc3339(it.activated_ns)}" for it in to_come)
    fault = next((it.fault for it in timeline.versions if it.fault and it.version >= now.version), "")
    if fault:
        return failed(VERSIONS, f"{said}; {fault}", "publish it anew with this edition")
    known = {it.version: it.digest for it in published}
    if known.get(found.version) != found.digest:
        action = "workers give their shards back: which of the two belongs here? Runbook MarginPolicyMismatch"
        return failed(VERSIONS, f"{said}; Redis is at version {found.version}, digest {found.digest}", action)
    if found.version != now.version and now_ns - now.from_ns > LATE_NS_MAX:
        action = "does any worker run? The first that does goes over at once"
        return warn(VERSIONS, f"{said}; the workers are at version {found.version}", action)
    return ok(VERSIONS, said)
