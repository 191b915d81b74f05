"""How an error of the engine, and a flood of what is set aside, are told: in the log, and by a metric."""

import time
from collections.abc import Iterable

import structlog

from engine.rejections import RejectionCode
from streams.observe.metrics import Metrics
from streams.shards.engine_errors import EngineError

TOLD_EVERY_SECONDS = 10.0
"""A flood must not fill the log either."""

_log = structlog.get_logger()


class FloodNotice:
    """Tells how many records were quarantined by their place alone (`streams.contract.quarantine_budget`)."""

    def __init__(self, metrics: Metrics) -> None:
        """None yet."""
        self._metrics = metrics
        self._counted = self._told = 0
        self._told_s = -TOLD_EVERY_SECONDS

    def tell(self, topic: str, places: int) -> None:
        """`places` of them since the start, the last ones of this topic."""
        if places == self._counted:
            return
        self._metrics.quarantine_places_total.labels(topic).inc(places - self._counted)
        self._counted = places
        if time.monotonic() - self._told_s >= TOLD_EVERY_SECONDS:
            _log.warning("quarantine_flood", topic=topic, records=places - self._told)
            self._told, self._told_s = places, time.monotonic()


def tell(errors: Iterable[EngineError], shard: int, metrics: Metrics) -> None:
    """Say so: the traceback in the log, and a metric."""
    for step, account, place, error in errors:
        metrics.engine_errors_total.labels(step).inc()
        _log.error(
            "engine_error",
            shard=shard,
            account=account,
            step=step,
            input=place,
            reason=RejectionCode.ENGINE_ERROR.value,
            exc_info=error,
        )
