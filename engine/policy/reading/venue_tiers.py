"""Risk tiers as venues and libraries answer them: Bybit, OKX, Hyperliquid and ccxt.

    Bybit         GET /v5/market/risk-limit              {result: {category, list: [{symbol, riskLimitValue, maintenanceMargin, ...}]}}
    OKX           GET /api/v5/public/position-tiers      {data: [{instFamily, minSz, maxSz, imr, mmr, ...}]}: in contracts
    Hyperliquid   info meta, or metaAndAssetCtxs         {universe: [{name, szDecimals, maxLeverage}], marginTables: [[id, {...}]]}
    ccxt          fetch_leverage_tiers()                 {"BTC/USDT:USDT": [{minNotional, maintenanceMarginRate, maxLeverage}]}

Deductions that a file does not state are computed from its rates, as of every tier table.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import groupby
from typing import Any

from engine.numbers import FRACTION_DIGITS_MAX, ONE, ZERO, divide
from engine.policy.reading.imported import Imported
from engine.policy.reading.policy_checks import PolicyError
from engine.policy.reading.venue_document import Row, number, positive
from engine.policy.rules.instrument_rules import Instrument, RiskTier
from engine.policy.rules.policy_switches import InstrumentKind

_PERCENT = Decimal(100)
_SAME = Decimal("0.02")
"""Rounding of published rates: how far initial rate * largest leverage may be from 1."""
_HYPERLIQUID_SETTLE = "USDC"
_HYPERLIQUID_TABLES_FROM = 50
"""Smaller numbers name no table: they are the largest leverage, at every size."""
_HOUR = ONE
_TABLE_PARTS = 2


def bybit_rows(rows: Sequence[Any]) -> list[tuple[str, list[Row]]]:
    """Rows of one symbol together, in the file's order."""
    known: dict[str, list[Row]] = {}
    for count, row in enumerate(rows, start=1):
        name = row.get("symbol") if isinstance(row, dict) else None
        known.setdefault(name if name and isinstance(name, str) else f"row {count}", []).append(
            row if isinstance(row, dict) else {}
        )
    return list(known.items())


def bybit_tiers(imported: Imported, name: str, rows: Sequence[Row]) -> None:
    """The tiers of one symbol: a row holds up to its `riskLimitValue`."""
    floor, tiers = ZERO, []
    for row in sorted(rows, key=lambda it: positive(it, "riskLimitValue")):
        leverage, initial = positive(row, "maxLeverage"), positive(row, "initialMargin")
        # initial rate * largest leverage = 1, or 100 where rates are in percent
        percent = abs(initial * leverage - _PERCENT) <= _SAME * _PERCENT
        if not percent and abs(initial * leverage - ONE) > _SAME:
            raise PolicyError(
                f"initialMargin {initial} is not 1 / maxLeverage {leverage}, as a fraction or in percent"
            )
        unit = _PERCENT if percent else ONE
        tiers.append(
            RiskTier(
                floor=floor,
                maintenance_rate=divide(positive(row, "maintenanceMargin"), unit),
                initial_rate=divide(initial, unit),
                deduction=number(row, "mmDeduction") if row.get("mmDeduction") else None,
            )
        )
        floor = positive(row, "riskLimitValue")
    if any(it.deduction is not None for it in tiers):
        tiers = [RiskTier(**(_stated(it) | {"deduction": it.deduction or ZERO})) for it in tiers]
    imported.tiers[name] = tuple(tiers)


def ccxt_tiers(rows: Sequence[Any]) -> tuple[RiskTier, ...]:
    """The tiers of one symbol in ccxt's own words."""
    tiers = []
    for row in rows:
        if not isinstance(row, dict):
            raise PolicyError("a tier is no object")
        floor = next(
            (it for it in ("minNotional", "notionalFloor") if row.get(it) is not None), "minNotional"
        )
        rate = "maintenanceMarginRate" if "maintenanceMarginRate" in row else "maintenanceMarginRatio"
        tiers.append(
            RiskTier(
                floor=number(row, floor),
                maintenance_rate=positive(row, rate),
                initial_rate=divide(ONE, positive(row, "maxLeverage")),
            )
        )
    if not tiers:
        raise PolicyError("no brackets")
    return tuple(sorted(tiers, key=lambda it: it.floor))


def hyperliquid_tables(document: Mapping[str, Any]) -> dict[int, list[Row]]:
    """The margin tables of a meta answer, by their number."""
    pairs = document.get("marginTables") or []
    return {
        pair[0]: pair[1]["marginTiers"]
        for pair in pairs
        if isinstance(pair, list) and len(pair) == _TABLE_PARTS and _is_table(*pair)
    }


def _is_table(name: Any, table: Any) -> bool:
    return isinstance(name, int) and isinstance(table, dict) and isinstance(table.get("marginTiers"), list)


def hyperliquid_perpetual(imported: Imported, name: str, row: Row, tables: Mapping[int, list[Row]]) -> None:
    """One perpetual: its maintenance rate is half of the initial one at the tier's largest leverage."""
    if row.get("isDelisted"):
        raise PolicyError("delisted")
    table = row.get("marginTableId")
    tiers = tables.get(table) if isinstance(table, int) else None
    if not tiers and isinstance(table, int) and table >= _HYPERLIQUID_TABLES_FROM:
        raise PolicyError(f"its margin table {table} is not in the file")
    tiers = tiers or [{"lowerBound": 0, "maxLeverage": row.get("maxLeverage")}]
    decimals = number(row, "szDecimals")
    if not 0 <= decimals <= FRACTION_DIGITS_MAX or decimals % 1:
        raise PolicyError(f"szDecimals {decimals} is no number of decimal places")
    imported.list(
        name,
        Instrument(
            kind=InstrumentKind.PERPETUAL,
            base=name,
            settle=_HYPERLIQUID_SETTLE,
            tiers=name,
            funding_interval_hours=_HOUR,
            quantity_step=Decimal(1).scaleb(-int(decimals)),
        ),
    )
    imported.tiers[name] = tuple(
        RiskTier(
            floor=number(tier, "lowerBound"),
            # maintenance rate = 1 / (2 * largest leverage)
            maintenance_rate=divide(ONE, 2 * positive(tier, "maxLeverage")),
            initial_rate=divide(ONE, positive(tier, "maxLeverage")),
        )
        for tier in sorted(tiers, key=lambda it: number(it, "lowerBound"))
    )


def okx_tiers(
    imported: Imported, rows: Sequence[Any], families: Mapping[str, str], prices: Mapping[str, Decimal]
) -> None:
    """Tiers in contracts, as tiers of notional at the price that is given for their family.

    `families`: the family of each listed instrument. A row that names no contract is of a margin loan.
    """
    for family, group in groupby(sorted(filter(_is_row, rows), key=_family), key=_family):
        tiers = list(group)
        if all(not (row.get("instFamily") or row.get("uly")) for row in tiers):
            imported.left_out.append(f"{family}: tiers of margin loans in a spot market, of no contract")
            continue
        of = [symbol for symbol, it in families.items() if it == family]
        if not of or family not in prices:
            missing = "the file of OKX's instruments beside it" if not of else f"--price {family}=PRICE"
            imported.left_out.append(f"{family}: tiers are in contracts, and notional needs {missing}")
            continue
        imported.each(
            ((symbol, tiers) for symbol in of),
            lambda into, symbol, tiers, price=prices[family]: _okx_tiers(into, symbol, tiers, price),  # type: ignore[misc]
        )


def _okx_tiers(imported: Imported, symbol: str, rows: Sequence[Row], price: Decimal) -> None:
    instrument = imported.listed[symbol]
    tiers: list[RiskTier] = []
    for row in sorted(rows, key=lambda it: number(it, "minSz")):
        floor = number(row, "minSz")
        tiers.append(
            RiskTier(
                # notional in settle asset = |value of so many contracts at the price|
                floor=ZERO if not tiers else instrument.notional(floor, price),
                maintenance_rate=positive(row, "mmr"),
                initial_rate=positive(row, "imr"),
            )
        )
    imported.tiers[symbol] = tuple(tiers)


def _is_row(row: Any) -> bool:
    return isinstance(row, dict)


def _family(row: Row) -> str:
    return str(row.get("instFamily") or row.get("uly") or row.get("instId") or "row")


def _stated(tier: RiskTier) -> dict[str, Any]:
    return {"floor": tier.floor, "maintenance_rate": tier.maintenance_rate, "initial_rate": tier.initial_rate}
