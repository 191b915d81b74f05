"""Names that a question gives of instruments: one that the policy does not list is refused with the nearest that it does."""

from collections.abc import Collection

from streams.config.near_names import did_you_mean, near_names


def nearest_of(name: str, listed: Collection[str]) -> str:
    """The end of a refusal of `name`: what it may have meant of what is listed."""
    return did_you_mean(near_names(name, listed), "names are as in the policy")
