"""From engine values to columns: the policy's tables once, an account's terms and rows whenever it changes."""

import math

import numpy as np

from engine.accounts import AccountState, Position
from engine.book import kernels
from engine.book.columns import ASSET, ROW, SYMBOL, TERM, TIER
from engine.book.ragged import Array
from engine.effects import AccountRisk
from engine.judgement import CROSS, price_symbols_of
from engine.ladder import SEVERITY, Band, LadderState
from engine.margin.isolated import judged_isolated
from engine.marks import NANOSECONDS
from engine.numbers import ZERO, exact
from engine.policy import Asset, Policy

_WELL = LadderState()
_WITHHELD = (Band.REDUCE_ONLY, Band.LIQUIDATION)
_Term = tuple[float, float, int, int]
_Tier = tuple[float, float, float]
_Row = tuple[float, float, int, int, int]


class Encoder:
    """Numbers the policy's symbols and assets, and writes accounts in these numbers."""

    def __init__(self, policy: Policy) -> None:
        """Read the tables of `policy`."""
        self._policy = policy
        self.symbol_ids = {symbol: i for i, symbol in enumerate(policy.price_symbols)}
        self._asset_ids = {asset: i for i, asset in enumerate(policy.assets)}
        tiers: list[_Tier] = []
        spans = {name: _appended(tiers, _risk_tiers(policy, name)) for name in policy.tiers}
        self.assets = np.array(
            [
                (
                    float(asset.liability_factor),
                    self.symbol_ids.get(asset.index, -1),
                    *_appended(tiers, _collateral_tiers(asset)),
                )
                for asset in policy.assets.values()
            ],
            ASSET,
        )
        self.tiers = np.array(tiers, TIER)
        self.symbols = np.zeros(len(self.symbol_ids), SYMBOL)
        self.symbols["price"] = (
            1  # an index that was never seen counts 1; no mark is computed before its first
        )
        self.stale_after_ns = {
            symbol: int(check.stale_after_seconds * NANOSECONDS)
            for symbol, check in policy.price_symbols.items()
        }
        self._listing: dict[str, tuple[int, int, float]] = {}
        for symbol, number in self.symbol_ids.items():
            record = self.symbols[number]
            record["stale_after_ns"] = self.stale_after_ns[symbol]
            instrument = policy.instruments.get(symbol)
            if instrument is None or instrument.kind == "spot":
                continue
            record["tier_first"], record["tier_end"] = spans[instrument.tiers]
            self._listing[symbol] = (number, self._asset_ids[instrument.settle], float(instrument.multiplier))
        ladder = policy.ladder
        self.hold_ns = math.ceil(ladder.exit_hold_seconds * NANOSECONDS)
        lines = {
            Band.WARNING: ladder.warning,
            Band.MARGIN_CALL: ladder.margin_call,
            Band.REDUCE_ONLY: ladder.reduce_only,
            Band.LIQUIDATION: ladder.liquidation,
        }
        # below its "worse" line a band gets worse; above its exit line it may get better
        self._worse = {better: float(line) for better, line in zip(Band, lines.values(), strict=False)}
        with exact():
            self._exits = {band: float(line + ladder.exit_band) for band, line in lines.items()}

    def watched(self, state: AccountState) -> set[int]:
        """Numbers of the price symbols whose marks concern the account."""
        symbols = price_symbols_of(state, CROSS, self._policy)
        for symbol in state.isolated:
            symbols |= price_symbols_of(state, symbol, self._policy)
        return {self.symbol_ids[symbol] for symbol in symbols}

    def encode(self, state: AccountState, risk: AccountRisk) -> tuple[Array, Array]:
        """Terms and rows of the account: the cross pool first, then isolated positions, by symbol."""
        terms: list[_Term] = []
        rows: list[_Row] = []
        stopped = kernels.STOPPED if state.stopped else 0
        for pool in sorted({CROSS, *judged_isolated(state), *risk.pools}):
            of_pool, flags = self._cross(state) if pool == CROSS else self._isolated(state, pool)
            terms += of_pool
            rows.append(self._row(risk.pools.get(pool, _WELL), len(of_pool), flags | stopped))
        return np.array(terms, TERM), np.array(rows, ROW)

    def due_ns(self, risk: AccountRisk) -> int | None:
        """Event time at which the account's first hold timer runs out; None where none runs."""
        since = [pool.exit_since_ns for pool in risk.pools.values() if pool.exit_since_ns is not None]
        return min(since) + self.hold_ns if since else None

    def _cross(self, state: AccountState) -> tuple[list[_Term], int]:
        by_asset: dict[int, list[_Term]] = {}
        for asset, amount in state.balances.items():
            number = self._asset_ids[asset]
            by_asset[number] = [(float(amount), 0.0, -1, number)]
        for symbol, position in state.positions.items():
            term = self._position(symbol, position)
            by_asset.setdefault(term[3], []).append(term)
        flags = kernels.HELD | kernels.SECURES if state.positions else 0
        if any(amount < 0 for amount in state.balances.values()):
            flags |= kernels.SECURES
        return [term for terms in by_asset.values() for term in terms], flags

    def _isolated(self, state: AccountState, symbol: str) -> tuple[list[_Term], int]:
        held = state.isolated.get(symbol)
        if held is None or not (held.position.quantity or held.margin < 0):
            return [], kernels.ISOLATED
        if not held.position.quantity:
            settle = self._listing[symbol][1]
            return [(float(held.margin), 0.0, -1, settle)], kernels.ISOLATED | kernels.SECURES
        term = self._position(symbol, held.position)
        flags = kernels.ISOLATED | kernels.OPEN | kernels.HELD | kernels.SECURES
        return [(float(held.margin), 0.0, -1, term[3]), term], flags

    def _position(self, symbol: str, position: Position) -> _Term:
        number, settle, multiplier = self._listing[symbol]
        return float(position.quantity) * multiplier, float(position.entry_value), number, settle

    def _row(self, state: LadderState, terms: int, flags: int) -> _Row:
        """What must hold so that `ladder.advance` returns `state` itself."""
        ladder, band = self._policy.ladder, state.band
        low = high = 0.0
        if state.degraded:
            flags |= kernels.DEGRADED
        if terms > kernels.TERMS_MAX:
            flags |= kernels.NEVER
        if state.exit_since_ns is not None:
            # a hold timer goes on while the figures stay above the exit line; a healthy pool has none
            flags |= kernels.NEVER if band is Band.HEALTHY else kernels.EMPTY_IS_QUIET | kernels.POSITIVE
            low = self._exits.get(band, 0.0)
        elif band is Band.BANKRUPT:
            flags |= kernels.NEGATIVE
        else:
            withheld = state.degraded and ladder.withhold_liquidation_when_degraded and band in _WITHHELD
            if not withheld:
                flags |= kernels.POSITIVE
                low = self._worse.get(band, 0.0)
            if band is Band.HEALTHY:
                flags |= kernels.EMPTY_IS_QUIET
            else:
                flags |= kernels.NOT_ABOVE
                high = self._exits[band]
        if low and flags & (kernels.HELD | kernels.SECURES):
            flags |= kernels.NOT_BELOW
        return low, high, terms, flags, SEVERITY[band]


def _appended(table: list[_Tier], tiers: list[_Tier]) -> tuple[int, int]:
    """Where the tiers are in the table, now that they are appended to it."""
    first = len(table)
    table += tiers
    return first, len(table)


def _risk_tiers(policy: Policy, name: str) -> list[_Tier]:
    # MM = rate * notional - deduction
    return [
        (float(tier.floor), float(tier.maintenance_rate), -float(deduction))
        for tier, deduction in zip(policy.tiers[name], policy.deductions[name], strict=True)
    ]


def _collateral_tiers(asset: Asset) -> list[_Tier]:
    tiers = []
    offset = ratio = ZERO
    with exact():
        for tier in asset.tiers:
            # marginal tiers meet: offset_n = offset_(n-1) + floor_n * (ratio_(n-1) - ratio_n)
            offset += tier.floor * (ratio - tier.ratio)
            ratio = tier.ratio
            tiers.append((float(tier.floor), float(ratio), float(offset)))
    return tiers
