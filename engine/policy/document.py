"""The rule book as a whole, with its digest and the tables that follow from it."""

import hashlib
import itertools
from decimal import Decimal
from functools import cached_property

import msgspec

from engine.numbers import ZERO, exact
from engine.policy.assets import Asset
from engine.policy.health import HealthRules
from engine.policy.instruments import Instrument, RiskTier
from engine.policy.liquidation import LiquidationRules
from engine.policy.margin import MarginRules, PoolRules, RatioDisplay
from engine.policy.portfolio import OptionRules, PortfolioRules
from engine.policy.prices import Ladder, PriceCheck
from engine.policy.tables import Table
from engine.policy.terms import ContractTerms, contract_terms

_DEFAULT_RULES = MarginRules()


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
    prices: PriceCheck = PriceCheck()
    ladder: Ladder = Ladder()
    liquidation: LiquidationRules = LiquidationRules()
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
        checks = {asset.index: self.prices for asset in self.assets.values() if asset.index}
        checks |= {it.forward: self.prices for it in self.instruments.values() if it.forward}
        checks |= {
            symbol: it.price or self.prices for symbol, it in self.instruments.items() if it.kind != "spot"
        }
        return checks

    @cached_property
    def underlyings(self) -> frozenset[str]:
        """What contracts are written on."""
        return frozenset(it.base for it in self.instruments.values() if it.kind != "spot")

    @cached_property
    def has_options(self) -> bool:
        """Whether any option is listed."""
        return any(it.kind == "option" for it in self.instruments.values())

    @property
    def margin_models(self) -> tuple[str, ...]:
        """The models that an account may have its shared pool judged by."""
        if self.pool.model == "health":
            return ("health",)
        return ("cross",) if self.portfolio is None else ("cross", "portfolio")

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


def _deductions(tiers: tuple[RiskTier, ...]) -> tuple[Decimal, ...]:
    deductions = [tiers[0].deduction or ZERO]
    for below, tier in itertools.pairwise(tiers):
        joining = deductions[-1] + tier.floor * (tier.maintenance_rate - below.maintenance_rate)
        deductions.append(joining if tier.deduction is None else tier.deduction)
    return tuple(deductions)
