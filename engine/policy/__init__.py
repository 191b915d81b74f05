"""The rule book of an exchange as one validated, frozen value with a digest.

A policy is parsed from TOML text. Unknown keys are refused, decimals are read as written (never through a
float), and every rule is checked at load (`checks`): a policy that loads is a policy the engine can compute with.
Any change of content changes `Policy.digest`, which every event carries.

    tables.py        the strict table all others build on
    prices.py        price checks, ladder lines
    assets.py        collateral tiers, caps, liabilities
    instruments.py   listed instruments, risk tiers
    liquidation.py   costs and bounds of liquidation plans
    margin.py        the named strategies by which venues differ
    portfolio.py     scenarios of portfolio margin, short options (shocks.py, contingencies.py)
    health.py        weights of the health model
    terms.py         what all of these say of one contract
    document.py      `Policy`
    parse.py         TOML text -> checked `Policy` (checks.py, instrument_checks.py, requirements.py)
    imports.py       a venue's own files -> TOML text (venue_shapes.py, toml_text.py)
"""

from engine.policy.assets import Asset, BorrowTier, CollateralTier
from engine.policy.document import Policy
from engine.policy.instruments import Instrument, OpenInterestScaling, RiskTier, SizeRates
from engine.policy.liquidation import LiquidationRules
from engine.policy.margin import MarginRules, PoolRules, RatioDisplay, Rounding
from engine.policy.parse import PolicyError, parse
from engine.policy.prices import Ladder, PriceCheck

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
    "Rounding",
    "SizeRates",
    "parse",
]
