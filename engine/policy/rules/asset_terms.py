"""Tiers as lines, and what a policy says of one asset, collected once: every account's every judgement asks for it."""

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from engine.numbers import ZERO, exact
from engine.policy.rules.asset_rules import Asset


class TierLine(NamedTuple):
    """From the floor up, an amount counts rate * amount + offset."""

    floor: Decimal
    rate: Decimal
    offset: Decimal


class AssetTerms(NamedTuple):
    """How an amount of one asset is valued."""

    asset: Asset
    lines: tuple[TierLine, ...]
    """What an amount (coins, or their value where the asset says so) counts as collateral."""
    borrow_initial_lines: tuple[TierLine, ...]
    """Coins of initial margin that owing coins requires; empty for none."""
    borrow_maintenance_lines: tuple[TierLine, ...]
    crowded: bool
    """Whether what the whole exchange holds or owes of the asset scales its value."""


def asset_terms(asset: Asset) -> AssetTerms:
    """The terms of one asset."""
    steps = [(tier.floor, tier.ratio) for tier in asset.tiers]
    if asset.cap is not None:
        # what is above the cap is a tier that counts nothing
        steps = [*(step for step in steps if step[0] < asset.cap), (asset.cap, ZERO)]
    return AssetTerms(
        asset,
        joined(steps),
        joined((tier.floor, tier.initial_rate) for tier in asset.borrow_tiers),
        joined((tier.floor, tier.maintenance_rate) for tier in asset.borrow_tiers),
        asset.deposit_scale_start is not None or asset.borrow_scale_start is not None,
    )


def joined(steps: Iterable[tuple[Decimal, Decimal]]) -> tuple[TierLine, ...]:
    """Marginal tiers (floor, rate; the first floor is 0) as lines that meet: each part of an amount counts at its tier's rate."""
    lines = []
    offset = rate_before = ZERO
    with exact():
        for floor, rate in steps:
            # offset_n = offset_(n-1) + floor_n * (rate_(n-1) - rate_n)
            offset += floor * (rate_before - rate)
            rate_before = rate
            lines.append(TierLine(floor, rate, offset))
    return tuple(lines)
