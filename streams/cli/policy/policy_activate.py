"""`unimargin policy activate`: the operator's word that puts a policy in force for all workers."""

import getpass
import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from redis.exceptions import WatchError

from engine.policy import Policy
from streams.config.invocation import ConfigOption, JsonOption, run, tell_mistakes
from streams.config.problem import Problem
from streams.config.settings import Settings, SettingsError, load_policy, load_settings
from streams.config.terminal import console, json_out, printable
from streams.store.policy_store import PolicyInForce, activate, policy_in_force
from streams.store.redis_access import open_redis


class Activated(msgspec.Struct, frozen=True):
    """What was in force, and what is, or would be."""

    before: PolicyInForce | None
    digest: str
    name: str
    version: int | None
    """None where nothing was changed."""


@tell_mistakes
def activate_command(
    reason: Annotated[str, typer.Option(help="Why; kept with the version.", show_default=False)],
    file: Annotated[
        Path | None,
        typer.Argument(help="Policy file (TOML) [default: UNIMARGIN_POLICY_FILE]", show_default=False),
    ] = None,
    who: Annotated[str | None, typer.Option(help="Who says so [default: the user's name]")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,  # noqa: FBT002
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Put a policy in force: workers with another one give their shards back and take none, those with this one join.

    Start workers with the new file first: they wait. Within a second of this command they take the shards over.

    Examples:
      unimargin policy activate mine.toml --reason "new tiers" --dry-run
    """
    settings = load_settings(config)
    policy = load_policy(file or settings.policy_file)
    if not reason.strip():
        raise SettingsError("--reason must say something: it is what an auditor will read")
    told = run(_activate(settings, policy, who or getpass.getuser(), reason, dry_run=dry_run))
    if as_json:
        json_out(told)
        return
    was = "none" if told.before is None else f"{told.before.digest} (version {told.before.version})"
    if told.version is not None:
        said = f"in force now: {printable(told.name)}, digest {told.digest}, version {told.version}; before: {was}"
    elif told.before is not None and told.before.digest == told.digest:
        said = (
            f"in force already: {printable(told.name)}, digest {told.digest}, version {told.before.version}"
        )
    else:
        said = f"would be in force: {printable(told.name)}, digest {told.digest}; now: {was}"
    console().print(said)


async def _activate(settings: Settings, policy: Policy, who: str, why: str, *, dry_run: bool) -> Activated:
    async with open_redis(settings) as client:
        before = await policy_in_force(client, settings.redis_prefix)
        if dry_run or (before is not None and before.digest == policy.digest):
            return Activated(before, policy.digest, policy.name, None)
        try:
            now = await activate(
                client, settings.redis_prefix, policy, who=who, why=why, now_ns=time.time_ns()
            )
        except WatchError:
            raise Problem("somebody else has put a policy in force just now: look again") from None
    return Activated(before, now.digest, now.name, now.version)
