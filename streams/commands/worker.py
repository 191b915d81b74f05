"""`unimargin worker`: run one worker until it is told to stop."""

import asyncio

from streams.commands.common import ConfigOption, tell_mistakes
from streams.logs import configure_logs
from streams.settings import load_settings


@tell_mistakes
def worker(config: ConfigOption = None) -> None:
    """Run a worker: consume fills, ledger and prices, judge, publish. Several share the load."""
    from streams.app import run_worker  # noqa: PLC0415 - Faust and numba take seconds, and other commands need neither

    settings = load_settings(config)
    configure_logs(settings.log_level)
    with asyncio.Runner() as runner:
        runner.run(run_worker(settings))
