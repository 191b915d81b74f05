"""What an amount of an asset is worth as collateral, and what owing it requires.

value(E), E > 0  = marginal tiers of E (by coins, or by value) * ratio * index, capped, times the deposit scale
value(E), E < 0  = E * index * liability factor, times the borrow scale
borrow margin    = marginal tiers of the coins owed * rate * index
deposit scale    = min(1, deposit scale start / value of all deposits, and of what open orders may turn into deposits)
                                                                              a crowded asset counts for less
borrow scale     = max(1, value of all loans / borrow scale start)            (Mango v4, "collateral fees and caps")
"""

from collections.abc import Sequence
from decimal import Decimal

from engine.marks import AssetTotals
from engine.numbers import ONE, ZERO, divide
from engine.policy import Asset, CollateralTier


def collateral_value(
    asset: Asset, amount: Decimal, price: Decimal, *, fresh: bool, totals: AssetTotals | None = None
) -> Decimal:
    """value(E_a) of `amount` coins at `price`, in account currency. A stale asset counts 0, a liability never does."""
    if amount < 0:
        return amount * price * liability_factor(asset, price, totals)
    if not fresh or not asset.collateral:
        return ZERO
    if asset.tiers_by == "value":
        value = _by_ratios(_capped(amount * price, asset.cap), asset.tiers)
    else:
        value = _by_ratios(_capped(amount, asset.cap), asset.tiers) * price
    return value if asset.deposit_scale_start is None else value * deposit_scale(asset, price, totals)


def liability_factor(asset: Asset, price: Decimal, totals: AssetTotals | None = None) -> Decimal:
    """What one unit of value owed counts: the asset's factor times the borrow scale."""
    return asset.liability_factor * borrow_scale(asset, price, totals)


def borrow_margin(asset: Asset, owed: Decimal, price: Decimal) -> tuple[Decimal, Decimal]:
    """Initial and maintenance margin, in account currency, that owing `owed` (> 0) coins requires."""
    initial = _by_tiers(owed, [(tier.floor, tier.initial_rate) for tier in asset.borrow_tiers])
    maintenance = _by_tiers(owed, [(tier.floor, tier.maintenance_rate) for tier in asset.borrow_tiers])
    return initial * price, maintenance * price


def deposit_scale(asset: Asset, price: Decimal, totals: AssetTotals | None) -> Decimal:
    """By how much the asset's collateral ratio shrinks; 1 where the exchange holds little of it."""
    if asset.deposit_scale_start is None or totals is None:
        return ONE
    value = (totals.deposits + totals.potential_deposits) * price
    # deposit scale = min(1, start / value), without dividing by 0
    return ONE if value <= asset.deposit_scale_start else divide(asset.deposit_scale_start, value)


def borrow_scale(asset: Asset, price: Decimal, totals: AssetTotals | None) -> Decimal:
    """By how much the asset's liability factor grows; 1 where little of it is lent."""
    if asset.borrow_scale_start is None or totals is None:
        return ONE
    return max(ONE, divide(totals.borrows * price, asset.borrow_scale_start))


def _capped(amount: Decimal, cap: Decimal | None) -> Decimal:
    return amount if cap is None else min(amount, cap)


def _by_ratios(amount: Decimal, tiers: Sequence[CollateralTier]) -> Decimal:
    """`_by_tiers` of collateral tiers; most assets have one, from 0 up."""
    if len(tiers) == 1:
        return amount * tiers[0].ratio
    return _by_tiers(amount, [(tier.floor, tier.ratio) for tier in tiers])


_Steps = Sequence[tuple[Decimal, Decimal]]


def _by_tiers(amount: Decimal, steps: _Steps) -> Decimal:
    """Sum over marginal tiers (floor, rate) of the part of `amount` within each, times its rate."""
    total = ZERO
    for i, (floor, rate) in enumerate(steps):
        if amount <= floor:
            break
        ceiling = steps[i + 1][0] if i + 1 < len(steps) else amount
        total += (min(amount, ceiling) - floor) * rate
    return total
