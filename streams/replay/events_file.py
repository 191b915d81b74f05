"""The events of a run as a file: one JSON event a line, exactly as its topic would carry it. A name in .gz packs it.

It appears under its name only when the run is over, as a whole. Equal events give equal bytes, packed ones too.
"""

import gzip
import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, cast

from streams.config.settings import SettingsError

_PACKING = 1
"""The fastest: events repeat each other, so it packs them to a tenth anyway."""


class EventsDigest:
    """SHA-256 over the lines, whether or not they are written."""

    def __init__(self, file: IO[bytes] | None = None) -> None:
        """Write to `file` too."""
        self._digest = hashlib.sha256()
        self._file = file

    def say(self, line: bytes) -> None:
        """Take one event."""
        self._digest.update(line + b"\n")
        if self._file is not None:
            self._file.write(line + b"\n")

    @property
    def hex(self) -> str:
        """Of all so far."""
        return self._digest.hexdigest()


@contextmanager
def written(path: Path) -> Iterator[IO[bytes]]:
    """A file to write; it takes the place of `path` when the body ends well. Raises `SettingsError` where it cannot."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        with ExitStack() as stack:
            file: IO[bytes] = stack.enter_context(unfinished.open("wb"))
            if path.suffix == ".gz":
                # without a name and a time, so that the bytes follow from the content alone
                packed = gzip.GzipFile("", "wb", _PACKING, file, mtime=0)
                file = cast("IO[bytes]", stack.enter_context(packed))
            yield file
        unfinished.replace(path)
    except (TimeoutError, ConnectionError):
        raise  # of what the body reads; no file has them
    except OSError as error:
        raise SettingsError(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        unfinished.unlink(missing_ok=True)
