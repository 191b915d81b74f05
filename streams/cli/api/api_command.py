"""`unimargin api`: serve the HTTP API."""

import asyncio

from streams.config.invocation import ConfigOption, tell_mistakes
from streams.config.logs import configure_logs
from streams.config.problem import desk_extra
from streams.config.settings import load_settings


@tell_mistakes
def api(config: ConfigOption = None) -> None:
    """Serve the HTTP API: accounts, what-if, stress, liquidations, events as they happen.

    It reads Redis and the event topics and writes no account's state. Its schema is at /schema; `unimargin api-key` makes keys.

    Examples:
      UNIMARGIN_API_KEYS_FILE=keys.toml unimargin api
      UNIMARGIN_API_OPEN_ON_LOOPBACK=true unimargin api
    """
    settings = load_settings(config)
    with desk_extra("the API"):
        from streams.desk.api_keys import load_keys  # noqa: PLC0415 - with it
        from streams.desk.api_server import run_api  # noqa: PLC0415 - the web server is an extra, and takes a second
    configure_logs(settings.log_level, settings.log_levels)
    with asyncio.Runner() as runner:
        runner.run(run_api(settings, load_keys(settings.api_keys_file)))
