"""Sums over accounts, and the equation that they must satisfy (`streams.exchange.clearing.clearing`)."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import NamedTuple

from engine.ledger.accounts import AccountState, Position
from engine.numbers import ZERO, exact
from engine.policy import Policy
from engine.policy.rules.policy_switches import InstrumentKind
from engine.position_keys import symbol_of


class NotConserved(AssertionError):  # noqa: N818 - it names what was found
    """Money or contracts came from nowhere: a fault of the exchange, which must stop."""


class Balance(NamedTuple):
    """The equation of one asset; the parts sum to `deposits`."""

    customers: Decimal
    """Wallets and isolated margins."""
    customers_unrealised: Decimal
    street: Decimal
    """Balance and unrealised P&L."""
    fund: Decimal
    """Balance and unrealised P&L of what it has taken over."""
    fees: Decimal
    deposits: Decimal
    """Less withdrawals; the fund's own capital included."""

    @property
    def difference(self) -> Decimal:
        """0, or the exchange is broken."""
        with exact():
            held = self.customers + self.customers_unrealised + self.street + self.fund + self.fees
            return held - self.deposits


class Party:
    """Sums over some accounts."""

    def __init__(self) -> None:
        self.cash: defaultdict[str, Decimal] = defaultdict(Decimal)
        """By asset: wallets and isolated margins."""
        self.quantity: defaultdict[str, Decimal] = defaultdict(Decimal)
        self.entry_value: defaultdict[str, Decimal] = defaultdict(Decimal)
        """By symbol; of options nothing, their premium is cash."""
        self.longs: defaultdict[str, Decimal] = defaultdict(Decimal)
        """By symbol: contracts of long positions."""

    def change(self, before: AccountState, after: AccountState, policy: Policy) -> None:
        """Take what an account was out and what it is in. Inside `exact()`."""
        if before.balances is not after.balances:
            self._add_cash(before.balances, -1)
            self._add_cash(after.balances, 1)
        if before.positions is not after.positions:
            self._add_positions(before.positions.items(), -1, policy)
            self._add_positions(after.positions.items(), 1, policy)
        if before.isolated is not after.isolated:
            for state, sign in ((before, -1), (after, 1)):
                positions = ((key, held.position) for key, held in state.isolated.items())
                self._add_positions(positions, sign, policy)
                for key, held in state.isolated.items():
                    self.cash[policy.instruments[symbol_of(key)].settle] += sign * held.margin

    def unrealised(self, marks: Mapping[str, Decimal], policy: Policy) -> dict[str, Decimal]:
        """Unrealised P&L by asset. Inside `exact()`."""
        sums: defaultdict[str, Decimal] = defaultdict(Decimal)
        for symbol, quantity in self.quantity.items():
            instrument = policy.instruments[symbol]
            value = instrument.value(quantity, marks[symbol]) if quantity else ZERO
            sums[instrument.settle] += instrument.profit(self.entry_value[symbol], value)
        return sums

    def same(self, other: "Party") -> bool:
        """Whether both have counted the same."""
        return all(
            _nonzero(ours) == _nonzero(theirs)
            for ours, theirs in (
                (self.cash, other.cash),
                (self.quantity, other.quantity),
                (self.entry_value, other.entry_value),
                (self.longs, other.longs),
            )
        )

    def _add_cash(self, balances: Mapping[str, Decimal], sign: int) -> None:
        for asset, amount in balances.items():
            self.cash[asset] += sign * amount

    def _add_positions(self, positions: Iterable[tuple[str, Position]], sign: int, policy: Policy) -> None:
        for key, position in positions:
            symbol = symbol_of(key)
            self.quantity[symbol] += sign * position.quantity
            if position.quantity > ZERO:
                self.longs[symbol] += sign * position.quantity
            if policy.instruments[symbol].kind is not InstrumentKind.OPTION:
                self.entry_value[symbol] += sign * position.entry_value


def _nonzero(sums: Mapping[str, Decimal]) -> dict[str, Decimal]:
    return {name: amount for name, amount in sums.items() if amount}
