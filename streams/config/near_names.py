"""What a mistyped name may have meant."""

import difflib
from collections.abc import Iterable

NEAR_MAX = 2


def near_names(name: str, known: Iterable[str]) -> list[str]:
    """The nearest of `known`, the nearest first, upper and lower case being one; empty where none is near."""
    by_folded = {it.casefold(): it for it in known}
    return [by_folded[it] for it in difflib.get_close_matches(name.casefold(), by_folded, n=NEAR_MAX)]


def nearest_listed(name: str, listed: Iterable[str]) -> str:
    """How the refusal of a name ends that is none of those that the policy lists."""
    return did_you_mean(near_names(name, listed), "names are as in the policy file")


def did_you_mean(near: Iterable[str], otherwise: str) -> str:
    """The question that ends a refusal; `otherwise` where nothing is near."""
    words = " or ".join(near)
    return f"did you mean {words}?" if words else otherwise
