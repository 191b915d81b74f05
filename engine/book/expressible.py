"""What the columns can express. An account with anything else is routed: judged exactly whenever it leaves its box.

The columns know linear contracts with prices above 0 whose maintenance margin is a line per tier of the notional at the mark,

    MM = rate * N + offset         0 <= rates that do not fall <= 1, lines that meet at the floors and begin at 0

collateral that is a line per tier of coins, liabilities at their factor, and borrow margin in tiers of coins. Initial
margin decides no band, so what only moves it (leverage, open interest, most orders) is not asked about.
"""

from decimal import Decimal
from enum import StrEnum
from itertools import pairwise

from engine.book.by_name import ByName
from engine.book.kernels import TERMS_MAX
from engine.ledger.accounts import AccountState
from engine.ledger.resting_orders import of_each_kind
from engine.margin.isolated_pool import open_isolated
from engine.margin.margin_model import uses_portfolio
from engine.numbers import ONE, ZERO, exact
from engine.policy import Asset, Instrument, MarginRules, Policy
from engine.policy.rules.asset_terms import TierLine
from engine.policy.rules.policy_switches import (
    ClosingFee,
    HaircutOn,
    HedgeLegs,
    InitialRule,
    InstrumentKind,
    LiabilitiesAs,
    MaintenanceRule,
    MarginModel,
    NotionalBasis,
    RequirementRate,
    SpotOrders,
    TiersBy,
)
from engine.position_keys import LEG_SEPARATOR, symbol_of


class Reason(StrEnum):
    """Why an account is routed; of several the first one found, so that counts of accounts add up."""

    HEALTH = "health_model"
    PORTFOLIO = "portfolio_model"
    ORDERS = "orders_in_maintenance"
    TERMS = "too_many_terms"
    OPTION = "option"
    INVERSE = "inverse"
    NEGATIVE_PRICES = "negative_prices"
    HEDGE_LEGS = "hedge_legs_offset"
    ENTRY_NOTIONAL = "entry_notional"
    ROUNDING = "rounding_step"
    LEVERAGE = "maintenance_by_leverage"
    SIZE = "size_rates"
    CLOSING_FEE = "closing_fee_at_bankruptcy"
    TIERS = "tiers_that_jump"
    PROFIT_WEIGHT = "profit_weight"
    REALISABLE_PROFIT = "realisable_profit"
    WALLET_HAIRCUT = "haircut_on_wallet"
    REQUIREMENT_RATE = "requirement_at_liability_rate"
    LIQUIDATION_FEE = "liquidation_fee"
    FUNDING = "funding_accrual"
    LIABILITY = "liability_as_requirement"
    CONSERVATIVE_PRICE = "conservative_price"
    TIERS_BY_VALUE = "collateral_tiers_by_value"
    CROWDED = "deposit_or_borrow_scale"
    UNLISTED = "unlisted_holding"
    """It holds what has left the policy: judged by the rest, and never quiet, as it is degraded."""


class Expressible:
    """The question `reason` for the accounts of one policy, its answers by symbol and asset prepared."""

    def __init__(self, policy: Policy) -> None:
        """Read the rules of `policy`."""
        self._policy, pool = policy, policy.pool
        in_collateral = pool.spot_orders is SpotOrders.FILLED
        self._orders = in_collateral or pool.orders_in_maintenance or bool(pool.order_requirement)
        self._liability = Reason.LIABILITY if pool.liabilities is LiabilitiesAs.REQUIREMENT else None
        self._assets = {name: _of_asset(asset, policy) for name, asset in policy.assets.items()}
        self._isolated = ByName(lambda key: _of_isolated(symbol_of(key), policy))
        self._cross = ByName(self._of_cross_position)

    def reason(self, state: AccountState) -> Reason | None:
        """Why the columns cannot express the account's pools; None where they can."""
        if self._policy.pool.model is MarginModel.HEALTH:
            return Reason.HEALTH
        if uses_portfolio(state, self._policy):
            return Reason.PORTFOLIO
        if self._orders and has_pool_orders(state):
            return Reason.ORDERS
        if len(state.balances) + len(state.positions) > TERMS_MAX:
            return Reason.TERMS
        return (
            self._of_positions(state)
            or self._of_balances(state)
            or (self._of_isolated(state) if state.isolated else None)
        )

    def _of_cross_position(self, key: str) -> Reason | None:
        symbol = symbol_of(key)
        settle = self._policy.instruments[symbol].settle
        return _of_cross(symbol, self._policy) or self._liability or self._assets[settle]

    def _of_positions(self, state: AccountState) -> Reason | None:
        for key in state.positions:
            reason = self._cross[key]
            if reason:
                return reason
            if LEG_SEPARATOR in key and self._offsets_legs(symbol_of(key), state):
                return Reason.HEDGE_LEGS
        return None

    def _offsets_legs(self, symbol: str, state: AccountState) -> bool:
        legs = sum(symbol_of(key) == symbol for key in state.positions)
        return legs > 1 and self._policy.margin_rules(symbol).hedge_legs is not HedgeLegs.GROSS

    def _of_balances(self, state: AccountState) -> Reason | None:
        for asset, amount in state.balances.items():
            if self._assets[asset]:
                return self._assets[asset]
            if amount < 0 and self._liability:
                return self._liability
        return None

    def _of_isolated(self, state: AccountState) -> Reason | None:
        return next(filter(None, (self._isolated[key] for key in open_isolated(state))), None)


def has_pool_orders(state: AccountState) -> bool:
    """Whether any open order is part of the shared pool."""
    return any(not (order.isolated or order.reduce_only) for order in of_each_kind(state.orders))


def maintenance_lines(symbol: str, policy: Policy) -> list[TierLine]:
    """MM of a contract by notional, closing fee included, in settle asset; true where no reason is given against it."""
    terms = policy.terms[symbol]
    rules = terms.rules
    share = rules.maintenance_fraction if rules.maintenance is MaintenanceRule.FRACTION_OF_INITIAL else ONE
    fee = rules.taker_fee_rate if rules.closing_fee is ClosingFee.NOTIONAL else ZERO
    with exact():
        # MM = fraction * (rate * N + offset) + taker rate * N
        return [TierLine(floor, share * rate + fee, share * offset) for floor, rate, offset in terms.lines]


def _of_contract(symbol: str, policy: Policy) -> Reason | None:
    """Why no position in the contract can be expressed, whatever pool carries it."""
    instrument, rules = policy.instruments[symbol], policy.margin_rules(symbol)
    reasons = {
        Reason.OPTION: instrument.kind is InstrumentKind.OPTION,
        Reason.INVERSE: instrument.inverse,
        Reason.NEGATIVE_PRICES: instrument.negative_prices,
        Reason.ENTRY_NOTIONAL: rules.notional is NotionalBasis.ENTRY,
        Reason.ROUNDING: bool(rules.notional_step or rules.margin_step),
        Reason.LEVERAGE: rules.maintenance is MaintenanceRule.TIER_OVER_LEVERAGE,
        Reason.SIZE: _by_size(instrument, rules),
        Reason.CLOSING_FEE: rules.closing_fee is ClosingFee.BANKRUPTCY and bool(rules.taker_fee_rate),
        Reason.LIQUIDATION_FEE: bool(policy.pool.liquidation_fee_rate),
        Reason.TIERS: not _meeting(maintenance_lines(symbol, policy)),
        Reason.FUNDING: policy.pool.funding_accrual and instrument.kind is InstrumentKind.PERPETUAL,
    }
    return next((reason for reason, applies in reasons.items() if applies), None)


def _of_cross(symbol: str, policy: Policy) -> Reason | None:
    """Why no cross position in the contract can be expressed."""
    pool = policy.pool
    reasons = {
        Reason.REALISABLE_PROFIT: symbol in policy.profit_capped,
        Reason.PROFIT_WEIGHT: policy.margin_rules(symbol).profit_weight != 1,
        Reason.WALLET_HAIRCUT: pool.haircut_on is HaircutOn.WALLET,
    }
    return _of_contract(symbol, policy) or next((it for it, applies in reasons.items() if applies), None)


def _of_isolated(symbol: str, policy: Policy) -> Reason | None:
    """Why no isolated position in the contract can be expressed."""
    # the columns keep one table of lines per symbol, and that is the shared pool's
    scaled = requirement_factor(symbol, policy) != 1
    return _of_contract(symbol, policy) or (Reason.REQUIREMENT_RATE if scaled else None)


def requirement_factor(symbol: str, policy: Policy) -> Decimal:
    """Price of a requirement of the shared pool in index prices of the contract's settle asset."""
    settle = policy.assets[policy.instruments[symbol].settle]
    return settle.liability_factor if policy.pool.requirement_rate is RequirementRate.LIABILITY else ONE


def _of_asset(asset: Asset, policy: Policy) -> Reason | None:
    """Why a pool that has anything to do with the asset cannot be expressed."""
    if policy.pool.conservative_price and asset.index:
        return Reason.CONSERVATIVE_PRICE
    if asset.tiers_by is TiersBy.VALUE and (asset.cap is not None or len(asset.tiers) > 1):
        return Reason.TIERS_BY_VALUE
    crowded = asset.deposit_scale_start is not None or asset.borrow_scale_start is not None
    return Reason.CROWDED if crowded else None


def _by_size(instrument: Instrument, rules: MarginRules) -> bool:
    strategy = (
        rules.initial if rules.maintenance is MaintenanceRule.FRACTION_OF_INITIAL else rules.maintenance
    )
    return strategy in {InitialRule.SIZE, MaintenanceRule.SIZE} and instrument.size_rates is not None


def _meeting(lines: list[TierLine]) -> bool:
    """Whether the lines begin at 0, meet at every floor and rise ever steeper, up to 1."""
    rates = [rate for _, rate, _ in lines]
    with exact():
        joined = all(
            rate * floor + offset == below * floor + cut
            for (_, below, cut), (floor, rate, offset) in pairwise(lines)
        )
    return joined and not lines[0][2] and rates == sorted(rates) and rates[0] >= 0 and rates[-1] <= 1
