"""Reading what is stored without dropping what this edition does not know.

Records that are parts of events as well must let consumers pass over unknown fields, so their types do not forbid them. Where such a
record is stored and written back, an unknown field is a loss: it is refused here.
"""

from functools import cache, reduce
from operator import or_
from types import UnionType
from typing import Any, Generic, TypeVar, Union, cast, get_args, get_origin

import msgspec

T = TypeVar("T")

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""All that decoding raises where bytes are not what is looked for: msgspec lets what is no UTF-8, and what is nested too deeply, pass as it is."""


class StrictDecoder(Generic[T]):
    """Decodes JSON. Raises one of `UNREADABLE` for what is no `T`, and for fields that it does not have, at whatever depth."""

    def __init__(self, kind: Any) -> None:
        """`kind` is what `T` stands for."""
        self._check = msgspec.json.Decoder(_strict(kind))
        self._decoder = msgspec.json.Decoder(kind)

    def check(self, data: bytes) -> None:
        """Only look whether it could be decoded."""
        self._check.decode(data)

    def decode(self, data: bytes) -> T:
        """The record that these bytes are."""
        self.check(data)
        return cast("T", self._decoder.decode(data))


def _strict(kind: Any) -> Any:
    """The type with every struct in it replaced by one that refuses unknown fields."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _strict_struct(kind)
    arguments = get_args(kind)
    origin = get_origin(kind)
    if not arguments or origin is None:
        return kind
    changed = tuple(it if it is Ellipsis else _strict(it) for it in arguments)
    if changed == arguments:
        return kind
    return reduce(or_, changed) if origin in {UnionType, Union} else origin[changed]


@cache
def _strict_struct(kind: type[msgspec.Struct]) -> type[msgspec.Struct]:
    config = kind.__struct_config__
    fields = [
        (it.name, _strict(it.type)) if it.required else (it.name, _strict(it.type), _default(it))
        for it in msgspec.structs.fields(kind)
    ]
    return msgspec.defstruct(
        f"Strict{kind.__name__}",
        fields,
        kw_only=True,
        array_like=config.array_like,
        tag=config.tag,
        tag_field=config.tag_field,
        forbid_unknown_fields=True,
    )


def _default(field: Any) -> Any:
    if field.default is msgspec.NODEFAULT:
        return msgspec.field(default_factory=field.default_factory)
    return field.default
