"""At what prices a plan trades: the limit of a reduction, and the prices of a takeover.

    solve for p      equity + (profit of the leg at p - profit at the mark) * index = fee rate * |value at p| * index
    linear           p = (value at the mark * index - equity) / (size * index * (1 - fee rate * side))
    inverse          p = size * index * (1 + fee rate * side) / (value at the mark * index + equity)
                     size = quantity * multiplier, side = 1 for a long, -1 for a short
    prices below 0   where they are allowed the fee is a fraction of the scale of p (`Instrument.scale`), so there are three cases:
                     p above the least scale, as above; p below minus that, (1 + fee rate * side) instead; between the two
                     p = (value at the mark * index - equity + fee rate * |size| * index * least scale) / (size * index)
    limit            the whole leg closed there pays its fee and leaves the pool worth nothing
    takeover         the same without a fee, with the share of the equity that the leg has in the notional of all legs, so
                     that all of them together leave the pool worth nothing

Marks and index prices stay: what is asked is what a fill costs, not what a market would. Where the pool's coins are not those
of the contract, the limit is its bankruptcy price (`engine.analytics.bankruptcy_price`). Prices are rounded once, to the tick,
so that no rounding leaves the pool poorer: a long sells no lower, a short buys no higher.
"""

from decimal import Decimal

from engine.ledger.accounts import AccountState
from engine.liquidation.lots import FINEST
from engine.liquidation.trades import marks_of, positions_of
from engine.margin.quotes import index_price
from engine.marks.mark_book import Prices
from engine.numbers import ONE, ZERO, canonical, to_step
from engine.policy import Instrument, Policy
from engine.policy.rules.policy_switches import InstrumentKind
from engine.position_keys import symbol_of


def limit_price(
    instrument: Instrument,
    quantity: Decimal,
    mark: Decimal,
    index: Decimal,
    equity: Decimal,
    fee_rate: Decimal,
    share: Decimal = ONE,
    of: Decimal = ONE,
) -> Decimal | None:
    """The price at which `quantity` contracts use up `share` / `of` of `equity` (account currency); None where none does.

    `index` is that of the settle asset. Inside `numbers.exact()`.
    """
    size, value = quantity * instrument.multiplier, instrument.value(quantity, mark)
    fee = fee_rate if quantity > 0 else -fee_rate
    if instrument.inverse:
        top = size * index * (1 + fee) * of
        bottom = value * index * of + equity * share
    else:
        top = value * index * of - equity * share
        bottom = size * index * (1 - fee) * of
        if instrument.negative_prices:
            top, bottom = _through_zero(top, size * index * of, fee, instrument.price_scale_min)
    if not bottom or (top * bottom < 0 and not instrument.negative_prices):
        return None
    # rounded before the division, which is then exact
    tick = instrument.price_step or FINEST
    price = canonical(to_step(top, bottom * tick, "ceiling" if quantity > 0 else "floor") / bottom)
    # a price of 0 is what an option may be worth, and no limit for what cannot be traded at it
    return price if price or instrument.negative_prices or instrument.kind is InstrumentKind.OPTION else None


def _through_zero(top: Decimal, size: Decimal, fee: Decimal, scale_min: Decimal) -> tuple[Decimal, Decimal]:
    """Numerator and denominator of the limit of a linear contract whose price may be below 0; `size` counts in account currency."""
    for sign in (ONE, -ONE):
        bottom = size * (1 - sign * fee)
        # sign * top / bottom >= least scale
        if sign * top * bottom >= scale_min * bottom * bottom:
            return top, bottom
    return top + abs(fee * size) * scale_min, size


def takeover_prices(
    state: AccountState, pool: str, equity: Decimal, prices: Prices, policy: Policy
) -> dict[str, Decimal | None]:
    """By position key, prices at which all positions together leave a pool of this equity worth nothing.

    None where only a price below 0 would that cannot be. Inside `numbers.exact()`.
    """
    marks = marks_of(state, pool, prices, policy)
    legs = {}
    for key, position in positions_of(state, pool).items():
        instrument = policy.instruments[symbol_of(key)]
        index, _ = index_price(policy, instrument.settle, prices)
        notional = instrument.notional(position.quantity, marks[key]) * index
        legs[key] = instrument, position.quantity, index, notional
    of = sum((notional for *_, notional in legs.values()), ZERO)
    return {
        key: limit_price(instrument, quantity, marks[key], index, equity, ZERO, notional, of)
        for key, (instrument, quantity, index, notional) in legs.items()
    }
