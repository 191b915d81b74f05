"""The assets of a shared pool, and where the pool stands, with other amounts in them: only what changes is valued anew.

Within a tier of an asset each coin more or less is worth the same, so most amounts are not valued at all but told by the
slope of the tier that holds them; where another tier begins the asset is valued by its formula.
"""

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from engine.ledger.accounts import AccountState
from engine.margin import exact_arithmetic
from engine.margin.collateral import UNSCALED, slope_of
from engine.margin.cross.asset_equity import AssetPrices, PooledAsset, asset_figures, asset_prices
from engine.margin.figures import Standing
from engine.marks.mark_book import Prices
from engine.numbers import ZERO
from engine.policy import Policy
from engine.policy.rules.policy_switches import HaircutOn, LiabilitiesAs

_ON_EQUITY, _DEBT_IS_REQUIRED = HaircutOn.EQUITY, LiabilitiesAs.REQUIREMENT


class CoinWorth(msgspec.Struct, frozen=True, gc=False):
    """What one coin more in a wallet changes, as long as what counts of the asset stays between two bounds."""

    counted: Decimal
    """What counts of the asset now, in coins."""
    floor: Decimal
    ceiling: Decimal
    equity: Decimal
    collateral_value: Decimal
    requirement: Decimal

    def gap(self, line: Decimal) -> Decimal:
        """What a coin adds to the gap (`figures.Standing.gap`). Inside `numbers.exact()`."""
        # C - line * requirement
        return self.collateral_value - line * self.requirement


class AssetSums:
    """The assets of a pool that stands at `now`. Everything inside `numbers.exact()`."""

    def __init__(
        self,
        assets: Iterable[PooledAsset],
        now: Standing,
        state: AccountState,
        prices: Prices,
        policy: Policy,
    ) -> None:
        """Take the assets as they are."""
        self.now, self.assets = now, {pooled.asset: pooled for pooled in assets}
        self._state, self._prices, self._policy = state, prices, policy
        self._quoted: dict[str, AssetPrices[Decimal]] = {}
        self._worths: dict[str, CoinWorth | None] = {}
        rules = policy.pool
        self.moves_profit = rules.haircut_on is not _ON_EQUITY or rules.funding_accrual
        """Whether it matters what of an amount is wallet and what unrealised."""

    def paid(self, asset: str, amount: Decimal, required: Decimal) -> Standing:
        """With so much more (< 0: less) in the wallet of the asset, and of requirement."""
        worth = self.coin_worth(asset)
        if worth is None or not worth.floor <= worth.counted + amount <= worth.ceiling:
            return self.changed(asset, amount, ZERO, ZERO, required)
        now = self.now
        return Standing(
            now.equity + worth.equity * amount,
            now.collateral_value + worth.collateral_value * amount,
            now.requirement + required + worth.requirement * amount,
        )

    def exchanged(self, sold: str, amount: Decimal, bought: str, credit: Decimal) -> Standing:
        """With so many coins of one asset in the wallet less, and of another more."""
        if self.moves_profit:
            return self.standing((self.moved(sold, -amount), self.moved(bought, credit)), ZERO)
        less, more, now = self.paid(sold, -amount, ZERO), self.paid(bought, credit, ZERO), self.now
        return Standing(
            less.equity + more.equity - now.equity,
            less.collateral_value + more.collateral_value - now.collateral_value,
            less.requirement + more.requirement - now.requirement,
        )

    def coin_worth(self, asset: str) -> CoinWorth | None:
        """What a coin of the asset is worth; None where its tiers are of value."""
        if asset not in self._worths:
            self._worths[asset] = self._coin_worth(asset)
        return self._worths[asset]

    def _coin_worth(self, asset: str) -> CoinWorth | None:
        was, terms, pool = self.assets[asset], self._policy.asset_terms[asset], self._policy.pool
        low, high, scales = was.index, was.index, UNSCALED
        if pool.conservative_price or terms.crowded:
            quoted = self._quotes(asset)
            low, high, scales = quoted.low, quoted.high, quoted.scales
        counted, pledged = (
            was.wallet + was.counted_profit,
            was.fresh and asset not in self._state.collateral_off,
        )
        slope = slope_of(terms, counted, low, high, pledged=pledged, scales=scales)
        if slope is None:
            return None
        collateral, required = slope.value, ZERO
        if slope.owed:
            required = -slope.freed
            if pool.liabilities is _DEBT_IS_REQUIRED:
                collateral, required = ZERO, required - collateral
        return CoinWorth(counted, slope.floor, slope.ceiling, was.index, collateral, required)

    def _quotes(self, asset: str) -> AssetPrices[Decimal]:
        quoted = self._quoted.get(asset)
        if quoted is None:
            quoted = self._quoted[asset] = asset_prices(asset, self._prices, self._policy)
        return quoted

    def changed(
        self, asset: str, wallet: Decimal, profit: Decimal, counted: Decimal, required: Decimal
    ) -> Standing:
        """With so much more in the wallet, of unrealised P&L, of what counts of it, and of requirement."""
        return self.standing((self.moved(asset, wallet, profit, counted),), required)

    def standing(self, assets: tuple[PooledAsset, ...], required: Decimal) -> Standing:
        """With these assets instead of what they were, and so much more of requirement."""
        now = self.now
        equity, collateral, requirement = now.equity, now.collateral_value, now.requirement + required
        for after in assets:
            was = self.assets[after.asset]
            equity += (after.amount - was.amount) * was.index
            collateral += after.collateral_value - was.collateral_value
            requirement += after.required - was.required
        return Standing(equity, collateral, requirement)

    def moved(
        self, asset: str, wallet: Decimal, profit: Decimal = ZERO, counted: Decimal = ZERO
    ) -> PooledAsset:
        """The asset with so much more in the wallet, of unrealised P&L, and of what counts of it."""
        was = self.assets[asset]
        return asset_figures(
            asset,
            was.wallet + wallet,
            was.profit + profit,
            was.counted_profit + counted,
            self._quotes(asset),
            self._policy,
            exact_arithmetic,
            pledged=asset not in self._state.collateral_off,
        )
