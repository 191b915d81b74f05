"""What a liquidation is asked to do: the intent that the exchange executes. Its fills come back and end the episode.

The steps are to be executed in order: open orders are cancelled, the legs of a symbol close against each other, then
positions are reduced (and debts repaid) until the pool is out of liquidation, or all of it is taken over: positions, then
balances, so that nothing is left of it, neither an asset nor a debt.
"""

from decimal import Decimal
from typing import Literal

import msgspec

from engine.inputs import PositionLeg
from engine.liquidation.deficit_cover import DeficitCover
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
    """Where the pool's equity pays for closing the whole position and no more; None where no price is that bad.

    What cannot be traded within it the insurance fund takes, at it.
    """
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
    price: Decimal
    """All positions at these prices leave the pool worth nothing; the mark, where only a price below 0 would that cannot be."""
    mark: Decimal
    expected_loss: Decimal = ZERO
    """What taking it at the price and closing it at market loses the fund; < 0 is a gain. Over all positions and balances they sum
    to expected cost - equity, which is the plan's expected shortfall."""


class TakeOverBalanceStep(msgspec.Struct, frozen=True, tag="take_over_balance"):
    """Transfer to the insurance fund what an asset of the pool stands at once its positions are gone; of a debt, the fund pays it."""

    asset: str
    amount: Decimal
    """Coins: > 0 the fund takes from the pool, < 0 it pays into it."""
    index: Decimal
    """At which it counts, in account currency."""
    value: Decimal
    """amount * index."""
    expected_loss: Decimal = ZERO
    """Fee for the coins of a debt - value; < 0 is a gain."""


Step = CancelStep | NetStep | ReduceStep | RepayStep | TakeOverStep | TakeOverBalanceStep


class LiquidationPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The plan for one pool. Amounts in account currency, exact; what is expected holds for fills at the marks less costs."""

    outcome: Literal["exit", "takeover"]
    """The steps reach the exit line, or close the pool at market, or are as many orders as a plan may have: 1,000, or one of each position.

    Then it ends short of the exit line, and the next plan has the rest. Takeover: its equity does not pay for that, all of it is taken over.
    """
    exit_line: Decimal
    """Ratio at which liquidation ends: liquidation line + exit band."""
    steps: tuple[Step, ...] = ()
    expected_cost: Decimal = ZERO
    """Of all steps; of a takeover what closing everything at market, and converting what pays the debts, costs the fund."""
    freed_margin: Decimal = ZERO
    """Requirement before less requirement after."""
    equity_after: Decimal = ZERO
    collateral_value_after: Decimal = ZERO
    requirement_after: Decimal = ZERO
    expected_shortfall: Decimal = ZERO
    """Takeover: what that would leave unpaid, for the insurance fund to bear: max(0, expected cost - equity)."""
    cover: DeficitCover | None = None
    """Who bears the shortfall, where fund and winners are known."""
