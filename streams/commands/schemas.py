"""`unimargin schemas`: the contract of the topics as JSON Schema."""

import json
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from engine.effects import RiskEvent
from streams.codec import json_schemas
from streams.commands.common import tell_mistakes
from streams.settings import SettingsError

app = typer.Typer(no_args_is_help=True, help="The contract of the topics as JSON Schema.")

DIALECT = "https://json-schema.org/draft/2020-12/schema"


@app.callback()
def schemas() -> None:
    """The contract of the topics as JSON Schema."""


@app.command()
@tell_mistakes
def export(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Made if missing.", show_default=False)],
) -> None:
    """Write one schema a file to DIR: messages of fills, ledger and prices, and risk events."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, schema in every_schema().items():
            path = directory / f"{name}.schema.json"
            path.write_text(json.dumps(schema, indent=2, sort_keys=True) + "\n", encoding="utf-8")
            typer.echo(path)
    except OSError as error:
        raise SettingsError(f"cannot write to {directory}: {error.strerror}") from None


def every_schema() -> dict[str, dict[str, Any]]:
    """JSON Schema by file name; `risk-event` is the data of every event on margin-events and liquidations."""
    named = {**json_schemas(), "risk-event": msgspec.json.schema(RiskEvent)}
    return {
        name: {"$schema": DIALECT, "title": f"unimargin {name}", **schema} for name, schema in named.items()
    }
