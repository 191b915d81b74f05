"""The command line: `unimargin COMMAND`."""

from importlib.metadata import version
from typing import Annotated

import typer

from streams.commands import account, bench, events, policy, quarantine, schemas, topics
from streams.commands.adl import adl
from streams.commands.demo import demo
from streams.commands.doctor import doctor
from streams.commands.explain import explain
from streams.commands.heatmap import heatmap
from streams.commands.liquidations import liquidations
from streams.commands.replay import replay
from streams.commands.simulate import simulate
from streams.commands.whatif import whatif
from streams.commands.whatif_args import WordsCommand
from streams.commands.worker import worker
from streams.feed.command import feed

app = typer.Typer(
    name="unimargin",
    help="Streaming risk pipeline for unified margin.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(worker)
app.command()(doctor)
app.command()(demo)
app.command()(feed)
app.command()(simulate)
app.command(cls=WordsCommand)(whatif)
app.command()(explain)
app.command()(heatmap)
app.command()(liquidations)
app.command()(adl)
app.command()(replay)
app.add_typer(topics.app, name="topics")
app.add_typer(account.app, name="account")
app.add_typer(events.app, name="events")
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(policy.app, name="policy")
app.add_typer(schemas.app, name="schemas")
app.add_typer(bench.app, name="bench")


def _say_version(wanted: bool) -> None:  # noqa: FBT001 - the option's callback
    if wanted:
        typer.echo(f"unimargin {version('unimargin')}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[  # noqa: FBT002 - an option of the command line
        bool,
        typer.Option("--version", callback=_say_version, is_eager=True, help="Say the version and leave."),
    ] = False,
) -> None:
    """Streaming risk pipeline for unified margin."""


def main() -> None:
    """Entry point of the installed command."""
    app()


if __name__ == "__main__":
    main()
