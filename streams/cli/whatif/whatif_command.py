"""`unimargin whatif`: the account after a price move, an order or a deposit, beside what it is now."""

import time
from typing import Annotated

import typer

from engine.policy import Policy
from streams.answers.account_read import read_account
from streams.answers.asked_changes import check_shocks
from streams.answers.shelf import open_counted_shelf
from streams.answers.whatif_book import WhatIfBook, what_if_all
from streams.answers.whatif_report import Asked, what_if
from streams.cli.whatif.whatif_args import deposit_of, order_of, shock_of
from streams.cli.whatif.whatif_book_tables import book_renderables
from streams.cli.whatif.whatif_tables import renderables
from streams.config.invocation import ConfigOption, JsonOption, OptionalAccount, run, tell_mistakes
from streams.config.settings import Settings, SettingsError, load_policy, load_settings
from streams.config.terminal import present

LIMIT = 20


@tell_mistakes
def whatif(
    account: OptionalAccount = None,
    every: Annotated[  # noqa: FBT002 - an option of the command line
        bool, typer.Option("--all", help="Instead of one account: which of all come into another band.")
    ] = False,
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
    limit: Annotated[
        int | None,
        typer.Option(
            min=1, max=10_000, help="With --all: name at most so many, the riskiest first [default: 20]"
        ),
    ] = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Show an account's figures as they are and as they would be: deposits, then orders, then shocks.

    Each option may be given several times. Without any: how far the whole market may move to each line.
    With --all and --shock: the accounts that come into another band; every account is valued twice, half a minute for 100,000.

    Examples:
      unimargin whatif alice --order BTC-USDT-PERP buy 2 --shock BTC=-15%
      unimargin whatif alice --deposit USDT 5000
      unimargin whatif --all --shock BTC=-15%
    """
    asked = Asked(
        deposits=tuple(map(deposit_of, deposit or ())),
        orders=tuple(map(order_of, order or ())),
        shocks=tuple(map(shock_of, shock or ())),
    )
    if every:
        _check_all(account, asked)
        settings = load_settings(config)
        policy = load_policy(settings.policy_file)
        check_shocks(asked.shocks, policy)
        moved = run(_all(settings, policy, asked, LIMIT if limit is None else limit))
        present(moved, book_renderables, as_json=as_json)
        return
    if account is None or limit is not None:
        raise SettingsError("say which account: its ID, or --all (and --limit, if wanted) for all of them")
    read = run(read_account(load_settings(config), account))
    check_shocks(asked.shocks, read.policy)
    report = what_if(read, asked)
    present(report, renderables, as_json=as_json)


def _check_all(account: str | None, asked: Asked) -> None:
    """Raise `SettingsError` for what cannot be asked of everybody."""
    if account is not None:
        raise SettingsError("say either one account or --all")
    if asked.orders or asked.deposits:
        raise SettingsError("--all takes neither --order nor --deposit: they belong to one account")
    if not asked.shocks:
        raise SettingsError("--all: say what moves, like --shock BTC=-15%")


async def _all(settings: Settings, policy: Policy, asked: Asked, limit: int) -> WhatIfBook:
    async with open_counted_shelf(settings) as shelf:
        return await what_if_all(shelf, policy, asked.shocks, limit, time.time_ns())
