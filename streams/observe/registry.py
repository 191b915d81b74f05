"""What the metrics of every process of ours have in common."""

from prometheus_client import CollectorRegistry, ProcessCollector, disable_created_metrics


def process_registry() -> CollectorRegistry:
    """A registry of its own that tells of the process as well: CPU, memory, open files, when it began.

    No `_created` series: one beside every counter and histogram, that nobody reads.
    """
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry
