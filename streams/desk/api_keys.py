"""Who may ask: keys with a name and a role, from a file of their hashes.

    [keys.night-desk]
    role = "risk"
    sha256 = "9f86d081..."

Why SHA-256 and not scrypt or argon2: those make *guessing* slow, for secrets that people choose. A key here is 256 random bits that
`unimargin api-key` draws, so there is nothing to guess, and a slow hash would only let a stranger burn a tenth of a second of this
process with every wrong key. Put no password of your own into such a file.

The presented key is hashed once and compared with every entry in constant time, also after one was found, so that the time of an answer
tells nothing of which names exist. Keys are taken from the header `Authorization: Bearer` alone: what stands in an address ends up in logs.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec

from engine.inputs import Name
from streams.config.settings import SettingsError
from streams.config.toml_file import read_toml

KEY_BYTES = 32
KEY_PREFIX = "um_"
"""So that scanners for leaked secrets can know one when they see it."""
KEY_CHARACTERS_MAX = 256


class ApiRole(StrEnum):
    """What a key allows; each role includes those before it."""

    VIEWER = "viewer"
    """To read."""
    RISK = "risk"
    """To have something computed: what-if, simulations, stress."""
    OPERATOR = "operator"
    """To send operators' commands."""

    def includes(self, other: "ApiRole") -> bool:
        """Whether it allows what `other` does."""
        return _RANKS[self] >= _RANKS[other]


_RANKS = {role: rank for rank, role in enumerate(ApiRole)}


class KeyEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One key of the file."""

    role: ApiRole
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    requests_per_minute: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """None: as the settings say."""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keys: dict[Name, KeyEntry]


class ApiCaller(msgspec.Struct, frozen=True):
    """Who asks."""

    name: str
    """Of the key; on record where it is an operator's."""
    role: ApiRole
    requests_per_minute: int | None = None


class ApiKeys:
    """The keys of a file."""

    def __init__(self, entries: Mapping[str, KeyEntry]) -> None:
        """`load_keys` makes one."""
        self._entries = [
            (bytes.fromhex(it.sha256), ApiCaller(name, it.role, it.requests_per_minute))
            for name, it in entries.items()
        ]

    def with_key(self, key: str, caller: ApiCaller) -> "ApiKeys":
        """These and one more, which no file holds."""
        more = ApiKeys({})
        more._entries = [*self._entries, (hashlib.sha256(key.encode()).digest(), caller)]
        return more

    def __len__(self) -> int:
        return len(self._entries)

    def caller(self, presented: str) -> ApiCaller | None:
        """Whose key this is; None for nobody's."""
        if len(presented) > KEY_CHARACTERS_MAX:
            return None
        digest = hashlib.sha256(presented.encode(errors="surrogateescape")).digest()
        found = None
        for known, caller in self._entries:
            if hmac.compare_digest(known, digest):
                found = caller
        return found


def load_keys(file: Path | None) -> ApiKeys:
    """Read the file; no keys without one. Raises `SettingsError` naming the file and the rule it breaks, never a line of it."""
    if file is None:
        return ApiKeys({})
    found = read_toml(file, _File, "UNIMARGIN_API_KEYS_FILE")
    hashes = [it.sha256 for it in found.keys.values()]
    if len(set(hashes)) < len(hashes):
        raise SettingsError(f"UNIMARGIN_API_KEYS_FILE {file}: two names have the same key; give each its own")
    return ApiKeys(found.keys)


def board_address(host: str, port: int, key: str) -> str:
    """Where the board is. The key stands behind `#`, which browsers keep to themselves: it is in no request and no log of a server."""
    named = f"[{host}]" if ":" in host else host
    return f"http://{named}:{port}/board/#key={key}"


def new_key(name: str, role: ApiRole) -> tuple[str, str]:
    """A fresh key, and the lines of the file that let it in."""
    key = KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)
    digest = hashlib.sha256(key.encode()).hexdigest()
    quoted = msgspec.json.encode(name).decode()  # a JSON string is a quoted TOML key
    return key, f'[keys.{quoted}]\nrole = "{role.value}"\nsha256 = "{digest}"\n'
