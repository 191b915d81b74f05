"""Margin of one risk unit: its worst loss, contingencies and minimum charge.

price risk   = loss factor * max(0, worst scenario loss, forward loss)
core         = max(price risk + contingencies, minimum charge)          or their sum
requirement  = core + haircuts + oracle confidence + settle hedges + peg + options margined one by one

Twin: `engine.book.boxes.unit_swings`.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal

import msgspec

from engine.margin.options.short_options import OptionHolding, option_margin
from engine.margin.portfolio.contingencies import (
    Charge,
    basis_charge,
    delta_one_charge,
    liquidity_charge,
    minimum_charge,
    settle_hedge_charges,
    short_option_charge,
    vega_charge,
)
from engine.margin.portfolio.exposure import Exposure, index_of, quote_of, unit_value, value_of
from engine.margin.portfolio.oracles import confidence_charge, haircut_charge, peg_charge, peg_gap
from engine.margin.portfolio.scenarios import UnitBook
from engine.numbers import ZERO
from engine.policy.rules.portfolio_rules import OptionRules, StablecoinPeg, UnitRules
from engine.policy.rules.portfolio_switches import PegOn, UnitTotal

_ON_LOSS_FACTOR, _ON_SHORTS = PegOn.LOSS_FACTOR, PegOn.SHORTS
_LARGER_TOTAL = UnitTotal.LARGER


class UnitMargin(msgspec.Struct, frozen=True):
    """One underlying's requirement and what it is made of, in account currency."""

    underlying: str
    maintenance_margin: Decimal
    initial_margin: Decimal
    """Both before correlation credits and the account's factors."""
    profits: tuple[Decimal, ...]
    """Simulated P&L in each of `UnitRules.all_scenarios`."""
    rules: UnitRules
    forward_loss: Decimal
    price_risk: Charge
    contingencies: tuple[Charge, ...]
    minimum: Decimal
    """Minimum charge, scaled; 0 where none is ruled."""
    others: tuple[Charge, ...]
    """What is added whatever the minimum charge is."""
    linear: bool
    """No options are in it: scenarios of the same price do the same to it."""


def unit_margin(
    underlying: str,
    exposures: Sequence[Exposure],
    rules: UnitRules,
    peg: StablecoinPeg | None,
    stable_price: Decimal,
) -> UnitMargin:
    """Margin of the exposures of one underlying. Call it inside `numbers.exact()`."""
    book = UnitBook(exposures, rules)
    profits = tuple(book.profits())
    forward_loss = book.forward_loss()
    price_risk = _price_risk(profits, forward_loss, rules, peg, stable_price)
    contingencies = tuple(_contingencies(exposures, rules, book))
    others = tuple(_others(exposures, rules, peg, stable_price))
    minimum = ZERO if rules.minimum is None else minimum_charge(exposures, rules.minimum)
    maintenance = requirement(
        price_risk.maintenance, [one.maintenance for one in contingencies], minimum, rules.total
    )
    initial = requirement(price_risk.initial, [one.initial for one in contingencies], minimum, rules.total)
    return UnitMargin(
        underlying=underlying,
        maintenance_margin=maintenance + sum((one.maintenance for one in others), ZERO),
        initial_margin=initial + sum((one.initial for one in others), ZERO),
        profits=profits,
        rules=rules,
        forward_loss=forward_loss,
        price_risk=price_risk,
        contingencies=contingencies,
        minimum=minimum,
        others=others,
        linear=book.linear,
    )


def requirement(
    price_risk: Decimal,
    contingencies: Sequence[Decimal],
    minimum: Decimal = ZERO,
    total: UnitTotal = UnitTotal.LARGER,
) -> Decimal:
    """Price risk + contingencies against the minimum charge: the larger of the two, or their sum."""
    risk = price_risk + sum(contingencies, ZERO)
    return max(risk, minimum) if total is _LARGER_TOTAL else risk + minimum


def _price_risk(
    profits: Sequence[Decimal],
    forward_loss: Decimal,
    rules: UnitRules,
    peg: StablecoinPeg | None,
    stable_price: Decimal,
) -> Charge:
    worst = min(profits, default=ZERO)
    # loss = max(0, -P&L) of the worst scenario, the first of equals
    loss = max(ZERO, -worst)
    maintenance, initial = rules.loss_factor.maintenance, rules.loss_factor.for_initial
    if peg is not None and peg.on is _ON_LOSS_FACTOR:
        # loss factor + rate * max(0, threshold - stablecoin price)
        gap = peg_gap(peg, stable_price)
        maintenance, initial = maintenance + peg.rate.maintenance * gap, initial + peg.rate.for_initial * gap
    if forward_loss > loss:
        loss, where = forward_loss, "forwards move alone"
    else:
        where = rules.scenario_names[profits.index(worst)] if loss else "no scenario loses"
    return Charge(
        "price_risk",
        f"loss factor * loss: {where}",
        {"loss": loss, "maintenance_factor": maintenance, "initial_factor": initial},
        maintenance * loss,
        initial * loss,
    )


def _contingencies(exposures: Sequence[Exposure], rules: UnitRules, book: UnitBook) -> Iterator[Charge]:
    if rules.basis is not None:
        yield basis_charge(exposures, rules.basis)
    if rules.vega is not None:
        yield vega_charge(exposures, rules.vega)
    if rules.delta_one is not None:
        yield delta_one_charge(exposures, rules.delta_one)
    if rules.short_option is not None:
        yield short_option_charge(exposures, rules.short_option)
    if rules.liquidity is not None:
        yield liquidity_charge(exposures, rules.liquidity)
    if rules.interest is not None:
        loss = book.interest_loss()
        yield Charge(
            "interest", "loss when rates shift up or down", {"shift": rules.interest.shift}, loss, loss
        )


def _others(
    exposures: Sequence[Exposure], rules: UnitRules, peg: StablecoinPeg | None, stable_price: Decimal
) -> Iterator[Charge]:
    haircut = haircut_charge(exposures)
    if haircut is not None:
        yield haircut
    if rules.confidence is not None:
        yield confidence_charge(exposures, rules.confidence)
    if rules.settle_hedges:
        yield from settle_hedge_charges(exposures, rules.settle_hedges)
    if peg is not None and peg.on is _ON_SHORTS:
        yield peg_charge(exposures, peg, stable_price)
    if rules.options is not None:
        yield _option_charge(exposures, rules, rules.options)


def _option_charge(exposures: Sequence[Exposure], rules: UnitRules, table: OptionRules) -> Charge:
    """Options one by one. Equity counts their value, the table does not: the value is added to the requirement."""
    options = [one for one in exposures if one.kind == "option"]
    holdings = [
        OptionHolding(
            right=one.right,
            strike=one.strike * one.conversion,
            quantity=one.quantity,
            value=unit_value(one, rules.rate_min) * one.conversion,
            expiry=one.expiry or str(one.seconds_to_expiry),
        )
        for one in options
    ]
    forwards = {
        held.expiry: quote_of(one).forward * one.conversion
        for held, one in zip(holdings, options, strict=True)
    }
    index = index_of(options[0]) * options[0].conversion if options else ZERO
    margin = option_margin(holdings, index, forwards, table)
    value = sum((value_of(one, rules.rate_min) for one in options), ZERO)
    return Charge(
        "options",
        "short option margin + option value that equity counts",
        {"option_value": value, "maintenance": margin.maintenance_margin, "initial": margin.initial_margin},
        margin.maintenance_margin + value,
        margin.initial_margin + value,
    )
