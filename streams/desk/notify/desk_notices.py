"""What is told: one notice for each event that a rule asks for, and digests of many."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum
from fnmatch import fnmatchcase

import msgspec

from engine.events.effects import LIQUIDATION_TYPES, RiskEvent
from engine.ladder import Band
from engine.ladder.states import SEVERITY
from streams.contract.cloudevents import Event, rfc3339, subject
from streams.desk.notify.notify_rules import NotifyRule, NotifyRules

NAMED_MAX = 10
"""Accounts that a digest names."""


class Urgency(StrEnum):
    """How bad it is; the words are PagerDuty's."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """What one message says."""

    id: str
    """Of the event; of a digest `digest/` and a hash of the ids in it. A receiver that remembers it may see it twice without harm."""
    change: str
    """Two events with the same are about the same change of the same episode: one is told."""
    rule: str
    """That asked for it; the first of several."""
    types: dict[str, int]
    """How many events of which type."""
    subject: str
    """The account, or what else it is about; of a digest its target."""
    episode_id: str | None = None
    resolved: bool = False
    """The episode has ended."""
    urgency: Urgency = Urgency.INFO
    loud: bool = False
    """Told in quiet hours too."""
    time_ns: int
    summary: str
    events: tuple[msgspec.Raw, ...] = ()
    """The event as published; none in a digest."""
    event_ids: tuple[str, ...]
    subjects: tuple[str, ...] = ()
    """Of a digest: the first that it is about."""


class Matcher:
    """The rules, asked of one event after the other."""

    def __init__(self, rules: NotifyRules) -> None:
        self._rules = rules.rules
        self._accounts = {
            name: (*rule.accounts, *(it for group in rule.groups for it in rules.groups[group]))
            for name, rule in rules.rules.items()
        }

    def targets(self, event: Event) -> dict[str, str]:
        """Who hears of it: the first rule that says so, by target."""
        found: dict[str, str] = {}
        for name, rule in self._rules.items():
            if self._wants(name, rule, event):
                for target in rule.targets:
                    found.setdefault(target, name)
        return found

    def concerns(self, name: str, account: str) -> bool:
        """Whether the accounts and groups that a rule names, if any, are of this one."""
        named = self._accounts[name]
        return not named or any(fnmatchcase(account, it) for it in named)

    def _wants(self, name: str, rule: NotifyRule, event: Event) -> bool:
        if rule.within_percent is not None:
            return False
        if rule.types and not any(fnmatchcase(event.type.value, it) for it in rule.types):
            return False
        of_account = bool(rule.entered or rule.groups or rule.accounts or rule.equity_min is not None)
        if not isinstance(event, RiskEvent):
            return not of_account
        if rule.entered and event.entered not in rule.entered:
            return False
        if not self.concerns(name, event.account):
            return False
        return rule.equity_min is None or event.equity >= rule.equity_min


def notice_of(event: Event, rule: str) -> Notice:
    """What is told of one event."""
    about = subject(event)
    raw = msgspec.Raw(msgspec.json.encode(event))
    if not isinstance(event, RiskEvent):
        return Notice(
            id=event.id,
            change=f"{event.id}/{event.sequence}",
            rule=rule,
            types={event.type.value: 1},
            subject=about,
            urgency=Urgency.WARNING,
            time_ns=event.time_ns,
            summary=f"{about}: {event.type.value} at {rfc3339(event.time_ns)}",
            events=(raw,),
            event_ids=(event.id,),
        )
    position = f" ({event.position})" if event.position else ""
    return Notice(
        id=event.id,
        change=_change(event),
        rule=rule,
        types={event.type.value: 1},
        subject=about,
        episode_id=event.episode_id,
        resolved=event.episode_id is not None and event.band is Band.HEALTHY,
        urgency=_urgency(event),
        loud=event.type in LIQUIDATION_TYPES or SEVERITY[event.band] >= SEVERITY[Band.LIQUIDATION],
        time_ns=event.time_ns,
        summary=(
            f"{about}{position}: {event.type.value}, {event.previous_band.value} -> {event.band.value}, "
            f"equity {event.equity:f}, maintenance {event.maintenance_margin:f}, "
            f"missing to the call line {event.shortfall_to_call:f}"
        ),
        events=(raw,),
        event_ids=(event.id,),
    )


def digest_of(notices: Sequence[Notice], target: str) -> Notice:
    """One message for many."""
    ids = tuple(it.event_ids[0] for it in notices)
    types: Counter[str] = Counter()
    for it in notices:
        types.update(it.types)
    subjects = tuple(dict.fromkeys(it.subject for it in notices))
    counted = ", ".join(f"{count} x {name}" for name, count in types.most_common())
    more = f" and {len(subjects) - NAMED_MAX} more" if len(subjects) > NAMED_MAX else ""
    digest = hashlib.sha256("\n".join(ids).encode()).hexdigest()[:32]
    order = list(Urgency)
    return Notice(
        id=f"digest/{digest}",
        change=f"digest/{digest}",
        rule=notices[0].rule,
        types=dict(types),
        subject=target,
        urgency=max((it.urgency for it in notices), key=order.index),
        loud=any(it.loud for it in notices),
        time_ns=max(it.time_ns for it in notices),
        summary=f"{len(notices)} events: {counted}; {', '.join(subjects[:NAMED_MAX])}{more}",
        event_ids=ids,
        subjects=subjects[:NAMED_MAX],
    )


def words_of(types: Mapping[str, int]) -> str:
    """The types of a notice, for a title."""
    return next(iter(types)) if len(types) == 1 else f"{sum(types.values())} events"


def _change(event: RiskEvent) -> str:
    """A band that is entered is told in both topics; all else is a change by itself."""
    if event.episode_id is None or event.band is event.previous_band:
        return event.id
    return f"{event.account}/{event.position or ''}/{event.episode_id}/{event.time_ns}/{event.band.value}"


def _urgency(event: RiskEvent) -> Urgency:
    match event.band:
        case Band.LIQUIDATION | Band.BANKRUPT:
            return Urgency.CRITICAL
        case Band.MARGIN_CALL | Band.REDUCE_ONLY:
            return Urgency.ERROR
        case Band.WARNING:
            return Urgency.WARNING
    return Urgency.INFO
