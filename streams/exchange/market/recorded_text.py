"""The text of a recording as it lies on disk: plain or packed, with or without a mark of its encoding.

What it is packed with is seen by its first bytes and not by its name.
"""

import bz2
import csv
import gzip
import io
import lzma
import zipfile
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, TextIO, cast

RECORDING_SUFFIXES = (
    *(f"{text}{packed}" for text in (".csv", ".tsv") for packed in ("", ".gz", ".zip", ".bz2", ".xz")),
    ".zip",
)
"""Of the files that are recordings, in a directory."""
DELIMITERS = ",;\t|"
UNREADABLE = (
    OSError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    UnicodeError,
    csv.Error,
)
"""What reading a file of any kind may raise; zipfile says `RuntimeError` of a password, `NotImplementedError` of a packing."""

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_EXCEL, _EXCEL_MEMBER = "an Excel file", "[Content_Types].xml"
_NOT_TEXT = {
    b"PAR1": "a Parquet file",
    b"\x28\xb5\x2f\xfd": "packed with zstd",
    b"\xd0\xcf\x11\xe0": _EXCEL,
}
_NUL_LOOKED_FOR = 512
"""In so many first bytes of what should be text: no text has a NUL, all of the binary formats do."""
_HEAD_BYTES = 6


@contextmanager
def opened_text(path: Path, raw: BinaryIO) -> Iterator[TextIO]:
    """The text of `path`, which is open as `raw`. Raises one of `UNREADABLE` with what is wrong."""
    packed = _unpacked(path, raw)
    buffered = io.BufferedReader(cast("io.RawIOBase", packed))
    head = buffered.peek(_NUL_LOOKED_FOR)[:_NUL_LOOKED_FOR]
    encoding = "utf-16" if head[:2] in _UTF_16 else "utf-8-sig"
    if encoding != "utf-16" and b"\0" in head:
        raise OSError(
            "it has zero bytes: no text, or text in UTF-16 or UTF-32 that does not say so; write it in UTF-8"
        )
    with io.TextIOWrapper(buffered, encoding=encoding, newline="") as text:
        yield text


def _unpacked(path: Path, raw: BinaryIO) -> IO[bytes]:
    head = raw.read(_HEAD_BYTES)
    raw.seek(0)
    for magic, kind in _NOT_TEXT.items():
        if head.startswith(magic):
            raise _other_kind(kind)
    if head.startswith(b"\x1f\x8b"):
        return cast("IO[bytes]", gzip.open(raw, "rb"))
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _member(path, zipfile.ZipFile(raw))
    if head.startswith(b"BZh"):
        return cast("IO[bytes]", bz2.open(raw, "rb"))
    if head.startswith(b"\xfd7zXZ"):
        return cast("IO[bytes]", lzma.open(raw, "rb"))
    return raw


def _member(path: Path, archive: zipfile.ZipFile) -> IO[bytes]:
    """The one file of an archive; what a packer adds beside it does not count."""
    members = archive.namelist()
    if _EXCEL_MEMBER in members:
        raise _other_kind(_EXCEL)
    found = [it for it in members if not it.endswith("/") and not _is_packers(it)]
    for suffixes in ((".csv", ".tsv"), (".txt",)):
        found = [it for it in found if it.lower().endswith(suffixes)] or found
    if len(found) != 1:
        names = ", ".join(found[:5]) or "none"
        raise OSError(f"the archive {path.name} has {len(found)} files of rows, one is read: {names}")
    return archive.open(found[0])


def _is_packers(name: str) -> bool:
    return name.startswith("__MACOSX/") or name.rpartition("/")[2].startswith(".")


def _other_kind(kind: str) -> OSError:
    return OSError(f"it is {kind}; csv, plain or in gzip, zip, bzip2 or xz, is read")


def shown(text: str, characters_max: int) -> str:
    """A piece of a file in quotes, cut for a message."""
    return repr(text if len(text) <= characters_max else f"{text[:characters_max]}...")


def delimiter_of(line: str) -> str:
    """What separates the fields of a file, by its first line."""
    return max(DELIMITERS, key=line.count)


def numbered_lines(text: Iterable[str]) -> Iterator[tuple[int, str]]:
    """The lines that say something, each with its number from 1; not those that begin with #, which are for people."""
    for number, line in enumerate(text, start=1):
        if line.strip(" \t\r\n,;|") and not line.startswith("#"):
            yield number, line


def backwards(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """The same from the last to the first: holds all of them."""
    held = deque(lines)
    while held:
        yield held.pop()
