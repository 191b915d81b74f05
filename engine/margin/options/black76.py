"""Black-76: European options on a forward, and their sensitivities.

    d1    = (ln(F / K) + vol^2 * t / 2) / (vol * sqrt(t));   d2 = d1 - vol * sqrt(t)
    call  = D * (F * N(d1) - K * N(d2));   put = D * (K * N(-d2) - F * N(-d1));   D = e^(-rate * t)

Time is in years of 365 days. Source: F. Black, "The pricing of commodity contracts", 1976.

Logarithm, exponential and error function exist in binary floating point only, so prices are computed in float64
and turned into `Decimal` of `PRICE_PLACES` decimal places (half-even on the exact binary value): equal inputs give
equal digits on one platform, and everything after that is exact. The side out of the money is computed, the other
follows by put-call parity, so a deep option keeps its digits.
"""

import math
from decimal import Decimal

import msgspec

from engine.policy.rules.instrument_rules import OptionRight

PRICE_PLACES = 10
"""Decimal places of a price or sensitivity: far below a tick, far above float64 noise of a price below a million."""

SECONDS_PER_YEAR = 365 * 86_400
DAYS_PER_YEAR = 365


class OptionQuote(msgspec.Struct, frozen=True):
    """What prices an option."""

    right: OptionRight
    strike: Decimal
    forward: Decimal
    volatility: Decimal
    """Annualised; 0.5 is 50 %."""
    seconds_to_expiry: Decimal
    """0 or less: expired, worth its intrinsic value."""
    rate: Decimal = Decimal(0)
    """Continuously compounded, per year; 0 does not discount."""


class Greeks(msgspec.Struct, frozen=True):
    """Sensitivities of one option, long."""

    delta: Decimal
    """Per 1 of the forward."""
    gamma: Decimal
    """Change of delta per 1 of the forward."""
    vega: Decimal
    """Per 1.00 (100 points) of volatility."""
    theta: Decimal
    """Per calendar day that passes."""


def option_price(quote: OptionQuote) -> Decimal:
    """Value of one option on one unit, in the currency of the forward."""
    years = years_of(quote.seconds_to_expiry)
    return to_places(
        price_float(
            quote.right == "call",
            float(quote.forward),
            float(quote.strike),
            float(quote.volatility),
            years,
            math.exp(-float(quote.rate) * years),
        )
    )


def option_greeks(quote: OptionQuote) -> Greeks:
    """Sensitivities of one option; at expiry, or without volatility, those of its intrinsic value."""
    years, vol = years_of(quote.seconds_to_expiry), float(quote.volatility)
    forward, strike, rate = float(quote.forward), float(quote.strike), float(quote.rate)
    discount = math.exp(-rate * years)
    sign = 1.0 if quote.right == "call" else -1.0
    deviation = vol * math.sqrt(years)
    if deviation <= 0 or forward <= 0 or strike <= 0:
        delta = sign * discount if sign * (forward - strike) > 0 else 0.0
        return Greeks(to_places(delta), Decimal(0), Decimal(0), Decimal(0))
    d1 = math.log(forward / strike) / deviation + deviation / 2
    density = math.exp(-d1 * d1 / 2) / math.sqrt(2 * math.pi)
    price = price_float(quote.right == "call", forward, strike, vol, years, discount)
    # theta = rate * price - D * F * n(d1) * vol / (2 * sqrt(t)), a day of it
    theta = rate * price - discount * forward * density * vol / (2 * math.sqrt(years))
    return Greeks(
        delta=to_places(sign * discount * _normal(sign * d1)),
        gamma=to_places(discount * density / (forward * deviation)),
        vega=to_places(discount * forward * density * math.sqrt(years)),
        theta=to_places(theta / DAYS_PER_YEAR),
    )


def price_float(
    call: bool,  # noqa: FBT001
    forward: float,
    strike: float,
    volatility: float,
    years: float,
    discount: float,
) -> float:
    """The formula itself, in float64."""
    intrinsic = forward - strike if call else strike - forward
    deviation = volatility * math.sqrt(years) if years > 0 else 0.0
    if deviation <= 0 or forward <= 0 or strike <= 0:
        return discount * intrinsic if intrinsic > 0 else 0.0
    d1 = math.log(forward / strike) / deviation + deviation / 2
    d2 = d1 - deviation
    if forward < strike:  # the call is out of the money
        out = forward * _normal(d1) - strike * _normal(d2)
    else:
        out = strike * _normal(-d2) - forward * _normal(-d1)
    # put-call parity: call - put = D * (F - K)
    return discount * (max(out, 0.0) + max(intrinsic, 0.0))


def years_of(seconds: Decimal) -> float:
    """Seconds as years of 365 days; 0 where none are left."""
    return max(float(seconds), 0.0) / SECONDS_PER_YEAR


def to_places(value: float, places: int = PRICE_PLACES) -> Decimal:
    """The float as a `Decimal` of that many places, half-even. Raises ValueError when it is not finite."""
    if not math.isfinite(value):
        raise ValueError(f"{value} is no price")
    return Decimal(f"{value:.{places}f}")


def _normal(x: float) -> float:
    """Standard normal distribution; erfc keeps the digits of the far tail."""
    return 0.5 * math.erfc(-x / math.sqrt(2))
