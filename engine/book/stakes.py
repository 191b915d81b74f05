"""What is at stake in pools and in a whole book, in the numbers that the breaker compares (`engine.ladder.breaker`)."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from heapq import nlargest
from typing import NamedTuple

from engine.events.pools import CROSS
from engine.ladder.breaker import SYMBOLS_NAMED_MAX, Stake, SymbolMove
from engine.ledger.accounts import AccountState
from engine.margin.isolated_pool import judged_isolated
from engine.policy import Policy
from engine.position_keys import symbol_of

PriceOf = Mapping[str, float]
"""By price symbol."""


class Holding(NamedTuple):
    """What a pool holds, as floats."""

    contracts: Mapping[str, float]
    """Signed quantity * multiplier by position key."""
    wallet: Mapping[str, float]
    """Coins by asset; a debt is negative."""

    @property
    def exposed(self) -> bool:
        """Whether it holds or owes anything."""
        return bool(self.contracts) or any(amount < 0 for amount in self.wallet.values())


class Stakes:
    """Values what pools hold, by the policy's contracts."""

    def __init__(self, policy: Policy) -> None:
        """Read the policy."""
        self._dust = {name: float(asset.dust) for name, asset in policy.assets.items()}
        self._indices = {asset: it.index for asset, it in policy.assets.items()}
        self._contracts = {
            symbol: (float(it.multiplier), it.inverse, it.settle) for symbol, it in policy.instruments.items()
        }
        self._scales = {symbol: float(least) for symbol, least in policy.price_scales.items()}

    def holding(self, state: AccountState, pool: str) -> Holding:
        """What one pool of the account holds, dust left out; `state` may be a reading as floats."""
        if pool == CROSS:
            coins = ((asset, float(amount)) for asset, amount in state.balances.items())
            wallet = {asset: amount for asset, amount in coins if abs(amount) > self._dust[asset]}
            return Holding({key: self._size(key, it.quantity) for key, it in state.positions.items()}, wallet)
        held = state.isolated.get(pool)
        if held is None:
            return Holding({}, {})
        contracts = {pool: self._size(pool, held.position.quantity)} if held.position.quantity else {}
        return Holding(contracts, {self._contracts[symbol_of(pool)][2]: float(held.margin)})

    def holdings(self, state: AccountState) -> list[Holding]:
        """What each judged pool of the account holds."""
        return [self.holding(state, pool) for pool in (CROSS, *judged_isolated(state))]

    def stake(self, holdings: Iterable[Holding], wallets: Iterable[Holding], prices: PriceOf) -> Stake:
        """Of pools of one account; `wallets` are what these were before the cause."""
        interest = sum(
            self.interest(key, size, prices) for it in holdings for key, size in it.contracts.items()
        )
        return Stake(1, interest, max(0.0, sum(self.worth(it, prices) for it in wallets)))

    def worth(self, holding: Holding, prices: PriceOf) -> float:
        """What the wallet is worth, in account currency."""
        return sum(amount * self.index(asset, prices) for asset, amount in holding.wallet.items())

    def interest(self, key: str, size: float, prices: PriceOf) -> float:
        """Open interest of a position, in account currency; 0 without a price."""
        symbol = symbol_of(key)
        value = abs(self._value(key, size, prices))
        if symbol in self._scales and symbol in prices:
            # as `Instrument.notional`
            value = max(value, abs(size) * self._scales[symbol])
        return value * self.index(self._contracts[symbol][2], prices)

    def index(self, asset: str, prices: PriceOf) -> float:
        """Index price of an asset; one that was never seen counts 1."""
        symbol = self._indices[asset]
        return prices.get(symbol, 1.0) if symbol else 1.0

    def moves(self, holdings: Iterable[Holding], before: PriceOf, now: PriceOf) -> tuple[SymbolMove, ...]:
        """The prices whose moves took most from these pools together, at most `SYMBOLS_NAMED_MAX`."""
        losses: defaultdict[str, float] = defaultdict(float)
        for holding in holdings:
            for key, size in holding.contracts.items():
                symbol = symbol_of(key)
                _, inverse, settle = self._contracts[symbol]
                # an inverse contract gains what its value loses
                gain = self._value(key, size, now) - self._value(key, size, before)
                losses[symbol] -= (-gain if inverse else gain) * self.index(settle, before)
            for asset, amount in holding.wallet.items():
                if index := self._indices[asset]:
                    losses[index] -= amount * (self.index(asset, now) - self.index(asset, before))
        took = [
            SymbolMove(symbol, before[symbol], now[symbol], loss)
            for symbol, loss in sorted(losses.items())
            if loss > 0 and symbol in before and symbol in now
        ]
        return tuple(nlargest(SYMBOLS_NAMED_MAX, took, key=lambda it: it.loss))

    def _size(self, key: str, quantity: object) -> float:
        return float(quantity) * self._contracts[symbol_of(key)][0]  # type: ignore[arg-type]

    def _value(self, key: str, size: float, prices: PriceOf) -> float:
        symbol = symbol_of(key)
        price = prices.get(symbol, 0.0)
        # as `Instrument.value`, in settle asset
        if self._contracts[symbol][1]:
            return size / price if price else 0.0
        return size * price
