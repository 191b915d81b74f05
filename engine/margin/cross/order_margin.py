"""What open orders require: the worse outcome of each market counts.

    contract   outcome   = the position once all buys (or all sells) of the market have filled at their prices
               required  = max over outcomes of IM(outcome) + loss(its orders)  -  IM(position), at least 0
               loss      = sum over orders of max(0, -(P&L that the order shows at the mark once filled)), where the rules
                           count it (Binance Futures, "open loss")
    option     required  = max over outcomes of premium paid + requirement of the underlying's options  -  the same now
    spot       `engine.margin.cross.spot_orders`
    each order also requires `PoolRules.order_requirement` by its mere existence

A market is one position key. Where the legs of a hedged symbol offset each other (`hedge_legs`), they are one market with
a third outcome: every order that opens has filled, and none that closes.

Orders that can only reduce a position and orders of isolated positions are not part of the shared pool.

Twin: `engine.book.boxes.pool_swings`, for what orders require by their existence; the rest has no bound.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal

import msgspec

from engine.ledger.accounts import FLAT, AccountState, OpenOrder, Position
from engine.ledger.booking import filled
from engine.margin.cross.hedge_legs import hedged
from engine.margin.options.option_pool import option_groups, option_position
from engine.margin.position_margin import PositionMargin, position_margin
from engine.margin.quotes import mark_price, open_interest
from engine.marks.mark_book import Prices
from engine.numbers import ZERO
from engine.policy import Instrument, Policy
from engine.policy.rules.policy_switches import HedgeLegs, InstrumentKind, OptionValue
from engine.position_keys import position_key, symbol_of

_GROSS_LEGS, _OPTION, _VALUE_IS_COLLATERAL = HedgeLegs.GROSS, InstrumentKind.OPTION, OptionValue.COLLATERAL

_replace = msgspec.structs.replace


class OrderMargin(msgspec.Struct, frozen=True):
    """What the open orders of one market require beyond the position there."""

    key: str
    """Position key; the symbol where the legs of the symbol are one market."""
    settle: str
    """Asset in which the amounts are counted; empty for account currency."""
    buys: Decimal
    """Quantity of all buy orders."""
    sells: Decimal
    """Quantity of all sell orders, <= 0."""
    initial_margin: Decimal
    maintenance_margin: Decimal
    collateral_value: Decimal = ZERO
    """What the orders add to the collateral value, in account currency, where the rules count them as filled."""
    fresh: bool = True
    """Whether every price that matters to more than the initial margin is fresh."""


def pool_orders(state: AccountState, policy: Policy) -> dict[str, list[OpenOrder]]:
    """Orders that count in the shared pool, by market, in the order of their ids."""
    found: dict[str, list[OpenOrder]] = {}
    for _, order in sorted(state.orders.items()):
        if not (order.isolated or order.reduce_only):
            market = market_of(position_key(order.symbol, order.leg), policy)
            found.setdefault(market, []).append(order)
    return found


def market_of(key: str, policy: Policy) -> str:
    """The market of a position key: the key itself, or its symbol where the legs of the symbol offset each other."""
    symbol = symbol_of(key)
    return key if policy.margin_rules(symbol).hedge_legs is _GROSS_LEGS else symbol


def contract_order_margin(
    key: str,
    orders: Sequence[OpenOrder],
    held: Sequence[PositionMargin],
    state: AccountState,
    prices: Prices,
    policy: Policy,
) -> OrderMargin:
    """The worse outcome of the orders in one market of contracts, in settle asset. Call it inside `numbers.exact()`.

    `held` are the positions of that market as the pool margins them: none, one, or both legs.
    """
    symbol = symbol_of(key)
    instrument, rules = policy.instruments[symbol], policy.margin_rules(symbol)
    initial, maintenance = _required(held, ZERO)
    worse_initial, worse_maintenance, fresh = initial, maintenance, True
    positions = {margin.key: state.positions[margin.key] for margin in sorted(held, key=lambda it: it.key)}
    for outcome in _outcomes(orders):
        judged = next(iter(positions.values()), _resting(outcome[-1], instrument))
        mark, fresh = mark_price(symbol, judged, prices, policy)
        legs = _legs_after(outcome, positions, mark, state, prices, policy)
        loss = _loss(outcome, mark, instrument) if rules.order_loss else ZERO
        of_initial, of_maintenance = _required(legs, loss)
        worse_initial, worse_maintenance = (
            max(worse_initial, of_initial),
            max(worse_maintenance, of_maintenance),
        )
    more = worse_initial - initial, worse_maintenance - maintenance
    return order_margin(key, instrument.settle, orders, *more, policy, fresh=fresh)


def option_order_margin(
    key: str,
    orders: Sequence[OpenOrder],
    held: Sequence[PositionMargin],
    prices: Prices,
    policy: Policy,
) -> OrderMargin:
    """The worse side of the orders in one option, in settle asset. Call it inside `numbers.exact()`.

    `held` are all positions of the pool: those on the same underlying share its requirement.
    """
    symbol = symbol_of(key)
    option = policy.instruments[symbol]
    group = [margin for margin in held if _same_group(policy.instruments[margin.symbol], option)]
    others = [margin for margin in group if margin.key != key]
    before = sum((margin.quantity for margin in group if margin.key == key), ZERO)
    initial, maintenance, fresh = _option_cost(group, ZERO, prices, policy)
    worse_initial, worse_maintenance = initial, maintenance
    for side in _sides(orders):
        paid = sum((option.value(order.quantity, order.price) for order in side), ZERO)
        mark, mark_fresh = mark_price(symbol, _resting(side[-1], option), prices, policy)
        after = option_position(key, Position(before + quantity_of(side), ZERO), mark, option)
        side_initial, side_maintenance, side_fresh = _option_cost([*others, after], paid, prices, policy)
        worse_initial = max(worse_initial, side_initial)
        worse_maintenance = max(worse_maintenance, side_maintenance)
        fresh = fresh and mark_fresh and side_fresh
    more = worse_initial - initial, worse_maintenance - maintenance
    return order_margin(key, option.settle, orders, *more, policy, fresh=fresh)


def order_margin(
    key: str,
    settle: str,
    orders: Sequence[OpenOrder],
    initial: Decimal,
    maintenance: Decimal,
    policy: Policy,
    *,
    fresh: bool,
) -> OrderMargin:
    """What the orders of one market require; nothing of it in MM where the policy keeps orders out of MM."""
    counts = policy.pool.orders_in_maintenance
    return OrderMargin(
        key=key,
        settle=settle,
        buys=quantity_of([order for order in orders if order.quantity > 0]),
        sells=quantity_of([order for order in orders if order.quantity < 0]),
        initial_margin=initial,
        maintenance_margin=maintenance if counts else ZERO,
        fresh=fresh or not counts,
    )


def quantity_of(orders: Iterable[OpenOrder]) -> Decimal:
    """Signed contracts (or base units) of all these orders together."""
    return sum((order.quantity for order in orders), ZERO)


def _required(held: Sequence[PositionMargin], loss: Decimal) -> tuple[Decimal, Decimal]:
    """IM and MM of these positions, each with the loss."""
    initial = maintenance = loss
    for margin in held:
        initial += margin.initial_margin
        maintenance += margin.maintenance_margin
    return initial, maintenance


def _sides(orders: Sequence[OpenOrder]) -> Iterator[list[OpenOrder]]:
    """All buys, and all sells, where there are any."""
    for sign in (1, -1):
        side = [order for order in orders if order.quantity * sign > 0]
        if side:
            yield side


def _outcomes(orders: Sequence[OpenOrder]) -> Iterator[list[OpenOrder]]:
    """Which orders fill together: all buys, all sells, and in hedge mode all that open."""
    yield from _sides(orders)
    if all(order.leg is None for order in orders):
        return
    opening = [order for order in orders if order.leg == ("long" if order.quantity > 0 else "short")]
    if len({order.leg for order in opening}) > 1:
        yield opening


def _resting(order: OpenOrder, instrument: Instrument) -> Position:
    """The order as the position it would open: it tells a price where the symbol never had a mark."""
    return Position(order.quantity, instrument.value(order.quantity, order.price))


def _legs_after(
    orders: Sequence[OpenOrder],
    positions: Mapping[str, Position],
    mark: Decimal,
    state: AccountState,
    prices: Prices,
    policy: Policy,
) -> list[PositionMargin]:
    """The market's positions once these orders have filled, as the pool margins them."""
    symbol, after = orders[0].symbol, dict(positions)
    for order in orders:
        key = position_key(symbol, order.leg)
        after[key], _ = filled(after.get(key, FLAT), order.quantity, order.price, policy.instruments[symbol])
    leverage = state.leverage.get(symbol, policy.leverage_default)
    interest = open_interest(symbol, prices)
    legs = [
        position_margin(key, position, mark, leverage, policy, interest)
        for key, position in after.items()
        if position.quantity
    ]
    return legs if len(legs) == 1 else hedged(legs, _replace(state, positions=after), prices, policy)


def _loss(orders: Iterable[OpenOrder], mark: Decimal, instrument: Instrument) -> Decimal:
    """Loss that these orders' prices imply at the mark, in settle asset; no gain of another order pays for it."""
    lost = ZERO
    for order in orders:
        entered = instrument.value(order.quantity, order.price)
        # loss = max(0, -(P&L of the filled order at the mark))
        lost += max(ZERO, -instrument.profit(entered, instrument.value(order.quantity, mark)))
    return lost


def _same_group(one: Instrument, other: Instrument) -> bool:
    return one.kind is _OPTION and (one.base, one.settle) == (other.base, other.settle)


def _option_cost(
    held: Sequence[PositionMargin], paid: Decimal, prices: Prices, policy: Policy
) -> tuple[Decimal, Decimal, bool]:
    """What these options on one underlying cost: requirement and premium, less their value where it is collateral."""
    groups, stale = option_groups(list(held), prices, policy)
    counted = policy.pool.option_value is _VALUE_IS_COLLATERAL
    value = sum((group.value for group in groups), ZERO) if counted else ZERO
    # cost = requirement + premium paid - value that counts as collateral
    cost = paid - value
    initial = sum((group.initial_margin for group in groups), cost)
    maintenance = sum((group.maintenance_margin for group in groups), cost)
    return initial, maintenance, not stale
