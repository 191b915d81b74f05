"""Which adapter answers a case: a venue case is found by its `mode`, a peer vector by its `convention`.

An adapter translates field names. It builds policy, state and prices from the inputs of a case, calls the engine
and names the results; it does no margin arithmetic of its own.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any

Inputs = Mapping[str, Any]
"""The `inputs` of a case; JSON numbers are `Decimal` or `int`, never `float`."""

Answer = Mapping[str, Any]
"""Figure by the key that `expected` uses; it may hold more figures than a case asks for."""

Adapter = Callable[[Inputs, frozenset[str]], Answer]
"""(inputs, keys the case asks for) -> answer. Raises `NotApplicable` for a rule that is foreign to the product."""


class NotApplicable(Exception):  # noqa: N818 - an outcome, not an error; the message is the reason that is printed
    """The rule of this case is foreign to the product."""


_adapters: dict[str, Adapter] = {}


def adapter(*names: str) -> Callable[[Adapter], Adapter]:
    """Register the decorated function for each of `names` (a venue's `mode` or a peer's `convention`, exactly)."""

    def register(function: Adapter) -> Adapter:
        for name in names:
            if name in _adapters:
                raise ValueError(f"two adapters for {name!r}")
            _adapters[name] = function
        return function

    return register


def adapter_for(name: str) -> Adapter | None:
    """The adapter registered for `name`, or None."""
    return _adapters.get(name)


def number(value: Any) -> Decimal:
    """A JSON number, or a string that holds one, as the exact `Decimal` it was written as.

    Raises `ValueError` for anything else (a boolean, a list, text that is no number).
    """
    if isinstance(value, int | str | Decimal) and not isinstance(value, bool):
        with suppress(ArithmeticError):
            return Decimal(value)
    raise ValueError(f"{value!r} is not a number")
