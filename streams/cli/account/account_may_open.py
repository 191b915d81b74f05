"""`unimargin account may-open`: would this order be allowed? The question a trading desk asks before it sends one."""

from decimal import Decimal, InvalidOperation
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from engine.analytics.pre_trade import OrderReason
from engine.inputs import MarginMode
from engine.ledger.accounts import OpenOrder
from engine.numbers import amount_fault, canonical, exact
from streams.answers.account_read import read_account
from streams.answers.order_report import HedgeLeg, MayOpenReport, Side, order_report
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
    symbol: Annotated[str, typer.Option(help="The instrument, as the policy lists it.", show_default=False)],
    side: Annotated[Side, typer.Option(help="Of the order.", show_default=False)],
    quantity: Annotated[
        str, typer.Option(help="Contracts, or base units of a spot pair.", show_default=False)
    ],
    price: Annotated[str, typer.Option(help="Limit price.", show_default=False)],
    isolated: Annotated[  # noqa: FBT002 - an option of the command line
        bool, typer.Option("--isolated", help="With its own margin, not the shared pool's.")
    ] = False,
    reduce_only: Annotated[  # noqa: FBT002 - an option of the command line
        bool, typer.Option("--reduce-only", help="May only make a position smaller.")
    ] = False,
    leg: Annotated[HedgeLeg | None, typer.Option(help="In hedge mode: the leg it belongs to.")] = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Say whether an order may open, what it requires, and what stays available. Exit code 0: allowed, 1: refused."""
    size, limit = _above_zero("--quantity", quantity), _number("--price", price)
    order = OpenOrder(
        symbol=symbol,
        quantity=size if side is Side.BUY else -size,
        price=limit,
        isolated=isolated,
        reduce_only=reduce_only,
        leg=None if leg is None else leg.value,
    )
    report = order_report(run(read_account(load_settings(config), account)), order)
    present(report, _renderables, as_json=as_json)
    if not report.allowed:
        raise typer.Exit(EXIT_PROBLEM)


def _number(option: str, text: str) -> Decimal:
    """A decimal number. Raises `SettingsError`."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise SettingsError(f"{option} {text!r} is not a number; write it like 0.25") from None
    fault = amount_fault(value)
    if fault is not None:
        raise SettingsError(f"{option} {text!r} {fault}")
    return canonical(value)


def _above_zero(option: str, text: str) -> Decimal:
    value = _number(option, text)
    if value <= 0:
        raise SettingsError(f"{option} {text!r} must be above zero; --side says buy or sell")
    return value


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
