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
from typing import NamedTuple

import msgspec

from engine.margin.arithmetic import Arithmetic, N
from engine.numbers import ONE, ZERO, divide
from engine.policy import Asset
from engine.policy.rules.asset_terms import AssetTerms, TierLine
from engine.policy.rules.policy_switches import TiersBy

_BY_VALUE = TiersBy.VALUE
_UNLIMITED = Decimal("Infinity")
_NO_LINES = (TierLine(ZERO, ZERO, ZERO),)


class AssetTotals(NamedTuple):
    """Coins of one asset deposited with and borrowed from the exchange by all accounts together; 0 where nothing is said."""

    deposits: Decimal = ZERO
    borrows: Decimal = ZERO
    potential_deposits: Decimal = ZERO
    """Coins that open spot orders may turn into deposits."""


class Scales(NamedTuple):
    """How crowded an asset is."""

    deposit: Decimal = ONE
    borrow: Decimal = ONE


UNSCALED = Scales()


def collateral_value(
    terms: AssetTerms,
    amount: N,
    low: N,
    high: N,
    numbers: Arithmetic[N],
    *,
    pledged: bool,
    scales: Scales = UNSCALED,
) -> N:
    """value(E_a) of `amount` coins, in account currency.

    A positive amount is priced at `low`, and counts 0 where it is not `pledged` (or stale); what is owed at `high`, always.
    """
    owned, owed = numbers.parts(amount)
    value, asset = numbers.NOTHING, terms.asset
    if owned is not None and pledged and asset.collateral:
        if asset.tiers_by is _BY_VALUE:
            value = numbers.tiered(owned * low, terms.lines)
        else:
            value = numbers.tiered(owned, terms.lines) * low
        if scales is not UNSCALED:
            value *= scales.deposit
    if owed is None:
        return value
    liability = owed * high * (asset.liability_factor * scales.borrow)
    return -liability if owned is None else value - liability


class Slope(msgspec.Struct, frozen=True, gc=False):
    """What one coin more is worth while an amount stays between two bounds."""

    floor: Decimal
    ceiling: Decimal
    value: Decimal
    owed: bool = False
    """Whether it is a coin less that is owed."""
    freed: Decimal = ZERO
    """Borrow maintenance margin that a coin less that is owed frees."""


def slope_of(
    terms: AssetTerms, amount: Decimal, low: Decimal, high: Decimal, *, pledged: bool, scales: Scales
) -> Slope | None:
    """The tier of `collateral_value` and `borrow_margin` that holds `amount`; None where a tier is one of value."""
    asset = terms.asset
    if amount < 0:
        # value(E) = E * index * liability factor * borrow scale
        each = high * (asset.liability_factor * scales.borrow)
        ceiling, floor, rate = _tier_of(terms.borrow_maintenance_lines or _NO_LINES, -amount)
        return Slope(-floor, -ceiling, each, owed=True, freed=rate * high)
    if not (pledged and asset.collateral):
        return Slope(ZERO, _UNLIMITED, ZERO)
    if asset.tiers_by is _BY_VALUE and len(terms.lines) > 1:
        return None
    # value(E) = (rate * E + offset) * index * deposit scale
    floor, ceiling, rate = _tier_of(terms.lines, amount)
    return Slope(floor, ceiling, rate * low * scales.deposit)


def _tier_of(lines: Sequence[TierLine], amount: Decimal) -> tuple[Decimal, Decimal, Decimal]:
    """Floor, ceiling and rate of the line that holds `amount`; lines meet at their edges."""
    floor, rate, _ = lines[0]
    for above, rate_above, _ in lines[1:]:
        if amount < above:
            return floor, above, rate
        floor, rate = above, rate_above
    return floor, _UNLIMITED, rate


def borrow_margin(terms: AssetTerms, owed: N, price: N, numbers: Arithmetic[N]) -> tuple[N, N]:
    """Initial and maintenance margin, in account currency, that owing `owed` (>= 0) coins requires."""
    initial = numbers.tiered(owed, terms.borrow_initial_lines)
    maintenance = numbers.tiered(owed, terms.borrow_maintenance_lines)
    return initial * price, maintenance * price


def scales_of(asset: Asset, low: Decimal, high: Decimal, totals: AssetTotals) -> Scales:
    """Both scales of the asset at these prices."""
    return Scales(deposit_scale(asset, low, totals), borrow_scale(asset, high, totals))


def deposit_scale(asset: Asset, price: Decimal, totals: AssetTotals) -> Decimal:
    """By how much the asset's collateral ratio shrinks; 1 where the exchange holds little of it."""
    if asset.deposit_scale_start is None:
        return ONE
    value = (totals.deposits + totals.potential_deposits) * price
    # deposit scale = min(1, start / value), without dividing by 0
    return ONE if value <= asset.deposit_scale_start else divide(asset.deposit_scale_start, value)


def borrow_scale(asset: Asset, price: Decimal, totals: AssetTotals) -> Decimal:
    """By how much the asset's liability factor grows; 1 where little of it is lent."""
    if asset.borrow_scale_start is None:
        return ONE
    return max(ONE, divide(totals.borrows * price, asset.borrow_scale_start))
