"""An exchange that executes a liquidation plan as given: every trade at the mark, its expected cost charged as a fee."""

from collections.abc import Iterable
from decimal import Decimal

from engine.events.pools import pool_figures
from engine.inputs import AccountInput, Deposit, Fill, IsolatedTransfer, MarginMode, OrderUpdate, Withdrawal
from engine.ladder import SEVERITY, Band, band_at
from engine.ledger.accounts import AccountState
from engine.ledger.booking import book
from engine.liquidation.plan import (
    CancelStep,
    NetStep,
    ReduceStep,
    RepayStep,
    Step,
    TakeOverBalanceStep,
    TakeOverStep,
)
from engine.liquidation.trades import positions_of
from engine.margin.dust import without_dust
from engine.margin.quotes import index_price
from engine.marks.mark_book import Prices
from engine.numbers import divide, exact
from engine.policy import Policy
from engine.position_keys import leg_of, position_key, symbol_of
from engine.rejections import Rejection


def executed(
    state: AccountState, pool: str, steps: Iterable[Step], prices: Prices, policy: Policy
) -> AccountState:
    """The account after `steps`, booked as the inputs that an exchange would send."""
    with exact():
        for step in steps:
            for message in messages_of(state, pool, step, prices, policy):
                after = book(state, message, policy)
                assert not isinstance(after, Rejection), (step, after)
                state = after
    return state


def out_of_liquidation(state: AccountState, pool: str, prices: Prices, policy: Policy) -> bool:
    """Whether the ladder would let the pool leave liquidation."""
    figures = pool_figures(state, pool, prices, policy)
    return SEVERITY[band_at(figures, policy.ladder, exiting=True)] < SEVERITY[Band.LIQUIDATION]


def nothing_left_to_close(state: AccountState, pool: str, prices: Prices, policy: Policy) -> bool:
    """Whether no position is left, and nothing that could repay a debt: coins alone may be judged to be below a line."""
    known = {name for name, it in policy.assets.items() if it.index in {"", *prices.marks}}
    left = {} if pool else without_dust(state, policy).balances
    owed = [name for name, amount in left.items() if amount < 0 and name in known]
    held = [name for name, amount in left.items() if amount > 0 and name in known]
    return not positions_of(state, pool) and not (owed and held)


def messages_of(
    state: AccountState, pool: str, step: Step, prices: Prices, policy: Policy
) -> list[AccountInput]:
    """What an exchange sends once `step` is done. Inside `numbers.exact()`."""
    who = {"account": state.account, "time_ns": 0}
    match step:
        case CancelStep(order_id=order_id):
            order = state.orders[order_id]
            return [
                OrderUpdate(
                    **who, update_id="u", order_id=order_id, symbol=order.symbol, side="buy",
                    quantity=Decimal(0), price=Decimal(1), leg=order.leg,
                )
            ]  # fmt: skip
        case NetStep(symbol=symbol, quantity=quantity, mark=mark):
            keys = [key for key in (symbol, f"{symbol}|long", f"{symbol}|short") if key in state.positions]
            long = min(key for key in keys if state.positions[key].quantity > 0)
            short = min(key for key in keys if state.positions[key].quantity < 0)
            return [
                _fill(who, symbol, side, quantity, mark, Decimal(0), key.partition("|")[2] or None, "")
                for key, side in ((long, "sell"), (short, "buy"))
            ]
        case ReduceStep():
            index, _ = index_price(policy, policy.instruments[step.symbol].settle, prices)
            rate = policy.liquidation.fee_rate + policy.liquidation.slippage_rates.get(
                step.symbol, policy.liquidation.slippage_rate
            )
            cost = rate * policy.instruments[step.symbol].notional(step.quantity, step.mark)
            if step.expected_cost != cost * index:
                # a position beyond the depth of its book, of which some was closed before
                assert step.expected_cost > cost * index - Decimal("1e-9"), step
                cost = divide(step.expected_cost, index)
            return [_fill(who, step.symbol, step.side, step.quantity, step.mark, cost, step.leg, pool)]
        case RepayStep():
            sold, _ = index_price(policy, step.sell_asset, prices)
            bought, _ = index_price(policy, step.repay_asset, prices)
            left = 1 - policy.liquidation.conversion_fee_rate
            assert step.repay_amount == divide(step.sell_amount * sold * left, bought)
            return [
                Withdrawal(**who, entry_id="w", asset=step.sell_asset, amount=step.sell_amount),
                Deposit(**who, entry_id="d", asset=step.repay_asset, amount=step.repay_amount),
            ]
        case TakeOverStep(symbol=symbol, side=side, quantity=quantity, price=price):
            return [_fill(who, symbol, side, quantity, price, Decimal(0), step.leg, pool)]
        case TakeOverBalanceStep(asset=asset, amount=amount):
            move = Withdrawal if amount > 0 else Deposit
            moved = [move(**who, entry_id="b", asset=asset, amount=abs(amount))]
            if not pool:
                return moved
            symbol, leg = symbol_of(pool), leg_of(pool)
            transfer = IsolatedTransfer(**who, entry_id="i", symbol=symbol, leg=leg, amount=-amount)
            return [transfer, *moved] if amount > 0 else [*moved, transfer]


def _fill(who, symbol, side, quantity, price, cost, leg, pool):
    if pool:
        assert pool == position_key(symbol, leg)
    mode = MarginMode.ISOLATED if pool else MarginMode.CROSS
    # an isolated position pays its own costs
    transfer = -cost if pool else Decimal(0)
    return Fill(
        **who, trade_id="t", symbol=symbol, side=side, quantity=quantity, price=price, fee=cost,
        margin_mode=mode, leg=leg, margin_transfer=transfer,
    )  # fmt: skip
