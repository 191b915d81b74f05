"""`unimargin adl`: in which order the profitable holders of a contract would be deleveraged, over all accounts of all shards."""

import time
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Annotated

import msgspec
import typer

from engine.liquidation.adl_holders import Side
from engine.liquidation.adl_risk import AdlState
from engine.liquidation.deleveraging import Closing, closing_short_of
from engine.liquidation.fund_groups import FundBalance, fund_of, fund_value
from engine.margin.quotes import index_price
from engine.marks.mark_book import Prices
from engine.numbers import ZERO, amount_fault, canonical
from engine.policy import Policy
from engine.policy.rules.policy_switches import AdlRanking, DeleveragedSize, Deleveraging
from streams.answers.adl_standing import adl_standing
from streams.answers.holders import Held, holders_of
from streams.answers.shelf import open_counted_shelf, open_shelf
from streams.cli.liquidations.adl_report import HeldSide, queue_report, queue_summary, queue_table
from streams.config.invocation import ConfigOption, JsonOption, run, tell_mistakes
from streams.config.near_names import nearest_listed
from streams.config.settings import Settings, SettingsError, load_settings
from streams.config.terminal import console, json_out
from streams.kafka.fund_reader import read_funds
from streams.store.policy_store import policy_in_use


@tell_mistakes
def adl(
    symbol: Annotated[str, typer.Argument(metavar="SYMBOL", help="The contract.", show_default=False)],
    side: Annotated[
        HeldSide,
        typer.Argument(metavar="long|short", help="Whose: a liquidated long is closed against the shorts."),
    ],
    shortfall: Annotated[
        str, typer.Option(help="Account currency that a takeover would leave unpaid: who bears it?")
    ] = "0",
    price: Annotated[
        str | None, typer.Option(help="Bankruptcy price of the takeover, at which winners are closed.")
    ] = None,
    fund: Annotated[
        str | None,
        typer.Option(
            help="Account currency in the insurance fund, which pays first; default: what the fund's topic says of the contract."
        ),
    ] = None,
    rule: Annotated[
        Deleveraging | None, typer.Option(help="How it is spread; default: the policy's.")
    ] = None,
    size: Annotated[
        DeleveragedSize | None, typer.Option(help="How much is closed; default: the policy's.")
    ] = None,
    ranking: Annotated[
        AdlRanking | None, typer.Option(help="What decides who is first; default: the policy's.")
    ] = None,
    neutral_last: Annotated[
        bool | None, typer.Option(help="Whether hedged accounts come last; default: the policy's.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many.")] = 20,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Show how near auto-deleveraging of a contract is, and its queue, by default by profit times leverage.

    With --shortfall and --price: what the insurance fund would pay of it, which holders would be closed, and what they give up.

    Examples:
      unimargin adl BTC-USDT-PERP short
      unimargin adl BTC-USDT-PERP short --shortfall 50000 --price 61000 --fund 20000
    """
    settings = load_settings(config)
    asked = {"rule": rule, "size": size, "ranking": ranking, "neutral_last": neutral_last}
    policy = _under(run(policy_in_use(settings)), asked)
    if symbol not in policy.contracts:
        near = nearest_listed(symbol, policy.contracts)
        raise SettingsError(f"SYMBOL {symbol!r}: not a contract of this policy; {near}")
    deficit = _payable("--shortfall", shortfall)
    given = None if fund is None else _payable("--fund", fund)
    if deficit and price is None:
        raise SettingsError(
            "--shortfall: say at which --price the position is taken over: closing there is what winners give"
        )
    now_ns = time.time_ns()
    holders = run(_holders(settings, policy, (symbol, side.value), now_ns))
    closing = None
    if deficit and price is not None and holders.prices is not None:
        at = _payable("--price", price, signed=symbol in policy.price_scales)
        closing = _closing(deficit, at, symbol, side, holders.prices, policy)
    paying = fund_of(symbol, run(read_funds(settings))) if settings.fund_topic_enabled else None
    risk = None if paying is None else run(_standing(settings, symbol))
    in_fund = _in_fund(paying, holders.prices, policy) if given is None else given
    report = queue_report(holders, symbol, side, risk, deficit, in_fund, closing, limit, policy, now_ns)
    if as_json:
        json_out(report)
        return
    out = console()
    out.print(queue_table(report))
    for line in queue_summary(report):
        out.print(line)


async def _holders(settings: Settings, policy: Policy, side: tuple[str, Side], now_ns: int) -> Held:
    async with open_counted_shelf(settings) as shelf:
        return await holders_of(shelf, policy, [side], now_ns, with_equities=True)


async def _standing(settings: Settings, symbol: str) -> AdlState:
    async with open_shelf(settings) as shelf:
        return await adl_standing(shelf, symbol)


def _under(policy: Policy, asked: Mapping[str, object]) -> Policy:
    """The policy with the deleveraging that was asked for."""
    changes = {name: value for name, value in asked.items() if value is not None}
    rules = msgspec.structs.replace(policy.deleveraging, **changes)
    return msgspec.structs.replace(policy, deleveraging=rules) if changes else policy


def _closing(
    deficit: Decimal, price: Decimal, symbol: str, side: HeldSide, prices: Prices, policy: Policy
) -> Closing:
    """The position whose takeover at `price` leaves `deficit` unpaid. Raises `SettingsError` where none does."""
    mark = prices.marks.get(symbol)
    if mark is None:
        raise SettingsError(f"SYMBOL {symbol!r}: has no price yet")
    instrument = policy.instruments[symbol]
    index, _ = index_price(policy, instrument.settle, prices)
    closing = closing_short_of(
        deficit, price, mark.price, index, instrument, taken_long=side is HeldSide.SHORT
    )
    if closing is None:
        where = "above" if side is HeldSide.SHORT else "below"
        raise SettingsError(
            f"--price: a takeover leaves something unpaid only {where} the mark, {mark.price}"
        )
    return closing


def _in_fund(fund: FundBalance | None, prices: Prices | None, policy: Policy) -> Decimal:
    """What the contract's fund is worth; 0 where none is stated."""
    return ZERO if fund is None or prices is None else fund_value(fund, prices, policy)


def _payable(option: str, text: str, *, signed: bool = False) -> Decimal:
    """An amount of money, 0 or more unless `signed`. Raises `SettingsError`."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise SettingsError(f"{option}: {text!r} is not a number; write it like 0.25") from None
    fault = amount_fault(value) or ("is below 0" if value < 0 and not signed else None)
    if fault is not None:
        raise SettingsError(f"{option}: {text!r} {fault}")
    return canonical(value)
