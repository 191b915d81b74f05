"""One line of JSON per log event, from our code and from the libraries alike."""

import logging
import sys
from collections.abc import Mapping

import structlog
from structlog.typing import Processor

REPEAT_SECONDS = 10.0
"""A library says the same again after so long."""

_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
]


class NoCredentials(logging.Filter):
    """Drops what aiokafka tells at DEBUG of the requests that carry passwords and tokens, whatever the levels are set to."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record may be told."""
        return not (record.name.startswith("aiokafka") and "SaslAuthenticate" in record.getMessage())


class NoRepeats(logging.Filter):
    """Drops what aiokafka has said in the same words a moment ago: while a broker is away it does so forty times a second."""

    def __init__(self) -> None:
        """Nothing was said."""
        super().__init__()
        self._said_s: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record may be told."""
        if not record.name.startswith("aiokafka"):
            return True
        now_s, words = record.created, record.getMessage()
        if now_s - self._said_s.get(words, float("-inf")) < REPEAT_SECONDS:
            return False
        self._said_s = {it: said_s for it, said_s in self._said_s.items() if now_s - said_s < REPEAT_SECONDS}
        self._said_s[words] = now_s
        return True


def configure_logs(level: str, levels: Mapping[str, str] | None = None) -> None:
    """Send everything at `level` or above, and of the loggers in `levels` at theirs, to standard error as JSON lines."""
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_SHARED,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    handler.addFilter(NoCredentials())
    handler.addFilter(NoRepeats())
    logging.root.handlers = [handler]
    logging.root.setLevel(level)
    # They tell of every fetch and every heartbeat at INFO.
    for noisy in ("aiokafka", "faust", "mode"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLevelName(level)))
    for name, its_level in (levels or {}).items():
        logging.getLogger(name).setLevel(its_level)
