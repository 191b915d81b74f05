"""The perpetuals of a policy as the made-up traders see them, and the ids of what they do."""

import math
from collections.abc import Mapping
from decimal import ROUND_DOWN, Decimal

import msgspec

from engine.policy import Policy
from engine.policy.rules.contract_terms import TierTerms
from engine.policy.rules.policy_switches import InstrumentKind

MONEY = Decimal("0.00000001")
"""Step of every amount the feed makes up."""
TAKER_FEE, MAKER_FEE = Decimal("0.0005"), Decimal("-0.0001")
"""Fractions of notional; the maker is paid."""


class Contract(msgspec.Struct, frozen=True):
    """A perpetual at the start of the feed."""

    symbol: str
    settle: str
    price: Decimal
    """Start price."""
    multiplier: Decimal
    step: Decimal
    """Smallest quantity: worth about one unit of settle asset."""
    tiers: tuple[tuple[float, float, float, float], ...]
    """(floor, maintenance rate, offset, initial rate), by rising floor."""

    def margin(self, notional: float, leverage: float) -> tuple[float, float]:
        """Initial and maintenance margin at `notional`, in settle asset."""
        _, rate, offset, initial_rate = max(tier for tier in self.tiers if notional >= tier[0])
        return max(notional / leverage, initial_rate * notional), rate * notional + offset

    def quantity(self, notional: float, price: Decimal) -> Decimal:
        """The quantity of about this notional, rounded down to the step."""
        return Decimal(repr(notional / float(price * self.multiplier))).quantize(self.step, ROUND_DOWN)


def contracts(policy: Policy, prices: Mapping[str, Decimal]) -> list[Contract]:
    """Every linear perpetual of the policy that is margined by tiers, in its order."""
    found = []
    for symbol, instrument in policy.instruments.items():
        if instrument.kind is not InstrumentKind.PERPETUAL or instrument.inverse or not instrument.tiers:
            continue
        places = max(0, math.ceil(math.log10(prices[symbol] * instrument.multiplier)))
        found.append(
            Contract(
                symbol,
                instrument.settle,
                prices[symbol],
                instrument.multiplier,
                Decimal(1).scaleb(-places),
                tuple(_tier(it) for it in policy.terms[symbol].tiers),
            )
        )
    return found


def _tier(terms: TierTerms) -> tuple[float, float, float, float]:
    floor, rate, offset = terms.line
    return float(floor), float(rate), float(offset), float(terms.initial_rate)


def account_id(number: int) -> str:
    """The account's id, "a-000001" for the first."""
    return f"a-{number:06d}"


def trade_id(number: int, sequence: int) -> str:
    """Identity of the account's fill number `sequence`."""
    return f"t-{number:06d}-{sequence}"


def entry_id(number: int, sequence: int) -> str:
    """Identity of the account's ledger entry number `sequence`."""
    return f"e-{number:06d}-{sequence}"
