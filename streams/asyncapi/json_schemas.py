"""JSON Schemas of the messages, from their types: what msgspec derives, plus what the docstrings say about each field.

msgspec describes a type by its class docstring only; the docstrings below fields and enum members stand in the source.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterable, Iterator
from enum import Enum
from functools import cache
from itertools import pairwise
from typing import Any

import msgspec
from msgspec.inspect import EnumType, StructType, multi_type_info

Schema = dict[str, Any]

DECIMAL = r"^-?[0-9]+(\.[0-9]+)?(E[+-]?[0-9]+)?$"
"""How the engine writes a decimal; one below a millionth has an exponent."""


def component_schemas(kinds: Iterable[Any], ref_template: str) -> dict[str, Schema]:
    """Schemas of `kinds` and of all that they refer to, by name; `ref_template` says where {name} will stand."""
    kinds = tuple(kinds)
    _, schemas = msgspec.json.schema_components(kinds, ref_template=ref_template)
    for kind in _named_types(multi_type_info(kinds)):
        _describe(schemas[kind.__name__], kind)
    return {name: _refined(schema) for name, schema in sorted(schemas.items())}


def summary(kind: type) -> str:
    """The first paragraph of a docstring, as one line."""
    return " ".join((inspect.getdoc(kind) or "").partition("\n\n")[0].split())


@cache
def member_docs(kind: type) -> dict[str, str]:
    """Docstrings below the fields of a Struct or the members of an Enum, by name, inherited ones included."""
    docs: dict[str, str] = {}
    for owner in reversed(kind.__mro__):
        if owner.__module__.startswith(("engine.", "streams.")):
            match ast.parse(textwrap.dedent(inspect.getsource(owner))).body:
                case [ast.ClassDef(body=body)]:
                    docs.update(_docs_below(body))
    return docs


def _docs_below(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    for statement, below in pairwise(body):
        match statement, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                yield name, inspect.cleandoc(text)


def _named_types(node: Any, found: dict[type, None] | None = None) -> dict[type, None]:
    """The Structs and Enums that a description by `msgspec.inspect` speaks of, in order."""
    found = {} if found is None else found
    if isinstance(node, StructType | EnumType):
        if node.cls in found:
            return found
        found[node.cls] = None
    if isinstance(node, msgspec.Struct):
        node = [getattr(node, field) for field in node.__struct_fields__]
    if isinstance(node, list | tuple):
        for part in node:
            _named_types(part, found)
    return found


def _describe(schema: Schema, kind: type) -> None:
    docs = member_docs(kind)
    if issubclass(kind, Enum):
        members = "\n".join(f"- `{kind[name].value}`: {text}" for name, text in docs.items())
        schema["description"] = "\n\n".join(filter(None, (schema.get("description"), members)))
        return
    for name in docs.keys() & schema["properties"].keys():
        schema["properties"][name]["description"] = docs[name]


def _refined(node: Any) -> Any:
    """The schema with decimals spelled out, in words that JSON Schema draft 7 has too (the dialect of AsyncAPI)."""
    if isinstance(node, list):
        return [_refined(part) for part in node]
    if not isinstance(node, dict):
        return node
    # OpenAPI's word; in AsyncAPI it means something else, and every tagged type carries its tag anyway.
    refined = {key: _refined(value) for key, value in node.items() if key != "discriminator"}
    if refined.get("format") == "decimal":
        refined["pattern"] = DECIMAL
    if "$ref" in refined and len(refined) > 1:
        # Draft 7 ignores whatever stands beside a $ref.
        refined = {"allOf": [{"$ref": refined.pop("$ref")}], **refined}
    return refined
