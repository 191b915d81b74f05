"""Leverage brackets and exchange information of Binance's futures, also as bots and libraries keep them.

    brackets    [{symbol, brackets: [{notionalFloor | qtyFloor, initialLeverage, maintMarginRatio, cum}]}]
                the answer of GET /fapi/v1/leverageBracket and /dapi/v2/leverageBracket, or one element of it
                {symbol: [{info: {the same bracket}}]}      as trading libraries keep it, "BTC/USDT:USDT-250328"
    filters     {symbols: [{symbol, contractType, baseAsset, quoteAsset, marginAsset, filters: [...]}]}
                the answer of GET /fapi/v1/exchangeInfo and /dapi/v1/exchangeInfo
                {symbol: {base_asset, quote_asset, tick_size, step_size}}       a digest of it

A bracket's largest leverage gives its initial rate, 1 / leverage. `cum`, the published maintenance amount, becomes
the tier's deduction, so loading the text proves that the table has no jumps.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from engine.numbers import ONE, divide
from engine.policy.reading.imported import Imported
from engine.policy.reading.policy_checks import PolicyError
from engine.policy.reading.venue_document import (
    DELIVERY_HOUR_UTC,
    Row,
    moment,
    named_day,
    number,
    positive,
    word,
)
from engine.policy.rules.instrument_rules import Instrument, RiskTier
from engine.policy.rules.policy_switches import InstrumentKind, Payoff

COIN_CONTRACT_QUOTE = Decimal(10)
"""Quote currency per coin-margined contract ..."""
COIN_CONTRACT_QUOTE_BTC = Decimal(100)
"""... and of those on BTC. Brackets do not state it; exchangeInfo does."""

_QUOTES = ("FDUSD", "USDT", "USDC", "BUSD", "USDE", "USD1", "USD", "BTC")
_DATE_DIGITS = 6


def bracket_symbol(imported: Imported, symbol: str, brackets: Any) -> None:
    """One symbol and its brackets."""
    if not isinstance(brackets, list) or not brackets:
        raise PolicyError("no brackets")
    rows = [_bracket(it) for it in brackets]
    name, instrument = instrument_named(symbol, inverse="qtyFloor" in rows[0])
    if name in imported.tiers:
        raise PolicyError(f"{name} has brackets already")
    imported.tiers[name] = _tiers(rows)
    imported.named[name] = instrument


def instrument_named(symbol: str, *, inverse: bool) -> tuple[str, Instrument]:
    """The venue's symbol and the instrument that a name in a file of tiers says. Raises `PolicyError` for no such name."""
    pair, _, settle = symbol.partition(":")
    settle, _, dash_date = settle.partition("-")
    base, slash, quote = pair.partition("/")
    date = dash_date
    if not slash:
        pair, _, date = pair.partition("_")
        date = "" if date == "PERP" else date
        pair, dash, day = pair.partition("-")
        date = day if dash else date
        base, quote = _split(pair, dated=bool(dash))
    inverse = inverse or (quote == "USD" and settle == base)
    name = f"{base}{quote}" + (f"_{date}" if date else "_PERP" if inverse else "")
    return name, Instrument(
        kind=InstrumentKind.FUTURE if date else InstrumentKind.PERPETUAL,
        base=base,
        settle=base if inverse else settle or quote,
        payoff=Payoff.INVERSE if inverse else Payoff.LINEAR,
        multiplier=_coin_contract(base) if inverse else ONE,
        tiers=name,
        expiry=_expiry(date) if date else None,
    )


def listed_symbol(imported: Imported, name: str, row: Row) -> None:
    """One symbol of an exchange information."""
    kind = row.get("contractType")
    if not isinstance(kind, str) or not kind:
        spot = "isSpotTradingAllowed" in row
        raise PolicyError("a spot pair, no contract" if spot else "contractType is missing: no contract")
    # TRADIFI_PERPETUAL, of stocks and metals, is a perpetual as the others are
    perpetual = kind == "PERPETUAL" or kind.endswith("_PERPETUAL")
    if not perpetual and "QUARTER" not in kind:
        raise PolicyError(f"contract type {kind!r}")
    base, margin = word(row, "baseAsset"), word(row, "marginAsset")
    imported.list(
        name,
        Instrument(
            kind=InstrumentKind.PERPETUAL if perpetual else InstrumentKind.FUTURE,
            base=base,
            settle=margin,
            payoff=Payoff.INVERSE if margin == base else Payoff.LINEAR,
            multiplier=positive(row, "contractSize") if "contractSize" in row else ONE,
            tiers=name,
            expiry=None if perpetual else moment(row, "deliveryDate"),
            quantity_step=_size(row, "LOT_SIZE", "stepSize"),
            price_step=_size(row, "PRICE_FILTER", "tickSize"),
        ),
    )


def digested_symbol(imported: Imported, name: str, row: Row) -> None:
    """One symbol of a bot's digest."""
    _, _, date = name.partition("_")
    imported.list(
        name,
        Instrument(
            kind=InstrumentKind.FUTURE if date else InstrumentKind.PERPETUAL,
            base=word(row, "base_asset"),
            settle=word(row, "quote_asset"),
            tiers=name,
            expiry=_expiry(date) if date else None,
            quantity_step=positive(row, "step_size"),
            price_step=positive(row, "tick_size"),
        ),
    )


def _bracket(row: Any) -> dict[str, Decimal]:
    if not isinstance(row, dict):
        raise PolicyError("a bracket is no object")
    floors = [name for name in ("notionalFloor", "qtyFloor") if row.get(name) is not None]
    if not floors:
        raise PolicyError("a bracket has neither notionalFloor nor qtyFloor")
    names = (floors[0], "maintMarginRatio", "cum")
    return {name: number(row, name) for name in names} | {"initialLeverage": positive(row, "initialLeverage")}


def _tiers(rows: Sequence[dict[str, Decimal]]) -> tuple[RiskTier, ...]:
    tiers = (
        RiskTier(
            floor=row["qtyFloor"] if "qtyFloor" in row else row["notionalFloor"],
            maintenance_rate=row["maintMarginRatio"],
            # initial rate = 1 / largest leverage
            initial_rate=divide(ONE, row["initialLeverage"]),
            deduction=row["cum"],
        )
        for row in rows
    )
    return tuple(sorted(tiers, key=lambda it: it.floor))


def _split(pair: str, *, dated: bool) -> tuple[str, str]:
    for quote in _QUOTES:
        if pair.endswith(quote) and pair != quote:
            return pair.removesuffix(quote), quote
    # Bybit's contracts in USDC name no quote asset: BTCPERP, BTC-27DEC24
    if pair.endswith("PERP") and pair != "PERP":
        return pair.removesuffix("PERP"), "USDC"
    if dated and pair:
        return pair, "USDC"
    raise PolicyError("which part is the quote asset?")


def _coin_contract(base: str) -> Decimal:
    return COIN_CONTRACT_QUOTE_BTC if base == "BTC" else COIN_CONTRACT_QUOTE


def _expiry(date: str) -> datetime:
    named = named_day(date)
    if named is not None:
        return named
    fault = PolicyError(f"{date!r} is not a day as YYMMDD")
    if len(date) != _DATE_DIGITS:
        raise fault
    try:
        day = datetime.strptime(date, "%y%m%d").replace(tzinfo=UTC)
    except ValueError:
        raise fault from None
    return day.replace(hour=DELIVERY_HOUR_UTC)


def _size(row: Row, kind: str, name: str) -> Decimal:
    filters = row.get("filters")
    found = (
        [it for it in filters if isinstance(it, dict) and it.get("filterType") == kind]
        if isinstance(filters, list)
        else []
    )
    if not found or found[0].get(name) is None:
        raise PolicyError(f"no {name} in a {kind} filter")
    return positive(found[0], name)
