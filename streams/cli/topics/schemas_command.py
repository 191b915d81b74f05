"""`unimargin schemas`: the contract of the topics, as JSON Schemas and as an AsyncAPI document."""

import json
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from engine.events.effects import RiskEvent
from engine.inputs import FillsInput, LedgerInput, PriceInput
from streams.asyncapi.json_schemas import component_schemas
from streams.asyncapi.message_catalogue import EVENT_HEADERS, HEADER_SCHEMAS, QUARANTINE_HEADERS
from streams.config.invocation import ConfigOption, tell_mistakes
from streams.config.settings import SettingsError, load_settings

app = typer.Typer(no_args_is_help=True, help="The contract of the topics: JSON Schemas, AsyncAPI.")

DIALECT = "https://json-schema.org/draft/2020-12/schema"


@app.callback()
def schemas() -> None:
    """The contract of the topics: JSON Schemas, AsyncAPI."""


@app.command()
@tell_mistakes
def export(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Made if missing.", show_default=False)],
) -> None:
    """Write one schema a file to DIR: messages of fills, ledger and prices, risk events, and the headers of what is sent.

    Examples:
      unimargin schemas export schemas
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, schema in every_schema().items():
            path = directory / f"{name}.schema.json"
            path.write_text(_text(schema, sort_keys=True), encoding="utf-8")
            typer.echo(path)
    except OSError as error:
        raise SettingsError(f"cannot write to {directory}: {error.strerror}") from None


@app.command()
@tell_mistakes
def asyncapi(
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write it there.")] = None,
    config: ConfigOption = None,
) -> None:
    """Print the AsyncAPI 3.0 document, in JSON: topics, messages and real examples, for the brokers and topics of the settings.

    Examples:
      unimargin schemas asyncapi --out asyncapi.json
    """
    # here, because it runs the engine for its examples, and the schemas alone need no engine
    from streams.asyncapi.asyncapi_document import asyncapi_document  # noqa: PLC0415

    text = _text(asyncapi_document(load_settings(config)))
    if out is None:
        typer.echo(text, nl=False)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"cannot write to {out}: {error.strerror}") from None


def every_schema() -> dict[str, dict[str, Any]]:
    """JSON Schema by file name; `risk-event` is the data of every event on margin-events and liquidations."""
    named = {
        "fills": _standalone(*get_args(FillsInput)),
        "ledger": _standalone(*get_args(LedgerInput)),
        "prices": _standalone(*get_args(PriceInput)),
        "risk-event": _standalone(RiskEvent),
        "event-headers": HEADER_SCHEMAS[EVENT_HEADERS],
        "quarantine-headers": HEADER_SCHEMAS[QUARANTINE_HEADERS],
    }
    return {
        name: {"$schema": DIALECT, **schema, "title": f"unimargin {name}"} for name, schema in named.items()
    }


def _standalone(*kinds: type) -> dict[str, Any]:
    """One schema for a message of any of these kinds."""
    return {
        "anyOf": [{"$ref": f"#/$defs/{kind.__name__}"} for kind in kinds],
        "$defs": component_schemas(kinds, "#/$defs/{name}"),
    }


def _text(document: dict[str, Any], *, sort_keys: bool = False) -> str:
    return json.dumps(document, indent=2, sort_keys=sort_keys, ensure_ascii=False) + "\n"
