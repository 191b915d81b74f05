"""What the open orders of one market of contracts require, from what they come to: the same at 10 orders and at 10,000.

    quantity after a side = quantity held + quantity of the side             the outcomes of `order_margin`, for one-way positions
    required              = max over sides of IM(that quantity at the mark) - IM(position), at least 0

It holds where an outcome's margin depends on its quantity and the mark alone: no order reserves its own loss, the notional is that of the mark, no leg is
named, and there is a mark. Everywhere else `order_margin` walks the orders. Equal to it digit for digit.
"""

from collections.abc import Mapping, Sequence

from engine.ledger.accounts import FLAT, AccountState, Position
from engine.ledger.resting_orders import OrderKind, OrderTotal, Totals
from engine.margin.cross.order_margin import OrderMargin, market_of
from engine.margin.position_margin import PositionMargin, position_margin
from engine.margin.quotes import mark_price, open_interest
from engine.marks.mark_book import Prices
from engine.numbers import ZERO
from engine.policy import Policy
from engine.policy.rules.policy_switches import CONTRACTS, NotionalBasis
from engine.position_keys import position_key, symbol_of

_OF_MARK = NotionalBasis.MARK


def pool_totals(totals: Totals, policy: Policy) -> dict[str, Totals]:
    """Totals of the orders that count in the shared pool, by market, in the order of their names."""
    found: dict[str, Totals] = {}
    for kind, total in totals.items():
        if kind.pooled:
            market = market_of(position_key(kind.symbol, kind.leg), policy)
            found.setdefault(market, {})[kind] = total
    return dict(sorted(found.items()))


def goes_by_sums(
    market: str, totals: Totals, held: Sequence[PositionMargin], prices: Prices, policy: Policy
) -> bool:
    """Whether the totals of a market say all that its margin depends on."""
    symbol = symbol_of(market)
    rules = policy.margin_rules(symbol)
    return (
        policy.instruments[symbol].kind in CONTRACTS
        and not rules.order_loss
        and rules.notional is _OF_MARK
        and symbol in prices.marks
        and all(kind.leg is None for kind in totals)
        and all(margin.key == symbol for margin in held)
    )


def order_sum_margin(
    symbol: str,
    totals: Mapping[OrderKind, OrderTotal],
    held: Sequence[PositionMargin],
    state: AccountState,
    prices: Prices,
    policy: Policy,
) -> OrderMargin:
    """The worse outcome of a market that `goes_by_sums`, in settle asset. Call it inside `numbers.exact()`."""
    sides = {kind.buys: total.quantity for kind, total in totals.items()}
    (before,) = held or (None,)
    initial, maintenance = (before.initial_margin, before.maintenance_margin) if before else (ZERO, ZERO)
    position = state.positions[symbol] if before else FLAT
    mark, fresh = mark_price(symbol, position, prices, policy)
    leverage = state.leverage.get(symbol, policy.leverage_default)
    interest = open_interest(symbol, prices)
    worse_initial, worse_maintenance = initial, maintenance
    for quantity in sides.values():
        # quantity after a side = quantity held + quantity of the side
        after = position.quantity + quantity
        if after:
            margin = position_margin(symbol, Position(after, ZERO), mark, leverage, policy, interest)
            worse_initial = max(worse_initial, margin.initial_margin)
            worse_maintenance = max(worse_maintenance, margin.maintenance_margin)
    counts = policy.pool.orders_in_maintenance
    return OrderMargin(
        key=symbol,
        settle=policy.instruments[symbol].settle,
        buys=sides.get(True, ZERO),
        sells=sides.get(False, ZERO),
        initial_margin=worse_initial - initial,
        maintenance_margin=worse_maintenance - maintenance if counts else ZERO,
        fresh=fresh or not counts,
    )
