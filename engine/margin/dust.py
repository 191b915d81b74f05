"""Dust: what is left in a wallet, or in the margin of a closed isolated position, and is too little to be anything."""

from collections.abc import Mapping

import msgspec

from engine.ledger.accounts import AccountState, IsolatedPosition
from engine.policy import Policy
from engine.position_keys import symbol_of

_replace = msgspec.structs.replace


def without_dust(state: AccountState, policy: Policy) -> AccountState:
    """The account without balances, and margins that closed positions left, of no more than the `dust` of their asset."""
    assets = policy.assets
    balances = {asset: amount for asset, amount in state.balances.items() if abs(amount) > assets[asset].dust}
    isolated = _counted(state.isolated, policy) if state.isolated else state.isolated
    if len(balances) == len(state.balances) and len(isolated) == len(state.isolated):
        return state
    return _replace(state, balances=balances, isolated=isolated)


def _counted(isolated: Mapping[str, IsolatedPosition], policy: Policy) -> dict[str, IsolatedPosition]:
    return {
        key: held
        for key, held in isolated.items()
        if held.position.quantity
        or abs(held.margin) > policy.assets[policy.instruments[symbol_of(key)].settle].dust
    }
