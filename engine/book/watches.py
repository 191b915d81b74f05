"""Which marks concern an account: the price symbols that the parts of its pools depend on."""

from typing import Any

from engine.book.by_name import ByName
from engine.book.dust_edges import DustEdge
from engine.events.dependencies import price_symbols_of
from engine.events.pools import CROSS
from engine.ledger.accounts import FLAT, AccountState
from engine.ledger.resting_orders import OrderKind, of_each_kind, order_kind
from engine.margin.margin_model import uses_portfolio
from engine.numbers import ONE, exact
from engine.policy import Policy


class Watches:
    """`price_symbols_of` all pools of an account, in the columns' numbers, from what is known of each part.

    A pool watches what its parts do, each taken alone, and what every pool of its margin model does.
    """

    def __init__(self, policy: Policy, numbers: dict[str, int]) -> None:
        """`numbers` are those of the price symbols."""
        self._policy = policy
        self._dust = {name: DustEdge.of(asset) for name, asset in policy.assets.items()}
        self._net, self._gross = _Parts(policy, numbers, "portfolio"), _Parts(policy, numbers, "cross")

    def of(self, state: AccountState) -> frozenset[int] | None:
        """Numbers of the price symbols whose marks concern the account. Raises KeyError for what is not listed.

        None where `state` is a reading as floats that does not tell.
        """
        owned = self._owned(state)
        if owned is None:
            return None
        shared = self._net if uses_portfolio(state, self._policy) else self._gross
        parts = [shared.of_asset[asset] for asset in owned]
        parts += [shared.of_position[key] for key in state.positions]
        if state.orders:
            parts += [shared.of_position[it.symbol] for it in of_each_kind(state.orders) if not it.isolated]
        if state.isolated:
            parts += [self._gross.of_position[key] for key in state.isolated]
        return shared.always.union(*parts)

    def same(self, before: AccountState, after: AccountState) -> bool:
        """Whether an account, once listed and watching what it should, has nothing new to watch or to look for in the policy."""
        return (
            before.positions.keys() == after.positions.keys()
            and before.balances.keys() == after.balances.keys()
            and self._owned(before) == self._owned(after)
            and before.isolated.keys() == after.isolated.keys()
            and before.leverage.keys() == after.leverage.keys()
            and _kinds(before) == _kinds(after)
            and before.margin_model == after.margin_model
        )

    def _owned(self, state: AccountState) -> list[str] | None:
        """Assets of which the wallet has more than dust; None where a reading as floats does not tell."""
        found = []
        for asset, amount in state.balances.items():
            counts = self._dust[asset].is_below(amount)
            if counts is None:
                return None
            if counts:
                found.append(asset)
        return found


def _kinds(state: AccountState) -> set[OrderKind]:
    return set(map(order_kind, of_each_kind(state.orders))) if state.orders else set()


class _Parts:
    """What the parts of a shared pool watch."""

    def __init__(self, policy: Policy, numbers: dict[str, int], model: str) -> None:
        def alone(**held: Any) -> frozenset[int]:
            state = AccountState("", margin_model=model, **held)
            return frozenset(numbers[symbol] for symbol in price_symbols_of(state, CROSS, policy))

        def owned(asset: str) -> frozenset[int]:
            # of coins that are worth little, one is dust
            with exact():
                return alone(balances={asset: policy.assets[asset].dust + ONE})

        self.always = alone()
        self.of_asset = ByName(owned)
        self.of_position = ByName(lambda key: alone(positions={key: FLAT}))
