"""The ladder: from a pool's figures to its band, from changes of its state to what is said. `table` is all of it as data.

    band            entered when                      the account may
    healthy         C >= warning * MM                 trade and withdraw
    warning         C <  warning * MM                 the same, and is told
    margin_call     C <  margin_call * MM             trade, and is asked for collateral until a deadline
    reduce_only     C <  reduce_only * MM             only reduce
    liquidation     C <  liquidation * MM             be liquidated
    bankrupt        equity <= 0 (< 0 without MM)      be taken over at the bankruptcy price

`bands` finds the band, `controls` what an account is told with it, `outlook` what follows, `episode` what there is to say about it.
"""

from engine.ladder.bands import advance, band_at, exit_line, verdict
from engine.ladder.states import SEVERITY, Band, LadderState, Request

__all__ = ["SEVERITY", "Band", "LadderState", "Request", "advance", "band_at", "exit_line", "verdict"]
