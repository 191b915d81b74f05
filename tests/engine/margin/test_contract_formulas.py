"""One text of the formulas: the exact figures written out for speed, and the lines of the columns, are held to it."""

import random
from decimal import Decimal

import pytest

from engine.book.boxes import swing
from engine.book.expressible import maintenance_lines
from engine.ledger.accounts import Position
from engine.margin import exact_arithmetic
from engine.margin.position_margin import margin_by
from engine.numbers import exact
from tests.engine.book import test_book_routing as routing

D = Decimal
EDGES = ("999.9", "1000", "1000.1", "2999", "3000", "3000.001", "77777", "0.5")
"""Notionals at and about the floors of the tiers."""


@pytest.mark.parametrize("notional", EDGES)
@pytest.mark.parametrize("entry", ["40", "50", "61.5"])
def test_plain_contract_when_margined_by_every_switch_then_the_same_figures(notional, entry):
    policy, rng = routing.policy_of("plain"), random.Random(notional)
    plain = {symbol: terms for symbol, terms in policy.terms.items() if terms.plain}
    assert plain
    for symbol, terms in plain.items():
        quantity = D(notional) / 50 * rng.choice((1, -1))
        held, leverage = Position(quantity, quantity * D(entry)), D(rng.choice((1, 3, 50)))
        with exact():
            short = margin_by(terms, symbol, symbol, held, D(50), leverage, None)
            long = margin_by(terms._replace(plain=False), symbol, symbol, held, D(50), leverage, None)
        assert short == long


@pytest.mark.parametrize("notional", EDGES)
def test_lines_of_the_columns_when_they_express_a_contract_then_its_exact_requirement(notional):
    policy = routing.policy_of("plain")
    compared = 0
    for symbol, terms in policy.terms.items():
        if terms.instrument.kind != "perpetual" or terms.inverse or terms.rules.notional == "entry":
            continue
        stepped = terms.rules.notional_step or terms.rules.margin_step
        by_columns = terms.rules.maintenance in {"tier", "fraction_of_initial"}
        if stepped or not by_columns or terms.rules.closing_fee == "bankruptcy":
            continue
        quantity = D(notional) / 50 / terms.instrument.multiplier
        with exact():
            held = Position(quantity, D(0))
            required = margin_by(terms, symbol, symbol, held, D(50), D(10), None).maintenance_margin
            lines = exact_arithmetic.tiered(D(notional), maintenance_lines(symbol, policy))
        assert lines == required, symbol
        compared += 1
    assert compared >= 5


@pytest.mark.parametrize("step", ["0.3", "7"])
@pytest.mark.parametrize("rounding", ["up", "down", "half_even"])
def test_steps_when_an_amount_moves_then_the_rounded_ones_are_less_than_a_step_further_apart(step, rounding):
    rng = random.Random(f"{step} {rounding}")
    for _ in range(300):
        amount, share = rng.uniform(0, 30), rng.choice((1e-6, 0.01, 0.2))
        bound = swing.stepped(swing.price(amount, share), D(step), rounding)
        was, now = (
            float(exact_arithmetic.stepped(D(repr(it)), D(step), rounding))
            for it in (amount, amount * (1 + share * rng.choice((-1, 1))))
        )
        assert abs(now - was) <= bound.slope * share + bound.drift + 1e-9
        assert bound.low - 1e-9 <= now <= bound.high + 1e-9
