"""`unimargin policy`: look at a policy file, and put it in force."""

from pathlib import Path
from typing import Annotated

import typer

from engine.analytics.full_use import born_below
from engine.policy import Policy
from streams.cli.lazy_commands import CommandGroup
from streams.cli.policy import policy_import
from streams.cli.policy.policy_activate import activate_command
from streams.cli.policy.policy_responsiveness import responsiveness_command
from streams.cli.policy.policy_rows import (
    beta_rows,
    borrow_rows,
    collateral_rows,
    size_rows,
    tier_rows,
    unit_rows,
)
from streams.cli.policy.policy_sample import sample_account
from streams.cli.policy.policy_shipped import init_command, list_command, show_command
from streams.cli.policy.policy_tables import renderables
from streams.config.invocation import JsonOption, tell_mistakes
from streams.config.settings import SettingsError, load_policy
from streams.config.terminal import amount, console, json_out, table

app = typer.Typer(no_args_is_help=True, help="Policy files: the rule book of an exchange.")
app.command("list")(list_command)
app.command("show")(show_command)
app.command("init")(init_command)
app.command("responsiveness")(responsiveness_command)
app.command("activate")(activate_command)
app.add_typer(policy_import.app, name="import", cls=CommandGroup)


@app.callback()
def policy() -> None:
    """Policy files: the rule book of an exchange."""


@app.command()
@tell_mistakes
def check(
    file: Annotated[Path, typer.Argument(help="Policy file (TOML).", show_default=False)],
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
) -> None:
    """Load FILE as a worker would; say what it rules and means for a sample account, or which rule it breaks.

    Refused as well is a policy under which an account that uses its margin to the full is born in warning.

    Examples:
      unimargin policy check mine.toml
    """
    loaded = load_policy(file)
    _check_full_use(loaded)
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
                "betas": beta_rows(loaded),
                "sample_account": sample,
            }
        )
        return
    rows = table(f"Policy {file}", ["", "valid"])
    for name, value in facts.items():
        rows.add_row(name.replace("_", " "), str(value))
    console().print(rows, *renderables(loaded, sample))


def _check_full_use(policy: Policy) -> None:
    """Raise `SettingsError` where a fully used account would stand below the first line."""
    below = born_below(policy)
    if below:
        worst = min(below, key=lambda it: it.ratio)
        where = (
            worst.item
            if worst.notional is None
            else f"{worst.item} at a notional of {amount(worst.notional)}"
        )
        raise SettingsError(
            f"ladder.warning: an account that uses its margin to the full would be born below it ({amount(policy.ladder.warning)}): "
            f"IM is {amount(worst.ratio)} times what is required in {where}, and too little in {len(below)} in all; "
            "lower the line, or raise the initial margin"
        )
