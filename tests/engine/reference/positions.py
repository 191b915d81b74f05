"""Margin of positions in perpetuals and futures, in their settle asset."""

from collections import defaultdict
from fractions import Fraction
from types import SimpleNamespace
from typing import NamedTuple

from tests.engine.reference.rounding import quotient, stepped


class Required(NamedTuple):
    """What one position requires."""

    initial: Fraction
    maintenance: Fraction
    notional: Fraction


def worth(contract: SimpleNamespace, quantity: Fraction, price: Fraction) -> Fraction:
    """Signed value of contracts: quantity * multiplier * price, or quantity * multiplier / price where inverse."""
    size = quantity * contract.multiplier
    return quotient(size, price) if contract.payoff == "inverse" else size * price


def least_worth(contract: SimpleNamespace, quantity: Fraction) -> Fraction:
    """What contracts count at least, where their price may be 0 and below: their size at the least scale."""
    return abs(quantity) * contract.multiplier * contract.price_scale_min


def pnl(contract: SimpleNamespace, entry_value: Fraction, value: Fraction) -> Fraction:
    """What the value gained since entry; an inverse contract gains where its value in coin falls."""
    return entry_value - value if contract.payoff == "inverse" else value - entry_value


def integral(amount: Fraction, floors: list[Fraction], rates: list[Fraction]) -> Fraction:
    """Sum over tiers of rate * the part of `amount` that lies within the tier."""
    tops = [*floors[1:], max(amount, floors[-1])]
    return sum(
        (
            rate * (min(amount, top) - floor)
            for floor, top, rate in zip(floors, tops, rates, strict=True)
            if amount > floor
        ),
        Fraction(0),
    )


def rules_of(policy: SimpleNamespace, symbol: str) -> SimpleNamespace:
    """The margin rules of a symbol."""
    return policy.margin[policy.instruments[symbol].margin]


def required(
    policy: SimpleNamespace,
    symbol: str,
    quantity: Fraction,
    entry_value: Fraction,
    mark: Fraction,
    leverage: Fraction,
    open_interest: Fraction | None,
) -> Required:
    """Requirement of one position by itself."""
    contract, rules = policy.instruments[symbol], rules_of(policy, symbol)
    notional = abs(worth(contract, quantity, mark)) if rules.notional == "mark" else abs(entry_value)
    notional = max(notional, least_worth(contract, quantity))
    if rules.notional_step:
        notional = stepped(notional, rules.notional_step, "down")
    tiers = policy.tiers[contract.tiers]
    tier = [one for one in tiers if one.floor <= notional][-1]
    units = notional if contract.payoff == "inverse" else abs(quantity) * contract.multiplier

    initial_rate = tier.initial_rate
    if rules.initial == "size":
        initial_rate = contract.size_rates.initial_base_rate + contract.size_rates.slope_per_unit * units
    maintenance = {
        "tier": lambda: by_tiers(rules, tiers, tier, notional),
        "tier_over_leverage": lambda: quotient(tier.maintenance_rate * notional, leverage),
        "fraction_of_initial": lambda: rules.maintenance_fraction * in_steps(initial_rate * notional, rules),
        "size": lambda: (
            (contract.size_rates.maintenance_base_rate + contract.size_rates.slope_per_unit * units)
            * notional
        ),
    }[rules.maintenance]()

    if contract.open_interest is not None and open_interest is not None:
        market = max(abs(worth(contract, open_interest, mark)), least_worth(contract, open_interest))
        initial_rate = crowded(initial_rate, market, contract.open_interest)
    initial = {
        "leverage": lambda: quotient(notional, leverage),
        "leverage_or_tier": lambda: max(quotient(notional, leverage), initial_rate * notional),
        "tier": lambda: initial_rate * notional,
        "tier_over_leverage": lambda: quotient(initial_rate * notional, leverage),
        "size": lambda: initial_rate * notional,
    }[rules.initial]()

    fee = closing_fee(contract, rules, quantity, notional, leverage)
    return Required(
        in_steps(initial + fee if rules.closing_fee_in_initial else initial, rules),
        in_steps(maintenance + fee, rules),
        notional,
    )


def by_tiers(
    rules: SimpleNamespace, tiers: list[SimpleNamespace], tier: SimpleNamespace, notional: Fraction
) -> Fraction:
    """The tier's rate on all of the notional, or each tier's rate on the part of it within the tier."""
    if rules.tiering == "flat":
        return tier.maintenance_rate * notional
    return integral(notional, [one.floor for one in tiers], [one.maintenance_rate for one in tiers])


def closing_fee(
    contract: SimpleNamespace,
    rules: SimpleNamespace,
    quantity: Fraction,
    notional: Fraction,
    leverage: Fraction,
) -> Fraction:
    """Of the notional, or of the value at the price at which N / leverage is lost."""
    if rules.closing_fee == "none":
        return Fraction(0)
    if rules.closing_fee == "notional":
        return rules.taker_fee_rate * notional
    # a long is bankrupt N / leverage below, a short above; an inverse position's value in coin moves the other way
    rises = (quantity <= 0) != (contract.payoff == "inverse")
    margin = quotient(notional, leverage)
    return rules.taker_fee_rate * (notional + margin if rises else notional - margin)


def in_steps(margin: Fraction, rules: SimpleNamespace) -> Fraction:
    """A margin as the rules round it."""
    return (
        stepped(margin, rules.margin_step, rules.margin_rounding)
        if rules.margin_rounding != "exact"
        else margin
    )


def crowded(rate: Fraction, market: Fraction, scaling: SimpleNamespace) -> Fraction:
    """The initial rate, raised linearly to 1 while the market goes from the lower to the upper cap; never lowered."""
    if market <= scaling.lower_cap:
        return rate
    raised = rate + quotient((1 - rate) * (market - scaling.lower_cap), scaling.upper_cap - scaling.lower_cap)
    return max(rate, min(Fraction(1), stepped(raised, scaling.rate_step, "down")))


def hedge(policy: SimpleNamespace, held: list[SimpleNamespace]) -> None:
    """Set `held[...].required` as the hedge rule says: `held` are positions, each margined by itself so far."""
    of_symbol = defaultdict(list)
    for one in held:
        of_symbol[one.symbol].append(one)
    for symbol, legs in of_symbol.items():
        rule = rules_of(policy, symbol).hedge_legs
        if len(legs) < 2 or rule == "gross":
            continue
        rank = (lambda leg: leg.required.initial) if rule == "larger" else (lambda leg: abs(leg.quantity))
        leading = max(legs, key=lambda leg: (rank(leg), leg.key))
        net = sum(leg.quantity for leg in legs)
        if rule == "net" and net:
            entry_value = quotient(leading.entry_value * net, leading.quantity)
            leading.required = required(
                policy, symbol, net, entry_value, leading.mark, leading.leverage, leading.open_interest
            )
        for leg in legs:
            if leg is not leading or (rule == "net" and not net):
                leg.required = Required(Fraction(0), Fraction(0), Fraction(0))
