"""`unimargin policy history`: every version that was published, and which one is in force; and `policy diff` of two."""

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from engine.policy import Policy, PolicyError
from streams.answers.policy_difference import Change, Difference, policy_difference
from streams.config.invocation import EXIT_PROBLEM, ConfigOption, JsonOption, run, tell_mistakes, warn
from streams.config.problem import Problem
from streams.config.settings import Settings, load_policy, load_settings
from streams.config.terminal import console, json_out, printable, table
from streams.contract.cloudevents import rfc3339
from streams.contract.policy_version import PolicyVersion, read_policy
from streams.kafka.policy_topic import read_versions, timeline_of
from streams.kafka.topic_access import open_reader

DIGEST_DIGITS = 16
VALUE_CHARACTERS_MAX = 60
INSTRUMENTS_SHOWN = 6
WHOLE = "listed"
"""What stands for an entry that is only in one of the two."""
SINCE_EVER = "since ever"


class Stands(StrEnum):
    """Where a version stands now."""

    IN_FORCE = "in force"
    TO_COME = "to come"
    WAS = "was in force"
    NEVER = "replaced"
    """A later version took its place before it came."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One version, without its policy."""

    version: int
    stands: Stands
    activated_ns: int
    digest: str
    name: str
    who: str
    why: str
    published_ns: int


@tell_mistakes
def history_command(
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Show every version of the policy, with who published it and why. Before the first publication there is none: the settings' file rules.

    Examples:
      unimargin policy history
    """
    settings = load_settings(config)
    entries = history_of(run(_versions(settings)), time.time_ns())
    if as_json:
        json_out(entries)
        return
    columns = ["version", "", "from (event time)", "digest", "name", "who", "why", "published"]
    rows = table("Policy", columns, right=["version"])
    for it in entries:
        since = rfc3339(it.activated_ns) if it.activated_ns else SINCE_EVER
        told = (it.digest, printable(it.name), printable(it.who), printable(it.why), rfc3339(it.published_ns))
        rows.add_row(str(it.version), it.stands.value, since, *told)
    console().print(rows if entries else "nothing was published: the settings' policy file is in force")


def history_of(versions: list[PolicyVersion], now_ns: int) -> list[Entry]:
    """By version, as it stands at `now_ns` of event time (Unix ns)."""
    if not versions:
        return []
    timeline = timeline_of(versions, _any_policy(versions))
    now = timeline.at(now_ns)
    return [
        Entry(
            version=it.version,
            stands=_stands(it, timeline.at(it.activated_ns).version, now.version, now_ns),
            activated_ns=it.activated_ns,
            digest=it.digest,
            name=it.name,
            who=it.who,
            why=it.why,
            published_ns=it.published_ns,
        )
        for it in versions
    ]


def _stands(it: PolicyVersion, at_its_time: int, now: int, now_ns: int) -> Stands:
    if it.version == now:
        return Stands.IN_FORCE
    if at_its_time != it.version:
        return Stands.NEVER
    return Stands.TO_COME if it.activated_ns > now_ns else Stands.WAS


def _any_policy(versions: list[PolicyVersion]) -> Policy:
    for version in reversed(versions):
        try:
            return read_policy(bytes(version.policy))
        except PolicyError:
            continue
    raise Problem("this edition can read none of the versions that were published")


@tell_mistakes
def diff_command(
    before: Annotated[
        str, typer.Argument(metavar="A", help="Policy file, digest (or its beginning), or version.")
    ],
    after: Annotated[
        str, typer.Argument(metavar="B", help="The same: what is compared with A.", show_default=False)
    ],
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Show what B says otherwise than A, by instrument and field. Exit code 1 if they differ.

    Examples:
      unimargin policy diff default.toml mine.toml
    """
    settings = load_settings(config)
    named = [Path(it) for it in (before, after)]
    versions = [] if all(it.is_file() for it in named) else run(_versions(settings))
    one, other = (_resolved(name, versions) for name in (before, after))
    found = policy_difference(one, other)
    if as_json:
        json_out(found)
    else:
        _show(found)
    if found.before != found.after:
        raise typer.Exit(EXIT_PROBLEM)


def _resolved(name: str, versions: list[PolicyVersion]) -> Policy:
    if Path(name).is_file():
        return load_policy(Path(name))
    of_version = [it for it in versions if name.removeprefix("v") == str(it.version)]
    of_digest = {it.digest: it for it in versions if it.digest.startswith(name)}
    bearing = of_version or list(of_digest.values())
    if len(bearing) != 1:
        known = ", ".join(f"{it.version} ({it.digest})" for it in versions) or "none"
        what = "several digests begin so" if bearing else "no file, version or digest of a version"
        raise Problem(f"{name!r}: {what}; versions are {known}")
    try:
        return read_policy(bytes(bearing[0].policy))
    except PolicyError as error:
        raise Problem(f"version {bearing[0].version} of the policy {error}") from None


def _show(found: Difference) -> None:
    out = console()
    if found.before == found.after:
        out.print(f"the same policy, digest {found.before}")
        return
    rows = table(f"{found.before} -> {found.after}", ["of", "field", "before", "after", "concerns"])
    for it in found.changes:
        before, after = (
            WHOLE if value is not None and not it.field else _value(value) for value in (it.before, it.after)
        )
        rows.add_row(it.where, it.field, before, after, _concerned(it))
    out.print(rows)
    for words, symbols in (("listed", found.listed), ("delisted", found.delisted)):
        if symbols:
            out.print(f"{words}: {printable(', '.join(symbols))}")


def _value(value: Any) -> str:
    if value is None:
        return "-"
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return printable(text, VALUE_CHARACTERS_MAX)


def _concerned(change: Change) -> str:
    shown = ", ".join(change.instruments[:INSTRUMENTS_SHOWN])
    more = len(change.instruments) - INSTRUMENTS_SHOWN
    return printable(f"{shown} and {more} more" if more > 0 else shown)


async def _versions(settings: Settings) -> list[PolicyVersion]:
    async with open_reader(settings) as consumer:
        return await read_versions(settings, consumer, warn)
