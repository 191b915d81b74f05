"""`unimargin policy`: look at a policy file before it is put in force."""

from pathlib import Path
from typing import Annotated

import typer

from streams.commands.common import JsonOption, tell_mistakes
from streams.commands.output import console, json_out, table
from streams.settings import load_policy

app = typer.Typer(no_args_is_help=True, help="Policy files: the rule book of an exchange.")


@app.callback()
def policy() -> None:
    """Policy files: the rule book of an exchange."""


@app.command()
@tell_mistakes
def check(
    file: Annotated[Path, typer.Argument(help="Policy file (TOML).", show_default=False)],
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
) -> None:
    """Load FILE as a worker would, and say what it is or which rule it breaks."""
    loaded = load_policy(file)
    facts = {
        "name": loaded.name,
        "digest": loaded.digest,
        "account_currency": loaded.account_currency,
        "instruments": len(loaded.instruments),
        "assets": len(loaded.assets),
        "price_symbols": len(loaded.price_symbols),
    }
    if as_json:
        json_out(facts)
        return
    rows = table(f"Policy {file}", ["", "valid"])
    for name, value in facts.items():
        rows.add_row(name.replace("_", " "), str(value))
    console().print(rows)
