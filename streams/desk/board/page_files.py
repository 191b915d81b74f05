"""The files of the page, in memory: what is served is what was there at the start, and no path of a request reaches a disk."""

import gzip
import hashlib
from importlib import resources
from importlib.resources.abc import Traversable
from typing import NamedTuple

MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
"""By the end of a name; a file of another kind is not served."""
INDEX = "index.html"
_PACKED_BYTES_MIN = 2_000
"""Below it packing saves no packet."""


class PageFile(NamedTuple):
    """One file as it is served."""

    media_type: str
    body: bytes
    packed: bytes | None
    """The same by gzip; None where that is not worth it."""
    tag: str
    """Names the content: who has it need not get it again."""


def page_files() -> dict[str, PageFile]:
    """Every file of the page, by its path below it."""
    return dict(_files(resources.files("streams.desk.board") / "page", ""))


def _files(folder: Traversable, path: str) -> list[tuple[str, PageFile]]:
    found: list[tuple[str, PageFile]] = []
    for it in folder.iterdir():
        if it.is_dir():
            found += _files(it, f"{path}{it.name}/")
            continue
        media_type = MEDIA_TYPES.get("." + it.name.rpartition(".")[2])
        if media_type is not None:
            found.append((path + it.name, _file(media_type, it.read_bytes())))
    return found


def _file(media_type: str, body: bytes) -> PageFile:
    packed = gzip.compress(body, mtime=0) if len(body) >= _PACKED_BYTES_MIN else None
    return PageFile(media_type, body, packed, f'"{hashlib.sha256(body).hexdigest()[:32]}"')
