"""The public shapes of venue files that `engine.policy.reading.venue_imports` reads; fields that it does not need are skipped."""
# ruff: noqa: N815 - the venue's own field names

from decimal import Decimal

import msgspec

from engine.numbers import ONE, ZERO


class Bracket(msgspec.Struct):
    """One leverage bracket, in the exchange's own words."""

    initialLeverage: Decimal
    maintMarginRatio: Decimal
    cum: Decimal
    notionalFloor: Decimal | None = None
    qtyFloor: Decimal | None = None

    @property
    def floor(self) -> Decimal:
        """Notional (or coins) from which the bracket holds."""
        return self.notionalFloor if self.notionalFloor is not None else self.qtyFloor or ZERO


class SymbolBrackets(msgspec.Struct):
    """One element of the exchange's answer."""

    symbol: str
    brackets: list[Bracket]


class KeptBracket(msgspec.Struct):
    """One tier as a trading library keeps it."""

    info: Bracket


class Filter(msgspec.Struct):
    """One trading filter of a symbol."""

    filterType: str
    tickSize: Decimal | None = None
    stepSize: Decimal | None = None


class Listed(msgspec.Struct):
    """One listed contract of an exchange information."""

    symbol: str
    contractType: str
    baseAsset: str
    quoteAsset: str
    marginAsset: str
    filters: list[Filter]
    deliveryDate: int = 0
    contractSize: Decimal = ONE


class ExchangeInfo(msgspec.Struct):
    """The exchange's answer."""

    symbols: list[Listed]


class Digest(msgspec.Struct):
    """One symbol of a bot's digest of it."""

    base_asset: str
    quote_asset: str
    tick_size: Decimal
    step_size: Decimal
