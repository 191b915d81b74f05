"""`unimargin worker`: run one worker until it is told to stop."""

import asyncio
import gc
from typing import Annotated

import typer

from streams.config.invocation import ConfigOption, tell_mistakes
from streams.config.logs import configure_logs
from streams.config.settings import load_settings

StandbyOption = Annotated[
    bool,
    typer.Option(
        "--standby",
        help="Follow the shards of the other workers, ready to take them over within seconds; own none before.",
    ),
]


@tell_mistakes
def worker(config: ConfigOption = None, standby: StandbyOption = False) -> None:  # noqa: FBT002 - Typer's way to declare a switch
    """Run a worker: consume fills, ledger and prices, judge, publish. Several share the load.

    Examples:
      unimargin worker
      UNIMARGIN_POLICY_FILE=mine.toml unimargin worker
      unimargin worker --standby
    """
    # a sixth of what the imports take: they make much, and nothing of it is garbage; `run_worker` collects again
    gc.disable()
    from streams.worker.app import run_worker  # noqa: PLC0415 - Faust and numba take seconds, and other commands need neither

    settings = load_settings(config)
    configure_logs(settings.log_level, settings.log_levels)
    with asyncio.Runner() as runner:
        runner.run(run_worker(settings, standby=standby))
