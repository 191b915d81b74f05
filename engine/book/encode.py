"""From engine values to columns: the policy's tables once, an account's terms and rows whenever it changes.

An account that is routed (`expressible`) has rows without terms: its bands and flags, for the totals.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from engine.book import kernels
from engine.book.by_name import ByName
from engine.book.columns import ASSET, PACKED_ROW, PACKED_TERM, SYMBOL, TIER
from engine.book.dust_edges import DustEdge
from engine.book.expressible import Expressible, has_pool_orders
from engine.book.tiers import NO_COLLATERAL, TierTable, asset_tiers, risk_tiers
from engine.book.watches import Watches
from engine.events.effects import AccountRisk
from engine.events.pools import CROSS
from engine.ladder import SEVERITY, Band, LadderState
from engine.ladder.bands import kept_in
from engine.ladder.controls import call_of, controls_of
from engine.ladder.episode import due_ns
from engine.ledger.accounts import AccountState
from engine.margin.isolated_pool import judged_isolated, open_isolated
from engine.margin.listed_part import mentions_unlisted
from engine.marks.mark_book import NANOSECONDS
from engine.numbers import exact
from engine.policy import Policy
from engine.policy.rules.policy_switches import InstrumentKind
from engine.position_keys import symbol_of

_WELL = LadderState()
_WITHHELD = (Band.REDUCE_ONLY, Band.LIQUIDATION)
_Row = tuple[float, float, int, int, int]
"""A record of `columns.ROW`."""
_pack_term, _pack_row = PACKED_TERM.pack, PACKED_ROW.pack


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


def pools_of(state: AccountState, risk: AccountRisk) -> Sequence[str]:
    """The pools of an account in the order of its rows; `state` may be a reading as floats."""
    if not state.isolated and not risk.pools:
        return (CROSS,)
    return sorted({CROSS, *judged_isolated(state), *risk.pools})


class Encoder:
    """Numbers the policy's symbols and assets, and writes accounts in these numbers."""

    def __init__(self, policy: Policy) -> None:
        """Read the tables of `policy`."""
        self._policy = policy
        self.symbol_ids = {symbol: i for i, symbol in enumerate(policy.price_symbols)}
        self._asset_ids = {asset: i for i, asset in enumerate(policy.assets)}
        self.reason = Expressible(policy).reason
        self._watches = Watches(policy, self.symbol_ids)
        tiers = TierTable()
        assets = policy.asset_terms.values()
        # each asset, and after all of them each one's twin for accounts that do not pledge it
        self.assets = np.array(
            [
                (
                    float(terms.asset.liability_factor),
                    self.symbol_ids.get(terms.asset.index, -1),
                    *tiers.span(
                        asset_tiers(terms.lines) if pledged and terms.asset.collateral else NO_COLLATERAL
                    ),
                    *tiers.span(asset_tiers(terms.borrow_maintenance_lines)),
                )
                for pledged in (True, False)
                for terms in assets
            ],
            ASSET,
        )
        self.symbols = np.zeros(len(self.symbol_ids), SYMBOL)
        self.symbols["haircut"] = np.inf
        self.symbols["price"] = (
            1  # an index that was never seen counts 1; no mark is computed before its first
        )
        self.stale_after_ns = {
            symbol: int(check.stale_after_seconds * NANOSECONDS)
            for symbol, check in policy.price_symbols.items()
        }
        self._dust = [DustEdge.of(terms.asset) for terms in assets]
        """By number of the asset."""
        self._listing = ByName(self._listed)
        for symbol, number in self.symbol_ids.items():
            record = self.symbols[number]
            record["stale_after_ns"] = self.stale_after_ns[symbol]
            instrument = policy.instruments.get(symbol)
            if instrument is None or instrument.kind is InstrumentKind.SPOT:
                continue
            record["tier_first"], record["tier_end"] = tiers.span(risk_tiers(policy, symbol))
        self.tiers = np.array(tiers.rows, TIER)
        ladder = policy.ladder
        lines = {
            Band.WARNING: ladder.warning,
            Band.MARGIN_CALL: ladder.margin_call,
            Band.REDUCE_ONLY: ladder.reduce_only,
            Band.LIQUIDATION: ladder.liquidation,
        }
        self.lines = np.array([float(line) for line in lines.values()])
        """Below which each severity from 1 to 4 begins."""
        # below its "worse" line a band gets worse; above its exit line it may get better
        self._worse = {better: float(line) for better, line in zip(Band, lines.values(), strict=False)}
        with exact():
            self._exits = {band: float(line + ladder.exit_band) for band, line in lines.items()}
        self._row_of_well = cache(lambda flags: self._row(_WELL, 0, flags))

    def watched(self, state: AccountState) -> frozenset[int] | None:
        """Numbers of the price symbols whose marks concern the account; `state` may be a reading as floats.

        None where the policy lacks something that it holds, trades or does not pledge: `listed_part` has the rest. None as well of
        a reading that does not tell whether some coins are more than dust: then ask with the state itself.
        """
        if (state.orders or state.collateral_off) and mentions_unlisted(state, self._policy):
            return None
        try:
            return self._watches.of(state)
        except KeyError:
            if mentions_unlisted(state, self._policy):
                return None
            raise

    def watches_same(self, before: AccountState, after: AccountState) -> bool:
        """Whether what concerns an account that was listed is what concerned it before."""
        return self._watches.same(before, after)

    def encode(
        self, state: AccountState, risk: AccountRisk, *, routed: bool, stopped: bool
    ) -> tuple[bytes, bytes]:
        """Terms and rows of the account, packed: the cross pool first, then isolated positions, by key.

        `state` may be a reading as floats, of which `watched` knows an answer.
        """
        opened = open_isolated(state) if state.isolated else ()
        terms = rows = b""
        stops = kernels.STOPPED if stopped else 0
        for pool in pools_of(state, risk):
            of_pool = b""
            flags = kernels.NEVER | (kernels.OPEN if pool in opened else 0)
            if not routed:
                of_pool, flags = self._cross(state) if pool == CROSS else self._isolated(state, pool)
            terms += of_pool
            ladder = risk.pools.get(pool)
            count, flags = len(of_pool) // PACKED_TERM.size, flags | stops
            low, high, _, flags, band = (
                self._row(ladder, count, flags) if ladder else self._row_of_well(flags)
            )
            rows += _pack_row(low, high, count, flags, band)
        return terms, rows

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
        """Event time at which the account's first timer runs out; None where none runs."""
        dues = [due for pool in risk.pools.values() if (due := due_ns(pool, self._policy)) is not None]
        return min(dues, default=None)

    def _cross(self, state: AccountState) -> tuple[bytes, int]:
        by_asset: defaultdict[int, bytearray] = defaultdict(bytearray)
        owes = False
        for asset, amount in state.balances.items():
            number, coins = self._asset_ids[asset], float(amount)
            if self._dust[number].is_below(amount):
                by_asset[number] += _pack_term(coins, 0.0, -1, number)
                owes |= coins < 0
        listing = self._listing
        for key, held in state.positions.items():
            number, settle, multiplier = listing[key]
            by_asset[settle] += _pack_term(
                float(held.quantity) * multiplier, float(held.entry_value), number, settle
            )
        if state.collateral_off:
            self._unpledge(state.collateral_off, by_asset)
        secures = owes or state.positions or has_pool_orders(state)
        return b"".join(by_asset.values()), kernels.SECURES if secures else 0

    def _unpledge(self, assets: Iterable[str], by_asset: dict[int, bytearray]) -> None:
        """Have the terms in these assets point to the twins that are no collateral."""
        for asset in assets:
            number = self._asset_ids[asset]
            twin = number + len(self._asset_ids)
            if number in by_asset:
                terms = PACKED_TERM.iter_unpack(by_asset[number])
                by_asset[number] = bytearray().join(_pack_term(*term[:3], twin) for term in terms)

    def _isolated(self, state: AccountState, key: str) -> tuple[bytes, int]:
        held = state.isolated.get(key)
        if held is None or not (held.position.quantity or held.margin < 0):
            return b"", kernels.ISOLATED
        number, settle, multiplier = self._listing[key]
        wallet = _pack_term(float(held.margin), 0.0, -1, settle)
        it, flags = held.position, kernels.ISOLATED | kernels.SECURES
        if not it.quantity:
            return wallet, flags
        position = _pack_term(float(it.quantity) * multiplier, float(it.entry_value), number, settle)
        return wallet + position, flags | kernels.OPEN

    def _listed(self, key: str) -> tuple[int, int, float]:
        """Numbers of a contract and its settle asset, and its multiplier."""
        symbol = symbol_of(key)
        instrument = self._policy.instruments[symbol]
        return self.symbol_ids[symbol], self._asset_ids[instrument.settle], float(instrument.multiplier)

    def _row(self, state: LadderState, terms: int, flags: int) -> _Row:
        """What must hold so that `ladder.advance` returns `state` itself."""
        ladder, band = self._policy.ladder, state.band
        low = high = 0.0
        told = controls_of(state, stopped=flags & kernels.STOPPED != 0), call_of(state)
        if told != (state.controls, state.call):
            flags |= kernels.NEVER  # a record of before they were told
        if state.degraded:
            flags |= kernels.DEGRADED
            if (state.degraded_until_ns is None) is not (flags & kernels.STOPPED != 0):
                flags |= (
                    kernels.NEVER
                )  # stopped no more, or only now, or doubt is not held: the next touch says
        if state.crossed_since_ns is not None:
            # nothing changes while it stays below the liquidation line, until its timer runs out
            flags |= kernels.NOT_ABOVE
            return 0.0, self._worse[Band.REDUCE_ONLY], terms, flags, SEVERITY[band]
        withheld = state.degraded and ladder.withhold_liquidation_when_degraded
        withheld = withheld or state.held_by is not None
        if state.exit_since_ns is not None:
            low, more = self._leaving(state, withheld=withheld)
            flags |= more
        elif band is Band.BANKRUPT:
            flags |= kernels.NEGATIVE
        else:
            if not (withheld and band in _WITHHELD):
                flags |= kernels.POSITIVE
                low = self._entry(band, expired=state.expired)
            if band is Band.HEALTHY:
                flags |= kernels.EMPTY_IS_QUIET
            else:
                flags |= kernels.NOT_ABOVE
                high = self._exit(band, expired=state.expired)
        if low and flags & kernels.SECURES:
            flags |= kernels.NOT_BELOW
        return low, high, terms, flags, SEVERITY[band]

    def _entry(self, band: Band, *, expired: bool) -> float:
        """The line below which the band gets worse; below the call's, an expired one takes the pool into the band that it names."""
        if expired and SEVERITY[band] < SEVERITY[kept_in(self._policy.ladder)]:
            return self._worse[Band.WARNING]
        return self._worse.get(band, 0.0)

    def _exit(self, band: Band, *, expired: bool) -> float:
        """The line above which the band may be left: its own, or that of the call where an expired one keeps the pool in it."""
        if expired and SEVERITY[band] <= SEVERITY[kept_in(self._policy.ladder)]:
            return self._exits[Band.MARGIN_CALL]
        return self._exits.get(band, 0.0)

    def _leaving(self, state: LadderState, *, withheld: bool) -> tuple[float, int]:
        """The line above which a hold timer goes on, and flags; a healthy pool has none."""
        band, expired = state.band, state.expired
        if band is Band.HEALTHY:
            return self._exit(band, expired=expired), kernels.NEVER
        flags = kernels.EMPTY_IS_QUIET | kernels.POSITIVE
        if band is not Band.BANKRUPT:
            return self._exit(band, expired=expired), flags
        if withheld:
            # it may not leave for liquidation
            return self._exit(Band.LIQUIDATION, expired=expired), flags
        # it leaves at equity 0, but its verdict is another only where liquidation is left
        return self._exit(band, expired=expired), flags | kernels.CERTAIN
