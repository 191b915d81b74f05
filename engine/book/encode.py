"""From engine values to columns: the policy's tables once, an account's terms and rows whenever it changes.

An account that is routed (`expressible`) has rows without terms: its bands and flags, for the totals.
"""

import math
from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from engine.accounts import AccountState, Position
from engine.book import kernels
from engine.book.columns import ASSET, ROW, SYMBOL, TERM, TIER
from engine.book.expressible import Expressible, has_pool_orders, maintenance_lines, requirement_factor
from engine.book.ragged import Array
from engine.effects import AccountRisk
from engine.judgement import CROSS, price_symbols_of
from engine.ladder import SEVERITY, Band, LadderState
from engine.margin.isolated import judged_isolated, open_isolated
from engine.marks import NANOSECONDS
from engine.numbers import ZERO, exact
from engine.policy import Asset, Policy
from engine.position_keys import symbol_of

_WELL = LadderState()
_WITHHELD = (Band.REDUCE_ONLY, Band.LIQUIDATION)
_Term = tuple[float, float, int, int]
_Tier = tuple[float, float, float]
_Row = tuple[float, float, int, int, int]
_NO_COLLATERAL: list[_Tier] = [(0.0, 0.0, 0.0)]


class Need(NamedTuple):
    """What the figures of a pool must keep to so that a judgement changes nothing."""

    low: float
    """C >= low * requirement; 0 where nothing is asked."""
    high: float
    """C < high * requirement, or equity < 0; 0 where nothing is asked."""
    positive: bool
    """Equity > 0."""
    negative: bool
    """Equity < 0."""


class Encoder:
    """Numbers the policy's symbols and assets, and writes accounts in these numbers."""

    def __init__(self, policy: Policy) -> None:
        """Read the tables of `policy`."""
        self._policy = policy
        self.symbol_ids = {symbol: i for i, symbol in enumerate(policy.price_symbols)}
        self._asset_ids = {asset: i for i, asset in enumerate(policy.assets)}
        self.reason = Expressible(policy).reason
        tiers = _Table()
        assets = policy.assets.values()
        # each asset, and after all of them each one's twin for accounts that do not pledge it
        self.assets = np.array(
            [
                (
                    float(asset.liability_factor),
                    self.symbol_ids.get(asset.index, -1),
                    *tiers.span(_collateral_tiers(asset) if pledged else _NO_COLLATERAL),
                    *tiers.span(_borrow_tiers(asset)),
                )
                for pledged in (True, False)
                for asset in assets
            ],
            ASSET,
        )
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
            record["tier_first"], record["tier_end"] = tiers.span(_risk_tiers(policy, symbol))
            self._listing[symbol] = (number, self._asset_ids[instrument.settle], float(instrument.multiplier))
        self.tiers = np.array(tiers.rows, TIER)
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

    def encode(self, state: AccountState, risk: AccountRisk, *, routed: bool) -> tuple[Array, Array]:
        """Terms and rows of the account: the cross pool first, then isolated positions, by key."""
        terms: list[_Term] = []
        rows: list[_Row] = []
        stopped = kernels.STOPPED if state.stopped else 0
        opened = open_isolated(state)
        for pool in sorted({CROSS, *judged_isolated(state), *risk.pools}):
            of_pool: list[_Term] = []
            flags = kernels.NEVER | (kernels.OPEN if pool in opened else 0)
            if not routed:
                of_pool, flags = self._cross(state) if pool == CROSS else self._isolated(state, pool)
            terms += of_pool
            rows.append(self._row(risk.pools.get(pool, _WELL), len(of_pool), flags | stopped))
        return np.array(terms, TERM), np.array(rows, ROW)

    def need(self, state: LadderState) -> Need | None:
        """What a pool in this state, which was just judged, must keep to; None where no figures are known to do."""
        low, high, _, flags, _ = self._row(state, 0, kernels.SECURES)
        if flags & kernels.NEVER:
            return None
        return Need(
            low if flags & kernels.NOT_BELOW else 0.0,
            high if flags & kernels.NOT_ABOVE else 0.0,
            positive=bool(flags & kernels.POSITIVE),
            negative=bool(flags & kernels.NEGATIVE),
        )

    def due_ns(self, risk: AccountRisk) -> int | None:
        """Event time at which the account's first hold timer runs out; None where none runs."""
        since = [pool.exit_since_ns for pool in risk.pools.values() if pool.exit_since_ns is not None]
        return min(since) + self.hold_ns if since else None

    def _cross(self, state: AccountState) -> tuple[list[_Term], int]:
        by_asset: dict[int, list[_Term]] = {}
        for asset, amount in state.balances.items():
            number = self._asset_ids[asset]
            by_asset[number] = [(float(amount), 0.0, -1, number)]
        for key, position in state.positions.items():
            term = self._position(key, position)
            by_asset.setdefault(term[3], []).append(term)
        if state.collateral_off:
            self._unpledge(state.collateral_off, by_asset)
        secures = bool(state.positions) or any(amount < 0 for amount in state.balances.values())
        secures = secures or has_pool_orders(state)
        return [term for terms in by_asset.values() for term in terms], kernels.SECURES if secures else 0

    def _unpledge(self, assets: Iterable[str], by_asset: dict[int, list[_Term]]) -> None:
        """Have the terms in these assets point to the twins that are no collateral."""
        for asset in assets:
            number = self._asset_ids[asset]
            twin = number + len(self._asset_ids)
            if number in by_asset:
                by_asset[number] = [(*term[:3], twin) for term in by_asset[number]]

    def _isolated(self, state: AccountState, key: str) -> tuple[list[_Term], int]:
        held = state.isolated.get(key)
        if held is None or not (held.position.quantity or held.margin < 0):
            return [], kernels.ISOLATED
        if not held.position.quantity:
            settle = self._listing[symbol_of(key)][1]
            return [(float(held.margin), 0.0, -1, settle)], kernels.ISOLATED | kernels.SECURES
        term = self._position(key, held.position)
        flags = kernels.ISOLATED | kernels.OPEN | kernels.SECURES
        return [(float(held.margin), 0.0, -1, term[3]), term], flags

    def _position(self, key: str, position: Position) -> _Term:
        number, settle, multiplier = self._listing[symbol_of(key)]
        return float(position.quantity) * multiplier, float(position.entry_value), number, settle

    def _row(self, state: LadderState, terms: int, flags: int) -> _Row:
        """What must hold so that `ladder.advance` returns `state` itself."""
        ladder, band = self._policy.ladder, state.band
        low = high = 0.0
        withheld = state.degraded and ladder.withhold_liquidation_when_degraded
        if state.degraded:
            flags |= kernels.DEGRADED
        if state.exit_since_ns is not None:
            # a hold timer goes on while the figures stay above the exit line; a healthy pool has none
            flags |= kernels.NEVER if band is Band.HEALTHY else kernels.EMPTY_IS_QUIET | kernels.POSITIVE
            low = self._exits.get(band, 0.0)
            if band is Band.BANKRUPT and withheld:
                low = self._exits[Band.LIQUIDATION]  # it may not leave for liquidation
        elif band is Band.BANKRUPT:
            flags |= kernels.NEGATIVE
        else:
            if not (withheld and band in _WITHHELD):
                flags |= kernels.POSITIVE
                low = self._worse.get(band, 0.0)
            if band is Band.HEALTHY:
                flags |= kernels.EMPTY_IS_QUIET
            else:
                flags |= kernels.NOT_ABOVE
                high = self._exits[band]
        if low and flags & kernels.SECURES:
            flags |= kernels.NOT_BELOW
        return low, high, terms, flags, SEVERITY[band]


class _Table:
    """Tiers of everything, one after the other; equal ones are stored once."""

    def __init__(self) -> None:
        self.rows: list[_Tier] = []
        self._spans: dict[tuple[_Tier, ...], tuple[int, int]] = {}

    def span(self, tiers: list[_Tier]) -> tuple[int, int]:
        """Where these tiers are in the table."""
        span = self._spans.get(tuple(tiers))
        if span is None:
            first = len(self.rows)
            self.rows += tiers
            span = self._spans[tuple(tiers)] = first, len(self.rows)
        return span


def _risk_tiers(policy: Policy, symbol: str) -> list[_Tier]:
    factor = requirement_factor(symbol, policy)
    with exact():
        return [
            (float(floor), float(rate * factor), float(offset * factor))
            for floor, rate, offset in maintenance_lines(symbol, policy)
        ]


def _collateral_tiers(asset: Asset) -> list[_Tier]:
    if not asset.collateral:
        return _NO_COLLATERAL
    steps = [(tier.floor, tier.ratio) for tier in asset.tiers]
    if asset.cap is not None:
        # coins above the cap are a tier that counts nothing
        steps = [step for step in steps if step[0] < asset.cap] + [(asset.cap, ZERO)]
    return _joined(steps)


def _borrow_tiers(asset: Asset) -> list[_Tier]:
    return _joined([(tier.floor, tier.maintenance_rate) for tier in asset.borrow_tiers])


def _joined(steps: list[tuple[Decimal, Decimal]]) -> list[_Tier]:
    """Marginal tiers (floor, rate) as lines that meet."""
    tiers = []
    offset = rate_before = ZERO
    with exact():
        for floor, rate in steps:
            # offset_n = offset_(n-1) + floor_n * (rate_(n-1) - rate_n)
            offset += floor * (rate_before - rate)
            rate_before = rate
            tiers.append((float(floor), float(rate), float(offset)))
    return tiers
