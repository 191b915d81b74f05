"""`unimargin api`: serve the HTTP API; make keys for it."""

import asyncio
from typing import Annotated

import typer

from streams.config.invocation import ConfigOption, tell_mistakes
from streams.config.logs import configure_logs
from streams.config.problem import Problem
from streams.config.settings import load_settings
from streams.desk.api_keys import ApiRole, new_key

app = typer.Typer(help="Serve the HTTP API: accounts, what-if, stress, liquidations, events as they happen.")


@app.callback(invoke_without_command=True)
@tell_mistakes
def api(ctx: typer.Context, config: ConfigOption = None) -> None:
    """Serve the HTTP API: accounts, what-if, stress, liquidations, events as they happen.

    It reads Redis and the event topics and writes no account's state. Its schema is at /schema; `api new-key` makes keys.
    """
    if ctx.invoked_subcommand is not None:
        return
    try:
        from streams.desk.api_server import run_api  # noqa: PLC0415 - the web server is an extra, and not needed for keys
    except ModuleNotFoundError as error:
        raise Problem(f"{error.name} is not installed; install unimargin[desk]") from None
    settings = load_settings(config)
    configure_logs(settings.log_level)
    with asyncio.Runner() as runner:
        runner.run(run_api(settings))


@app.command("new-key")
@tell_mistakes
def make_key(
    name: Annotated[
        str, typer.Argument(help="Whose: on record where it is an operator's.", show_default=False)
    ],
    role: Annotated[ApiRole, typer.Option(help="What it allows.", show_default=False)],
) -> None:
    """Make a key: print it once, and the lines for the file that UNIMARGIN_API_KEYS_FILE names."""
    key, lines = new_key(name, role)
    typer.echo(f"# the key, shown this once: {key}", err=True)
    typer.echo(lines, nl=False)
