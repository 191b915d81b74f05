"""What the exchange states of its insurance fund: one group for all contracts, balances with the unrealised P&L of what it holds."""

from decimal import Decimal

from engine.liquidation.fund_groups import FundBalance
from engine.numbers import FRACTION_DIGITS_MAX, canonical, to_step
from streams.exchange.simulation import Simulation

GROUP = "all"
_STEP = Decimal(1).scaleb(-FRACTION_DIGITS_MAX)
"""A message carries no more digits; the fund's own books do, for quantities times prices are exact there."""


def fund_statement(simulation: Simulation, time_ns: int) -> FundBalance:
    """The fund after the last step. Only of an exchange that is open."""
    return FundBalance(
        group=GROUP,
        balances={
            asset: canonical(to_step(it.fund, _STEP, "down"))
            for asset, it in simulation.balances.items()
            if it.fund
        },
        time_ns=time_ns,
    )
