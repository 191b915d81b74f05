"""Moves of the whole market as people write them: percentages, one by one or as a range."""

from decimal import Decimal, InvalidOperation

from engine.numbers import canonical, exact

MOVES_MAX = 200
"""Of one heat map: more points than anybody can look at."""
_PERCENT_LEAST = Decimal(-100)
_FINEST = Decimal("0.0001")
"""Percent."""


def moves_of(text: str) -> tuple[Decimal, ...]:
    """Read `-20,-10,10` or `-50..50/5` (percent, signs % optional) as ascending fractions, 0 left out.

    Raises ValueError.
    """
    percents = sorted({percent for word in text.split(",") for percent in _percents(word)} - {Decimal(0)})
    if not percents:
        raise ValueError(f"{text!r}: write percentages, like -20,-10,10 or -50..50/5")
    if percents[0] <= _PERCENT_LEAST:
        raise ValueError(f"{text!r}: prices cannot fall by 100 % or more")
    if len(percents) > MOVES_MAX:
        raise ValueError(f"{text!r}: at most {MOVES_MAX} moves")
    return tuple(canonical(percent.scaleb(-2)) for percent in percents)


def _percents(word: str) -> list[Decimal]:
    if ".." not in word:
        return [_percent(word)]
    ends, _, step_text = word.partition("/")
    low, high = map(_percent, ends.split("..", maxsplit=1))
    step = _percent(step_text)
    if step <= 0 or high < low:
        raise ValueError(f"{word!r}: a range is written LOW..HIGH/STEP")
    with exact():
        count = int((high - low) // step) + 1
        if count > 2 * MOVES_MAX:
            raise ValueError(f"{word!r}: at most {MOVES_MAX} moves")
        return [low + number * step for number in range(count)]


def _percent(text: str) -> Decimal:
    try:
        number = Decimal(text.strip().removesuffix("%").strip())
    except InvalidOperation:
        raise ValueError(f"{text.strip()!r} is no percentage") from None
    if not number.is_finite() or abs(number) > 10**6 or (number and number % _FINEST):
        raise ValueError(f"{text.strip()!r} is no percentage that a market moves by")
    return number
