"""Venue files in their public shapes, converted to policy text: what each file is, is seen by its keys.

Shapes that are read: see `binance_rows`, `venue_instruments` and `venue_tiers`. A row that cannot be read is left out and
named; a file that is in no such shape is told with what it looks like, and a venue's error as that.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from engine.numbers import ONE
from engine.policy.reading.binance_rows import (
    bracket_symbol,
    digested_symbol,
    instrument_named,
    listed_symbol,
)
from engine.policy.reading.imported import Conversion, Imported, conversion
from engine.policy.reading.policy_checks import PolicyError
from engine.policy.reading.venue_document import Row, answers_in, by_name, decoded, has, looks, rows_within
from engine.policy.reading.venue_instruments import (
    bybit_instrument,
    ccxt_market,
    deribit_instrument,
    okx_instrument,
)
from engine.policy.reading.venue_tiers import (
    bybit_rows,
    bybit_tiers,
    ccxt_tiers,
    hyperliquid_perpetual,
    hyperliquid_tables,
    okx_tiers,
)
from engine.policy.rules.instrument_rules import Instrument

READABLE = (
    "leverage brackets and exchangeInfo of Binance futures, risk limits and instruments of Bybit, position tiers and instruments of "
    "OKX, instruments of Deribit, meta of Hyperliquid, markets and leverage tiers of ccxt, a bot's digest {symbol: {base_asset, "
    "quote_asset, tick_size, step_size}}"
)
_META_AND_CONTEXTS = 2
"""Hyperliquid's metaAndAssetCtxs is a pair, the first of which is meta."""


def venue_policy(name: str, texts: Sequence[str], prices: Mapping[str, Decimal]) -> Conversion:
    """Policy text of venue files that belong together: instruments, tiers, or both.

    With tiers it is a loadable policy of the symbols that all files know; without them it is a part of one: the tier
    tables, named as the symbols, are to be written beside it. `prices`: of a family whose tiers are stated in contracts.
    Raises `PolicyError` naming what of a file cannot be read.
    """
    imported = Imported()
    families: dict[str, str] = {}
    in_contracts: list[Any] = []
    for answer in (it for text in texts for it in answers_in(decoded(text))):
        rows, within = rows_within(answer)
        if has(rows, "mmr", "minSz"):
            in_contracts += rows or []
        elif not _is_read(imported, answer, rows, within):
            raise PolicyError(f"not in a shape this reads: the file is {looks(answer)}. Read are: {READABLE}")
        if has(rows, "instId", "instFamily"):
            families |= {
                row["instId"]: row.get("instFamily") or row.get("uly")
                for row in rows or []
                if isinstance(row, dict) and isinstance(row.get("instId"), str)
            }
    okx_tiers(imported, in_contracts, {s: it for s, it in families.items() if s in imported.listed}, prices)
    return conversion(name, imported)


def _is_read(imported: Imported, document: Any, rows: list[Any] | None, within: Row) -> bool:
    """Read a document of any shape but OKX's tiers; whether it is of one."""
    if isinstance(document, list):
        rows = document
        if len(document) == _META_AND_CONTEXTS and rows_within(document[0])[0]:
            rows, within = rows_within(document[0])
    if has(rows, "name", "maxLeverage", "szDecimals"):
        tables = hyperliquid_tables(within)
        imported.each(
            by_name(rows or [], "name"),
            lambda into, name, row: hyperliquid_perpetual(into, name, row, tables),
        )
    elif has(rows, "symbol", "riskLimitValue"):
        imported.each(
            bybit_rows(rows or []), lambda into, name, rows: _bybit_limits(into, name, rows, within)
        )
    elif has(rows, "symbol", "lotSizeFilter"):
        imported.each(by_name(rows or [], "symbol"), bybit_instrument)
    elif has(rows, "instId", "instType", "ctVal"):
        imported.each(by_name(rows or [], "instId"), okx_instrument)
    elif has(rows, "instrument_name", "kind"):
        imported.each(by_name(rows or [], "instrument_name"), deribit_instrument)
    elif has(rows, "symbol", "baseAsset"):
        imported.each(by_name(rows or [], "symbol"), listed_symbol)
    else:
        return _is_by_symbol(imported, document if rows is None else rows)
    return True


def _is_by_symbol(imported: Imported, document: Any) -> bool:
    """Read the shapes that have no envelope: a list of symbols, or an object by symbol."""
    if isinstance(document, dict) and {"symbol", "brackets"} <= document.keys():
        document = [document]
    if isinstance(document, list):
        if has(document, "symbol", "brackets"):
            rows = [(name, row.get("brackets")) for name, row in by_name(document, "symbol")]
            imported.each(rows, bracket_symbol)
            return True
        if has(document, "symbol", "base", "quote", "precision"):
            imported.each(by_name(document, "symbol"), ccxt_market)
            return True
        return False
    if not isinstance(document, dict):
        return False
    values = list(document.values())
    firsts = [it[0] for it in values if isinstance(it, list) and it]
    if has(values, "base_asset", "quote_asset"):
        imported.each(document.items(), digested_symbol)
    elif has(values, "base", "quote", "precision"):
        imported.each(document.items(), ccxt_market)
    elif has(firsts, "maxLeverage") or has(firsts, "info"):
        imported.each(document.items(), _kept_tiers)
    else:
        return False
    return True


def _kept_tiers(imported: Imported, symbol: str, tiers: Any) -> None:
    """Tiers that a library keeps: the venue's own brackets where it kept them, else its words."""
    if not isinstance(tiers, list) or not tiers:
        raise PolicyError("no brackets")
    brackets = [tier.get("info") if isinstance(tier, dict) else None for tier in tiers]
    if has(brackets, "maintMarginRatio", "initialLeverage"):
        bracket_symbol(imported, symbol, brackets)
        return
    name, instrument = instrument_named(symbol, inverse=False)
    if name in imported.tiers:
        raise PolicyError(f"{name} has brackets already")
    if instrument.inverse:
        raise PolicyError("an inverse contract: whether its tiers are in coins or in dollars is not said")
    # a file of markets names it as the venue does
    known = next((it for it, listed in imported.listed.items() if imported.named.get(symbol) is listed), name)
    imported.tiers[known] = ccxt_tiers(tiers)
    imported.named[name] = instrument


def _bybit_limits(imported: Imported, name: str, rows: Sequence[Any], answer: Row) -> None:
    _, instrument = instrument_named(name, inverse=answer.get("category") == "inverse")
    if "category" not in answer and instrument.settle == "USD":
        # all that is quoted in the dollar itself is inverse there
        _, instrument = instrument_named(name, inverse=True)
    bybit_tiers(imported, name, rows)
    # all of Bybit's contracts are of one coin, or of one dollar
    imported.named[name] = _renamed(instrument, name)


def _renamed(instrument: Instrument, name: str) -> Instrument:
    return Instrument(
        kind=instrument.kind,
        base=instrument.base,
        settle=instrument.settle,
        payoff=instrument.payoff,
        multiplier=ONE,
        tiers=name,
        expiry=instrument.expiry,
    )
