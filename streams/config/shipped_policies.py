"""The policies that ship: in a wheel inside the package, in a checkout under deploy/."""

import difflib
from importlib import resources
from pathlib import Path

from streams.config.settings import SettingsError

_NEAREST_MAX, _NEAREST_CUTOFF = 3, 0.4


def shipped_policies() -> dict[str, Path]:
    """Every policy file that ships, by its name, sorted."""
    packed = Path(str(resources.files("streams"))) / "default_policies"
    folder = packed if packed.is_dir() else Path(__file__).parents[2] / "deploy" / "policies"
    return {file.stem: file for file in sorted(folder.glob("*.toml"))}


def shipped_policy(name: str) -> Path:
    """The policy of this name. Raises `SettingsError` with the nearest names where none has it."""
    known = shipped_policies()
    if name not in known:
        nearest = difflib.get_close_matches(name, known, _NEAREST_MAX, _NEAREST_CUTOFF)
        said = f"did you mean {' or '.join(nearest)}? " if nearest else ""
        raise SettingsError(f"no policy {name!r} ships; {said}There are {', '.join(known)}")
    return known[name]
