"""The rule book as a whole, with its digest and the tables that follow from it."""

import hashlib
import itertools
from decimal import Decimal
from functools import cached_property

import msgspec

from engine.numbers import ONE, ZERO, exact
from engine.policy.rules.asset_rules import Asset, SecondSource
from engine.policy.rules.asset_terms import AssetTerms, asset_terms
from engine.policy.rules.breaker_rules import BreakerRules
from engine.policy.rules.contract_terms import ContractTerms, contract_terms
from engine.policy.rules.deleveraging_rules import DeleveragingRules
from engine.policy.rules.health_weights import HealthRules
from engine.policy.rules.input_rules import InputRules
from engine.policy.rules.instrument_rules import Instrument, RiskTier
from engine.policy.rules.liquidation_rules import LiquidationRules
from engine.policy.rules.margin_rules import MarginRules, PoolRules, RatioDisplay
from engine.policy.rules.policy_switches import InstrumentKind, MarginModel
from engine.policy.rules.portfolio_rules import OptionRules, PortfolioRules
from engine.policy.rules.price_rules import Ladder, PriceCheck, PriceRules
from engine.policy.rules.stress_rules import StressRules
from engine.policy.rules.tables import Table

_DEFAULT_RULES = MarginRules()
_CONTRACT_KINDS = frozenset({InstrumentKind.PERPETUAL, InstrumentKind.FUTURE})


class Policy(Table, frozen=True, dict=True, kw_only=True):
    """The whole rule book. Build it with `parse`."""

    name: str
    sources: tuple[str, ...] = ()
    """Where the rules and numbers come from, each with its date; for people."""
    account_currency: str
    assets: dict[str, Asset]
    instruments: dict[str, Instrument]
    tiers: dict[str, tuple[RiskTier, ...]] = msgspec.field(default_factory=dict)
    margin: dict[str, MarginRules] = msgspec.field(default_factory=dict)
    """Margin rules by name; "default" needs no entry."""
    option_margin: dict[str, OptionRules] = msgspec.field(default_factory=dict)
    """Rules for short options outside of portfolio margin, by name; margin rules name theirs."""
    pool: PoolRules = PoolRules()
    portfolio: PortfolioRules | None = None
    """Needed where an account may choose portfolio margin."""
    health: HealthRules | None = None
    """Needed where the pool's model is health."""
    ratio: RatioDisplay = RatioDisplay()
    prices: PriceRules = PriceRules()
    ladder: Ladder = Ladder()
    liquidation: LiquidationRules = LiquidationRules()
    deleveraging: DeleveragingRules = DeleveragingRules()
    breaker: BreakerRules | None = None
    """None holds no liquidation, however many there are at once."""
    stress: StressRules = StressRules()
    inputs: InputRules = InputRules()
    leverage_default: Decimal = Decimal(10)
    links: dict[str, str] = msgspec.field(default_factory=dict)
    """Where an event leads to, by name: addresses in which {account}, {episode_id}, {event_id} and {type} stand for the event's."""

    @cached_property
    def digest(self) -> str:
        """First 16 hex digits of the SHA-256 of the content."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()[:16]

    @cached_property
    def deductions(self) -> dict[str, tuple[Decimal, ...]]:
        """Per tier table, each tier's deduction, which makes maintenance margin continuous at the edges.

        deduction_n = deduction_(n-1) + floor_n * (rate_n - rate_(n-1))         unless the tier states its own
        """
        with exact():
            return {name: _deductions(tiers) for name, tiers in self.tiers.items()}

    @cached_property
    def price_symbols(self) -> dict[str, PriceCheck]:
        """Every price symbol the engine listens to, with its check."""
        checks: dict[str, PriceCheck] = {
            asset.index: self.prices for asset in self.assets.values() if asset.index
        }
        checks |= {it.forward: self.prices for it in self.instruments.values() if it.forward}
        checks |= {
            symbol: it.price or self.prices
            for symbol, it in self.instruments.items()
            if it.kind is not InstrumentKind.SPOT
        }
        for source in self.second_sources.values():
            if source.symbol:
                checks.setdefault(source.symbol, self.prices)
        return checks

    @cached_property
    def price_scales(self) -> dict[str, Decimal]:
        """The least scale of each price symbol that may be quoted at 0 and below (`Instrument.price_scale_min`)."""
        return {symbol: it.price_scale_min for symbol, it in self.instruments.items() if it.negative_prices}

    def moved(self, symbol: str, price: Decimal, move: Decimal) -> Decimal:
        """A price of the symbol after it has moved by a fraction. Call it inside `numbers.exact()`."""
        if symbol not in self.price_scales:
            # price * (1 + move), never below 0
            return price * max(ZERO, ONE + move)
        # price + move * scale of the price
        return price + move * self.instruments[symbol].scale(price)

    @cached_property
    def priced_by(self) -> dict[str, frozenset[str]]:
        """By instrument, the price symbols that a position or order in it depends on."""
        return {symbol: self._priced_by(symbol, net=False) for symbol in self.instruments}

    @cached_property
    def net_priced_by(self) -> dict[str, frozenset[str]]:
        """The same where the pool is judged by its net risk, which is measured by the underlying's index."""
        return {symbol: self._priced_by(symbol, net=True) for symbol in self.instruments}

    def _priced_by(self, symbol: str, *, net: bool) -> frozenset[str]:
        it = self.instruments[symbol]
        # a spot pair trades its base asset; options and net risk are measured by the underlying's index
        base = net or it.kind in {InstrumentKind.SPOT, InstrumentKind.OPTION}
        assets = [it.settle, *([it.base] if base and it.base in self.assets else [])]
        names = [self.assets[asset].index for asset in assets]
        return frozenset(filter(None, [*names, it.forward, "" if it.kind is InstrumentKind.SPOT else symbol]))

    @cached_property
    def second_sources(self) -> dict[str, SecondSource]:
        """By index symbol, what it is held against."""
        return {it.index: it.second_source for it in self.assets.values() if it.second_source is not None}

    @cached_property
    def profit_capped(self) -> frozenset[str]:
        """Contracts of which a profit counts no further than the losing side of their market can pay."""
        return frozenset(
            symbol
            for symbol, it in self.instruments.items()
            if it.kind in _CONTRACT_KINDS and self.margin_rules(symbol).realisable_profit
        )

    @cached_property
    def contracts(self) -> frozenset[str]:
        """Instruments that positions are held in: all but spot pairs."""
        return frozenset(
            symbol for symbol, it in self.instruments.items() if it.kind is not InstrumentKind.SPOT
        )

    @cached_property
    def underlyings(self) -> frozenset[str]:
        """What contracts are written on."""
        return frozenset(self.instruments[symbol].base for symbol in self.contracts)

    @cached_property
    def has_options(self) -> bool:
        """Whether any option is listed."""
        return any(it.kind is InstrumentKind.OPTION for it in self.instruments.values())

    @property
    def margin_models(self) -> tuple[MarginModel, ...]:
        """The models that an account may have its shared pool judged by."""
        if self.pool.model is MarginModel.HEALTH:
            return (MarginModel.HEALTH,)
        cross = (MarginModel.CROSS,)
        return cross if self.portfolio is None else (*cross, MarginModel.PORTFOLIO)

    def margin_rules(self, symbol: str) -> MarginRules:
        """The rules by which a position in `symbol` is margined."""
        return self.terms[symbol].rules

    @cached_property
    def terms(self) -> dict[str, ContractTerms]:
        """By symbol, what holds for a position in it."""
        return {
            symbol: contract_terms(
                it,
                self.margin.get(it.margin, _DEFAULT_RULES),
                # a table that does not exist is for the checks to refuse
                self.tiers.get(it.tiers, ()),
                self.deductions.get(it.tiers, ()),
            )
            for symbol, it in self.instruments.items()
        }

    @cached_property
    def asset_terms(self) -> dict[str, AssetTerms]:
        """By asset, how an amount of it is valued."""
        return {name: asset_terms(asset) for name, asset in self.assets.items()}


def _deductions(tiers: tuple[RiskTier, ...]) -> tuple[Decimal, ...]:
    deductions = [tiers[0].deduction or ZERO]
    for below, tier in itertools.pairwise(tiers):
        joining = deductions[-1] + tier.floor * (tier.maintenance_rate - below.maintenance_rate)
        deductions.append(joining if tier.deduction is None else tier.deduction)
    return tuple(deductions)
