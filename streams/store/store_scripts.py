"""The Lua scripts of the store."""

from importlib import resources


def script(name: str) -> str:
    """The text of `lua/NAME.lua`."""
    return resources.files("streams.store").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")


def owner_script(name: str) -> str:
    """The same of a script that nobody but the owner of a shard may run: it begins by asking whether its caller is."""
    return script("owned") + script(name)
