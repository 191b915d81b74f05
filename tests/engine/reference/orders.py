"""What open orders require beyond the positions: the worst that their fills could lead to, market by market."""

from collections import defaultdict
from collections.abc import Callable
from fractions import Fraction
from types import SimpleNamespace
from typing import NamedTuple

from tests.engine.reference.assets import Quote, Standing
from tests.engine.reference.positions import hedge, pnl, required, rules_of, worth
from tests.engine.reference.rounding import quotient

_ZERO = Fraction(0)


class Reserved(NamedTuple):
    """What the orders of one market add to the figures, in the asset that the market settles in."""

    initial: Fraction
    maintenance: Fraction
    collateral: Fraction = _ZERO


def markets(policy: SimpleNamespace, state: SimpleNamespace) -> dict[tuple[str, str], list[SimpleNamespace]]:
    """Orders that could open risk in the shared pool, by symbol and market, in the order of their ids.

    Legs of a symbol that offset each other are one market, other legs are markets of their own.
    """
    found = defaultdict(list)
    for _, order in sorted(state.orders.items()):
        if order.isolated or order.reduce_only:
            continue
        order.key = order.symbol if order.leg is None else f"{order.symbol}|{order.leg}"
        apart = rules_of(policy, order.symbol).hedge_legs == "gross"
        found[order.symbol, order.key if apart else order.symbol].append(order)
    return found


def split(orders: list[SimpleNamespace]) -> tuple[list[SimpleNamespace], list[SimpleNamespace]]:
    """Buys and sells."""
    return [one for one in orders if one.quantity > 0], [one for one in orders if one.quantity < 0]


def filled(
    contract: SimpleNamespace, quantity: Fraction, entry_value: Fraction, signed: Fraction, price: Fraction
) -> tuple[Fraction, Fraction]:
    """Quantity and entry value after a fill; what is closed leaves at its share of the entry value."""
    closing = min(abs(quantity), abs(signed)) if quantity * signed < 0 else _ZERO
    closed = closing if quantity > 0 else -closing
    # a position closed whole leaves nothing behind, however many digits it had
    released = entry_value if closed == quantity else quotient(entry_value * closed, quantity)
    opened = signed + closed
    return quantity + signed, entry_value - released + worth(contract, opened, price)


def contract_orders(
    policy: SimpleNamespace,
    orders: list[SimpleNamespace],
    held: list[SimpleNamespace],
    mark_of: Callable[[Fraction, Fraction], Fraction],
    leverage: Fraction,
    open_interest: Fraction | None,
) -> Reserved:
    """The worst of: all buys filled, all sells filled, all that open a leg filled; beyond what `held` requires."""
    symbol = orders[0].symbol
    contract = policy.instruments[symbol]
    now = sum(leg.required.initial for leg in held), sum(leg.required.maintenance for leg in held)
    initials, maintenances = [now[0]], [now[1]]
    outcomes = [*split(orders)]
    opening = [one for one in orders if one.leg == ("long" if one.quantity > 0 else "short")]
    if {one.leg for one in opening} == {"long", "short"}:
        outcomes.append(opening)
    for outcome in filter(None, outcomes):
        last = outcome[-1]
        entered = last.quantity, worth(contract, last.quantity, last.price)
        mark = min(held, key=lambda leg: leg.key).mark if held else mark_of(*entered)
        legs = {leg.key: (leg.quantity, leg.entry_value) for leg in held}
        for order in outcome:
            legs[order.key] = filled(
                contract, *legs.get(order.key, (_ZERO, _ZERO)), order.quantity, order.price
            )
        after = [
            SimpleNamespace(
                key=key,
                symbol=symbol,
                quantity=quantity,
                entry_value=entry_value,
                mark=mark,
                leverage=leverage,
                open_interest=open_interest,
                required=required(policy, symbol, quantity, entry_value, mark, leverage, open_interest),
            )
            for key, (quantity, entry_value) in legs.items()
            if quantity
        ]
        hedge(policy, after)
        loss = _ZERO
        if rules_of(policy, symbol).order_loss:
            for order in outcome:
                entry_value = worth(contract, order.quantity, order.price)
                loss -= min(_ZERO, pnl(contract, entry_value, worth(contract, order.quantity, mark)))
        initials.append(sum(leg.required.initial for leg in after) + loss)
        maintenances.append(sum(leg.required.maintenance for leg in after) + loss)
    return Reserved(max(initials) - now[0], max(maintenances) - now[1])


Changed = Callable[[str, Fraction], Standing]
"""An asset of the pool once its balance changed by so many coins."""


def spot_reserved(pair: SimpleNamespace, orders: list[SimpleNamespace], changed: Changed) -> Reserved:
    """What the worse side would take away from collateral less requirement, in account currency."""

    def free(coins: Fraction, paid: Fraction) -> tuple[Fraction, Fraction]:
        base, settle = changed(pair.base, coins), changed(pair.settle, -paid)
        net = base.net + settle.net
        return net - base.initial - settle.initial, net - base.maintenance - settle.maintenance

    now = free(_ZERO, _ZERO)
    worst = [now]
    for side in split(orders):
        coins = sum((one.quantity for one in side), _ZERO) * pair.multiplier
        worst.append(free(coins, sum((one.quantity * pair.multiplier * one.price for one in side), _ZERO)))
    return Reserved(now[0] - min(one[0] for one in worst), now[1] - min(one[1] for one in worst))


def spot_filled(
    policy: SimpleNamespace,
    pair: SimpleNamespace,
    orders: list[SimpleNamespace],
    changed: Changed,
    price: Quote,
) -> Reserved:
    """The change of the figures once the worse side has filled at the price of the base asset."""
    now, outcomes = changed(pair.base, _ZERO), []
    for side in reversed(split(orders)):
        coins = sum((one.quantity for one in side), _ZERO) * pair.multiplier
        cash = -coins * (price.owing if coins > 0 else price.holding)
        outcomes.append((changed(pair.base, coins), cash))
    base, cash = min(outcomes, key=lambda it: it[0].net + it[1])
    paid = -min(cash, _ZERO) if policy.pool.liabilities == "requirement" else _ZERO
    owed = base.owed - now.owed + paid
    return Reserved(
        owed + base.initial - now.initial,
        owed + base.maintenance - now.maintenance,
        base.collateral - now.collateral + cash + paid,
    )
