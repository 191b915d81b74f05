"""What the margin formulas answer: the figures of one pool, and the named lines that sum to them."""

from decimal import Decimal

import msgspec

from engine.numbers import ZERO, divide, exact


class Standing(msgspec.Struct, frozen=True, gc=False):
    """What decides about liquidation; in account currency."""

    equity: Decimal
    collateral_value: Decimal
    requirement: Decimal

    @property
    def bankrupt(self) -> bool:
        """As `engine.ladder.band_at` has it."""
        return self.equity < 0 or (not self.equity and bool(self.requirement))

    def gap(self, line: Decimal) -> Decimal:
        """What the pool has above the line. Inside `numbers.exact()`."""
        # C - line * requirement
        return self.collateral_value - line * self.requirement

    def out(self, line: Decimal) -> bool:
        """Whether the pool may leave liquidation at this line: it is not below it, and not bankrupt."""
        return self.gap(line) >= 0 and not self.bankrupt


class Figures(msgspec.Struct, frozen=True, gc=False):
    """The figures of a pool (an account's cross pool, or one isolated position).

    Amounts are in account currency, exact.
    """

    equity: Decimal
    """Wallet + unrealised P&L at index prices, before any haircut."""
    collateral_value: Decimal
    """Equity per asset after haircut; what the requirement is compared with."""
    initial_margin: Decimal
    maintenance_margin: Decimal
    degraded: bool
    """From a margin model: a price it needs is stale or missing. Of a judged pool: its verdict hangs on a doubted price."""
    liquidation_fee: Decimal = ZERO
    """What liquidating the pool would cost in fees, where the policy counts it in the ratio."""
    doubted: bool = False
    """A price that it depends on is doubted."""
    waits: bool = False
    """Its verdict is another at quotes that wait to be believed (`engine.marks.waiting_quotes`)."""

    @property
    def requirement(self) -> Decimal:
        """Maintenance margin + liquidation fee: what the collateral value is compared with."""
        if not self.liquidation_fee:
            return self.maintenance_margin
        with exact():
            return self.maintenance_margin + self.liquidation_fee

    @property
    def ratio(self) -> Decimal | None:
        """Portfolio margin ratio, collateral value / requirement; None where nothing is required."""
        return divide(self.collateral_value, self.requirement) if self.requirement else None

    @property
    def initial_ratio(self) -> Decimal | None:
        """Collateral value / initial margin: below 1 nothing new may be opened."""
        return divide(self.collateral_value, self.initial_margin) if self.initial_margin else None

    @property
    def available_margin(self) -> Decimal:
        """max(0, collateral value - initial margin): what may open new positions."""
        with exact():
            return max(ZERO, self.free)

    @property
    def free(self) -> Decimal:
        """Collateral value - initial margin, below 0 where it does not cover what is open. Inside `numbers.exact()`."""
        return self.collateral_value - self.initial_margin

    @property
    def standing(self) -> Standing:
        """What of the figures decides about liquidation."""
        return Standing(self.equity, self.collateral_value, self.requirement)

    def shortfall(self, line: Decimal) -> Decimal:
        """Collateral value missing to stand at `line` (a ratio): max(0, line * requirement - C)."""
        with exact():
            return max(ZERO, line * self.requirement - self.collateral_value)


class Line(msgspec.Struct, frozen=True):
    """One named summand of a figure, with the formula's name and the inputs it was computed from."""

    figure: str
    """equity, collateral_value, initial_margin, maintenance_margin or liquidation_fee."""
    item: str
    """The asset or symbol."""
    formula: str
    inputs: dict[str, Decimal]
    value: Decimal
    """In account currency."""


class MarginBreakdown(msgspec.Struct, frozen=True):
    """The figures of a pool as lines: for each figure, the lines of that name sum to it exactly."""

    account: str
    position: str | None
    """The symbol of an isolated position; None for the cross pool."""
    figures: Figures
    lines: tuple[Line, ...]
    policy_digest: str

    def total(self, figure: str) -> Decimal:
        """Sum of the lines of one figure."""
        with exact():
            return sum((line.value for line in self.lines if line.figure == figure), ZERO)
