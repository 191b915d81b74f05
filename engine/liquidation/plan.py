"""What a liquidation is asked to do: the intent that the exchange executes. Its fills come back and end the episode.

The steps are to be executed in order: open orders are cancelled, the legs of a symbol close against each other, then
positions are reduced (and debts repaid) until the pool is out of liquidation, or all of it is taken over.
"""

from decimal import Decimal
from typing import Literal

import msgspec

from engine.inputs import PositionLeg
from engine.liquidation.adl import DeficitCover
from engine.numbers import ZERO


class CancelStep(msgspec.Struct, frozen=True, tag="cancel"):
    """Cancel an open order that could increase risk."""

    order_id: str


class NetStep(msgspec.Struct, frozen=True, tag="net"):
    """Close long and short leg of a symbol against each other, at the mark and without a trade."""

    symbol: str
    quantity: Decimal
    """Contracts taken from either leg, > 0."""
    mark: Decimal


class ReduceStep(msgspec.Struct, frozen=True, tag="reduce"):
    """A reduce-only order."""

    symbol: str
    leg: PositionLeg | None
    side: Literal["buy", "sell"]
    quantity: Decimal
    """Contracts, > 0."""
    limit_price: Decimal | None
    """Where the pool's equity pays for closing the whole position and no more; None where no price is that bad."""
    mark: Decimal
    expected_cost: Decimal
    """Fee + slippage, in account currency."""
    freed_margin: Decimal
    """Requirement that the step frees, in account currency."""
    round: int = 1
    """Steps of one round may be executed together; the next round waits for them."""


class RepayStep(msgspec.Struct, frozen=True, tag="repay"):
    """Sell an asset at its index price and repay the debt in another with it."""

    sell_asset: str
    sell_amount: Decimal
    """Coins, > 0."""
    repay_asset: str
    repay_amount: Decimal
    """Coins credited, the conversion fee taken off."""
    expected_cost: Decimal
    """The conversion fee, in account currency."""
    freed_margin: Decimal
    round: int = 1


class TakeOverStep(msgspec.Struct, frozen=True, tag="take_over"):
    """Transfer a position to the insurance fund; what the fund cannot bear, the profitable holders of the other side do."""

    symbol: str
    leg: PositionLeg | None
    side: Literal["buy", "sell"]
    """Of the account: a long is sold to the fund."""
    quantity: Decimal
    price: Decimal | None
    """All positions at these prices leave the pool worth nothing; None where only a price below 0 would."""
    mark: Decimal
    expected_loss: Decimal = ZERO
    """What closing it at market loses the fund, cost - equity * its share of the notional; < 0 is a gain. Over all positions
    they sum to the plan's expected shortfall, or to 0 or less where it has none."""


Step = CancelStep | NetStep | ReduceStep | RepayStep | TakeOverStep


class LiquidationPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The plan for one pool. Amounts in account currency, exact; what is expected holds for fills at the marks less costs."""

    outcome: Literal["exit", "takeover"]
    """The steps reach the exit line, or nothing does and the pool is taken over at its bankruptcy price."""
    exit_line: Decimal
    """Ratio at which liquidation ends: liquidation line + exit band."""
    steps: tuple[Step, ...] = ()
    expected_cost: Decimal = ZERO
    """Of all steps; of a takeover what closing everything at market would cost the fund."""
    freed_margin: Decimal = ZERO
    """Requirement before less requirement after."""
    equity_after: Decimal = ZERO
    collateral_value_after: Decimal = ZERO
    requirement_after: Decimal = ZERO
    expected_shortfall: Decimal = ZERO
    """Takeover: what closing everything at market would leave unpaid, for the insurance fund to bear."""
    cover: DeficitCover | None = None
    """Who bears the shortfall, where fund and winners are known."""
