"""Open orders whose price is worse than the mark: once they fill the account is poorer by more than initial margin says.

    loss of an order   P&L that it shows at the mark once filled, < 0
    outcomes           the account as it is; with all losing buys filled at their prices, all losing sells, and both
    free               C - IM - what the isolated positions that were filled lack more than before
    lacking            IM - equity of an isolated position

Every outcome is judged at the doubted prices that are worse for it (`cautious_prices`).

Spot and option orders count at their own price in initial margin already (`margin.cross.order_margin`, `spot_orders`); orders that can
only reduce are no larger than what is held.
"""

from collections.abc import Collection
from decimal import Decimal

import msgspec

from engine.analytics.cautious_prices import cautious
from engine.ledger.accounts import AccountState, OpenOrder
from engine.ledger.booking import booked_order, filled_isolated
from engine.ledger.resting_orders import RestingOrders
from engine.margin.figures import Figures
from engine.margin.isolated_orders import EMPTY
from engine.margin.isolated_pool import isolated_figures
from engine.margin.margin_model import shared_figures
from engine.marks.mark_book import Prices
from engine.numbers import ZERO
from engine.policy import Policy
from engine.policy.rules.policy_switches import CONTRACTS
from engine.position_keys import position_key

_replace = msgspec.structs.replace


class Outcome(msgspec.Struct, frozen=True):
    """The shared pool once some open orders have filled."""

    figures: Figures
    lacking: Decimal = ZERO
    """What the pool has to hand over to isolated positions, in account currency."""
    degraded: bool = False
    """Whether a price is stale or missing that the figures, or those of a filled isolated position, need."""

    @property
    def free(self) -> Decimal:
        """What is left above initial margin; inside `numbers.exact()`."""
        return self.figures.free - self.lacking


def losing_sides(state: AccountState, prices: Prices, policy: Policy) -> list[frozenset[str]]:
    """Ids of the losing buys, of the losing sells, and of both; of those there are. Call it inside `numbers.exact()`."""
    losing = [
        (order_id, order.quantity > 0)
        for order_id, order in state.orders.items()
        if _loses(order, prices, policy)
    ]
    sides = [frozenset(name for name, buys in losing if buys is way) for way in (True, False)]
    found = [side for side in sides if side]
    return [*found, found[0] | found[1]] if len(found) > 1 else found


def _loses(order: OpenOrder, prices: Prices, policy: Policy) -> bool:
    instrument, mark = policy.instruments[order.symbol], prices.marks.get(order.symbol)
    if order.reduce_only or mark is None or instrument.kind not in CONTRACTS:
        return False
    entered = instrument.value(order.quantity, order.price)
    return instrument.profit(entered, instrument.value(order.quantity, mark.price)) < 0


def filled_whole(state: AccountState, order_ids: Collection[str], policy: Policy) -> AccountState:
    """The account with these of its open orders filled at their prices, without a fee. Call it inside `numbers.exact()`."""
    if not order_ids:
        return state
    after = state
    for order_id in sorted(order_ids):
        order = state.orders[order_id]
        if order.isolated:
            key, contract = position_key(order.symbol, order.leg), policy.instruments[order.symbol]
            held = filled_isolated(after.isolated.get(key, EMPTY), order.quantity, order.price, contract)
            after = _replace(after, isolated={**after.isolated, key: held})
        else:
            after = booked_order(after, order, policy)
    rest = {order_id: order for order_id, order in state.orders.items() if order_id not in order_ids}
    return _replace(after, orders=RestingOrders.of(rest))


def outcome_of(before: AccountState, after: AccountState, prices: Prices, policy: Policy) -> Outcome:
    """Of the account `before` once it stands as `after` some fills. Call it inside `numbers.exact()`."""
    prices = cautious(after, prices, policy)
    figures = shared_figures(after, prices, policy)
    lacking, degraded = ZERO, figures.degraded
    for key, held in after.isolated.items():
        if held is before.isolated.get(key):
            continue
        more, doubted = _lacking(after, key, prices, policy)
        lacking += more - _lacking(before, key, prices, policy)[0]
        degraded = degraded or doubted
    return Outcome(figures, lacking, degraded)


def _lacking(state: AccountState, key: str, prices: Prices, policy: Policy) -> tuple[Decimal, bool]:
    """Initial margin of an isolated position that its own equity does not cover (< 0 where it has more), and whether a price is doubted."""
    if key not in state.isolated:
        return ZERO, False
    figures = isolated_figures(state, key, prices, policy)
    return figures.initial_margin - figures.equity, figures.degraded
