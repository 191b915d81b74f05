"""The sample market: what each price symbol of a policy quotes, where it starts and how far it falls.

Prices are rounded figures of October 2025; the falls resemble the tenth of that month. They only shape a
demo: a recording brings its own prices.
"""

from decimal import Decimal

import msgspec

from engine.policy import Policy
from engine.policy.rules.policy_switches import InstrumentKind


class Coin(msgspec.Struct, frozen=True):
    """How an asset behaves in the sample market."""

    price: Decimal
    """Start price in account currency."""
    fall: float
    """Fraction lost at the bottom of the crash."""
    decimals: int
    """Decimal places of its quotes."""


COINS = {
    "BTC": Coin(Decimal(113_000), 0.15, 1),
    "ETH": Coin(Decimal(4_100), 0.20, 2),
    "SOL": Coin(Decimal(205), 0.25, 2),
    "XRP": Coin(Decimal("2.8"), 0.28, 4),
    "DOGE": Coin(Decimal("0.245"), 0.36, 5),
    "ADA": Coin(Decimal("0.81"), 0.33, 4),
    "AVAX": Coin(Decimal(28), 0.40, 3),
    "LINK": Coin(Decimal(22), 0.32, 3),
    "LTC": Coin(Decimal(118), 0.24, 2),
    "BCH": Coin(Decimal(560), 0.22, 2),
    "DOT": Coin(Decimal("4.1"), 0.35, 3),
    "AAVE": Coin(Decimal(272), 0.42, 2),
    "XLM": Coin(Decimal("0.38"), 0.33, 5),
    "UNI": Coin(Decimal("7.9"), 0.34, 3),
    "ATOM": Coin(Decimal(4), 0.38, 3),
    "TRX": Coin(Decimal("0.337"), 0.20, 5),
    "POL": Coin(Decimal("0.235"), 0.45, 5),
}
STABLECOIN = Coin(Decimal(1), 0.008, 5)
"""Any asset outside the table that contracts settle in."""
COINS["USDE"] = STABLECOIN  # of one scenario: collateral that nothing settles in
UNLISTED = Coin(Decimal(10), 0.30, 3)
"""Any other asset outside the table, so that a policy of one's own works too."""


class Quote(msgspec.Struct, frozen=True):
    """What one price symbol quotes: `coin` in units of `settle` (None: account currency, an index price)."""

    symbol: str
    coin: str
    settle: str | None
    decimals: int
    jump_fraction: float
    """The mark book holds back a mark further than this from the last one it accepted."""


def coin_of(policy: Policy, asset: str) -> Coin:
    """The sample behaviour of `asset`."""
    if asset in COINS:
        return COINS[asset]
    settles = any(instrument.settle == asset for instrument in policy.instruments.values())
    return STABLECOIN if settles else UNLISTED


def quotes(policy: Policy) -> tuple[Quote, ...]:
    """One quote for every index and linear perpetual of the policy, in its order; nobody here trades anything else."""
    coins = {asset.index: (name, None) for name, asset in policy.assets.items() if asset.index}
    perpetuals = {
        symbol: (instrument.base, instrument.settle)
        for symbol, instrument in policy.instruments.items()
        if instrument.kind is InstrumentKind.PERPETUAL and not instrument.inverse
    }
    found = {**coins, **perpetuals}
    return tuple(
        Quote(symbol, *found[symbol], coin_of(policy, found[symbol][0]).decimals, float(check.jump_fraction))
        for symbol, check in policy.price_symbols.items()
        if symbol in found
    )


def start_prices(policy: Policy) -> dict[str, Decimal]:
    """The sample market's first price of every price symbol."""
    return {
        quote.symbol: coin_of(policy, quote.coin).price.quantize(Decimal(1).scaleb(-quote.decimals))
        for quote in quotes(policy)
    }
