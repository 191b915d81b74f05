"""Exact decimal arithmetic: one context, one place that rounds.

Theory
------
Money is `decimal.Decimal`. Sums and products of bounded decimals are exact when the context has room for all
their digits, so the engine computes inside `exact()`: 400 digits of precision with the `Inexact` trap set. A
formula that would round by accident raises instead of being wrong in silence.

Only two functions round, and they say how: `divide` half-even to `QUOTIENT_DIGITS` decimal places, and `to_step`, where
a policy says that a venue rounds.

Why 400 digits are enough: every amount from outside has at most 24 digits before and 18 after the point
(`amount_fault` refuses the rest). The longest product, line * rate * (quantity * multiplier * mark) * index, has
six such factors, 252 digits; the longest quotient is collateral value (at most 10^120) by maintenance margin
(at least 10^-90), 210 digits before the point. The rest is room for sums.
"""

from decimal import (
    ROUND_05UP,
    ROUND_CEILING,
    ROUND_DOWN,
    ROUND_FLOOR,
    ROUND_HALF_EVEN,
    ROUND_UP,
    Clamped,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
    getcontext,
    setcontext,
)

ZERO = Decimal(0)
ONE = Decimal(1)

_PRECISION = 400

QUOTIENT_DIGITS = 18
_QUOTIENT_STEP = Decimal(1).scaleb(-QUOTIENT_DIGITS)
_EXACT = Context(
    prec=_PRECISION,
    rounding=ROUND_HALF_EVEN,
    traps=[InvalidOperation, DivisionByZero, Overflow, Inexact, Clamped],
)
_ROUNDING = Context(
    prec=_PRECISION, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, DivisionByZero, Overflow]
)

_SHORT = Context(prec=48, rounding=ROUND_05UP, traps=[InvalidOperation, DivisionByZero, Overflow])
"""Of a quotient, digits enough for the 18th place: what is cut off leaves its mark on the last digit (05UP), so rounding
once more gives what rounding the exact quotient gives."""
_SHORT_ADJUSTED_MAX = 28
"""A quotient below 10^29 has at least one of its 48 digits beyond the 18th place."""

# bound once: passing a context along takes as long as what it is asked for
_divide, _quantize, _divide_short = _ROUNDING.divide, _ROUNDING.quantize, _SHORT.divide
_normalize, _whole_part, _at_exponent = _EXACT.normalize, _EXACT.to_integral_value, _EXACT.quantize

INTEGER_DIGITS_MAX = 24
FRACTION_DIGITS_MAX = 18


class _Exact:
    """Enters the exact context; `decimal.localcontext` would copy it each time, and enter it once more inside of itself."""

    __slots__ = ("_before",)

    def __enter__(self) -> None:
        self._before = getcontext()
        if self._before is not _EXACT:
            setcontext(_EXACT)

    def __exit__(self, *_: object) -> None:
        if self._before is not _EXACT:
            setcontext(self._before)


def exact() -> _Exact:
    """Run the body in the exact context; an operation that would have to round raises `decimal.Inexact`."""
    return _Exact()


def divide(numerator: Decimal, denominator: Decimal) -> Decimal:
    """Quotient rounded half-even to `QUOTIENT_DIGITS` decimal places.

    Raises `decimal.DivisionByZero` for a zero denominator: callers decide first what that means.
    """
    quotient = _divide_short(numerator, denominator)
    if quotient.adjusted() > _SHORT_ADJUSTED_MAX:
        quotient = _divide(numerator, denominator)
    return _quantize(quotient, _QUOTIENT_STEP)


_TO_WHOLE = {
    name: Context(prec=_PRECISION, rounding=rounding).to_integral_value
    for name, rounding in (
        ("up", ROUND_UP),
        ("down", ROUND_DOWN),
        ("ceiling", ROUND_CEILING),
        ("floor", ROUND_FLOOR),
        ("half_even", ROUND_HALF_EVEN),
    )
}


def to_step(amount: Decimal, step: Decimal, rounding: str) -> Decimal:
    """The multiple of `step` (> 0) that `rounding` picks.

    "up" is away from zero, "down" towards it; "ceiling" is never below the amount, "floor" never above it; "half_even".
    """
    return _ROUNDING.multiply(whole_steps(amount, step, rounding), step)


def whole_steps(amount: Decimal, step: Decimal, rounding: str) -> Decimal:
    """How many times `step` (> 0) goes into `amount`, rounded to a whole number as `to_step` has it."""
    steps = _divide_short(amount, step)
    if steps.adjusted() > _SHORT_ADJUSTED_MAX:
        steps = _divide(amount, step)
    return _TO_WHOLE[rounding](steps)


def amount_fault(amount: Decimal) -> str | None:
    """Why `amount` from outside cannot be used, or None: it must be finite and within the digit bounds."""
    if not amount.is_finite():
        return "is not a finite number"
    if amount.adjusted() >= INTEGER_DIGITS_MAX:
        return f"has more than {INTEGER_DIGITS_MAX} digits before the decimal point"
    exponent = amount.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -FRACTION_DIGITS_MAX:
        return f"has more than {FRACTION_DIGITS_MAX} digits after the decimal point"
    return None


def by_value(amount: Decimal) -> Decimal:
    """The same value without the zeros that make it longer than the digit bounds: languages print 0 as 0E-20, and pad 100 to twenty places."""
    sign, digits, exponent = amount.as_tuple()
    if not isinstance(exponent, int):
        return amount
    if not amount:
        return ZERO
    beyond = -FRACTION_DIGITS_MAX - exponent
    if beyond <= 0 or any(digits[-beyond:]):
        return amount
    return Decimal((sign, digits[:-beyond], -FRACTION_DIGITS_MAX))


def canonical(amount: Decimal) -> Decimal:
    """The same value in its one normal form, so that equal states encode to equal bytes.

    Sums keep the exponents of their history (1.0 + 1.00 is 2.00); the canonical form does not: 2.
    """
    if not amount:
        return ZERO
    normal = _normalize(amount)
    return _at_exponent(normal, ONE) if normal == _whole_part(normal) else normal
