"""Whether coins are more than dust, asked of a state or of its reading as floats."""

from decimal import Decimal
from typing import NamedTuple

from engine.policy import Asset


class DustEdge(NamedTuple):
    """Where dust of an asset ends."""

    near: float
    exact: Decimal

    @classmethod
    def of(cls, asset: Asset) -> "DustEdge":
        """That of the asset."""
        return cls(float(asset.dust), asset.dust)

    def is_below(self, amount: Decimal | float) -> bool | None:
        """Whether so many coins, or so many owed, are more than dust; None where the float of them does not tell."""
        size = abs(float(amount))
        if size != self.near:
            return size > self.near
        # of two numbers with the same float
        return None if isinstance(amount, float) else not -self.exact <= amount <= self.exact
