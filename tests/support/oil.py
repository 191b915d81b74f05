"""The sample policy with contracts that may be quoted at 0 and below: a delivery future on crude oil and a perpetual spread."""

from engine.policy import Policy, parse
from tests.support.builders import sample_text

OIL = """
[[tiers.oil]]
floor = 0
maintenance_rate = 0.1
initial_rate = 0.2

[instruments.CL-MAY]
kind = "future"
base = "CL"
settle = "USD"
multiplier = 1000
tiers = "oil"
expiry = 2030-05-21T00:00:00Z
price_step = 0.01
negative_prices = true
price_scale_min = 10

[instruments.SPREAD-PERP]
kind = "perpetual"
base = "BRENT-WTI"
settle = "USDT"
tiers = "oil"
negative_prices = true
price_scale_min = 2
"""
"""Of 1,000 barrels; 10 % maintenance and 20 % initial of |price|, and of at least 10 dollars a barrel."""


def oil(*changes: tuple[str, str]) -> Policy:
    """The policy with pieces of its text replaced; every piece must occur."""
    text = sample_text() + OIL
    for old, new in changes:
        assert old in text, f"the policy has no {old!r}"
        text = text.replace(old, new, 1)
    return parse(text)
