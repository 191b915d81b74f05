"""`unimargin account may-open`: would this order be allowed? The question a trading desk asks before it sends one."""

from typing import Annotated

import msgspec
import typer
from rich.console import RenderableType
from rich.text import Text

from engine.analytics.pre_trade import OrderReason
from engine.inputs import MarginMode
from engine.ledger.accounts import OpenOrder
from engine.numbers import exact
from streams.answers.account_read import AccountReading, read_account
from streams.answers.asked_changes import AskedOrder, order_at
from streams.answers.order_report import HedgeLeg, MayOpenReport, Side, order_report
from streams.cli.whatif.whatif_args import above_zero, number, order_of
from streams.config.invocation import (
    EXIT_PROBLEM,
    AccountArgument,
    ConfigOption,
    JsonOption,
    run,
    tell_mistakes,
)
from streams.config.settings import SettingsError, load_settings
from streams.config.terminal import amount, present, printable, table

_WORDS = {
    OrderReason.COVERED: "the collateral covers the initial margin with it resting, and with it filled",
    OrderReason.REDUCES_RISK: "it raises no requirement",
    OrderReason.INSUFFICIENT_MARGIN: "the collateral would not cover the initial margin",
    OrderReason.UNKNOWN_INSTRUMENT: "the policy does not list the instrument",
    OrderReason.ACCOUNT_STOPPED: "an input of the account was refused; see `unimargin account show`",
    OrderReason.DEGRADED: "a price that the answer needs is stale or missing",
    OrderReason.REDUCE_ONLY: "the account may only reduce; see `unimargin account show`",
    OrderReason.LOCKED: "the account is in liquidation; see `unimargin account show`",
}


@tell_mistakes
def may_open_command(
    account: AccountArgument,
    order: Annotated[
        str | None,
        typer.Option(
            metavar="SYMBOL buy|sell QTY [PRICE] [long|short]",
            help="The order, as `unimargin whatif` takes it; without PRICE at its mark.",
            show_default=False,
        ),
    ] = None,
    symbol: Annotated[
        str | None, typer.Option(help="The order in parts: its instrument.", show_default=False)
    ] = None,
    side: Annotated[Side | None, typer.Option(help="... its side.", show_default=False)] = None,
    quantity: Annotated[
        str | None, typer.Option(help="... contracts, or base units of a spot pair.", show_default=False)
    ] = None,
    price: Annotated[str | None, typer.Option(help="... limit price.", show_default=False)] = None,
    isolated: Annotated[  # noqa: FBT002 - an option of the command line
        bool, typer.Option("--isolated", help="With its own margin, not the shared pool's.")
    ] = False,
    reduce_only: Annotated[  # noqa: FBT002 - an option of the command line
        bool, typer.Option("--reduce-only", help="May only make a position smaller.")
    ] = False,
    leg: Annotated[HedgeLeg | None, typer.Option(help="... in hedge mode the leg it belongs to.")] = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Say whether an order may open, what it requires, and what stays available. Exit code 0: allowed, 1: refused.

    Examples:
      unimargin account may-open alice --order BTC-USDT-PERP buy 0.5 60000
    """
    asked = _asked(order, symbol, side, quantity, price, leg)
    read = run(read_account(load_settings(config), account))
    resting = msgspec.structs.replace(_open_order(asked, read), isolated=isolated, reduce_only=reduce_only)
    report = order_report(read, resting)
    present(report, _renderables, as_json=as_json)
    if not report.allowed:
        raise typer.Exit(EXIT_PROBLEM)


def _asked(
    order: str | None,
    symbol: str | None,
    side: Side | None,
    quantity: str | None,
    price: str | None,
    leg: HedgeLeg | None,
) -> AskedOrder:
    """The order, from one option or from its parts. Raises `SettingsError`."""
    if order is not None:
        if any(it is not None for it in (symbol, side, quantity, price, leg)):
            raise SettingsError(
                "--order says all of it: leave --symbol, --side, --quantity, --price and --leg out"
            )
        return order_of(order)
    if symbol is None or side is None or quantity is None or price is None:
        raise SettingsError(
            "say the order: --order SYMBOL buy|sell QTY [PRICE], or all of --symbol, --side, --quantity and --price"
        )
    return AskedOrder(
        symbol=symbol,
        side=side.value,
        quantity=above_zero("--quantity", quantity, "; --side says buy or sell"),
        price=number("--price", price),
        leg=None if leg is None else leg.value,
    )


def _open_order(asked: AskedOrder, read: AccountReading) -> OpenOrder:
    if asked.price is None:
        return order_at(asked, read.state, read.prices, read.policy)
    size = asked.quantity if asked.side == "buy" else -asked.quantity
    return OpenOrder(symbol=asked.symbol, quantity=size, price=asked.price, leg=asked.leg)


def _renderables(report: MayOpenReport) -> list[RenderableType]:
    order = report.order
    words = [f"{order.side} {amount(order.quantity)} {printable(order.symbol)} at {amount(order.price)}"]
    words += [order.leg] if order.leg else []
    words += ["isolated"] if order.mode is MarginMode.ISOLATED else []
    words += ["reduce only"] if order.reduce_only else []
    verdict = Text(
        "ALLOWED" if report.allowed else "REFUSED", style="bold green" if report.allowed else "bold red"
    )
    verdict.append(f"  {printable(report.account)}: {', '.join(words)}", style="default not bold")
    rows = table(
        f"In {report.currency} (policy {report.policy} {report.policy_digest})", ["", "value"], ["value"]
    )
    rows.add_row("initial margin that the order adds", amount(report.requirement))
    rows.add_row("available before", amount(report.available_before))
    before, after = report.available_before, report.available_after
    with exact():
        # available is never below 0: what the pool is short of without the order shows only in the difference
        short = before - report.requirement - after
    if short:
        rows.add_row("short of its initial margin already", Text(amount(short), style="red"))
    rows.add_row("available after", Text(amount(after), style="red" if after < 0 else ""))
    reason = Text(f"{report.reason}: {_WORDS[report.reason]}")
    if report.degraded_reasons:
        reason.append(f" ({'; '.join(report.degraded_reasons)})", style="yellow")
    return [verdict, reason, rows]
