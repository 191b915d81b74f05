"""One asset under the health model, and what open orders in spot pairs may turn into it.

Nobody knows which orders of a pair will fill, so what they have reserved ends up wholly as base or wholly as quote:
the smaller of both effects on health counts, as if every other pair had already turned into the same asset.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec

from engine.ledger.accounts import OpenOrder
from engine.margin.cross.order_margin import quantity_of
from engine.numbers import ZERO, divide
from engine.policy import Instrument, Policy


class AssetHealth(msgspec.Struct, frozen=True):
    """One asset; amounts in coins, prices in account currency."""

    asset: str
    amount: Decimal
    """Wallet less what spot orders have reserved."""
    contract_profit: Decimal
    contract_health: Decimal
    asset_price: Decimal
    liability_price: Decimal
    asset_weight: Decimal
    liability_weight: Decimal
    fresh: bool

    @property
    def unweighted(self) -> Decimal:
        """Amount and contract profits, before contracts require anything."""
        return self.amount + self.contract_profit

    @property
    def effective(self) -> Decimal:
        """Amount and contract health."""
        return self.amount + self.contract_health

    def value(self, amount: Decimal) -> Decimal:
        """Weighted value of `amount` coins, in account currency."""
        if amount < 0:
            return amount * self.liability_price * self.liability_weight
        return amount * self.asset_price * self.asset_weight if self.fresh else ZERO


def sides(pair: Instrument) -> tuple[str, str]:
    """Base and quote asset of a spot pair."""
    return pair.base, pair.settle


class PairHealth(msgspec.Struct, frozen=True):
    """What the open orders in one spot pair have reserved, and what that counts."""

    symbol: str
    reserved_base: Decimal
    reserved_quote: Decimal
    value: Decimal
    """In account currency."""


class Reserves(msgspec.Struct, frozen=True):
    """Coins that the open orders of one pair have set aside, and their extreme prices."""

    base: Decimal
    quote: Decimal
    lowest_ask: Decimal
    """0 without a sell."""
    bought: Decimal
    """Base that the reserved quote buys at the highest bid."""

    @classmethod
    def of(cls, orders: Sequence[OpenOrder], pair: Instrument) -> "Reserves":
        """What these orders in `pair` have set aside. Call it inside `numbers.exact()`."""
        buys = [order for order in orders if order.quantity > 0]
        sells = [order for order in orders if order.quantity < 0]
        paid = sum((pair.value(order.quantity, order.price) for order in buys), ZERO)
        bids = [order.price for order in buys]
        return cls(
            base=-quantity_of(sells) * pair.multiplier,
            quote=paid,
            lowest_ask=min((order.price for order in sells), default=ZERO),
            bought=pair.quantity(paid, max(bids)) * pair.multiplier if bids else ZERO,
        )

    def as_base(self, base: AssetHealth, quote: AssetHealth) -> Decimal:
        """Coins of base once everything reserved has turned into base."""
        if not self.quote:
            return self.base
        at_index = divide(self.quote * quote.asset_price, base.liability_price)
        # base + min(quote * quote price / base price, quote / highest bid)
        return self.base + min(at_index, self.bought)

    def as_quote(self, base: AssetHealth, quote: AssetHealth) -> Decimal:
        """Coins of quote once everything reserved has turned into quote."""
        if not self.base:
            return self.quote
        at_index = divide(self.base * base.asset_price, quote.liability_price)
        # quote + min(base * base price / quote price, base * lowest ask)
        return self.quote + min(at_index, self.base * self.lowest_ask)


def resolved(
    reserves: Mapping[str, Reserves], assets: Mapping[str, AssetHealth], policy: Policy
) -> list[PairHealth]:
    """What each pair's reserves count; nothing where a side of the pair is stale. Call it inside `numbers.exact()`."""
    turned: dict[str, tuple[Decimal, Decimal]] = {}
    most = dict.fromkeys(assets, ZERO)
    for symbol, of_pair in reserves.items():
        base, quote = (assets[side] for side in sides(policy.instruments[symbol]))
        if base.fresh and quote.fresh:
            turned[symbol] = of_pair.as_base(base, quote), of_pair.as_quote(base, quote)
            most[base.asset] += turned[symbol][0]
            most[quote.asset] += turned[symbol][1]
    pairs = []
    for symbol, of_pair in reserves.items():
        value = ZERO
        if symbol in turned:
            base, quote = (assets[side] for side in sides(policy.instruments[symbol]))
            as_base, as_quote = turned[symbol]
            value = min(_effect(base, most[base.asset], as_base), _effect(quote, most[quote.asset], as_quote))
        pairs.append(PairHealth(symbol, of_pair.base, of_pair.quote, value))
    return pairs


def _effect(asset: AssetHealth, most: Decimal, added: Decimal) -> Decimal:
    """What `added` coins, the last of `most` that orders may turn into the asset, add to health."""
    after = asset.effective + most
    # the part of what is added that lies above 0 counts as an asset, the rest pays off a liability
    owned = max(ZERO, min(added, after))
    return owned * asset.asset_price * asset.asset_weight + (
        (added - owned) * asset.liability_price * asset.liability_weight
    )
