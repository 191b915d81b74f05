"""The facts that a mark may carry beside its price: in which range each is believed, and what is a jump of it.

    volatility      0 .. volatility_max                          jump: times or divided by more than 1 + volatility_jump
    funding_rate    within +- funding_rate_max                   jump: a change by more than funding_rate_jump
    average_price   price / factor .. price * factor, above 0    jump: a fraction as of a price
    confidence      0 .. 1                                       jump: a change by more than confidence_jump
    open_interest   0 .. open_interest_max                       jump: times or divided by more than 1 + open_interest_jump
    deposits, borrows, potential_deposits
                    0 .. asset_total_max                         jump: times or divided by more than 1 + asset_total_jump
    realisable_share
                    0 .. 1                                       jump: a change by more than realisable_share_jump

A fraction of the price of a symbol that may be quoted at 0 and below is one of its scale (`Instrument.scale`), and its average price
lies within (factor - 1) times that.

A fact that is refused refuses its mark: a price without the facts that came with it is not what was sent.

The last five tell of the whole exchange. Amounts that scale nothing yet are as one (`scale_starts`): from a market that nobody is in
to its first contracts is no jump. A symbol that was believed without an amount stood at 0, without a realisable share at 1. They hold
until another is stated (`completed`), because a price comes more often than they change and a feed that forgets them for a moment must
free or condemn nobody; the other facts are those of one price and end with it.
"""

from collections.abc import Callable, Iterator
from decimal import Decimal

import msgspec

from engine.inputs import Mark
from engine.numbers import ONE, ZERO, amount_fault, by_value, exact
from engine.policy import PriceCheck

FACTS = (
    "volatility",
    "funding_rate",
    "average_price",
    "confidence",
    "open_interest",
    "deposits",
    "borrows",
    "potential_deposits",
    "realisable_share",
)
SIGNED = frozenset({"funding_rate"})
ASSET_TOTALS = ("deposits", "borrows", "potential_deposits")
SIZES = ("open_interest", *ASSET_TOTALS)
"""Amounts of the whole exchange, with which a policy may scale."""
KEPT = (*SIZES, "realisable_share")
"""What is said of the whole exchange and holds until it is said anew."""


def is_plain(mark: Mark) -> bool:
    """Whether the mark carries a price and nothing else."""
    return (
        mark.volatility is mark.funding_rate is mark.average_price is mark.confidence is None
        and mark.open_interest is mark.deposits is mark.borrows is mark.potential_deposits is None
        and mark.realisable_share is None
    )


def has_kept(mark: Mark) -> bool:
    """Whether the mark says anything of the whole exchange."""
    amounts = mark.open_interest is mark.deposits is mark.borrows is mark.potential_deposits is None
    return not amounts or mark.realisable_share is not None


def completed(mark: Mark, last: Mark) -> Mark:
    """The mark, with what it leaves out of the whole exchange as the last one had it."""
    kept = {
        name: value
        for name in KEPT
        if getattr(mark, name) is None and (value := getattr(last, name)) is not None
    }
    return msgspec.structs.replace(mark, **kept) if kept else mark


Scale = Callable[[Decimal], Decimal]
"""What a fraction of a price is taken of (`Instrument.scale`); there is one for symbols that may be quoted at 0 and below."""


def by_value_of(mark: Mark) -> Mark:
    """The mark, its amounts without zeros that only make them long."""
    long = [
        (name, it) for name, it in (("price", mark.price), *facts_of(mark)) if amount_fault(it) is not None
    ]
    return msgspec.structs.replace(mark, **{name: by_value(it) for name, it in long}) if long else mark


def facts_of(mark: Mark) -> Iterator[tuple[str, Decimal]]:
    """Name and value of each fact that the mark carries."""
    for name in FACTS:
        value = getattr(mark, name)
        if value is not None:
            yield name, value


def range_fault(
    name: str, value: Decimal, price: Decimal, check: PriceCheck, scale: Scale | None = None
) -> str | None:
    """What range the value of a fact lies outside of, beside a mark's price; None if it lies in it."""
    if name == "volatility":
        return None if value <= check.volatility_max else f"above {check.volatility_max}"
    if name == "funding_rate":
        within = -check.funding_rate_max <= value <= check.funding_rate_max
        return None if within else f"beyond +-{check.funding_rate_max}"
    if name in {"confidence", "realisable_share"}:
        return None if value <= ONE else "above 1"
    if name in SIZES:
        most = check.asset_total_max if name in ASSET_TOTALS else check.open_interest_max
        return None if value <= most else f"above {most}"
    factor = check.average_price_factor_max
    if scale is not None:
        near = near_price(value, price, factor - ONE, scale)
        return None if near else f"further than {factor - ONE} times its scale from the price {price}"
    if not price:
        return None  # an option that is worth nothing may have been worth something
    if value <= ZERO:
        return "not above zero"
    with exact():
        within = value <= price * factor and value * factor >= price
    return None if within else f"further than {factor} times from the price {price}"


def near_price(value: Decimal, other: Decimal, fraction: Decimal, scale: Scale | None = None) -> bool:
    """Whether a price is no jump from another: |value - other| <= fraction * other, or of the scale of the other."""
    with exact():
        of = other if scale is None else scale(other)
        return abs(value - other) <= fraction * of


def near_fact(
    name: str,
    value: Decimal,
    other: Decimal,
    check: PriceCheck,
    scale: Scale | None = None,
    least: Decimal | None = ZERO,
) -> bool:
    """Whether the value of a fact is no jump from another.

    `least`: amounts of the whole exchange up to this are as one; None where nothing that is said of it moves anything.
    """
    if least is None:
        return True
    if name in SIZES:
        share = check.asset_total_jump if name in ASSET_TOTALS else check.open_interest_jump
        return _near_factor(max(value, least), max(other, least), share)
    if name == "volatility":
        return _near_factor(value, other, check.volatility_jump)
    with exact():
        if name == "funding_rate":
            return abs(value - other) <= check.funding_rate_jump
        if name == "confidence":
            return abs(value - other) <= check.confidence_jump
        if name == "realisable_share":
            return abs(value - other) <= check.realisable_share_jump
    return near_price(value, other, check.jump_fraction, scale)


def _near_factor(value: Decimal, other: Decimal, share: Decimal) -> bool:
    with exact():
        factor = ONE + share
        return value <= other * factor and other <= value * factor


FLOAT_MARGIN = 2.0**-40
"""Bounds in floats are drawn in by this part of what they are computed from: thousands of times what that rounds."""


class FloatBounds:
    """The ranges and jumps above in floats: what lies between these bounds surely passes the exact checks."""

    __slots__ = (
        "_average_factor",
        "_fraction",
        "_funding_max",
        "_growing",
        "_steps",
    )

    def __init__(self, check: PriceCheck) -> None:
        growing = {
            "volatility": (check.volatility_jump, check.volatility_max),
            "open_interest": (check.open_interest_jump, check.open_interest_max),
            **dict.fromkeys(ASSET_TOTALS, (check.asset_total_jump, check.asset_total_max)),
        }
        self._growing = {
            name: ((1 + float(jump)) * (1 - FLOAT_MARGIN), float(most) * (1 - FLOAT_MARGIN))
            for name, (jump, most) in growing.items()
        }
        """Of each fact that jumps by a factor: that, and its largest value."""
        self._funding_max = float(check.funding_rate_max)
        self._average_factor = float(check.average_price_factor_max) * (1 - FLOAT_MARGIN)
        self._fraction = float(check.jump_fraction)
        self._steps = {
            "funding_rate": float(check.funding_rate_jump),
            "confidence": float(check.confidence_jump),
            "realisable_share": float(check.realisable_share_jump),
        }

    def holds(self, name: str, value: float, last: float, reference: float, price: float) -> bool:
        """Whether a fact surely lies in its range and is no jump, from the last value and that of a moment ago."""
        lower, upper = (last, reference) if last < reference else (reference, last)
        if name in self._growing:
            factor, most = self._growing[name]
            return upper / factor < value < min(lower * factor, most)
        if name == "average_price":
            near = (
                upper * (1 - self._fraction + FLOAT_MARGIN)
                < value
                < lower * (1 + self._fraction) * (1 - FLOAT_MARGIN)
            )
            return near and price / self._average_factor < value < price * self._average_factor
        step = self._steps[name]
        step -= max(abs(lower), abs(upper), step) * FLOAT_MARGIN
        if not upper - step < value < lower + step:
            return False
        if name == "funding_rate":
            return abs(value) < self._funding_max * (1 - FLOAT_MARGIN)
        return 0 < value < 1
