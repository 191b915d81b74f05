"""The checks of `unimargin doctor` that read every account in Redis, in one pass: who is stopped, and who holds what a policy does not list."""

import shlex
import time
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec
from redis.asyncio import Redis

from engine.policy import Policy
from engine.policy.timeline import Ruling
from engine.position_keys import symbol_of
from engine.strict_decoding import UNREADABLE
from streams.answers.account_report import resume_hint, stops
from streams.cli.doctor.check import Check, failed, ok, warn
from streams.config.problem import Problem
from streams.config.settings import Settings, SettingsError, load_policy
from streams.config.terminal import printable
from streams.contract.cloudevents import rfc3339
from streams.contract.policy_version import PolicyVersion
from streams.kafka.policy_topic import timeline_of
from streams.store.policy_store import policy_in_force
from streams.store.redis_access import read_state, shard_count
from streams.store.store_reader import StoreReader

STOPPED = "stopped accounts"
HOLDINGS = "holdings"
ACCOUNTS_SHOWN_MAX = 20
RESTORE = "no worker takes its shard over: deploy/redis/backup-and-restore.md"
NAMES_SHOWN_MAX = 5
STOP = b'"stop":'
"""In every state that says it is stopped: a search for it spares decoding a million healthy accounts."""


class _Held(msgspec.Struct):
    """What an account holds, without how much."""

    balances: dict[str, msgspec.Raw] = {}
    positions: dict[str, msgspec.Raw] = {}
    isolated: dict[str, msgspec.Raw] = {}


_held_decoder = msgspec.json.Decoder(_Held)


class _Accounts:
    """What is found in one pass over all of them."""

    def __init__(self, settings: Settings) -> None:
        self._names = {"fills": settings.topic_fills, "ledger": settings.topic_ledger}
        self.count = 0
        self.unreadable: list[Check] = []
        self.stopped: dict[str, Check] = {}
        self.contracts: Counter[str] = Counter()
        """By how many accounts each is held."""
        self.assets: Counter[str] = Counter()

    def add(self, account: str, shard: int, data: bytes) -> None:
        self.count += 1
        try:
            held = _held_decoder.decode(data)
            why = stops(read_state(account, data)) if STOP in data else {}
        except (*UNREADABLE, Problem) as error:
            name = f"account {printable(account)}"
            self.unreadable.append(
                failed(name, f"its state cannot be read: {printable(str(error))}", RESTORE)
            )
            return
        self.contracts.update({symbol_of(key) for key in (*held.positions, *held.isolated)})
        self.assets.update(held.balances.keys())
        if not why:
            return
        found = "; ".join(
            f"{self._names[topic]}/{shard} at offset {stop.offset}: {stop.code}"
            for topic, stop in why.items()
        )
        action = (
            f"`unimargin quarantine list --account {shlex.quote(printable(account))}`, repair the cause, "
            + ", ".join(f"`{resume_hint(account, topic)}`" for topic in why)
        )
        self.stopped[account] = warn(f"account {printable(account)}", f"stopped in {found}", action)

    def unlisted(self, policy: Policy) -> list[tuple[str, int]]:
        """What accounts hold and the policy does not list, by how many, most first."""
        missing = [it for it in self.contracts.items() if it[0] not in policy.instruments]
        missing += [it for it in self.assets.items() if it[0] not in policy.assets]
        return sorted(missing, key=lambda it: (-it[1], it[0]))


async def examine_accounts(
    client: Redis, settings: Settings, published: Sequence[PolicyVersion] | None
) -> list[Check]:
    """Who is stopped, and whether the policies in force and to come list all that is held. `published` is None where it is not known."""
    found, store = _Accounts(settings), StoreReader(client, settings.redis_prefix)
    for shard in range(await shard_count(client, settings.redis_prefix)):
        async for account, data in store.accounts(shard):
            found.add(account, shard, data)
    return [
        *found.unreadable[:ACCOUNTS_SHOWN_MAX],
        *_stopped(found),
        *await _holdings(client, settings, found, published),
    ]


def _stopped(found: _Accounts) -> list[Check]:
    if not found.stopped:
        return [ok(STOPPED, f"none of {found.count}")]
    summary = warn(STOPPED, f"{len(found.stopped)} of {found.count}", "runbook MarginAccountStopped")
    return [summary, *[found.stopped[account] for account in sorted(found.stopped)[:ACCOUNTS_SHOWN_MAX]]]


async def _holdings(
    client: Redis, settings: Settings, found: _Accounts, published: Sequence[PolicyVersion] | None
) -> list[Check]:
    try:
        version_zero = load_policy(settings.policy_file)
    except SettingsError:
        return []  # said already
    in_force = await policy_in_force(client, settings.redis_prefix)
    now_ns = time.time_ns()
    timeline = timeline_of(list(published or ()), version_zero)
    now = timeline.at(now_ns)
    if in_force is not None and in_force.digest != now.policy.digest:
        return [
            warn(
                HOLDINGS, f"not compared: nobody here knows digest {in_force.digest}", "see `policy in force`"
            )
        ]
    to_come = [it for it in timeline.versions if it.from_ns > now_ns]
    return [_of_policy_in_force(found, now), *_of_those_to_come(found, now, to_come)]


def _of_policy_in_force(found: _Accounts, now: Ruling) -> Check:
    missing = found.unlisted(now.policy)
    if not missing:
        held = f"{len(found.contracts)} contracts and {len(found.assets)} assets of {found.count} accounts"
        return ok(HOLDINGS, f"{held}, all listed by version {now.version}")
    action = "whoever holds it is degraded and locked: list it again (`unimargin policy publish`), or have it closed"
    return failed(HOLDINGS, f"version {now.version} does not list {_named(missing)}", action)


def _of_those_to_come(found: _Accounts, now: Ruling, to_come: Iterable[Ruling]) -> Iterable[Check]:
    known = set(found.unlisted(now.policy))
    for ruling in to_come:
        missing = [it for it in found.unlisted(ruling.policy) if it not in known]
        if missing:
            said = f"from {rfc3339(ruling.from_ns)} on not listed: {_named(missing)}"
            action = "they will be degraded and locked: have it closed before, or publish one that lists it"
            yield warn(f"{HOLDINGS}, version {ruling.version}", said, action)


def _named(missing: Sequence[tuple[str, int]]) -> str:
    said = ", ".join(
        f"{printable(name)} (held by {count} account{'s' if count > 1 else ''})"
        for name, count in missing[:NAMES_SHOWN_MAX]
    )
    more = len(missing) - NAMES_SHOWN_MAX
    return f"{said} and {more} more" if more > 0 else said
