"""One line of JSON per log event, from our code and from the libraries alike."""

import logging
import sys
from collections.abc import Mapping

import structlog
from structlog.typing import Processor

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
    logging.root.handlers = [handler]
    logging.root.setLevel(level)
    # They tell of every fetch and every heartbeat at INFO.
    for noisy in ("aiokafka", "faust", "mode"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLevelName(level)))
    for name, its_level in (levels or {}).items():
        logging.getLogger(name).setLevel(its_level)
