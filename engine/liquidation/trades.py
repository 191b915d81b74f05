"""The account after what a plan is made of: cancelled orders, legs closed against each other, reductions, repaid debts.

Reductions fill at the mark; their cost, (fee rate + slippage rate) * |value|, is paid in settle asset by the pool itself: the
wallet, or the margin of the isolated position. What a trade leaves of an asset is often dust, which no judgement counts: so the account
after a reduction or a conversion is given without it.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal

import msgspec

from engine.ledger.accounts import AccountState, OpenOrder, Position
from engine.ledger.booking import booked_order, filled, filled_isolated
from engine.margin.dust import without_dust
from engine.margin.position_margin import PositionMargin
from engine.margin.quotes import index_price, mark_price
from engine.marks.mark_book import Prices
from engine.numbers import ZERO, canonical, divide
from engine.policy import Policy
from engine.position_keys import LEG_SEPARATOR, leg_of, position_key, symbol_of

_replace = msgspec.structs.replace


def positions_of(state: AccountState, pool: str) -> dict[str, Position]:
    """Positions of the pool by key: those of the shared pool (""), or the isolated one."""
    if not pool:
        return state.positions
    held = state.isolated.get(pool)
    return {pool: held.position} if held is not None and held.position.quantity else {}


def marks_of(state: AccountState, pool: str, prices: Prices, policy: Policy) -> dict[str, Decimal]:
    """The mark that each position of the pool is judged by. Inside `numbers.exact()`."""
    return {
        key: mark_price(symbol_of(key), position, prices, policy)[0]
        for key, position in positions_of(state, pool).items()
    }


def cancelled(state: AccountState, pool: str) -> tuple[AccountState, list[str]]:
    """The account without the orders of the pool that could increase its risk, and their ids, sorted.

    That is every order but a reduce-only one: an order on the closing side opens as soon as the position is gone.
    """
    if not state.orders:
        return state, []
    ids = sorted(
        order_id
        for order_id, order in state.orders.items()
        if not order.reduce_only and _pool_of(order) == pool
    )
    if not ids:
        return state, ids
    dropped = frozenset(ids)
    kept = {order_id: order for order_id, order in state.orders.items() if order_id not in dropped}
    return _replace(state, orders=kept), ids


def hedged_symbols(state: AccountState) -> dict[str, tuple[str, str, Decimal]]:
    """By symbol with two opposite positions in the shared pool: the long and the short key, and the smaller quantity."""
    if LEG_SEPARATOR not in "".join(state.positions):
        return {}
    by_symbol: dict[str, list[str]] = {}
    for key in state.positions:
        by_symbol.setdefault(symbol_of(key), []).append(key)
    found = {}
    for symbol in sorted(by_symbol):
        longs = sorted(key for key in by_symbol[symbol] if state.positions[key].quantity > 0)
        shorts = sorted(key for key in by_symbol[symbol] if state.positions[key].quantity < 0)
        if longs and shorts:
            long, short = longs[0], shorts[0]
            found[symbol] = (
                long,
                short,
                min(state.positions[long].quantity, -state.positions[short].quantity),
            )
    return found


def netted(
    state: AccountState, long: str, short: str, quantity: Decimal, mark: Decimal, policy: Policy
) -> AccountState:
    """The shared pool with `quantity` of both positions closed at the mark. Inside `numbers.exact()`."""
    for key, signed in ((long, -quantity), (short, quantity)):
        state = booked_order(state, OpenOrder(symbol_of(key), signed, mark, leg=leg_of(key)), policy)
    return state


def reduced(
    state: AccountState, pool: str, key: str, quantity: Decimal, mark: Decimal, cost: Decimal, policy: Policy
) -> AccountState:
    """The account with `quantity` > 0 contracts closed at the mark, their cost (settle asset) paid. Inside `exact()`."""
    symbol = symbol_of(key)
    instrument = policy.instruments[symbol]
    signed = quantity if positions_of(state, pool)[key].quantity < 0 else -quantity
    if pool:
        after = filled_isolated(state.isolated[pool], signed, mark, instrument)
        after = _replace(after, margin=canonical(after.margin - cost))
        return _replace(state, isolated={**state.isolated, pool: after})
    state = booked_order(state, OpenOrder(symbol, signed, mark, leg=leg_of(key)), policy)
    return without_dust(_replace(state, balances=_added(state.balances, instrument.settle, -cost)), policy)


def leaves_dust(
    state: AccountState, margin: PositionMargin, quantity: Decimal, cost: Decimal, policy: Policy
) -> bool:
    """Whether no more than dust is in the wallet of the settle asset once so many contracts of the shared pool are closed. Inside `exact()`."""
    dust, profit = policy.assets[margin.settle].dust, margin.unrealised_pnl
    wallet = state.balances.get(margin.settle, ZERO) - cost
    # what is realised lies between nothing and all of the profit
    if wallet + min(profit, ZERO) > dust or wallet + max(profit, ZERO) < -dust:
        return False
    signed = quantity if margin.quantity < 0 else -quantity
    instrument = policy.instruments[margin.symbol]
    _, realised = filled(state.positions[margin.key], signed, margin.mark, instrument)
    return abs(wallet + realised) <= dust


def realised_amounts(state: AccountState, held: Iterable[PositionMargin]) -> dict[str, Decimal]:
    """Coins by asset were every contract of the shared pool closed at its mark at no cost. Inside `numbers.exact()`."""
    amounts = dict(state.balances)
    for margin in held:
        if not margin.option:
            amounts[margin.settle] = amounts.get(margin.settle, ZERO) + margin.unrealised_pnl
    return amounts


def proceeds(sell_asset: str, amount: Decimal, repay_asset: str, prices: Prices, policy: Policy) -> Decimal:
    """Coins of `repay_asset` that `amount` of `sell_asset` buys at index prices, the fee taken off. Inside `exact()`."""
    sold, _ = index_price(policy, sell_asset, prices)
    bought, _ = index_price(policy, repay_asset, prices)
    # amount * index * (1 - fee rate) / index of what is repaid
    return divide(amount * sold * (1 - policy.liquidation.conversion_fee_rate), bought)


def converted(
    state: AccountState, sell_asset: str, amount: Decimal, repay_asset: str, prices: Prices, policy: Policy
) -> AccountState:
    """The account with `amount` coins sold and their proceeds credited. Inside `numbers.exact()`."""
    credit = proceeds(sell_asset, amount, repay_asset, prices, policy)
    balances = _added(_added(state.balances, sell_asset, -amount), repay_asset, credit)
    return without_dust(_replace(state, balances=balances), policy)


def _pool_of(order: OpenOrder) -> str:
    return position_key(order.symbol, order.leg) if order.isolated else ""


def _added(balances: Mapping[str, Decimal], asset: str, change: Decimal) -> dict[str, Decimal]:
    changed = dict(balances)
    amount = canonical(changed.pop(asset, ZERO) + change)
    if amount:
        changed[asset] = amount
    return changed
