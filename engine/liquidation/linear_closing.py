"""Where a plain cross pool stands with contracts of one position closed, as long as that is linear in them.

standing(q)  = standing now + q * what each contract changes        `engine.margin.cross.cross_sums.ClosingRates`
wallet(q)    = wallet now + q * (profit / size - cost of each)      what is left of the settle asset
"""

from decimal import Decimal

from engine.margin.cross.cross_sums import ClosingRates
from engine.margin.figures import Standing
from engine.margin.position_margin import PositionMargin


class LinearClosing:
    """One position of a pool that stands at `now`. Everything inside `numbers.exact()`."""

    __slots__ = ("_coins", "_dust", "_now", "_rates", "_size", "_wallet")

    def __init__(
        self,
        now: Standing,
        rates: ClosingRates,
        margin: PositionMargin,
        wallet: Decimal,
        cost: Decimal,
        dust: Decimal,
    ) -> None:
        """`wallet`, `cost` of each contract and what may be `dust` are coins of the settle asset."""
        self._now, self._rates = now, rates
        # all of it times the size: nothing is divided
        size = abs(margin.quantity)
        self._wallet, self._coins = wallet * size, margin.unrealised_pnl - cost * size
        self._dust = dust * size

    def standing(self, quantity: Decimal) -> Standing | None:
        """With so many contracts closed; None where another tier begins, or where what is left in the wallet may be dust."""
        now, rates = self._now, self._rates
        if quantity > rates.contracts or abs(self._wallet + quantity * self._coins) <= self._dust:
            return None
        return Standing(
            now.equity + quantity * rates.equity,
            now.collateral_value + quantity * rates.collateral_value,
            now.requirement + quantity * rates.requirement,
        )
