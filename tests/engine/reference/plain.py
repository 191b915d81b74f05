"""Engine values as plain namespaces whose every amount is a `Fraction`."""

from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import msgspec


def plain(value: Any) -> Any:
    """The same value: structs become namespaces of the same fields, decimals become fractions."""
    if isinstance(value, Decimal):
        return Fraction(value)
    if isinstance(value, msgspec.Struct):
        return SimpleNamespace(**{name: plain(getattr(value, name)) for name in value.__struct_fields__})
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return value
