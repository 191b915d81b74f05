"""How the kernels are compiled: to machine code at the first call, cached on disk under a key that covers all of them.

Numba's own cache watches the one file that a function stands in, so a change to what it calls elsewhere would leave old machine
code in use. Here a change of any file of this folder makes all of it anew. Column types are part of the key by themselves.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar, cast

import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile

_P = ParamSpec("_P")
_R = TypeVar("_R")


def _digest() -> str:
    parts = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"\0".join(part.name.encode() + part.read_bytes() for part in parts)).hexdigest()


_DIGEST = _digest()


class _CoversAllParts(FunctionCache):  # type: ignore[misc]  # numba has no types
    """Machine code of one function, valid as long as no kernel changes."""

    def __init__(self, function: Callable[..., object]) -> None:
        super().__init__(function)
        self._cache_file = IndexDataCacheFile(
            cache_path=self._cache_path, filename_base=self._impl.filename_base, source_stamp=_DIGEST
        )


def compiled(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Compile to machine code at the first call; IEEE arithmetic without re-association.

    It may make no array and counts no references, which took half of the time: its caller holds all that it reads and writes.
    """
    dispatcher = numba.njit(error_model="numpy", _nrt=False)(function)
    dispatcher._cache = _CoversAllParts(function)  # noqa: SLF001 - what `cache=True` sets, with our key
    return cast("Callable[_P, _R]", dispatcher)
