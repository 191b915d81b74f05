"""What can be judged of an account: what the policy lists, where it holds anything else besides.

Booking depends on nothing that is listed today, so an account may hold a contract or an asset that has left the policy. Nobody knows any
more what that is worth, nor what margin it asks for. The account is judged by the rest of what it holds, and as one that cannot be
trusted: degraded and locked, like one that is stopped. Nothing else is said of the pool of an isolated position in such a contract.

What is not held harms nothing: an open order in a contract that left is void, leverage and pledges without a holding say nothing.
"""

import msgspec

from engine.ledger.accounts import AccountState, Stop
from engine.ledger.resting_orders import of_each_kind
from engine.margin.pool_names import CROSS
from engine.policy import Policy
from engine.position_keys import symbol_of
from engine.rejections import RejectionCode

_replace = msgspec.structs.replace


def unlisted_holding(state: AccountState, policy: Policy) -> str | None:
    """An instrument or asset that the account holds and `policy` does not list, or None; `state` may be a reading."""
    symbols = {symbol_of(key) for key in (*state.positions, *state.isolated)} - policy.instruments.keys()
    return min(symbols | (state.balances.keys() - policy.assets.keys()), default=None)


def mentions_unlisted(state: AccountState, policy: Policy) -> bool:
    """Whether it holds, orders or does not pledge anything that `policy` does not list; `state` may be a reading."""
    return (
        unlisted_holding(state, policy) is not None
        or any(order.symbol not in policy.instruments for order in of_each_kind(state.orders))
        or any(asset not in policy.assets for asset in state.collateral_off)
    )


def listed_part(state: AccountState, policy: Policy) -> AccountState:
    """The account as it is judged: itself where all is listed."""
    if not mentions_unlisted(state, policy):
        return state
    instruments, assets = policy.instruments, policy.assets
    part = _replace(
        state,
        balances={it: amount for it, amount in state.balances.items() if it in assets},
        positions={key: it for key, it in state.positions.items() if symbol_of(key) in instruments},
        isolated={key: it for key, it in state.isolated.items() if symbol_of(key) in instruments},
        orders={name: it for name, it in state.orders.items() if it.symbol in instruments},
        collateral_off=tuple(it for it in state.collateral_off if it in assets),
    )
    if state.stopped or unlisted_holding(state, policy) is None:
        return part
    untrusted = Stop(RejectionCode.UNLISTED_HOLDING, state.fills.offset)
    return _replace(part, fills=_replace(state.fills, stop=untrusted))


def nothing_of(state: AccountState) -> AccountState:
    """What is seen of an account that nobody judges: where it stands in its topics."""
    return AccountState(state.account, fills=state.fills, ledger=state.ledger)


def is_judged(pool: str, policy: Policy) -> bool:
    """Whether anything can be said of a pool of that name; one of a contract that left the policy stays as it was."""
    return pool == CROSS or symbol_of(pool) in policy.instruments
