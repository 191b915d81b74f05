"""Keys of positions: the symbol in one-way mode, symbol and leg in hedge mode."""

LEG_SEPARATOR = "|"
"""Between symbol and leg, as in "BTC-USDT-PERP|short"; no listed symbol contains it."""


def symbol_of(key: str) -> str:
    """The symbol of a position's key."""
    return key.split(LEG_SEPARATOR, 1)[0] if LEG_SEPARATOR in key else key


def position_key(symbol: str, leg: str | None) -> str:
    """The key of a position: its symbol, and its leg in hedge mode."""
    return symbol if leg is None else f"{symbol}{LEG_SEPARATOR}{leg}"


def leg_of(key: str) -> str | None:
    """The leg of a position's key; None in one-way mode."""
    return key.split(LEG_SEPARATOR, 1)[1] if LEG_SEPARATOR in key else None
