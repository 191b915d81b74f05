"""Up to which amount of the whole exchange a policy scales nothing: below that, no change of the amount is a jump.

    open interest                   lower cap / (multiplier * scale of the mark);   inverse: lower cap * mark / multiplier     contracts
    borrows                         borrow scale start / index                                                    coins
    deposits, potential deposits    deposit scale start / index / 2, because the two add up                       coins

    realisable share                none: every change of it moves what a profit counts, where the policy asks

What the policy scales nothing with never jumps: no price is held back for a fact that moves no figure.
"""

from decimal import Decimal

import msgspec

from engine.numbers import ZERO, divide, exact
from engine.policy import Asset, Instrument, Policy
from engine.policy.rules.policy_switches import InstrumentKind

_HALF = Decimal("0.5")
_SCALED_KINDS = frozenset({InstrumentKind.PERPETUAL, InstrumentKind.FUTURE})


class ScaleStarts(msgspec.Struct, frozen=True):
    """What of one price symbol scales something."""

    contract: Instrument | None = None
    """The contract that the symbol marks, where its initial margin scales with the open interest."""
    asset: Asset | None = None
    """The asset that the symbol is the index of, where its value scales with what the exchange holds and owes of it."""
    profit_capped: bool = False
    """Whether profits in the contract count only as far as they are realisable."""

    def least(self, fact: str, price: Decimal) -> Decimal | None:
        """The most of the fact that scales nothing at this price; None where it moves nothing whatever it is."""
        if fact == "realisable_share":
            return ZERO if self.profit_capped else None
        start = self._start(fact)
        if start is None:
            return None
        with exact():
            if fact == "open_interest" and self.contract is not None:
                return self.contract.quantity(start, self.contract.scale(price))
            return divide(start, price)

    def _start(self, fact: str) -> Decimal | None:
        """In settle asset, or in account currency."""
        scaling = None if self.contract is None else self.contract.open_interest
        if fact == "open_interest":
            return None if scaling is None else scaling.lower_cap
        if self.asset is None:
            return None
        if fact == "borrows":
            return self.asset.borrow_scale_start
        start = self.asset.deposit_scale_start
        return None if start is None else start * _HALF


NOTHING_SCALES = ScaleStarts()


def scale_starts(policy: Policy) -> dict[str, ScaleStarts]:
    """By price symbol, where something of it scales."""
    found = {
        symbol: ScaleStarts(contract=it)
        for symbol, it in policy.instruments.items()
        if it.open_interest is not None and it.kind in _SCALED_KINDS
    }
    for symbol in policy.profit_capped:
        found[symbol] = msgspec.structs.replace(found.get(symbol, NOTHING_SCALES), profit_capped=True)
    for name, asset in policy.assets.items():
        if policy.asset_terms[name].crowded:
            found[asset.index] = msgspec.structs.replace(found.get(asset.index, NOTHING_SCALES), asset=asset)
    return found
