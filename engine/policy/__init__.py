"""The rule book of an exchange as one validated, frozen value with a digest.

A policy is parsed from TOML text. Unknown keys are refused, decimals are read as written (never through a
float), and every rule is checked at load (`reading.policy_checks`): a policy that loads is a policy the engine can compute with.
Any change of content changes `Policy.digest`, which every event carries.

    rules/      what it says: policy_switches, portfolio_switches (each way in which venues differ, and what each value does);
                tables, price_rules, asset_rules, instrument_rules, liquidation_rules, margin_rules,
                portfolio_rules (shock_rules, contingency_rules), health_weights, stress_rules, input_rules, contract_terms, document (`Policy`)
    reading/    parse: TOML text -> checked `Policy` (policy_checks, instrument_checks);
                venue_imports: a venue's own files -> TOML text (venue_document, binance_rows, venue_instruments, venue_tiers, imported)
"""

from engine.policy.reading.parse import PolicyError, parse
from engine.policy.rules.asset_rules import Asset, BorrowTier, CollateralTier
from engine.policy.rules.document import Policy
from engine.policy.rules.instrument_rules import Instrument, OpenInterestScaling, RiskTier, SizeRates
from engine.policy.rules.liquidation_rules import LiquidationRules
from engine.policy.rules.margin_rules import MarginRules, PoolRules, RatioDisplay
from engine.policy.rules.price_rules import Ladder, PriceCheck

__all__ = [
    "Asset",
    "BorrowTier",
    "CollateralTier",
    "Instrument",
    "Ladder",
    "LiquidationRules",
    "MarginRules",
    "OpenInterestScaling",
    "Policy",
    "PolicyError",
    "PoolRules",
    "PriceCheck",
    "RatioDisplay",
    "RiskTier",
    "SizeRates",
    "parse",
]
