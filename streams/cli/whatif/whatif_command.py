"""`unimargin whatif`: the account after a price move, an order or a deposit, beside what it is now."""

from typing import Annotated

import typer

from streams.answers.account_read import read_account
from streams.answers.asked_changes import check_shocks
from streams.answers.whatif_report import Asked, what_if
from streams.cli.whatif.whatif_args import deposit_of, order_of, shock_of
from streams.cli.whatif.whatif_tables import renderables
from streams.config.invocation import AccountArgument, ConfigOption, JsonOption, run, tell_mistakes
from streams.config.settings import load_settings
from streams.config.terminal import present


@tell_mistakes
def whatif(
    account: AccountArgument,
    shock: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=-15%",
            help="Move prices: of a price symbol that one; of an underlying (BTC) its index, all contracts on it by the "
            "same factor and its options by Black-76; of ALL every underlying but currencies (what contracts settle in). "
            "The most specific one wins.",
        ),
    ] = None,
    order: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SYMBOL buy|sell QTY [PRICE] [long|short]",
            help="Fill an order whole in the shared pool, without a fee, at PRICE or at its mark before the shocks.",
        ),
    ] = None,
    deposit: Annotated[
        list[str] | None, typer.Option(metavar="ASSET AMOUNT", help="Credit collateral to the wallet.")
    ] = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Show an account's figures as they are and as they would be: deposits, then orders, then shocks.

    Each option may be given several times. Without any: how far the whole market may move to each line.
    """
    asked = Asked(
        deposits=tuple(map(deposit_of, deposit or ())),
        orders=tuple(map(order_of, order or ())),
        shocks=tuple(map(shock_of, shock or ())),
    )
    read = run(read_account(load_settings(config), account))
    check_shocks(asked.shocks, read.policy)
    report = what_if(read, asked)
    present(report, renderables, as_json=as_json)
