"""Venue files in their public shapes, converted to policy text: leverage brackets and instrument filters.

Read shapes (all of Binance's futures; what a bot saved counts as one of them):

    brackets    [{symbol, brackets: [{notionalFloor | qtyFloor, initialLeverage, maintMarginRatio, cum}]}]
                the answer of GET /fapi/v1/leverageBracket and /dapi/v2/leverageBracket, or one element of it
                {symbol: [{info: {the same bracket}}]}      as trading libraries keep it, "BTC/USDT:USDT-250328"
    filters     {symbols: [{symbol, contractType, baseAsset, quoteAsset, marginAsset, filters: [...]}]}
                the answer of GET /fapi/v1/exchangeInfo and /dapi/v1/exchangeInfo
                {symbol: {base_asset, quote_asset, tick_size, step_size}}       a digest of it

A bracket's largest leverage gives its initial rate, 1 / leverage. `cum`, the published maintenance amount, becomes
the tier's deduction, so loading the text proves that the table has no jumps.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeVar

import msgspec

from engine.numbers import ONE, amount_fault, divide
from engine.policy.reading.parse import parse
from engine.policy.reading.policy_checks import PolicyError
from engine.policy.reading.toml_text import key, rows_text, tables_text
from engine.policy.reading.venue_shapes import (
    Bracket,
    Digest,
    ExchangeInfo,
    Filter,
    KeptBracket,
    Listed,
    SymbolBrackets,
)
from engine.policy.rules.asset_rules import Asset
from engine.policy.rules.instrument_rules import Instrument, RiskTier
from engine.policy.rules.policy_switches import InstrumentKind, Payoff

ACCOUNT_CURRENCY = "USD"
DELIVERY_HOUR_UTC = 8
"""Binance's delivery contracts expire at 08:00 UTC; brackets name only the day."""
COIN_CONTRACT_QUOTE = Decimal(10)
"""Quote currency per coin-margined contract ..."""
COIN_CONTRACT_QUOTE_BTC = Decimal(100)
"""... and of those on BTC. Brackets do not state it; exchangeInfo does."""

_QUOTES = ("USDT", "USDC", "BUSD", "FDUSD", "USD", "BTC")
_DATE_DIGITS = 6
_MILLISECONDS = 1000
_T = TypeVar("_T")


@dataclass(slots=True)
class _Imported:
    """What a file says, in the policy's words, and what of it could not be said."""

    instruments: dict[str, Instrument] = field(default_factory=dict)
    tiers: dict[str, tuple[RiskTier, ...]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


def brackets_policy(text: str) -> str:
    """A loadable policy: a tier table and an instrument for every symbol of a leverage bracket file.

    Raises `PolicyError` naming what of the file cannot be read.
    """
    return _loadable(_policy_text("binance-brackets", _brackets(text)))


def filters_policy(text: str, brackets: str | None = None) -> str:
    """Every instrument of an exchange information file, with its lot and tick size.

    With the `brackets` of the same venue it is a loadable policy of the symbols that both files know. Without them
    it is a part of one: the tier tables, named as the symbols, are to be written beside it.
    Raises `PolicyError` naming what of a file cannot be read.
    """
    imported = _filters(text)
    if brackets is not None:
        imported.tiers = _brackets(brackets).tiers
        missing = imported.instruments.keys() - imported.tiers.keys()
        imported.left_out += [f"{key(symbol)} (no brackets)" for symbol in sorted(missing)]
        imported.instruments = {s: it for s, it in imported.instruments.items() if s not in missing}
        imported.tiers = {s: rows for s, rows in imported.tiers.items() if s in imported.instruments}
        return _loadable(_policy_text("instrument-filters", imported))
    return _policy_text("instrument-filters", imported)


def _loadable(text: str) -> str:
    """The text itself, once `parse` has accepted it."""
    parse(text)
    return text


def _brackets(text: str) -> _Imported:
    imported = _Imported()
    for symbol, brackets in _symbols_with_brackets(text):
        if not brackets:
            raise PolicyError(f"{symbol}: no brackets")
        name, instrument = _instrument_named(symbol, inverse=brackets[0].qtyFloor is not None)
        if name in imported.tiers:
            raise PolicyError(f"{symbol}: {name} has brackets already")
        imported.instruments[name] = instrument
        imported.tiers[name] = _tiers(symbol, brackets)
    if not imported.tiers:
        raise PolicyError("no symbol in the bracket file")
    return imported


def _symbols_with_brackets(text: str) -> Iterable[tuple[str, list[Bracket]]]:
    if text.lstrip().startswith("["):
        return [(it.symbol, it.brackets) for it in _decode(text, list[SymbolBrackets])]
    if "brackets" in _decode(text, dict[str, msgspec.Raw]):
        only = _decode(text, SymbolBrackets)
        return [(only.symbol, only.brackets)]
    kept = _decode(text, dict[str, list[KeptBracket]])
    return [(symbol, [tier.info for tier in tiers]) for symbol, tiers in kept.items()]


def _tiers(symbol: str, brackets: list[Bracket]) -> tuple[RiskTier, ...]:
    for bracket in brackets:
        for name, number in msgspec.structs.asdict(bracket).items():
            _require_usable(f"{symbol}: {name}", number)
        if bracket.initialLeverage <= 0:
            raise PolicyError(f"{symbol}: initialLeverage must be > 0")
        if bracket.notionalFloor is None and bracket.qtyFloor is None:
            raise PolicyError(f"{symbol}: a bracket has neither notionalFloor nor qtyFloor")
    return tuple(
        RiskTier(
            floor=bracket.floor,
            maintenance_rate=bracket.maintMarginRatio,
            # initial rate = 1 / largest leverage
            initial_rate=divide(ONE, bracket.initialLeverage),
            deduction=bracket.cum,
        )
        for bracket in sorted(brackets, key=lambda it: it.floor)
    )


def _require_usable(name: str, number: Decimal | None) -> None:
    fault = None if number is None else amount_fault(number)
    if fault is not None:
        raise PolicyError(f"{name} {fault}")


def _instrument_named(symbol: str, *, inverse: bool) -> tuple[str, Instrument]:
    """The venue's symbol and the instrument that a bracket file's key names."""
    pair, _, settle = symbol.partition(":")
    settle, _, dash_date = settle.partition("-")
    base, slash, quote = pair.partition("/")
    date = dash_date
    if not slash:
        pair, _, date = pair.partition("_")
        date = "" if date == "PERP" else date
        base, quote = _split(pair, symbol)
    inverse = inverse or (quote == "USD" and settle == base)
    name = f"{base}{quote}" + (f"_{date}" if date else "_PERP" if inverse else "")
    return name, Instrument(
        kind=InstrumentKind.FUTURE if date else InstrumentKind.PERPETUAL,
        base=base,
        settle=base if inverse else settle or quote,
        payoff=Payoff.INVERSE if inverse else Payoff.LINEAR,
        multiplier=_coin_contract(base) if inverse else ONE,
        tiers=name,
        expiry=_expiry(date, symbol) if date else None,
    )


def _split(pair: str, symbol: str) -> tuple[str, str]:
    for quote in _QUOTES:
        if pair.endswith(quote) and pair != quote:
            return pair.removesuffix(quote), quote
    raise PolicyError(f"{symbol}: which part is the quote asset?")


def _coin_contract(base: str) -> Decimal:
    return COIN_CONTRACT_QUOTE_BTC if base == "BTC" else COIN_CONTRACT_QUOTE


def _expiry(date: str, symbol: str) -> datetime:
    fault = PolicyError(f"{symbol}: {date!r} is not a day as YYMMDD")
    if len(date) != _DATE_DIGITS:
        raise fault
    try:
        day = datetime.strptime(date, "%y%m%d").replace(tzinfo=UTC)
    except ValueError:
        raise fault from None
    return day.replace(hour=DELIVERY_HOUR_UTC)


def _filters(text: str) -> _Imported:
    imported = _Imported()
    head = _decode(text, dict[str, msgspec.Raw])
    if "symbols" in head:
        for listed in _decode(text, ExchangeInfo).symbols:
            _add_listed(imported, listed)
    else:
        for symbol, digest in _decode(text, dict[str, Digest]).items():
            imported.instruments[symbol] = _digested(symbol, digest)
    if not imported.instruments:
        raise PolicyError("no instrument in the file")
    return imported


def _add_listed(imported: _Imported, listed: Listed) -> None:
    perpetual = listed.contractType == "PERPETUAL"
    if not perpetual and "QUARTER" not in listed.contractType:
        imported.left_out.append(f"{key(listed.symbol)} (contract type {listed.contractType!r})")
        return
    inverse = listed.marginAsset == listed.baseAsset
    sizes = {it.filterType: it for it in listed.filters}
    imported.instruments[listed.symbol] = Instrument(
        kind=InstrumentKind.PERPETUAL if perpetual else InstrumentKind.FUTURE,
        base=listed.baseAsset,
        settle=listed.marginAsset,
        payoff=Payoff.INVERSE if inverse else Payoff.LINEAR,
        multiplier=listed.contractSize,
        tiers=listed.symbol,
        expiry=None if perpetual else _delivery(listed),
        quantity_step=_size(listed.symbol, sizes, "LOT_SIZE", "stepSize"),
        price_step=_size(listed.symbol, sizes, "PRICE_FILTER", "tickSize"),
    )


def _delivery(listed: Listed) -> datetime:
    try:
        return datetime.fromtimestamp(listed.deliveryDate / _MILLISECONDS, UTC)
    except (OverflowError, ValueError):
        raise PolicyError(f"{listed.symbol}: deliveryDate {listed.deliveryDate} is no time") from None


def _size(symbol: str, filters: Mapping[str, Filter], kind: str, name: str) -> Decimal:
    size: Decimal | None = getattr(filters.get(kind), name, None)
    if size is None:
        raise PolicyError(f"{symbol}: no {name} in a {kind} filter")
    _require_usable(f"{symbol}: {name}", size)
    return size


def _digested(symbol: str, digest: Digest) -> Instrument:
    _require_usable(f"{symbol}: tick_size", digest.tick_size)
    _require_usable(f"{symbol}: step_size", digest.step_size)
    _, _, date = symbol.partition("_")
    return Instrument(
        kind=InstrumentKind.FUTURE if date else InstrumentKind.PERPETUAL,
        base=digest.base_asset,
        settle=digest.quote_asset,
        tiers=symbol,
        expiry=_expiry(date, symbol) if date else None,
        quantity_step=digest.step_size,
        price_step=digest.tick_size,
    )


def _decode(text: str, shape: type[_T]) -> _T:
    try:
        return msgspec.json.decode(text, type=shape)
    except msgspec.MsgspecError as error:
        raise PolicyError(f"not in a shape this reads: {error}") from None


def _policy_text(name: str, imported: _Imported) -> str:
    settles = sorted({it.settle for it in imported.instruments.values()} - {ACCOUNT_CURRENCY})
    assets = {ACCOUNT_CURRENCY: Asset()} | {it: Asset(index=f"{it}-{ACCOUNT_CURRENCY}") for it in settles}
    notes = [
        "# Imported: instruments and risk tiers are the file's. Collateral ratios, margin rules, price checks and",
        "# ladder are this project's defaults: fill them in.",
    ]
    if not imported.tiers:
        notes.append(
            "# No tier tables: write one under [tiers] for each name that an instrument's `tiers` says."
        )
    if imported.left_out:
        notes.append(f"# Left out: {', '.join(imported.left_out)}")
    parts = [
        "\n".join([*notes, f'name = "{name}"', f'account_currency = "{ACCOUNT_CURRENCY}"']) + "\n",
        tables_text("assets", assets),
        rows_text("tiers", imported.tiers) if imported.tiers else "",
        tables_text("instruments", imported.instruments),
    ]
    return "\n".join(filter(None, parts))
