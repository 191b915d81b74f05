"""What happened on the simulated exchange, counted: the cascade second by second, refusals, takeovers, agents' deeds."""

from collections import Counter, defaultdict
from decimal import Decimal
from enum import StrEnum

import msgspec

from engine.liquidation.adl_score import Deleveraged


class Refusal(StrEnum):
    """Why a liquidation is not executed."""

    DUPLICATE = "duplicate"
    """It was taken before, or it is about to be: delivery is at least once."""
    BEHIND = "behind"
    """It was computed without the account's newest input; a newer one will come."""
    EMPTY = "empty"
    """There is nothing left to do in it."""


class CascadeSecond(msgspec.Struct, frozen=True):
    """One second of the market in which something was liquidated."""

    second: int
    notional: dict[str, float]
    """Liquidated, taken over and deleveraged, by symbol, in account currency."""
    fund_equity: Decimal


class Tally:
    """Counters; notionals are floats in account currency, for display only."""

    def __init__(self) -> None:
        """Nothing happened yet."""
        self.second = 0.0
        self.ledger_entries = self.fills = self.marks = self.steps = 0
        self.taken = self.replaced = self.executed = self.takeovers = 0
        self.refused: Counter[Refusal] = Counter()
        self.calls = self.calls_met = self.cured = 0
        self.agent_orders = 0
        self.funding_settlements = 0
        self.liquidated: defaultdict[str, float] = defaultdict(float)
        """Notional by symbol: reduced in the market or taken over."""
        self.deleveraged_by: defaultdict[str, float] = defaultdict(float)
        self.deleveragings = 0
        self.deleveraged_takeovers: list[Deleveraged] = []
        self.fund_start = self.fund_low = self.fund_equity = Decimal(0)
        self._by_second: defaultdict[int, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
        self._fund_by_second: dict[int, Decimal] = {}

    def reduced(self, symbol: str, notional: float) -> None:
        """A liquidation was executed in the market, or by a takeover."""
        self.liquidated[symbol] += notional
        self._by_second[int(self.second)][symbol] += notional

    def deleveraged(self, symbol: str, notional: float) -> None:
        """A winner was closed."""
        self.deleveragings += 1
        self.deleveraged_by[symbol] += notional

    def fund_is(self, equity: Decimal) -> None:
        """The insurance fund after a step."""
        self.fund_equity = equity
        self.fund_low = min(self.fund_low, equity)
        self._fund_by_second[int(self.second)] = equity

    @property
    def cascade(self) -> list[CascadeSecond]:
        """Every second in which something was liquidated, in order."""
        return [
            CascadeSecond(second, dict(by_symbol), self._fund_by_second.get(second, self.fund_equity))
            for second, by_symbol in sorted(self._by_second.items())
        ]
