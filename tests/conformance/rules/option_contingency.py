"""A charge on every option held, long and short, as portfolio margin had it before it charged net shorts only."""

from collections.abc import Iterable
from decimal import Decimal

from engine.margin.portfolio import Exposure
from engine.margin.portfolio.exposure import index_of
from engine.numbers import ZERO, exact


def gross_option_contingency(exposures: Iterable[Exposure], rate: Decimal) -> Decimal:
    """Rate * sum of |quantity| * index over options, in account currency.

    Source: Deribit, portfolio margin (parameters of 2018): 0.5 % of the underlying value of all options, long and short.
    """
    with exact():
        values = (
            abs(one.quantity) * index_of(one) * one.conversion for one in exposures if one.kind == "option"
        )
        # rate * sum of |quantity| * index
        return rate * sum(values, ZERO)
