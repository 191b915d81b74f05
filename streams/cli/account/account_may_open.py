"""`unimargin account may-open`: would this order be allowed? The question a trading desk asks before it sends one."""

import difflib
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Annotated

import msgspec
import typer
from rich.console import RenderableType
from rich.text import Text

from engine.analytics.pre_trade import OrderReason, OrderVerdict, may_open
from engine.events.pools import CROSS
from engine.inputs import MarginMode
from engine.ledger.accounts import AccountState, OpenOrder
from engine.numbers import amount_fault, canonical, exact
from engine.policy import Policy
from engine.policy.rules.policy_switches import InstrumentKind
from engine.position_keys import leg_of, position_key, symbol_of
from streams.cli.account.account_read import AccountReading, read_account
from streams.cli.account.account_report import degraded_reasons
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

_ASKED = "asked"


class Side(StrEnum):
    """Of an order."""

    BUY = "buy"
    SELL = "sell"


class HedgeLeg(StrEnum):
    """Of a symbol in hedge mode."""

    LONG = "long"
    SHORT = "short"


class AskedOrder(msgspec.Struct, frozen=True, kw_only=True):
    """The order as it was asked about."""

    symbol: str
    leg: str | None
    mode: MarginMode
    side: Side
    quantity: Decimal
    price: Decimal
    reduce_only: bool


class MayOpenReport(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict; amounts in account currency."""

    account: str
    currency: str
    policy: str
    policy_digest: str
    order: AskedOrder
    allowed: bool
    reason: OrderReason
    degraded_reasons: tuple[str, ...]
    """What the answer lacks, where the reason says degraded or stopped."""
    requirement: Decimal
    """What the order requires on top; < 0 where it frees margin."""
    available_before: Decimal
    available_after: Decimal
    """Below 0 is what is missing."""


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
    report = _report(run(read_account(load_settings(config), account)), order)
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


def _report(read: AccountReading, order: OpenOrder) -> MayOpenReport:
    state, policy = read.state, read.policy
    _check(order, state, policy)
    verdict = may_open(state, read.risk.pools, order, read.prices, policy)
    return MayOpenReport(
        account=state.account,
        currency=policy.account_currency,
        policy=policy.name,
        policy_digest=policy.digest,
        order=AskedOrder(
            symbol=order.symbol,
            leg=order.leg,
            mode=MarginMode.ISOLATED if order.isolated else MarginMode.CROSS,
            side=Side.BUY if order.quantity > 0 else Side.SELL,
            quantity=abs(order.quantity),
            price=order.price,
            reduce_only=order.reduce_only,
        ),
        allowed=verdict.allowed,
        reason=verdict.reason,
        degraded_reasons=_lacking(read, order, verdict),
        requirement=canonical(verdict.initial_margin),
        available_before=canonical(verdict.available_margin),
        available_after=canonical(verdict.available_after),
    )


def _check(order: OpenOrder, state: AccountState, policy: Policy) -> None:
    """Raise `SettingsError` for an order that cannot be meant."""
    instrument = policy.instruments.get(order.symbol)
    if instrument is None:
        near = difflib.get_close_matches(order.symbol.upper(), policy.instruments, n=2)
        hint = f"did you mean {' or '.join(near)}?" if near else "symbols are named as in the policy file"
        raise SettingsError(f"--symbol {order.symbol!r} is not listed in policy {policy.name!r}; {hint}")
    if order.price <= 0 and not instrument.negative_prices:
        raise SettingsError(f"--price '{order.price}' must be above zero for {order.symbol}")
    if instrument.kind in {InstrumentKind.SPOT, InstrumentKind.OPTION} and order.isolated:
        what = "a spot pair" if instrument.kind is InstrumentKind.SPOT else "an option"
        raise SettingsError(
            f"--isolated: {order.symbol} is {what}, margined in the shared pool only; leave it out"
        )
    if instrument.kind is InstrumentKind.SPOT and order.leg:
        raise SettingsError(f"--leg: {order.symbol} is a spot pair, which has no legs; leave it out")
    modes = {
        leg_of(key) is not None
        for key in {*state.positions, *state.isolated}
        if symbol_of(key) == order.symbol
    }
    if modes == {True} and order.leg is None:
        raise SettingsError(f"the account holds {order.symbol} in hedge mode: say --leg long or --leg short")
    if modes == {False} and order.leg is not None:
        raise SettingsError(f"the account holds {order.symbol} in one-way mode: leave --leg out")


def _lacking(read: AccountReading, order: OpenOrder, verdict: OrderVerdict) -> tuple[str, ...]:
    if verdict.reason not in {OrderReason.DEGRADED, OrderReason.ACCOUNT_STOPPED}:
        return ()
    state, prices, policy = read.state, read.prices, read.policy
    asked = msgspec.structs.replace(state, orders={**state.orders, _ASKED: order})
    pools = [CROSS, position_key(order.symbol, order.leg)] if order.isolated else [CROSS]
    found = (reason for pool in pools for reason in degraded_reasons(asked, pool, prices, policy))
    return tuple(dict.fromkeys(found))


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
