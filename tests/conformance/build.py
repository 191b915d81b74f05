"""Engine values from the plain numbers of a case, for the adapters of every topic."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from engine.inputs import AccountInput, Deposit, Mark, Withdrawal
from engine.ladder import SEVERITY, Band, band_at
from engine.ledger.accounts import FLAT, AccountState, OpenOrder, Position
from engine.ledger.booking import book, filled
from engine.margin.figures import Figures
from engine.marks.mark_book import Prices
from engine.numbers import ONE, ZERO, divide, exact
from engine.policy import Asset, CollateralTier, Instrument, MarginRules, Policy, RiskTier
from tests.conformance.registry import Inputs, number

QUOTE = "USD"
"""Account currency of a policy made by `linear_policy`."""


def tiers(value: Any) -> tuple[RiskTier, ...]:
    """A risk table from one rate, from [floor, rate] pairs, or from objects with a floor and a rate."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(_tier(*_floor_and_rate(entry)) for entry in value)
    return (_tier(ZERO, number(value)),)


def _floor_and_rate(entry: Any) -> tuple[Decimal, Decimal]:
    if isinstance(entry, Mapping):
        floor = first(entry, "floor", "min_notional", "notional_floor", "notional", "from")
        return number(floor or 0), number(first(entry, "rate", "mm", "mmr", "mm_fraction"))
    floor, rate = entry
    return number(floor), number(rate)


def _tier(floor: Decimal, rate: Decimal) -> RiskTier:
    return RiskTier(floor=floor, maintenance_rate=rate, initial_rate=rate)


def first(mapping: Mapping[str, Any], *keys: str) -> Any:
    """The value under the first of `keys` that is there, or None."""
    return next((mapping[key] for key in keys if key in mapping), None)


def linear_policy(rates: Mapping[str, Any], rules: MarginRules) -> Policy:
    """Linear perpetuals in one quote currency, one risk table each."""
    return Policy(
        name="case",
        account_currency=QUOTE,
        assets={QUOTE: Asset()},
        instruments={
            symbol: Instrument(kind="perpetual", base=symbol, settle=QUOTE, tiers=symbol) for symbol in rates
        },
        tiers={symbol: tiers(rate) for symbol, rate in rates.items()},
        margin={"default": rules},
    )


def at_marks(marks: Mapping[str, Any]) -> Prices:
    """Fresh marks."""
    return Prices(
        {
            symbol: Mark(symbol=symbol, price=number(price), sequence=1, time_ns=0)
            for symbol, price in marks.items()
        },
        frozenset(),
    )


def opened(quantity: Any, entry_price: Any, instrument: Instrument) -> Position:
    """A position bought or sold at one price."""
    with exact():
        return filled(FLAT, number(quantity), number(entry_price), instrument)[0]


def paid_for(quantity: Any) -> Position:
    """A position whose cost has already left the quote balance: its whole value is unrealised profit."""
    return Position(number(quantity), ZERO)


def signed(quantity: Any, side: Any = None) -> Decimal:
    """A quantity with the sign of its side: a word ("long", "Sell" ...) or a number; without a side, as it stands."""
    size = number(quantity)
    if side is None:
        return size
    short = str(side).lower() in {"short", "sell", "s", "ask", "-1"}
    return size.copy_abs().copy_negate() if short else size.copy_abs()


def contracts_policy(
    contracts: Mapping[str, Instrument],
    tiers: Mapping[str, tuple[RiskTier, ...]],
    rules: MarginRules,
    **fields: Any,
) -> Policy:
    """Contracts settled in one currency (`QUOTE`, whatever coin it stands for), under one set of margin rules."""
    return Policy(
        name="case",
        account_currency=QUOTE,
        assets={QUOTE: Asset()},
        instruments=dict(contracts),
        tiers=dict(tiers),
        margin={"default": rules},
        **fields,
    )


def contract(symbol: str, **fields: Any) -> Instrument:
    """A perpetual with a risk table of its own name."""
    return Instrument(kind="perpetual", base=symbol, settle=QUOTE, tiers=symbol, **fields)


def rate_tier(maintenance: Any, deduction: Any = None, initial: Any = 0) -> tuple[RiskTier, ...]:
    """A table of one tier, with the deduction that the venue publishes for it."""
    return (
        RiskTier(
            floor=ZERO,
            maintenance_rate=number(maintenance),
            initial_rate=number(initial),
            deduction=None if deduction is None else number(deduction),
        ),
    )


def amount(mapping: Mapping[str, Any], *keys: str, default: Decimal = ZERO) -> Decimal:
    """The number under the first of `keys` that is there."""
    value = first(mapping, *keys)
    return default if value is None else number(value)


def index_symbol(asset: str) -> str:
    """Price symbol of an asset's index."""
    return f"{asset}-USD"


def weighted_asset(name: str, ratio: Decimal = ONE, liability_factor: Decimal = ONE) -> Asset:
    """An asset that counts one share of a positive amount, and one multiple of a debt."""
    return Asset(
        index=index_symbol(name),
        tiers=(CollateralTier(floor=ZERO, ratio=ratio),),
        liability_factor=liability_factor,
    )


def mark_with_average(symbol: str, price: Decimal, average: Any = None) -> Mark:
    """A mark, with the average of its price where the case has one."""
    return Mark(
        symbol=symbol,
        price=price,
        sequence=1,
        time_ns=0,
        average_price=None if average is None else number(average),
    )


def perpetuals(inputs: Inputs) -> dict[str, Mapping[str, Any]]:
    """The `perps` of a case, or its one `perp`, by a symbol."""
    listed = inputs.get("perps", [inputs["perp"]] if inputs.get("perp") else ())
    return {f"{place}-PERP": perp for place, perp in enumerate(listed)}


def side_orders(symbol: str, side: Mapping[str, Any], price: Decimal) -> dict[str, OpenOrder]:
    """As many orders as the case counts, whose quantities it gives as one sum per side."""
    sums = amount(side, "open_bids", "bids"), amount(side, "open_asks", "asks").copy_abs().copy_negate()
    quantities = [quantity for quantity in sums if quantity]
    quantities += [ZERO] * (int(amount(side, "open_orders")) - len(quantities))
    return {
        f"{symbol} {place}": OpenOrder(symbol, quantity, price) for place, quantity in enumerate(quantities)
    }


def deposit(asset: str, amount: Decimal) -> Deposit:
    """An entry of the ledger."""
    return Deposit(account="case", entry_id="in", time_ns=0, asset=asset, amount=amount)


def withdrawal(asset: str, amount: Decimal) -> Withdrawal:
    """An entry of the ledger."""
    return Withdrawal(account="case", entry_id="out", time_ns=0, asset=asset, amount=amount)


def booked(state: AccountState, policy: Policy, entries: Iterable[AccountInput]) -> AccountState:
    """The account once the entries are booked."""
    with exact():
        for entry in entries:
            after = book(state, entry, policy)
            assert isinstance(after, AccountState), after
            state = after
    return state


def buffered_asset(index: str, bid_buffer: Decimal, ask_buffer: Decimal) -> Asset:
    """An asset stated as the buffers below and above its index price.

    collateral ratio = 1 - bid buffer;  liability factor = 1 + ask buffer
    """
    return Asset(
        index=index,
        tiers=(CollateralTier(floor=ZERO, ratio=ONE - bid_buffer),),
        liability_factor=ONE + ask_buffer,
    )


def tier_by_leverage(floor: Decimal, leverage_max: Decimal, maintenance_fraction: Decimal) -> RiskTier:
    """A tier stated as its largest leverage.

    initial rate = 1 / leverage max;  maintenance rate = maintenance fraction / leverage max
    """
    return RiskTier(
        floor=floor,
        maintenance_rate=divide(maintenance_fraction, leverage_max),
        initial_rate=divide(ONE, leverage_max),
    )


def in_liquidation(figures: Figures, policy: Policy) -> bool:
    """Whether the ladder puts a pool of these figures below its liquidation line."""
    return SEVERITY[band_at(figures, policy.ladder)] >= SEVERITY[Band.LIQUIDATION]
