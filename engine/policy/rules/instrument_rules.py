"""Listed instruments and their risk tiers."""

from datetime import datetime
from decimal import Decimal
from typing import Literal

from engine.numbers import ONE, ZERO, divide
from engine.policy.rules.policy_switches import InstrumentKind, Payoff
from engine.policy.rules.price_rules import PriceCheck
from engine.policy.rules.tables import Table

OptionRight = Literal["call", "put"]


class RiskTier(Table, frozen=True, kw_only=True):
    """One tier of a risk limit table; it holds from `floor` up to the next tier's floor."""

    floor: Decimal
    """Notional in settle asset."""
    maintenance_rate: Decimal
    initial_rate: Decimal
    deduction: Decimal | None = None
    """As the venue publishes it ("cum", "maintenance amount"); None computes it. A file's must be continuous."""


class SizeRates(Table, frozen=True, kw_only=True):
    """Rates that grow linearly with the size of the position and hold for the whole of it."""

    initial_base_rate: Decimal
    maintenance_base_rate: Decimal
    slope_per_unit: Decimal
    """Added to both rates per unit of the underlying held."""


class OpenInterestScaling(Table, frozen=True, kw_only=True):
    """The initial rate rises linearly to 1 while the open interest that the contract's marks state goes from the lower to the upper cap."""

    lower_cap: Decimal
    """Open interest notional, settle asset."""
    upper_cap: Decimal
    rate_step: Decimal = Decimal("0.000001")
    """The scaled rate is truncated to a multiple of this."""


class Instrument(Table, frozen=True, kw_only=True):
    """A listed contract (or a spot pair) whose price symbol is its own symbol."""

    kind: InstrumentKind
    base: str
    """The underlying: a spot pair's base asset; for a contract any name that groups contracts of one underlying."""
    settle: str
    """Asset in which P&L, fees and margin of the contract are counted; the quote asset of a spot pair."""
    payoff: Payoff = Payoff.LINEAR
    multiplier: Decimal = ONE
    """Units of the underlying per contract (linear), or quote currency per contract (inverse)."""
    tiers: str = ""
    """Name of a table under `tiers`; needed unless the margin rules take their rates from elsewhere."""
    margin: str = "default"
    """Name of a table under `margin`."""
    size_rates: SizeRates | None = None
    """For margin rules that say `size`."""
    open_interest: OpenInterestScaling | None = None
    expiry: datetime | None = None
    """Of a delivery future or option."""
    strike: Decimal | None = None
    right: OptionRight | None = None
    forward: str = ""
    """Option: price symbol of its forward; empty takes the index price of the underlying."""
    interest_rate: Decimal = ZERO
    """Option: continuously compounded rate per year at which its value is discounted."""
    funding_interval_hours: Decimal = Decimal(8)
    """Perpetual: funding settles at the multiples of this since the epoch, moved by"""
    funding_offset_hours: Decimal = ZERO
    """this: the first settlement after midnight UTC."""
    quantity_step: Decimal = ZERO
    """Lot size in contracts; 0 where none is known."""
    order_quantity_min: Decimal = ZERO
    """Smallest order in contracts; 0 where none is known."""
    market_order_quantity_max: Decimal = ZERO
    """Largest market order in contracts; 0 where none is known."""
    price_step: Decimal = ZERO
    """Tick size; 0 where none is known."""
    price: PriceCheck | None = None
    """Overrides `prices` for this symbol."""
    negative_prices: bool = False
    """Whether it may be quoted and traded at 0 and below, as crude oil was on 2020-04-20, or a spread: only a linear perpetual
    or delivery future on what is no listed asset."""
    price_scale_min: Decimal = ZERO
    """With `negative_prices`, > 0: whatever is a fraction of the price (`scale`) is one of |price|, and at least of this."""

    @property
    def inverse(self) -> bool:
        """Whether a contract's value is quantity * multiplier / price. An option's price is in settle asset already."""
        return self.payoff is _INVERSE and self.kind is not _OPTION

    @property
    def option_terms(self) -> tuple[OptionRight, Decimal]:
        """Right and strike of an option; TypeError for anything else."""
        if self.right is None or self.strike is None:
            raise TypeError(f"a {self.kind} has no right and strike")
        return self.right, self.strike

    @property
    def expiry_ns(self) -> int:
        """The expiry in Unix nanoseconds; 0 where nothing expires."""
        return 0 if self.expiry is None else int(self.expiry.timestamp()) * 1_000_000_000

    def scale(self, price: Decimal) -> Decimal:
        """What a fraction of `price` is taken of: a margin, a fee, slippage, funding, a jump, a haircut, a move of the market.

        The price itself, but where it may fall to 0 and below: there a fraction of it would vanish, and turn its sign. Clearing
        houses of such contracts state margin in money a contract instead (SPAN's price scan range; CME clearing advisory 20-160).
        Call it inside `numbers.exact()`.
        """
        # max(|price|, least scale)
        return max(abs(price), self.price_scale_min) if self.negative_prices else price

    def scaled_value(self, quantity: Decimal, price: Decimal) -> Decimal:
        """The value at the scale of the price: > 0 for a long. Call it inside `numbers.exact()`."""
        return self.value(quantity, self.scale(price))

    def notional(self, quantity: Decimal, price: Decimal) -> Decimal:
        """What margins and costs of so many contracts are a fraction of, in settle asset. Call it inside `numbers.exact()`."""
        # |value|;  with negative prices: |quantity| * multiplier * max(|price|, least scale)
        return abs(self.scaled_value(quantity, price))

    def value(self, quantity: Decimal, price: Decimal) -> Decimal:
        """Signed value of `quantity` contracts at `price` (> 0 where inverse), in settle asset."""
        # linear: quantity * multiplier * price;  inverse: quantity * multiplier / price
        if self.inverse:
            return divide(quantity * self.multiplier, price)
        return quantity * self.multiplier * price

    def quantity(self, value: Decimal, price: Decimal) -> Decimal:
        """Contracts that are worth `value` of settle asset at `price` (> 0), rounded once."""
        # linear: value / (multiplier * price);  inverse: value * price / multiplier
        if self.inverse:
            return divide(value * price, self.multiplier)
        return divide(value, self.multiplier * price)

    def profit(self, entry_value: Decimal, value: Decimal) -> Decimal:
        """P&L of contracts entered at `entry_value` and worth `value` now, in settle asset."""
        # linear: value - entry value;  inverse: entry value - value
        return entry_value - value if self.inverse else value - entry_value


_INVERSE, _OPTION = Payoff.INVERSE, InstrumentKind.OPTION
