"""`unimargin board`: the HTTP API with the live board, and a way into it."""

import asyncio
import secrets
from typing import Annotated

import typer

from streams.config.invocation import ConfigOption, tell_mistakes
from streams.config.logs import configure_logs
from streams.config.problem import Problem
from streams.config.settings import load_settings
from streams.desk.api_keys import KEY_BYTES, KEY_PREFIX, ApiCaller, ApiKeys, ApiRole, load_keys


@tell_mistakes
def board(
    role: Annotated[ApiRole, typer.Option(help="What the printed way in allows.")] = ApiRole.VIEWER,
    config: ConfigOption = None,
) -> None:
    """Serve the HTTP API with its live board, and print the address with a key that lasts as long as this process.

    The same process and settings as `unimargin api`; keys of UNIMARGIN_API_KEYS_FILE let in as well.
    """
    settings = load_settings(config)
    try:
        from streams.desk.api_server import run_api  # noqa: PLC0415 - the web server is an extra, and takes a second
    except ModuleNotFoundError as error:
        raise Problem(
            f"{error.name} is not installed; the board needs `pip install unimargin[desk]`"
        ) from None
    configure_logs(settings.log_level)
    key, keys = way_in(load_keys(settings.api_keys_file), role)
    with asyncio.Runner() as runner:
        runner.run(
            run_api(settings, keys, lambda host, port: typer.echo(f"board: {address_of(host, port, key)}"))
        )


def way_in(keys: ApiKeys, role: ApiRole) -> tuple[str, ApiKeys]:
    """A fresh key, and the keys with it."""
    key = KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)
    return key, keys.with_key(key, ApiCaller("board", role))


def address_of(host: str, port: int, key: str) -> str:
    """Where the board is. The key stands behind `#`, which browsers keep to themselves: it is in no request line and no log of a server."""
    named = f"[{host}]" if ":" in host else host
    return f"http://{named}:{port}/board/#key={key}"
