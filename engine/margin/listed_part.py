"""What can be judged of an account: what the policy lists, where it holds anything else besides.

Booking depends on nothing that is listed today, so an account may hold a contract or an asset that has left the policy. Nobody knows any
more what that is worth, nor what margin it asks for. The account is judged by the rest of what it holds, and as one that cannot be
trusted: degraded and locked, like one that is stopped. Nothing else is said of the pool of an isolated position in such a contract.

What is not held harms nothing: an open order in a contract that left is void, leverage and pledges without a holding say nothing. Nor is
dust held: a remainder too small to be traded would lock an account for ever. What is dust of an asset whose rules are gone is the default.
"""

from typing import NamedTuple

import msgspec

from engine.ledger.accounts import AccountState, Stop
from engine.ledger.resting_orders import of_each_kind
from engine.margin.pool_names import CROSS
from engine.policy import Asset, Policy
from engine.position_keys import symbol_of
from engine.rejections import RejectionCode

_replace = msgspec.structs.replace
_DUST = Asset().dust


class Unlisted(NamedTuple):
    """What an account holds and a policy does not list."""

    symbols: frozenset[str]
    assets: frozenset[str]


def unlisted_holdings(state: AccountState, policy: Policy) -> Unlisted:
    """Instruments and assets that the account holds more than dust of and `policy` does not list; `state` may be a reading."""
    named = _named_holdings(state, policy)
    held = {symbol_of(key) for key in state.positions} | {
        symbol_of(key) for key, it in state.isolated.items() if it.position.quantity or abs(it.margin) > _DUST
    }
    assets = {it for it in named.assets if abs(state.balances[it]) > _DUST}
    return Unlisted(named.symbols & held, frozenset(assets))


def unlisted_holding(state: AccountState, policy: Policy) -> str | None:
    """One of them, or None; `state` may be a reading."""
    unlisted = unlisted_holdings(state, policy)
    return min(unlisted.symbols | unlisted.assets, default=None)


def mentions_unlisted(state: AccountState, policy: Policy) -> bool:
    """Whether it holds any of, orders or does not pledge anything that `policy` does not list; `state` may be a reading."""
    return (
        any(_named_holdings(state, policy))
        or any(order.symbol not in policy.instruments for order in of_each_kind(state.orders))
        or any(asset not in policy.assets for asset in state.collateral_off)
    )


def _named_holdings(state: AccountState, policy: Policy) -> Unlisted:
    symbols = {symbol_of(key) for key in (*state.positions, *state.isolated)}
    return Unlisted(
        frozenset(symbols - policy.instruments.keys()),
        frozenset(state.balances.keys() - policy.assets.keys()),
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
