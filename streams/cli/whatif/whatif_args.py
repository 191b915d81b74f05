"""What a user asks `unimargin whatif`, read from the words of the command line."""

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

import typer.core

from engine.numbers import ONE, amount_fault, canonical, exact
from streams.answers.asked_changes import AskedDeposit, AskedOrder, AskedShock
from streams.config.settings import SettingsError

_ORDER_WORDS = 3
"""SYMBOL SIDE QTY; PRICE and LEG may follow."""
_DEPOSIT_WORDS = 2
_LEGS = ("long", "short")


class WordsCommand(typer.core.TyperCommand):
    """A command whose --order and --deposit take several words, some of them optional."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Fold the words of each such option into one before they are parsed."""
        return super().parse_args(ctx, folded(args))


def folded(words: Sequence[str]) -> list[str]:
    """The words with those that follow --order and --deposit joined by spaces; quoted ones are left as they are."""
    out: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        out.append(word)
        if word == "--":
            return out + rest
        if word in {"--order", "--deposit"}:
            count = _order_length(rest) if word == "--order" else _length(rest, _DEPOSIT_WORDS)
            out += [" ".join(rest[:count])] if count else []
            rest = rest[count:]
    return out


def shock_of(text: str) -> AskedShock:
    """Read NAME=-15%. Raises `SettingsError`."""
    name, _, move = text.rpartition("=")
    if not name or not move.endswith("%"):
        raise SettingsError(f"--shock {text!r}: write it like BTC=-15% or ALL=+5%")
    percent = _number("--shock", move.removesuffix("%").strip())
    fraction = canonical(percent.scaleb(-2))
    if fraction <= -ONE:
        raise SettingsError(f"--shock {text!r}: a price cannot fall by 100 % or more")
    return AskedShock(name.strip(), fraction)


def order_of(text: str) -> AskedOrder:
    """Read SYMBOL SIDE QTY [PRICE] [LEG]. Raises `SettingsError`."""
    words = text.split()
    leg = words.pop() if words and words[-1] in _LEGS else None
    if not _ORDER_WORDS <= len(words) <= _ORDER_WORDS + 1 or words[1] not in {"buy", "sell"}:
        raise SettingsError(
            f"--order {text!r}: write SYMBOL buy|sell QTY, then PRICE (default: the mark) and long|short "
            "in hedge mode"
        )
    side: Literal["buy", "sell"] = "buy" if words[1] == "buy" else "sell"
    price = _number("--order", words[_ORDER_WORDS]) if len(words) > _ORDER_WORDS else None
    return AskedOrder(
        symbol=words[0], leg=leg, side=side, quantity=_above_zero("--order", words[2]), price=price
    )


def deposit_of(text: str) -> AskedDeposit:
    """Read ASSET AMOUNT. Raises `SettingsError`."""
    words = text.split()
    if len(words) != _DEPOSIT_WORDS:
        raise SettingsError(f"--deposit {text!r}: write ASSET AMOUNT, like USDT 5000")
    return AskedDeposit(words[0], _above_zero("--deposit", words[1]))


def _order_length(rest: Sequence[str]) -> int:
    count = _length(rest, _ORDER_WORDS)
    if count < _ORDER_WORDS:  # quoted, or too few
        return count
    count += count < len(rest) and _is_number(rest[count])
    count += count < len(rest) and rest[count] in _LEGS
    return count


def _length(rest: Sequence[str], most: int) -> int:
    """Words up to the next option; one that was quoted stands alone."""
    if rest and " " in rest[0]:
        return 1
    ends = [i for i, word in enumerate(rest[:most]) if word.startswith("--")]
    return min([*ends, most, len(rest)])


def _is_number(word: str) -> bool:
    try:
        return Decimal(word).is_finite()
    except InvalidOperation:
        return False


def _number(option: str, text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise SettingsError(f"{option}: {text!r} is not a number; write it like 0.25") from None
    fault = amount_fault(value)
    if fault is not None:
        raise SettingsError(f"{option}: {text!r} {fault}")
    with exact():
        return canonical(value)


def _above_zero(option: str, text: str) -> Decimal:
    value = _number(option, text)
    if value <= 0:
        hint = "; the side says buy or sell" if option == "--order" else ""
        raise SettingsError(f"{option}: {text!r} must be above zero{hint}")
    return value
