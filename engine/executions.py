"""What fills have done of a liquidation: how the engine learns that somebody executes its plan."""

import msgspec

from engine.accounts import AccountState, Execution
from engine.inputs import Fill, MarginMode
from engine.numbers import ZERO, canonical
from engine.position_keys import position_key


def with_execution(state: AccountState, fill: Fill) -> AccountState:
    """Count a fill that names a liquidation; the first one of another liquidation begins anew. Inside `exact()`."""
    if fill.liquidation_id is None:
        return state
    pool = "" if fill.margin_mode is MarginMode.CROSS else position_key(fill.symbol, fill.leg)
    before = state.executions.get(pool)
    if before is None or before.liquidation_id != fill.liquidation_id:
        before = Execution(fill.liquidation_id, 0, {})
    closed = canonical(before.closed.get(fill.symbol, ZERO) + fill.quantity)
    after = Execution(fill.liquidation_id, before.fills + 1, {**before.closed, fill.symbol: closed})
    return msgspec.structs.replace(state, executions={**state.executions, pool: after})
