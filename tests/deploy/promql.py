"""What an expression speaks of: metric names, label matchers. Enough of PromQL's lexis for our own rules and panels."""

import re
from functools import cache
from typing import NamedTuple

from streams.desk.api_metrics import ApiMetrics
from streams.desk.notify.notify_metrics import NotifyMetrics
from streams.observe.metrics import Metrics

KEYWORDS = {"and", "or", "unless", "by", "without", "on", "ignoring", "offset", "bool", "group_left"}
SCRAPE_LABELS = {"job", "instance"}

EXPORTED = {
    "kafka_brokers": set(),
    "kafka_topic_partition_under_replicated_partition": {"topic", "partition"},
    "kafka_topic_partition_current_offset": {"topic", "partition"},
    "kafka_consumergroup_lag": {"consumergroup", "topic", "partition"},
    "redis_memory_used_bytes": set(),
    "redis_memory_max_bytes": set(),
    "redis_cpu_user_main_thread_seconds_total": set(),
    "redis_commands_processed_total": set(),
    "redis_aof_delayed_fsync": set(),
    "process_cpu_seconds_total": set(),
    "process_resident_memory_bytes": set(),
    "process_open_fds": set(),
}
"""What the exporters beside broker and Redis tell us, and Prometheus' library of every process of ours, with its labels."""
OF_KAFKA_EXPORTER = ("Brokers", "Under-replicated partitions", "Log growth", "Lag of consumer groups")
"""Panels of which nothing shows here: that exporter can be had as an image only. Redis' exporter runs in tests."""


class Selector(NamedTuple):
    """A metric with the labels it is matched on."""

    metric: str
    matchers: dict[str, str]


def selectors(expr: str) -> list[Selector]:
    """Return every series selector: an identifier that is neither a keyword, a function nor a label list."""
    bare = re.sub(r"\b(by|without|on|ignoring|group_left)\s*\([^)]*\)", " ", expr)
    bare = re.sub(r"\[[^\]]*\]|\boffset\s+\w+", " ", bare)
    pattern = r"(?<![\w:.])([a-zA-Z_:][\w:]*)\s*(\{[^}]*\})?(?!\s*\()(?![\w:])"
    return [
        Selector(name, dict(re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"', matchers)))
        for name, matchers in re.findall(pattern, bare)
        if name not in KEYWORDS
    ]


def grouping_labels(expr: str) -> set[str]:
    """Return the labels named in by (...) and on (...)."""
    lists = re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", expr)
    return {label.strip() for labels in lists for label in labels.split(",") if label.strip()}


@cache
def defined_samples() -> dict[str, set[str]]:
    """Return the sample names that are scraped, each with its labels: ours are read off the real registries."""
    return EXPORTED | {
        name: set(collector._labelnames) | ({"le"} if name.endswith("_bucket") else set())
        for registry in (Metrics().registry, ApiMetrics().registry, NotifyMetrics().registry)
        for name, collector in registry._names_to_collectors.items()
        if not name.endswith("_created")
    }
