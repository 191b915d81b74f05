"""The ladder: from a pool's figures to its band, from changes of its state to what is said. `table` is all of it as data.

    band            entered when                      the account may
    healthy         C >= warning * MM                 trade
    warning         C <  warning * MM                 trade, and is told
    margin_call     C <  margin_call * MM             trade, and is asked for collateral until a deadline
    reduce_only     C <  reduce_only * MM             only reduce
    liquidation     C <  liquidation * MM             be liquidated
    bankrupt        equity <= 0 (< 0 without MM)      be taken over at the bankruptcy price

`bands` finds the band, `episode` what there is to say about it.
"""

from engine.ladder.bands import advance, band_at, exit_line
from engine.ladder.states import SEVERITY, Band, LadderState, Request

__all__ = ["SEVERITY", "Band", "LadderState", "Request", "advance", "band_at", "exit_line"]
