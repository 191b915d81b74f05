"""What opening an order takes out of the available balance, as shown beside an order ticket.

    cost = IM of the position at the order price + fee to open + fee to close

    fee to open   = taker fee rate * value at the order price
    fee to close  = as the margin rules count it (`MarginRules.closing_fee`); `bankruptcy` is the fee at the price that
                    consumes the initial margin: value * (lev - 1) / lev for a linear long, * (lev + 1) / lev for an inverse one

Source: Bybit, "Order Cost (USDT Contract)" and "Order Cost (Inverse Contract)".
"""

from decimal import Decimal

import msgspec

from engine.ledger.accounts import FLAT, OpenOrder
from engine.ledger.booking import filled
from engine.margin.position_margin import position_margin
from engine.numbers import ZERO, exact
from engine.policy import Policy


class OrderCost(msgspec.Struct, frozen=True):
    """The parts of an order's cost, in settle asset."""

    value: Decimal
    """Of the order at its price."""
    initial_margin: Decimal
    """Without fees."""
    open_fee: Decimal
    close_fee: Decimal

    @property
    def total(self) -> Decimal:
        """Initial margin + both fees."""
        with exact():
            return self.initial_margin + self.open_fee + self.close_fee


def order_cost(order: OpenOrder, leverage: Decimal, policy: Policy) -> OrderCost:
    """The cost of `order`, in a contract, opening a position of its own at `leverage`."""
    instrument, rules = policy.instruments[order.symbol], policy.margin_rules(order.symbol)
    with exact():
        position, _ = filled(FLAT, order.quantity, order.price, instrument)
        margin = position_margin(order.symbol, position, order.price, leverage, policy)
        fee_within = margin.closing_fee if rules.closing_fee_in_initial else ZERO
        value = abs(position.entry_value)
        return OrderCost(
            value=value,
            initial_margin=margin.initial_margin - fee_within,
            # fee to open = taker fee rate * value
            open_fee=rules.taker_fee_rate * value,
            close_fee=margin.closing_fee,
        )
