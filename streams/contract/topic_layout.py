"""Which topics the pipeline has and how they must be: read from a file such as deploy/kafka/topics.toml.

The file speaks of topics by their role; the settings may give `prices`, `fills`, `ledger`, `quarantine`, `account-state`, `policies`,
`operator` and `fund` other names.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from engine.events.effects import Stream
from streams.config.settings import Settings, SettingsError, shipped_file
from streams.config.toml_file import read_toml

T = TypeVar("T")

PARTITIONS_MAX = 10_000
"""Far more shards than accounts need; a typing error with one zero too many ends here and not at the broker."""


class TopicSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one topic must be."""

    partitions: Annotated[int, msgspec.Meta(ge=1, le=PARTITIONS_MAX)]
    config: dict[str, str] = {}


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    topics: dict[str, TopicSpec]


def account_keyed(settings: Settings) -> list[str]:
    """The topics keyed by account: a partition is a shard, so their counts must be equal."""
    copies = [settings.topic_account_state] if settings.account_state_minutes else []
    return [settings.topic_fills, settings.topic_ledger, *Stream, *copies]


def pipeline_topics(settings: Settings) -> list[str]:
    """Every topic of the pipeline; of second copies, of the operators and of the fund only where the settings say so."""
    keyed = account_keyed(settings)
    wanted = [name for name, enabled in _switched(settings).items() if enabled and name not in keyed]
    return [
        settings.topic_prices,
        *keyed,
        settings.topic_quarantine,
        settings.topic_policies,
        *wanted,
    ]


def _switched(settings: Settings) -> dict[str, bool]:
    """Topics that a deployment may do without, and whether this one has them."""
    return {
        settings.topic_account_state: settings.account_state_minutes > 0,
        settings.topic_operator: settings.operator_topic_enabled,
        settings.topic_fund: settings.fund_topic_enabled,
    }


def by_name(settings: Settings, of_role: Mapping[str, T]) -> dict[str, T]:
    """What is said of topics by their role, by the names that the settings give them; without those that they switch off."""
    names = {
        "prices": settings.topic_prices,
        "fills": settings.topic_fills,
        "ledger": settings.topic_ledger,
        "quarantine": settings.topic_quarantine,
        "account-state": settings.topic_account_state,
        "policies": settings.topic_policies,
        "operator": settings.topic_operator,
        "fund": settings.topic_fund,
    }
    named = {names.get(role, role): it for role, it in of_role.items()}
    off = {name for name, enabled in _switched(settings).items() if not enabled}
    return {name: it for name, it in named.items() if name not in off}


def load_layout(file: Path | None, settings: Settings, partitions: int | None = None) -> dict[str, TopicSpec]:
    """Topics by their real names; `partitions` overrides the count of the account-keyed ones.

    Those that the settings switch off are left out. Raises `SettingsError` naming the file and the rule it breaks.
    """
    path = file or shipped_file("default_topics.toml", "kafka/topics.toml")
    parsed = read_toml(path, _File, "topics file")
    layout = by_name(settings, parsed.topics)
    keyed = account_keyed(settings)
    if partitions is not None:
        layout |= {name: TopicSpec(partitions, layout[name].config) for name in keyed if name in layout}
    counts = {name: layout[name].partitions for name in keyed if name in layout}
    if len(set(counts.values())) > 1:
        raise SettingsError(f"topics file {path}: {_listed(counts)} must have equal partition counts")
    return layout


def count_fault(counts: dict[str, int]) -> str | None:
    """Why these account-keyed topics cannot work together, or None."""
    if len(set(counts.values())) <= 1:
        return None
    return f"{_listed(counts)}: partition counts must be equal, for a partition is a shard of accounts"


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in counts.items())
