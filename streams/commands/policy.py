"""`unimargin policy`: look at a policy file before it is put in force."""

from pathlib import Path
from typing import Annotated

import typer

from streams.commands import policy_import
from streams.commands.common import JsonOption, tell_mistakes
from streams.commands.output import console, json_out, table
from streams.commands.policy_rows import borrow_rows, collateral_rows, size_rows, tier_rows, unit_rows
from streams.commands.policy_sample import sample_account
from streams.commands.policy_tables import renderables
from streams.settings import load_policy

app = typer.Typer(no_args_is_help=True, help="Policy files: the rule book of an exchange.")
app.add_typer(policy_import.app, name="import")


@app.callback()
def policy() -> None:
    """Policy files: the rule book of an exchange."""


@app.command()
@tell_mistakes
def check(
    file: Annotated[Path, typer.Argument(help="Policy file (TOML).", show_default=False)],
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
) -> None:
    """Load FILE as a worker would; say what it rules and means for a sample account, or which rule it breaks."""
    loaded = load_policy(file)
    facts = {
        "name": loaded.name,
        "digest": loaded.digest,
        "account_currency": loaded.account_currency,
        "instruments": len(loaded.instruments),
        "assets": len(loaded.assets),
        "price_symbols": len(loaded.price_symbols),
    }
    sample = sample_account(loaded)
    if as_json:
        json_out(
            facts
            | {
                "tiers": tier_rows(loaded),
                "size_rates": size_rows(loaded),
                "collateral": collateral_rows(loaded),
                "liabilities": borrow_rows(loaded),
                "risk_units": unit_rows(loaded),
                "sample_account": sample,
            }
        )
        return
    rows = table(f"Policy {file}", ["", "valid"])
    for name, value in facts.items():
        rows.add_row(name.replace("_", " "), str(value))
    console().print(rows, *renderables(loaded, sample))
