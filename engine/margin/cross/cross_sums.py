"""A cross pool in which one position can be replaced: only its requirement and its settle asset are computed anew.

Everything else that the figures of a cross pool are summed from stays. That does not hold where positions share requirements
(legs of one symbol, options) or open orders count.

A contract realises at the mark what was unrealised before, so the asset it settles in has less by the cost alone. Where a
profit counts at a weight or apart from the balance, where funding accrues, and where values are rounded (inverse), the parts
move between each other, and the position is booked.
"""

from collections.abc import Iterable
from copy import copy
from decimal import Decimal

import msgspec

from engine.ledger.accounts import AccountState, OpenOrder, Position
from engine.ledger.booking import filled
from engine.ledger.resting_orders import of_each_kind
from engine.margin import exact_arithmetic
from engine.margin.contract_formulas import required
from engine.margin.cross.asset_equity import PooledAsset
from engine.margin.cross.asset_sums import AssetSums
from engine.margin.cross.cross_pool import cross_pool, summed
from engine.margin.figures import Standing
from engine.margin.funding_accrual import funding_accrued
from engine.margin.position_margin import PositionMargin, position_margin, tier_of
from engine.margin.quotes import open_interest, realisable_share
from engine.marks.mark_book import Prices
from engine.numbers import QUOTIENT_DIGITS, ZERO, whole_steps
from engine.policy import LiquidationRules, Policy
from engine.policy.rules.contract_terms import ContractTerms
from engine.policy.rules.policy_switches import InstrumentKind
from engine.position_keys import LEG_SEPARATOR

_OPTION, _NONE = InstrumentKind.OPTION, Decimal(-1)
_FINEST = Decimal(1).scaleb(-QUOTIENT_DIGITS)


Even = tuple[str, Decimal, Decimal]
"""Settle asset, cost rate and maintenance margin rate of positions that free as much per cost."""


class ClosingRates(msgspec.Struct, frozen=True, gc=False):
    """What each contract that is closed changes of where the pool stands, up to so many of them."""

    equity: Decimal
    collateral_value: Decimal
    requirement: Decimal
    contracts: Decimal
    """Of them, closed, the position and its settle asset are in the same tiers still."""


class CrossSums:
    """A cross pool without legs, options and open orders. Everything inside `numbers.exact()`."""

    def __init__(self, state: AccountState, prices: Prices, policy: Policy) -> None:
        """Take the account as it is; it must be one that `fits`."""
        self._state, self._prices, self._policy = state, prices, policy
        pool = cross_pool(state, prices, policy)
        self.positions = {margin.key: margin for margin in pool.positions}
        self.assets = AssetSums(pool.assets, summed(pool, policy).standing, state, prices, policy)
        self._requirement_prices = pool.requirement_prices

    @staticmethod
    def fits(state: AccountState, prices: Prices, policy: Policy) -> bool:
        """Whether the sums hold for the cross pool of this account."""
        positions, marks = state.positions, prices.marks
        return (
            LEG_SEPARATOR not in "".join(positions)
            # a position without a mark is judged by its average entry price, which every fill rounds anew
            and positions.keys() <= marks.keys()
            and not (
                policy.has_options and [it for it in positions if policy.instruments[it].kind is _OPTION]
            )
            and not (state.orders and any(map(_counts, of_each_kind(state.orders))))
        )

    def reduced(self, key: str, quantity: Decimal, cost: Decimal) -> Standing:
        """With so many contracts closed at the mark, and the cost (settle asset) paid."""
        before, terms = self.positions[key], self._policy.terms[key]
        freed, size = -self._required(before), abs(before.quantity)
        if terms.plain and not self.assets.moves_profit:
            left = (size - quantity) * terms.instrument.multiplier
            if left:
                freed += self._of_notional(terms, before, left * before.mark)
            return self.assets.paid(before.settle, -cost, freed)
        profit, counted = self._profits(before)
        if quantity == size:
            # closed whole, a position realises the P&L that it had
            return self.assets.changed(before.settle, before.unrealised_pnl - cost, -profit, -counted, freed)
        signed = quantity if before.quantity < 0 else -quantity
        position, realised = filled(self._state.positions[key], signed, before.mark, terms.instrument)
        after = self._margin(before, position, before.mark)
        left_profit, left_counted = self._profits(after)
        freed += self._required(after)
        return self.assets.changed(
            before.settle, realised - cost, left_profit - profit, left_counted - counted, freed
        )

    def repriced(self, key: str, mark: Decimal) -> Standing:
        """With one position at another mark."""
        before = self.positions[key]
        after = self._margin(before, self._state.positions[key], mark)
        (profit, counted), (left, left_counted) = self._profits(before), self._profits(after)
        required_more = self._required(after) - self._required(before)
        return self.assets.changed(before.settle, ZERO, left - profit, left_counted - counted, required_more)

    def closing_rates(self, key: str, cost: Decimal) -> ClosingRates | None:
        """What each contract closed at the mark changes, its cost (settle asset) paid; None where the next one differs."""
        margin, terms, assets = self.positions[key], self._policy.terms[key], self.assets
        if not terms.plain or assets.moves_profit:
            return None
        worth, tier, size = assets.coin_worth(margin.settle), terms.tiers[0], abs(margin.quantity)
        notional, floor, contracts = margin.notional, ZERO, size
        if notional >= tier.ceiling:
            tier = tier_of(terms, notional)
            floor = tier.line.floor
        _, rate, offset = tier.line
        if worth is None or rate * floor + offset < ZERO or (offset and not floor):
            return None
        value = abs(terms.instrument.multiplier * margin.mark)
        if floor:
            contracts = _whole_within(notional - floor, value)
        if worth.counted - contracts * cost < worth.floor:
            contracts = min(contracts, _whole_within(worth.counted - worth.floor, cost))
        fee = self._policy.pool.liquidation_fee_rate
        # (rate of the tier + liquidation fee rate) * value of a contract * price of the settle asset
        freed = ((rate + fee if fee else rate) * value) * self._requirement_prices[margin.settle]
        return ClosingRates(
            -cost * worth.equity,
            -cost * worth.collateral_value,
            -cost * worth.requirement - freed,
            contracts,
        )

    def leaders(self, keys: Iterable[str], rules: LiquidationRules) -> dict[Even | str, PositionMargin]:
        """Of positions that free as much per cost, whatever part of them is closed, the one with the largest loss.

        By what is the same for them; a position of which parts may differ is alone under its key.
        """
        if self.assets.moves_profit:
            return {key: self.positions[key] for key in keys}
        first: dict[Even | str, PositionMargin] = {}
        all_terms, positions, rooms = self._policy.terms, self.positions, self._rooms()
        usual, unusual = rules.fee_rate + rules.slippage_rate, rules.slippage_rates
        for key in keys:
            margin, terms = positions[key], all_terms[key]
            settle, lowest, notional = margin.settle, terms.tiers[0], margin.notional
            cost_rate = rules.cost_rate(key) if key in unusual else usual
            kind: Even | str = key
            # in its lowest tier a plain contract frees, and costs, in proportion to what is closed
            if (
                terms.plain
                and notional < lowest.ceiling
                and cost_rate * notional <= rooms[settle]
                and not lowest.deduction
            ):
                kind = settle, cost_rate, lowest.maintenance_rate
            leads, profit = first.get(kind), margin.unrealised_pnl
            if (
                leads is None
                or profit < leads.unrealised_pnl
                or (profit == leads.unrealised_pnl and key < leads.key)
            ):
                first[kind] = margin
        return first

    def _rooms(self) -> dict[str, Decimal]:
        """By settle asset, how many coins of it may be paid that are worth the same; below 0 where none are."""
        worths = {settle: self.assets.coin_worth(settle) for settle in self._requirement_prices}
        return {
            settle: _NONE if worth is None else worth.counted - worth.floor
            for settle, worth in worths.items()
        }

    def after_reduction(self, state: AccountState, key: str) -> "CrossSums":
        """The sums of `state`, which differs by the position and by the wallet of its settle asset."""
        before, held = self.positions[key], state.positions.get(key)
        profit, counted = self._profits(before)
        freed, left, left_counted = -self._required(before), ZERO, ZERO
        positions = {it: margin for it, margin in self.positions.items() if it != key or held is not None}
        if held is not None:
            after = positions[key] = self._margin(before, held, before.mark)
            left, left_counted = self._profits(after)
            freed += self._required(after)
        settle = before.settle
        paid = state.balances.get(settle, ZERO) - self.assets.assets[settle].wallet
        asset = self.assets.moved(settle, paid, left - profit, left_counted - counted)
        return self._after(state, positions, (asset,), freed)

    def after_exchange(self, state: AccountState, sold: str, bought: str) -> "CrossSums":
        """The sums of `state`, which differs by the wallets of these assets."""
        moved = tuple(
            self.assets.moved(asset, state.balances.get(asset, ZERO) - self.assets.assets[asset].wallet)
            for asset in (sold, bought)
        )
        return self._after(state, self.positions, moved, ZERO)

    def _after(
        self,
        state: AccountState,
        positions: dict[str, PositionMargin],
        assets: tuple[PooledAsset, ...],
        required: Decimal,
    ) -> "CrossSums":
        after = copy(self)
        after._state, after.positions = state, positions  # noqa: SLF001 - its own kind
        now = self.assets.standing(assets, required)
        together = self.assets.assets | {it.asset: it for it in assets}
        after.assets = AssetSums(together.values(), now, state, self._prices, self._policy)
        return after

    def _margin(self, before: PositionMargin, position: Position, mark: Decimal) -> PositionMargin:
        symbol, prices = before.symbol, self._prices
        interest, share = open_interest(symbol, prices), realisable_share(symbol, prices)
        return position_margin(before.key, position, mark, before.leverage, self._policy, interest, share)

    def _profits(self, margin: PositionMargin) -> tuple[Decimal, Decimal]:
        """Unrealised P&L, funding accrued included, and what counts of it."""
        accrued = ZERO
        if self._policy.pool.funding_accrual:
            accrued = funding_accrued(margin, self._state, self._prices, self._policy)
        return margin.unrealised_pnl + accrued, margin.counted_pnl + accrued

    def _required(self, margin: PositionMargin) -> Decimal:
        return self._due(margin.settle, margin.maintenance_margin, margin.notional)

    def _of_notional(self, terms: ContractTerms, margin: PositionMargin, notional: Decimal) -> Decimal:
        """Of so much left of a position, where that is all that matters (`ContractTerms.plain`)."""
        notional = abs(notional)
        line = tier_of(terms, notional).line
        by_tier = line.rate * notional + line.offset
        maintenance, _ = required(terms, ZERO, notional, by_tier, margin.leverage, exact_arithmetic)
        return self._due(margin.settle, maintenance, notional)

    def _due(self, settle: str, maintenance: Decimal, notional: Decimal) -> Decimal:
        # (MM + liquidation fee rate * N) * price of the settle asset
        fee = self._policy.pool.liquidation_fee_rate
        return (maintenance + fee * notional if fee else maintenance) * self._requirement_prices[settle]


def _whole_within(amount: Decimal, each: Decimal) -> Decimal:
    """How many contracts of `each` go into the amount, down to the last digit that a quantity may have."""
    return whole_steps(amount, each * _FINEST, "down") * _FINEST


def _counts(order: OpenOrder) -> bool:
    return not (order.isolated or order.reduce_only)
