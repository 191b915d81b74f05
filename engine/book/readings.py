"""A stored account without its decimals: read as text to be packed, and as floats for the columns.

Making decimals is most of what reading a stored account costs, and a book that is loaded needs none. A reading has the
fields of `AccountState`, with another type in the place of `Decimal`: what only passes amounts on, compares them with
zero or makes floats of them takes a reading for a state.
"""

from collections.abc import Callable
from decimal import Decimal
from functools import reduce
from operator import or_
from types import UnionType
from typing import Any, cast, get_args, get_origin

import msgspec

from engine.ledger.accounts import AccountState


def _with(number: type, kind: Any) -> Any:
    """The type `kind` with `number` in the place of every decimal."""
    if kind is Decimal:
        return number
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _struct_with(number, kind)
    arguments = get_args(kind)
    if not arguments:
        return kind
    changed = tuple(_with(number, it) for it in arguments)
    if changed == arguments:
        return kind
    return reduce(or_, changed) if isinstance(kind, UnionType) else cast("Any", get_origin(kind))[changed]


def _struct_with(number: type, kind: type[msgspec.Struct]) -> type[msgspec.Struct]:
    fields = msgspec.structs.fields(kind)
    changed = [(it.name, _with(number, it.type)) for it in fields]
    strict = kind.__struct_config__.forbid_unknown_fields
    if strict and all(new is it.type for (_, new), it in zip(changed, fields, strict=True)):
        return kind
    return msgspec.defstruct(
        f"{kind.__name__}Of{number.__name__.title()}",
        [
            (name, new) if it.required else (name, new, _default(it))
            for (name, new), it in zip(changed, fields, strict=True)
        ],
        namespace={name: it for name, it in vars(kind).items() if isinstance(it, property)},
        frozen=True,
        omit_defaults=kind.__struct_config__.omit_defaults,
        forbid_unknown_fields=True,  # as `engine.ledger.accounts.decode`
    )


def _default(field: Any) -> Any:
    # a default of an account is empty or None, so no decimal is among them
    return (
        msgspec.field(default_factory=field.default_factory)
        if field.default is msgspec.NODEFAULT
        else field.default
    )


def _reader(number: type) -> Callable[[bytes], AccountState]:
    decoder = msgspec.json.Decoder(_with(number, AccountState), strict=False)
    return cast("Callable[[bytes], AccountState]", decoder.decode)


as_text = _reader(str)
"""What `engine.ledger.accounts.encode` wrote, amounts as they are written. Raises `msgspec.MsgspecError` for what is no state."""
as_floats = _reader(float)
"""The same, amounts rounded to the nearest float. Raises `msgspec.MsgspecError` for what is no state."""
