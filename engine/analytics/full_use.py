"""Is an account that uses its margin to the full healthy? Where it is not, it is warned, or called, the moment it opens.

    C = IM, so ratio = IM / (MM + liquidation fee), which the first line of the ladder must not be above

A sum of positions is no worse than the worst of them, so contracts are asked one by one, at both ends of each tier, with the least
initial margin that an account can choose; a rule that asks for nothing but N / leverage is asked at the default leverage. Under
portfolio margin IM and MM are the same loss times two factors. Options are left out: their premium is in IM, MM and equity alike.

Where both rates grow with the size, the ratio comes down to 1 with it, whatever the lines are: such a contract is asked where it is
smallest, and `healthy_up_to` says how large it may be.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

from engine.ledger.accounts import Position
from engine.margin.position_margin import position_margin
from engine.numbers import ONE, ZERO, divide, exact
from engine.policy import Policy
from engine.policy.rules.policy_switches import CONTRACTS, InitialRule, MaintenanceRule

_LEVERAGE_MAX = Decimal(10_000)
"""More than any tier allows: the tier's own rate decides."""


class FullUse(NamedTuple):
    """The ratio of who uses all of its margin, where that is least."""

    item: str
    """A contract's symbol, or `portfolio`."""
    notional: Decimal | None
    """Of the contract, in its settle asset; None for portfolio margin."""
    ratio: Decimal


def least_ratios(policy: Policy) -> Iterator[FullUse]:
    """The least ratio of a fully used account in each contract, and under portfolio margin; 0 MM has none and is left out."""
    for symbol, instrument in sorted(policy.instruments.items()):
        if instrument.kind in CONTRACTS:
            found = list(_ratios(symbol, policy))
            if found:
                yield min(found, key=lambda it: it.ratio)
    if policy.portfolio is not None:
        # IM / MM = initial factor * loss / (maintenance factor * loss)
        rules = policy.portfolio
        yield FullUse("portfolio", None, divide(rules.initial_factor, rules.maintenance_factor))


def born_below(policy: Policy) -> list[FullUse]:
    """Those in which a fully used account is born below the first line of the ladder."""
    return [it for it in least_ratios(policy) if it.ratio < policy.ladder.warning]


def healthy_up_to(symbol: str, policy: Policy) -> Decimal | None:
    """Units of the underlying up to which who uses all margin in a contract is healthy, where both rates grow with its size; None elsewhere."""
    terms, line = policy.terms[symbol], policy.ladder.warning
    rules, rates = terms.rules, terms.instrument.size_rates
    by_size = (rules.initial, rules.maintenance) == (InitialRule.SIZE, MaintenanceRule.SIZE)
    if rates is None or not (by_size and rates.slope_per_unit) or line <= 1:
        return None
    slope = rates.slope_per_unit
    with exact():
        initial, required = _at(ONE, symbol, policy.leverage_default, policy)
        # the rates at no size, of those at the size of a notional of 1
        held = slope if terms.instrument.inverse else divide(slope, terms.instrument.scale(ONE))
        # (initial rate + slope * size) / (required rate + slope * size) = line, solved for the size
        room = (initial - held) - line * (required - held)
        return divide(max(ZERO, room), slope * (line - 1))


def _ratios(symbol: str, policy: Policy) -> Iterator[FullUse]:
    terms = policy.terms[symbol]
    leverage = policy.leverage_default if terms.rules.initial is InitialRule.LEVERAGE else _LEVERAGE_MAX
    for notional in _ends(symbol, policy):
        with exact():
            initial, required = _at(notional, symbol, leverage, policy)
        if required:
            yield FullUse(symbol, notional, divide(initial, required))


def _at(notional: Decimal, symbol: str, leverage: Decimal, policy: Policy) -> tuple[Decimal, Decimal]:
    """IM, and MM + liquidation fee, of a position at a price of 1. Inside `numbers.exact()`."""
    instrument = policy.terms[symbol].instrument
    price = instrument.scale(ONE)
    quantity = divide(notional, instrument.multiplier * price)
    margin = position_margin(symbol, Position(quantity, notional), price, leverage, policy)
    return (
        margin.initial_margin,
        margin.maintenance_margin + policy.pool.liquidation_fee_rate * margin.notional,
    )


def _ends(symbol: str, policy: Policy) -> list[Decimal]:
    """Notionals at both ends of every tier; one of 1 where the rules know no tiers."""
    ceilings = [tier.ceiling for tier in policy.terms[symbol].tiers if tier.ceiling.is_finite()]
    return [ONE, *(edge * share for edge in ceilings for share in (Decimal("0.999999"), ONE))]
