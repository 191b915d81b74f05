"""Which price a formula uses, and whether it is fresh; and what marks say of the whole exchange.

A price that is stale or missing: a position keeps its last mark (its average entry price, where there never was one), an
asset keeps its last index price (1, where there never was one); the caller flags what is computed from them. Open interest, the
realisable share of profits and an asset's totals are those of the same mark; while none was ever stated, nothing scales with them.

Twin: `engine.book.boxes.swing_view`.
"""

from decimal import Decimal

from engine.inputs import Mark
from engine.ledger.accounts import Position
from engine.margin.collateral import AssetTotals
from engine.marks.mark_book import Prices
from engine.numbers import ONE, ZERO, divide
from engine.policy import Instrument, Policy
from engine.policy.rules.policy_switches import RequirementRate

_AT_LIABILITY = RequirementRate.LIABILITY
_NO_TOTALS = AssetTotals()


def mark_price(symbol: str, position: Position, prices: Prices, policy: Policy) -> tuple[Decimal, bool]:
    """The mark to judge `position` by, and whether it is fresh."""
    mark = prices.marks.get(symbol)
    if mark is not None:
        return mark.price, symbol not in prices.stale
    return average_entry_price(position, policy.instruments[symbol]), False


def average_entry_price(position: Position, instrument: Instrument) -> Decimal:
    """Price at which the open quantity (not 0) has its entry value; 1 for inverse dust whose entry value rounds to 0."""
    # linear: entry value / (quantity * multiplier);  inverse: quantity * multiplier / entry value
    size = position.quantity * instrument.multiplier
    if not instrument.inverse:
        return divide(position.entry_value, size)
    return divide(size, position.entry_value) if position.entry_value else ONE


def index_price(policy: Policy, asset: str, prices: Prices) -> tuple[Decimal, bool]:
    """Index price of `asset` in account currency (1 for the account currency), and whether it is fresh."""
    symbol = policy.assets[asset].index
    if not symbol:
        return ONE, True
    mark = prices.marks.get(symbol)
    return (ONE, False) if mark is None else (mark.price, symbol not in prices.stale)


def underlying_price(instrument: Instrument, prices: Prices, policy: Policy) -> tuple[Decimal, bool]:
    """Price of the underlying in account currency, and whether it is fresh: its index, or the instrument's forward."""
    if instrument.base in policy.assets:
        return index_price(policy, instrument.base, prices)
    mark = prices.marks.get(instrument.forward)
    return (ONE, False) if mark is None else (mark.price, instrument.forward not in prices.stale)


def asset_value_price(policy: Policy, asset: str, prices: Prices) -> Decimal:
    """Price at which a positive amount of `asset` counts: the index, or the lower of it and its average."""
    if not policy.pool.conservative_price:
        return index_price(policy, asset, prices)[0]
    return min(_index_and_average(policy, asset, prices))


def liability_price(policy: Policy, asset: str, prices: Prices) -> Decimal:
    """Price at which a negative amount of `asset` counts, before its liability factor: the index, or the higher."""
    if not policy.pool.conservative_price:
        return index_price(policy, asset, prices)[0]
    return max(_index_and_average(policy, asset, prices))


def requirement_price(policy: Policy, asset: str, prices: Prices) -> Decimal:
    """Price at which a requirement in settle asset `asset` converts to account currency."""
    price = liability_price(policy, asset, prices)
    # at the index, or at what owing the asset costs
    return (
        price * policy.assets[asset].liability_factor
        if policy.pool.requirement_rate is _AT_LIABILITY
        else price
    )


def open_interest(symbol: str, prices: Prices) -> Decimal | None:
    """Contracts of `symbol` open on the whole market; None while no mark has stated it."""
    mark = prices.marks.get(symbol)
    return None if mark is None else mark.open_interest


def realisable_share(symbol: str, prices: Prices) -> Decimal | None:
    """Share of the profits in `symbol` that its losing side can pay, 0..1; None, all of them, while no mark has stated it."""
    mark = prices.marks.get(symbol)
    return None if mark is None else mark.realisable_share


def asset_totals(policy: Policy, asset: str, prices: Prices) -> AssetTotals:
    """What the whole exchange holds and owes of `asset`, as its last index price says."""
    mark = prices.marks.get(policy.assets[asset].index)
    if mark is None:
        return _NO_TOTALS
    return AssetTotals(mark.deposits or ZERO, mark.borrows or ZERO, mark.potential_deposits or ZERO)


def _index_and_average(policy: Policy, asset: str, prices: Prices) -> tuple[Decimal, Decimal]:
    index, _ = index_price(policy, asset, prices)
    mark: Mark | None = prices.marks.get(policy.assets[asset].index)
    average = index if mark is None or mark.average_price is None else mark.average_price
    return index, average
