"""The policy that a scenario is played by: rules of its own laid over another, and the same without what guards against it."""

import tomllib
from decimal import Decimal
from typing import Any

Document = dict[str, Any]


def overlaid(text: str, rules: str, *, guarded: bool = True) -> Document:
    """The policy `text` with the TOML `rules` over it, key by key; not `guarded` is without second sources, grace and breaker.

    The text must be that of a policy that loads.
    """
    document = _merged(_read(text), _read(rules))
    if not guarded:
        document.pop("breaker", None)
        for asset in document["assets"].values():
            asset.pop("second_source", None)
        checks = [document.setdefault("prices", {})]
        checks += [it["price"] for it in document["instruments"].values() if "price" in it]
        for check in checks:
            check["stale_grace_seconds"] = Decimal(0)
        document.setdefault("ladder", {})["withhold_liquidation_when_degraded"] = False
    return document


def _merged(under: Document, over: Document) -> Document:
    both = dict(under)
    for name, value in over.items():
        inside = isinstance(value, dict) and isinstance(under.get(name), dict)
        both[name] = _merged(under[name], value) if inside else value
    return both


def _read(text: str) -> Document:
    return tomllib.loads(text, parse_float=Decimal)
