"""What is at stake in all accounts of the columns, and in those that the columns cannot express."""

from collections import defaultdict
from typing import NamedTuple

import numpy as np

from engine.book import kernels
from engine.book.columns import Columns
from engine.book.stakes import Holding, PriceOf, Stakes
from engine.ladder.breaker import Stake
from engine.ledger.accounts import AccountState
from engine.policy import Policy
from engine.position_keys import symbol_of


class _Held(NamedTuple):
    """What the columns hold together."""

    accounts: int
    exposed: int
    """How many of them hold or owe anything."""
    contracts: list[float]
    """Gross, by symbol."""
    wallets: dict[str, float]
    """By asset, its twin that is no collateral included."""


class ShardStakes:
    """Sums over the columns in one pass of compiled code, made again once an account has changed: prices change nothing that is held.

    Those of routed accounts, which have no terms, are carried along; what is carried is off by a rounding for every change, far less than
    the breaker cares for.
    """

    def __init__(self, policy: Policy, stakes: Stakes) -> None:
        """Nobody is routed; `policy` numbers symbols and assets as the columns do."""
        self._symbols, self._assets, self._stakes = tuple(policy.price_symbols), tuple(policy.assets), stakes
        self._traded = frozenset(policy.instruments)
        self._armed = policy.breaker is not None
        self._routed: dict[int, list[Holding]] = {}
        self._held: _Held | None = None
        self._exposed = 0
        self._contracts: defaultdict[str, float] = defaultdict(float)
        self._wallets: defaultdict[str, float] = defaultdict(float)

    def take(self, number: int, state: AccountState, *, routed: bool) -> None:
        """An account that is new or changed; `state` may be a reading as floats."""
        if not self._armed:
            return
        self._held = None
        before = self._routed.pop(number, None)
        if before is not None:
            self._add(before, -1)
        if routed:
            self._routed[number] = self._stakes.holdings(state)
            self._add(self._routed[number], 1)

    def stake(self, columns: Columns, accounts: int, prices: PriceOf) -> Stake:
        """Of the first `accounts` accounts and all that are routed at `prices`."""
        if self._held is None or self._held.accounts != accounts:
            self._held = self._summed(columns, accounts)
        held = self._held
        interest = sum(
            self._stakes.interest(symbol, size, prices)
            for symbol, size in zip(self._symbols, held.contracts, strict=True)
            if symbol in self._traded
        )
        interest += sum(
            self._stakes.interest(symbol, size, prices) for symbol, size in self._contracts.items()
        )
        equity = self._stakes.worth(Holding({}, held.wallets), prices)
        equity += self._stakes.worth(Holding({}, self._wallets), prices)
        return Stake(held.exposed + self._exposed, interest, equity)

    def _summed(self, columns: Columns, accounts: int) -> _Held:
        contracts, wallets = np.zeros(len(self._symbols)), np.zeros(2 * len(self._assets))
        exposed = kernels.holdings(columns, accounts, contracts, wallets)
        # each asset, and its twin that is no collateral
        coins = dict(zip(self._assets, wallets.reshape(2, -1).sum(axis=0).tolist(), strict=True))
        return _Held(accounts, int(exposed), contracts.tolist(), coins)

    def _add(self, holdings: list[Holding], sign: int) -> None:
        self._exposed += sign * any(it.exposed for it in holdings)
        for holding in holdings:
            for key, size in holding.contracts.items():
                self._contracts[symbol_of(key)] += sign * abs(size)
            for asset, amount in holding.wallet.items():
                self._wallets[asset] += sign * amount
