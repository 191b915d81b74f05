"""Equity, IM, MM and breach of *all* accounts after every tick, in float: what it takes, and what it would cost the book.

A measured alternative, and no part of the product. The book decides breaches by price bounds and sums figures once a second,
for the metrics, in one pass over all terms (`kernels.total`): nobody reads all figures at every tick, and keeping them would
take 36 bytes a position and 48 an account more. This file shows that they could be had, and how fast. What bounds it is
memory: a tick reads and writes some 100 bytes an account, of ten contracts in turn from beyond the second-level cache.

Life of a tick
--------------
1. every holder's equity, IM and MM move by the position's change, `price - price before` times what a unit of price does.
   Holders lie in account order and here hold everything, so each of the three is one multiplication and addition over two arrays
2. where a position of a tile leaves its tier (`_same_tier`), IM and MM of the tile move by their differences instead, position
   by position
3. collateral value and breach follow for all accounts: value(E) is the least of its lines, because ratios fall with the
   tier and a liability counts at 1 or more
Steps go by tiles of `TILE` accounts, so that the second and third find in the first-level cache what the first wrote.

Error bound
-----------
Let u = 2^-53 and W = |wallet| + sum of (|entry value| + |position value|), the largest since the last `resum`. A sum anew is
within (terms + 4) * u * W. A tick rounds the difference of prices, the product and the sum, each once, or twice where a tier
changes, so it adds at most 8 * u * W. After n ticks a figure is within (terms + 4 + 8 * n) * u * W of the exact one (IM and
MM have rates of at most 1), and `TICKS_MAX` ticks without a `resum` keep that below `ERROR` * W.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from engine.book.expressible import Expressible, maintenance_lines
from engine.book.kernels import compiled
from engine.book.ragged import Array
from engine.ledger.accounts import AccountState
from engine.numbers import ONE, divide, exact
from engine.policy import Policy
from engine.policy.rules.policy_switches import ClosingFee, InitialRule, RequirementRate

TILE = 2048
"""Accounts; their figures take 48 KiB."""
TICKS_MAX = 4096
"""Ticks between two sums anew."""
ERROR = 2.0**-37
"""Relative bound of the error: 8 * 4096 + 2048 + 4 terms and operations are less than 2^16 = ERROR / u."""
_SINGLE = 2.0**-22
"""Relative widening: four times the rounding of single precision."""


class Contract(NamedTuple):
    """One contract and its positions, in account order."""

    lines: Array
    """By tier: floor, maintenance rate, offset of MM, initial rate."""
    leverage_rate: float
    """1 / leverage: IM is at least this of the notional."""
    size: Array
    """quantity * multiplier; 0 where the account holds none."""
    initial: Array
    """What IM moves by with a unit of price, as long as the tier stays."""
    maintenance: Array
    """MM likewise."""
    low: Array
    """The tier stays while low <= price < high. Single precision, rounded inwards: half the memory to read."""
    high: Array


class Pools(NamedTuple):
    """Figures by account, in settle asset."""

    equity: Array
    initial: Array
    maintenance: Array
    line: Array
    """Ratio below which the account is in breach."""
    room: Array
    """C - line * MM: below 0 the account is in breach (so it is with equity below 0, where C is, too)."""


class LiveFigures:
    """Accounts with cross positions in linear contracts of one settle asset, and a wallet in it; every figure in float.

    Figures are in settle asset: its index price scales collateral and requirement alike, so no breach depends on it.
    """

    def __init__(
        self, policy: Policy, states: Sequence[AccountState], prices: dict[str, Decimal], line: Decimal
    ) -> None:
        """Sum everything at `prices`. Raises ValueError for an account that this file has no formulas for."""
        symbols = sorted({symbol for state in states for symbol in state.positions})
        settles = {policy.instruments[symbol].settle for symbol in symbols}
        if len(settles) != 1:
            raise ValueError(f"one settle asset is expected, found {sorted(settles)}")
        self._settle = settles.pop()
        self._check(policy, states)
        self._numbers = {symbol: number for number, symbol in enumerate(symbols)}
        self._prices = [float(prices[symbol]) for symbol in symbols]
        self._contracts = [self._contract(policy, symbol, states) for symbol in symbols]
        terms, count = policy.asset_terms[self._settle], len(states)
        lines = [(it.rate, it.offset) for it in terms.lines]
        # the line of a liability, then those of a collateral
        self._collateral = np.array([(terms.asset.liability_factor, 0), *lines], np.float64)
        with exact():
            base = [
                state.balances.get(self._settle, 0) - sum(it.entry_value for it in state.positions.values())
                for state in states
            ]
        self._base: Array = np.array(base, np.float64)
        """wallet - sum of entry values."""
        equity, initial, maintenance, room = (np.zeros(count) for _ in range(4))
        self.pools = Pools(equity, initial, maintenance, np.full(count, float(line)), room)
        self._ticks = 0
        self.resum()

    def tick(self, symbol: str, price: float) -> int:
        """Take a price: figures and breach of all accounts are those at it. Returns how many are in breach."""
        if self._ticks == TICKS_MAX:
            self.resum()
        self._ticks += 1
        number = self._numbers[symbol]
        before, self._prices[number] = self._prices[number], price
        return _tick(self._contracts[number], self.pools, self._collateral, before, price)

    def resum(self) -> float:
        """Sum all figures anew; returns the greatest difference that it made, in settle asset."""
        before = (self.pools.equity.copy(), self.pools.initial.copy(), self.pools.maintenance.copy())
        self.pools.equity[:] = self._base
        self.pools.initial[:] = self.pools.maintenance[:] = 0.0
        for contract, price in zip(self._contracts, self._prices, strict=True):
            _add(contract, self.pools, price)
        _judge(self.pools, self._collateral, 0, len(self._base))
        self._ticks = 0
        after = (self.pools.equity, self.pools.initial, self.pools.maintenance)
        return max(float(np.abs(old - new).max(initial=0.0)) for old, new in zip(before, after, strict=True))

    def _check(self, policy: Policy, states: Sequence[AccountState]) -> None:
        asset, expressible = policy.assets[self._settle], Expressible(policy)
        if (
            policy.pool.requirement_rate is not RequirementRate.INDEX
            or asset.borrow_tiers
            or asset.cap is not None
        ):
            raise ValueError("requirements at index price are expected, and no borrow tiers or cap")
        for state in states:
            foreign = (
                state.balances.keys() - {self._settle} or state.isolated or state.orders or state.leverage
            )
            if expressible.reason(state) or foreign:
                raise ValueError(f"account {state.account!r} is no plain linear cross account")

    def _contract(self, policy: Policy, symbol: str, states: Sequence[AccountState]) -> Contract:
        listed, rules = policy.instruments[symbol], policy.margin_rules(symbol)
        if (
            rules.initial is not InitialRule.LEVERAGE_OR_TIER
            or rules.closing_fee is not ClosingFee.NONE
            or not listed.tiers
        ):
            raise ValueError(f"{symbol}: IM = max(N / leverage, initial rate * N) is expected, without fees")
        tiers, lines = policy.tiers[listed.tiers], maintenance_lines(symbol, policy)
        with exact():
            sizes = [
                state.positions[symbol].quantity * listed.multiplier if symbol in state.positions else 0
                for state in states
            ]
        initial, maintenance = (np.zeros(len(states)) for _ in range(2))
        low, high = (np.zeros(len(states), np.float32) for _ in range(2))
        return Contract(
            np.array(
                [(*line, tier.initial_rate) for line, tier in zip(lines, tiers, strict=True)], np.float64
            ),
            float(divide(ONE, policy.leverage_default)),
            np.array(sizes, np.float64),
            initial,
            maintenance,
            low,
            high,
        )


@compiled
def _tick(contract: Contract, pools: Pools, collateral: Array, before: float, price: float) -> int:
    moved, breaches = price - before, 0
    low, high = price * (1 - _SINGLE), price * (1 + _SINGLE)
    for first in range(0, len(pools.equity), TILE):
        end = min(first + TILE, len(pools.equity))
        # E += size * (price - price before)
        _follow(pools.equity[first:end], contract.size[first:end], moved)
        if _same_tier(contract.low[first:end], contract.high[first:end], np.float32(low), np.float32(high)):
            _follow(pools.initial[first:end], contract.initial[first:end], moved)
            _follow(pools.maintenance[first:end], contract.maintenance[first:end], moved)
        else:
            _change_tiers(contract, pools, before, price, first, end)
        breaches += _judge(pools, collateral, first, end)
    return breaches


# The next four are loops from 0 over whole arrays: anything else the compiler does not vectorise.


@compiled
def _follow(figures: Array, per_price: Array, moved: float) -> None:
    for i in range(len(figures)):
        figures[i] += per_price[i] * moved


@compiled
def _same_tier(lows: Array, highs: Array, low: np.float32, high: np.float32) -> bool:
    """Whether a price between `low` and `high` leaves all positions where they are."""
    outside = 0
    for i in range(len(lows)):
        outside += int(low < lows[i]) | int(high >= highs[i])
    return outside == 0


@compiled
def _cap(worths: Array, equity: Array, ratio: float, offset: float) -> None:
    """Let no worth be above this line."""
    for i in range(len(worths)):
        along = ratio * equity[i] + offset
        worths[i] = min(worths[i], along)


@compiled
def _compare(room: Array, maintenance: Array, line: Array) -> int:
    """Take line * MM from the collateral values; returns how many are in breach."""
    breaches = 0
    for i in range(len(room)):
        left = room[i] - line[i] * maintenance[i]
        room[i] = left
        breaches += 1 if left < 0 else 0
    return breaches


@compiled
def _change_tiers(
    contract: Contract, pools: Pools, before: float, price: float, first: int, end: int
) -> None:
    """IM and MM of a tile in which a position leaves its tier: the difference of both sides, position by position."""
    for i in range(first, end):
        held = abs(contract.size[i])
        pools.initial[i] -= contract.initial[i] * before
        # MM = rate * N - deduction: the deduction of the tier it was in goes too
        pools.maintenance[i] -= _maintenance(contract.lines, held * before)
        _place(contract, i, price)
        pools.initial[i] += contract.initial[i] * price
        pools.maintenance[i] += _maintenance(contract.lines, held * price)


@compiled
def _add(contract: Contract, pools: Pools, price: float) -> None:
    """Add every position to the figures, at this price."""
    for i in range(len(contract.size)):
        _place(contract, i, price)
        pools.equity[i] += contract.size[i] * price
        pools.initial[i] += contract.initial[i] * price
        pools.maintenance[i] += _maintenance(contract.lines, abs(contract.size[i]) * price)


@compiled
def _place(contract: Contract, i: int, price: float) -> None:
    """Write down the tier of a position at this price: its rates, and how far they hold."""
    held, lines = abs(contract.size[i]), contract.lines
    tier = _tier(lines, held * price)
    # IM = max(N / leverage, initial rate * N)
    contract.initial[i] = max(contract.leverage_rate, lines[tier, 3]) * held
    contract.maintenance[i] = lines[tier, 1] * held
    contract.low[i] = lines[tier, 0] / held * (1 + _SINGLE) if held else 0.0
    contract.high[i] = lines[tier + 1, 0] / held * (1 - _SINGLE) if held and tier + 1 < len(lines) else np.inf


@compiled
def _tier(lines: Array, notional: float) -> int:
    tier = 0
    while tier + 1 < len(lines) and notional >= lines[tier + 1, 0]:
        tier += 1
    return tier


@compiled
def _maintenance(lines: Array, notional: float) -> float:
    tier = _tier(lines, notional)
    required: float = lines[tier, 1] * notional + lines[tier, 2]
    return required


@compiled
def _judge(pools: Pools, collateral: Array, first: int, end: int) -> int:
    """Room of the accounts `first` to `end`; returns how many are in breach."""
    room, equity = pools.room[first:end], pools.equity[first:end]
    # the first line is that of a liability, through 0
    np.multiply(equity, collateral[0, 0], room)
    for tier in range(1, len(collateral)):
        _cap(room, equity, collateral[tier, 0], collateral[tier, 1])
    return _compare(room, pools.maintenance[first:end], pools.line[first:end])
