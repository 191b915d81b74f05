"""The base of every table of a policy file."""

from enum import StrEnum
from functools import cache

import msgspec


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A TOML table: unknown keys are refused.

    A switch that is given as text becomes its member, so that members may be compared by identity. Raises `ValueError` for
    a text that names none.
    """

    def __post_init__(self) -> None:
        """Turn the text of a switch into its member."""
        for name, switch in _switches(type(self)):
            value = getattr(self, name)
            if type(value) is not switch:
                msgspec.structs.force_setattr(self, name, switch(value))


@cache
def _switches(table: type[Table]) -> tuple[tuple[str, type[StrEnum]], ...]:
    """Name and enum of every field of `table` that is a switch."""
    fields = msgspec.structs.fields(table)
    return tuple(
        (it.name, it.type) for it in fields if isinstance(it.type, type) and issubclass(it.type, StrEnum)
    )
