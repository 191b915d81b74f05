"""A TOML file of one shape, read with every mistake told in the same words."""

import tomllib
from pathlib import Path
from typing import TypeVar

import msgspec

from streams.config.settings import SettingsError

_T = TypeVar("_T")


def read_toml(path: Path, shape: type[_T], what: str) -> _T:
    """Read and check a file. Raises `SettingsError` naming it, with `what` it is, and the rule that it breaks."""
    try:
        return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), shape)
    except OSError as error:
        raise SettingsError(f"{what} {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{what} {path}: not UTF-8 text") from None
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise SettingsError(f"{what} {path}: {error}") from None
