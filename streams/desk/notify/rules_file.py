"""A rules file, read and checked: every mistake is told with its table, its line where it is known, and the nearest name."""

import difflib
import os
import re
import tomllib
from collections.abc import Collection
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from engine.events.adl_events import AdlEventType
from engine.events.breaker_events import BreakerEventType
from engine.events.effects import EventType
from engine.ladder import Band
from engine.marks.outages import OutageKind
from engine.policy.reading.shape_faults import shape_fault
from streams.config.host_port import http_fault
from streams.config.settings import SettingsError
from streams.desk.notify.notify_rules import (
    NotifyRule,
    NotifyRules,
    RuleLine,
    SecretSource,
    TargetKind,
    TargetRules,
)

TYPES = tuple(it.value for kinds in (EventType, BreakerEventType, OutageKind, AdlEventType) for it in kinds)
"""Of every event that the topics carry."""

WITHIN_PERCENT_BOUND = 50
"""Twice as far is looked too, to know who is close; a market cannot lose more than all."""

_NEEDS = {
    TargetKind.WEBHOOK: ("url", "secret"),
    TargetKind.PAGERDUTY: ("routing_key",),
    TargetKind.APPRISE: ("url",),
    TargetKind.ALERTMANAGER: ("url",),
}
_SECRETS = ("url", "secret", "routing_key")


def load_rules(file: Path) -> NotifyRules:
    """Read and check the rules. Raises `SettingsError` naming the file, the table and the rule it breaks."""
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"rules file {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"rules file {file}: not UTF-8 text") from None
    try:
        document = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"rules file {file}: not valid TOML: {error}") from None
    try:
        rules = msgspec.convert(document, NotifyRules)
    except msgspec.ValidationError as error:
        said = _table_fault(document, text) or shape_fault(str(error), text, NotifyRules)
        raise SettingsError(f"rules file {file}: {said}") from None
    fault = _fault(rules)
    if fault is not None:
        table, said = fault
        raise SettingsError(f"rules file {file}: {_line(text, table)}[{table}]: {said}")
    return rules


def secret_of(source: SecretSource, place: str) -> str:
    """The secret itself. Raises `SettingsError` naming where it is looked for, never what is there."""
    if source.file is not None:
        try:
            found = Path(source.file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise SettingsError(f"{place}: secret file {source.file}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise SettingsError(f"{place}: secret file {source.file}: not UTF-8 text") from None
        where = f"secret file {source.file}"
    else:
        found, where = os.environ.get(source.env or "", "").strip(), f"environment variable {source.env}"
    if not found:
        raise SettingsError(f"{place}: {where} is empty or not there")
    return found


def _table_fault(document: dict[str, Any], text: str) -> str | None:
    """The first table of a target or a rule that has not its shape, and how, with the nearest key or word."""
    for section, kind in (("targets", TargetRules), ("rules", NotifyRule)):
        tables = document.get(section)
        for name, table in tables.items() if isinstance(tables, dict) else ():
            try:
                msgspec.convert(table, kind)
            except msgspec.ValidationError as error:
                said = shape_fault(str(error), text, kind, (section, name))
                word = re.search(r"Invalid enum value '([^']*)'", said)
                nearest = (
                    _nearest(word[1], [it.value for kinds in (Band, RuleLine, TargetKind) for it in kinds])
                    if word
                    else ""
                )
                return f"[{section}.{name}]: {said}{nearest}"
    return None


def _header(line: str) -> str | None:
    said = line.partition("#")[0].strip()
    return said.strip("[] ").replace('"', "") if said.startswith("[") and said.endswith("]") else None


def _fault(rules: NotifyRules) -> tuple[str, str] | None:
    """The first table that breaks a rule, and how."""
    for name, target in rules.targets.items():
        if said := _target_fault(target):
            return f"targets.{name}", said
    for name, rule in rules.rules.items():
        if said := _rule_fault(rule, rules):
            return f"rules.{name}", said
    if not rules.rules:
        return "rules", "there is no rule, so nobody would hear of anything"
    return None


def _target_fault(target: TargetRules) -> str | None:
    needed = _NEEDS[target.kind]
    for key in _SECRETS:
        source: SecretSource | None = getattr(target, key)
        if (source is None) == (key in needed):
            verb = "needs" if source is None else "has no use for"
            return f"a target of kind {target.kind.value} {verb} `{key}`"
        if source is not None and (source.env is None) == (source.file is None):
            return f"`{key}` wants either `env` or `file`"
    if fault := http_fault(target.endpoint, login_allowed=False):
        return f"`endpoint`: {fault}"
    if target.quiet is not None:
        try:
            ZoneInfo(target.quiet.zone)
        except (KeyError, ValueError, OSError):
            return f"`quiet.zone`: no time zone is named {target.quiet.zone!r}"
        if target.quiet.begin == target.quiet.end:
            return "`quiet`: `from` and `to` are the same time"
    return None


def _rule_fault(rule: NotifyRule, rules: NotifyRules) -> str | None:
    of_events = bool(rule.types or rule.entered)
    if of_events == (rule.within_percent is not None):
        return "it wants `types` or `entered`, or else `within_percent`: what is it to tell of?"
    if rule.line is not None and of_events:
        return "`line` goes with `within_percent`"
    if rule.within_percent is not None and not 0 < rule.within_percent < WITHIN_PERCENT_BOUND:
        return f"`within_percent`: {rule.within_percent} is not above 0 and below {WITHIN_PERCENT_BOUND}"
    for pattern in rule.types:
        if not any(fnmatchcase(it, pattern) for it in TYPES):
            return f"`types`: no event is of type {pattern!r}{_nearest(pattern, TYPES)}"
    for names, known, what in (
        (rule.targets, rules.targets, "target"),
        (rule.groups, rules.groups, "group"),
    ):
        for name in names:
            if name not in known:
                return f"`{what}s`: there is no {what} {name!r}{_nearest(name, known)}"
    return None


def _nearest(name: str, known: Collection[str]) -> str:
    found = difflib.get_close_matches(name, known, 1, 0.0)
    return f"; did you mean {found[0]!r}?" if found else ""


def _line(text: str, table: str) -> str:
    for number, line in enumerate(text.splitlines(), start=1):
        if _header(line) == table:
            return f"line {number}: "
    return ""
