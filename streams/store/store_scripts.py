"""The Lua scripts of the store."""

from importlib import resources


def script(name: str) -> str:
    """The text of `lua/NAME.lua`."""
    return resources.files("streams.store").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")
