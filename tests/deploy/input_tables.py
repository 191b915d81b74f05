"""What streams/contract/README.md shows of each input message, made from the published contract.

    python -m tests.deploy.input_tables

writes it anew between the page's markers.
"""

import json
import re
from typing import Any

from streams.config.settings import load_policy
from tests.deploy.asyncapi_files import document
from tests.deploy.files import ROOT

PAGE = ROOT / "streams" / "contract" / "README.md"
ROLES = ("prices", "fills", "ledger", "fund", "operator")
SENT = ("prices", "fills", "ledger")
"""Roles that `unimargin send` sends to."""
SAID = {"operator_outcome"}
"""What workers write into such a topic."""
AMBIGUOUS = "resume"
"""Goes to either account topic."""


def messages() -> list[str]:
    """Every message that the pipeline takes in, once, in the order of its topics."""
    channels = document()["channels"]
    names = dict.fromkeys(name for role in ROLES for name in channels[role]["messages"])
    return [name for name in names if name not in SAID]


def payload(name: str) -> dict[str, Any]:
    """The example of the contract, without what is left open in it and what the default policy has no prices of."""
    example = document()["components"]["messages"][name]["examples"][0]["payload"]
    if "marks" in example:
        priced = load_policy(None).price_symbols
        example = {**example, "marks": [it for it in example["marks"] if it["symbol"] in priced]}
    return {key: value for key, value in example.items() if value is not None}


def section(name: str) -> str:
    """The description of a message, its fields and its example."""
    message = document()["components"]["messages"][name]
    schema = document()["components"]["schemas"][message["title"]]
    rows = [_row(field, it, schema) for field, it in schema["properties"].items() if field != "type"]
    head = "| field | type | left out | meaning |\n|---|---|---|---|\n"
    return f"{message['description'].strip()}\n\n{head}{''.join(rows)}\n```\n{example(name)}\n```\n"


def example(name: str) -> str:
    """A line to copy: a command where there is one for it, else the record."""
    said = json.dumps(payload(name), separators=(",", ":"))
    roles = [role for role in SENT if name in document()["channels"][role]["messages"]]
    if not roles:
        return said
    return f"unimargin send '{said}'{' --topic fills' if name == AMBIGUOUS else ''}"


def codes() -> str:
    """The reasons of a refusal."""
    described = re.findall(
        r"^- `(\w+)`: (.+?)(?=\n- |\Z)",
        document()["components"]["schemas"]["RejectionCode"]["description"],
        re.MULTILINE | re.DOTALL,
    )
    rows = [f"| `{code}` | {' '.join(text.split())} |\n" for code, text in described]
    return f"| code | meaning |\n|---|---|\n{''.join(rows)}"


def written(page: str) -> str:
    """The page with all that is made from the contract made anew."""
    for name, text in {**{it: section(it) for it in messages()}, "codes": codes()}.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        head, found, rest = page.partition(begin)
        assert found, f"the page has no place for {name}: {begin}"
        page = f"{head}{begin}{text}{end}{rest.partition(end)[2]}"
    return page


def _row(field: str, described: dict[str, Any], schema: dict[str, Any]) -> str:
    required = field in schema["required"]
    default = "" if required else _default(described)
    meaning = " ".join(described["description"].split())
    return (
        f"| `{field}` | {_type(field, described)} | {'**required**' if required else default} | {meaning} |\n"
    )


def _default(described: dict[str, Any]) -> str:
    value = described.get("default")
    if value in (None, []):
        return "none"
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _type(field: str, described: dict[str, Any]) -> str:
    kind = next((it for it in described.get("anyOf", ()) if it.get("type") != "null"), described)
    for reference in (kind, *kind.get("allOf", ())):
        if "$ref" in reference:
            target = document()["components"]["schemas"][reference["$ref"].rpartition("/")[2]]
            kind = {**target, **{key: it for key, it in kind.items() if key == "enum"}}
    if "enum" in kind:
        return ", ".join(f"`{it}`" for it in kind["enum"])
    if kind.get("format") == "decimal":
        return "decimal"
    if kind["type"] == "array":
        return f"list of {_type(field, kind['items'])}"
    if kind["type"] == "object":
        if "stop_offset" in kind.get("properties", {}):
            return "object of account, topic and stop_offset"
        return "`mark`" if "additionalProperties" not in kind or "properties" in kind else "asset to decimal"
    if field.endswith("_ns"):
        return "integer, ns"
    return {"string": "text", "integer": "integer", "boolean": "`true`, `false`"}[kind["type"]]


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
