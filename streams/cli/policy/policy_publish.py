"""`unimargin policy publish`: the operator's word that puts a policy in force for all workers, at one moment of event time."""

import getpass
import time
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from redis.asyncio import Redis

from engine.policy import Policy
from streams.cli.policy.policy_full_use import check_full_use
from streams.config.invocation import ConfigOption, JsonOption, run, tell_mistakes, warn
from streams.config.problem import Problem
from streams.config.settings import Settings, SettingsError, load_policy, load_settings
from streams.config.terminal import console, json_out, printable
from streams.contract.cloudevents import rfc3339
from streams.contract.policy_version import POLICY_BYTES_MAX, PolicyVersion, policy_bytes
from streams.kafka.policy_follower import lead_seconds
from streams.kafka.policy_topic import read_versions, send_versions, timeline_of
from streams.kafka.topic_access import open_reader
from streams.store.policy_store import (
    claim_version,
    claimed_version,
    keep_policy,
    kept_policy,
    policy_in_force,
)
from streams.store.redis_access import open_redis, saved_marks, shard_count
from streams.store.store_reader import StoreReader

NOW = "now"
NANOSECONDS = 1_000_000_000


class PublicationRefused(StrEnum):
    """Why a policy was not published."""

    INVALID_POLICY = "invalid_policy"
    ACTIVATES_IN_THE_PAST = "activates_in_the_past"
    """Accounts may have been judged, or inputs booked, at that event time, or workers would not hear of it in time."""
    TOO_LARGE = "too_large"
    PUBLISHED_MEANWHILE = "published_meanwhile"
    """Somebody else has published a version since the topic was read."""


class Published(msgspec.Struct, frozen=True):
    """What was in force at the moment from which the policy is to be, and what is, or would be."""

    before: str
    """Digest."""
    before_version: int
    digest: str
    name: str
    version: int | None
    """None where nothing was published: it only would be, or is in force then anyway."""
    activated_ns: int
    already_in_force: bool


@tell_mistakes
def publish_command(
    why: Annotated[str, typer.Option(help="Why; kept with the version.", show_default=False)],
    file: Annotated[
        Path | None,
        typer.Argument(help="Policy file (TOML) [default: UNIMARGIN_POLICY_FILE]", show_default=False),
    ] = None,
    at: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help="Event time from which it is in force: ISO time, UTC by default; `now` is as soon as every worker has heard of it.",
        ),
    ] = NOW,
    who: Annotated[str | None, typer.Option(help="Who says so [default: the user's name]")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,  # noqa: FBT002
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Put a policy in force: from one moment of event time on every worker judges and books by it, without a restart.

    What is dated before is judged and booked by the one before, also in a replay or a rebuild. A version that is published later has the
    last word: one for the same moment, or an earlier one, takes the place of what was to come.

    Examples:
      unimargin policy publish mine.toml --why "lists a contract" --dry-run
      unimargin policy publish mine.toml --why "lists a contract" --at 2030-01-01T00:00:00Z
    """
    settings = load_settings(config)
    try:
        policy = load_policy(file or settings.policy_file)
        check_full_use(policy)
    except SettingsError as error:
        raise SettingsError(f"{PublicationRefused.INVALID_POLICY}: {error}") from None
    if not why.strip():
        raise SettingsError("--why must say something: it is what an auditor will read")
    told = run(_publish(settings, policy, _moment(at), who or getpass.getuser(), why, dry_run=dry_run))
    if as_json:
        json_out(told)
        return
    console().print(_words(told))


def _words(told: Published) -> str:
    was = f"{told.before} (version {told.before_version})"
    at = rfc3339(told.activated_ns)
    policy = f"{printable(told.name)}, digest {told.digest}"
    if told.version is not None:
        return f"in force from {at}: {policy}, version {told.version}; until then: {was}"
    if told.already_in_force:
        return f"in force at {at} already: {policy}, version {told.before_version}"
    return f"would be in force from {at}: {policy}; until then: {was}"


def _moment(at: str) -> int | None:
    """Unix ns; None for now."""
    if at == NOW:
        return None
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        raise SettingsError(f"--at {at!r}: neither `now` nor an ISO time such as 2026-03-01T08:00") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1_000) * (NANOSECONDS // 1_000)


async def _publish(
    settings: Settings, policy: Policy, at_ns: int | None, who: str, why: str, *, dry_run: bool
) -> Published:
    data = policy_bytes(policy)
    if len(data) > POLICY_BYTES_MAX - len(why) - len(who) - 1_000:
        raise _refused(
            PublicationRefused.TOO_LARGE, f"{len(data)} bytes, at most {POLICY_BYTES_MAX} are sent"
        )
    async with open_reader(settings) as consumer:
        known = await read_versions(settings, consumer, warn)
    async with open_redis(settings) as client:
        sent = [] if known else [await _version_zero(client, settings)]
        known = known or sent
        judged_ns = await _judged_until_ns(client, settings)
        lead_s = lead_seconds(timeline_of(known, policy).at(judged_ns).policy)
        earliest_ns = judged_ns + int(lead_s * NANOSECONDS)
        if at_ns is not None and at_ns < earliest_ns:
            raise _refused(
                PublicationRefused.ACTIVATES_IN_THE_PAST,
                f"{rfc3339(at_ns)}; the earliest is {rfc3339(earliest_ns)}, {lead_s:g} s after what may have been judged",
            )
        from_ns = earliest_ns if at_ns is None else at_ns
        before = timeline_of(known, policy).at(from_ns)
        already = before.policy.digest == policy.digest and not before.fault
        version = max(known[-1].version, await claimed_version(client, settings.redis_prefix)) + 1
        told = Published(
            before.policy.digest, before.version, policy.digest, policy.name, None, from_ns, already
        )
        if dry_run or already:
            return told
        if not await claim_version(client, settings.redis_prefix, version, who):
            raise _refused(PublicationRefused.PUBLISHED_MEANWHILE, "look at `unimargin policy history` again")
        await keep_policy(client, settings.redis_prefix, policy)
    new = PolicyVersion(
        version=version,
        activated_ns=from_ns,
        digest=policy.digest,
        name=policy.name,
        published_ns=time.time_ns(),
        who=who,
        why=why,
        policy=msgspec.Raw(data),
    )
    await send_versions(settings, [*sent, new])
    return msgspec.structs.replace(told, version=version)


async def _version_zero(client: Redis, settings: Settings) -> PolicyVersion:
    """What is in force while nothing was published: that of the first worker, or where none ever came the settings'."""
    found = await policy_in_force(client, settings.redis_prefix)
    if found is None:
        policy = load_policy(settings.policy_file)
        data, digest, name, version = policy_bytes(policy), policy.digest, policy.name, 0
        who, why = getpass.getuser(), "in force before anything was published"
    else:
        kept = await kept_policy(client, settings.redis_prefix, found.digest)
        if kept is None:
            raise Problem(f"the policy in force, digest {found.digest}, is not kept in Redis")
        data, digest, name, version = kept, found.digest, found.name, found.version
        who, why = found.who, found.why or "in force before anything was published"
    return PolicyVersion(
        version=version,
        activated_ns=0,
        digest=digest,
        name=name,
        published_ns=time.time_ns(),
        who=who,
        why=why,
        policy=msgspec.Raw(data),
    )


async def _judged_until_ns(client: Redis, settings: Settings) -> int:
    """Event time that may have been judged: now, or the newest mark that a worker has saved."""
    store, newest_ns = StoreReader(client, settings.redis_prefix), time.time_ns()
    for shard in range(await shard_count(client, settings.redis_prefix)):
        newest_ns = max([newest_ns, *(mark.time_ns for mark in await saved_marks(store, shard))])
    return newest_ns


def _refused(code: PublicationRefused, detail: str) -> Problem:
    return Problem(f"{code}: {detail}")
