"""The file of a backup: frames of a kind, a length and bytes, read and written one after the other in little memory.

unimargin-backup 1
H   header: JSON, compressed
R   some records of a shard: MessagePack, compressed      } for each shard
E   end of a shard: JSON, with the digest of its R        }
Z   end of the file: JSON, with the digest of all before it
"""

import hashlib
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, TypeVar

import msgspec

from engine.strict_decoding import UNREADABLE
from streams.store.backup.backup_records import BackupEnd, BackupHeader, ShardEnd, ShardRecord

MAGIC = b"unimargin-backup 1\n"
RAW_BYTES = 1 << 20
"""Of records in a frame: so much is compressed together, and held in memory."""
FRAME_BYTES_MAX = 1 << 30
"""A longer frame is none."""
RAW_BYTES_MAX = 1 << 30
"""Records of one frame never come to more: one account is bounded."""
LEVEL = 6

_HEAD = struct.Struct(">cI")
_T = TypeVar("_T")
_encode_json = msgspec.json.Encoder().encode
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[ShardRecord], strict=True).decode


class BackupDamaged(Exception):  # noqa: N818 - it says what the file is
    """The file is no backup, not a whole one, or not as it was written."""


class BackupWriter:
    """Writes a backup into an empty file that can be truncated."""

    def __init__(self, file: BinaryIO, header: BackupHeader) -> None:
        """Write the header."""
        self._file, self._all = file, hashlib.sha256()
        self._shard = hashlib.sha256()
        self._waiting: list[ShardRecord] = []
        self._waiting_bytes = 0
        self._begin: tuple[int, hashlib._Hash] = (0, self._all)
        self._write(MAGIC)
        self._frame(b"H", zlib.compress(_encode_json(header), LEVEL))

    def begin(self) -> None:
        """Begin a shard."""
        self._begin = (self._file.tell(), self._all.copy())
        self._shard, self._waiting, self._waiting_bytes = hashlib.sha256(), [], 0

    def begin_again(self) -> None:
        """Forget what was written of the shard."""
        place, digest = self._begin
        self._file.seek(place)
        self._file.truncate()
        self._all = digest
        self.begin()

    def add(self, record: ShardRecord, size: int) -> None:
        """Add a record of about `size` bytes."""
        self._waiting.append(record)
        self._waiting_bytes += size
        if self._waiting_bytes >= RAW_BYTES:
            self._flush()

    def end(self, end: ShardEnd) -> ShardEnd:
        """End the shard; returns the end with its digest."""
        self._flush()
        whole = msgspec.structs.replace(end, sha256=self._shard.hexdigest())
        self._frame(b"E", _encode_json(whole))
        return whole

    def finish(self) -> str:
        """End the file; returns its digest."""
        digest = self._all.hexdigest()
        self._frame(b"Z", _encode_json(BackupEnd(digest)))
        return digest

    def _flush(self) -> None:
        if self._waiting:
            payload = zlib.compress(_encode(self._waiting), LEVEL)
            self._shard.update(self._frame(b"R", payload))
            self._waiting, self._waiting_bytes = [], 0

    def _frame(self, kind: bytes, payload: bytes) -> bytes:
        frame = _HEAD.pack(kind, len(payload)) + payload
        self._write(frame)
        return frame

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._all.update(data)


class BackupReader:
    """Reads a backup from its begin to its end, and checks it on the way. Everything raises BackupDamaged."""

    def __init__(self, file: BinaryIO, on_bytes: Callable[[int], None] = lambda _: None) -> None:
        """Read the header; `on_bytes` is called with the bytes of each frame."""
        self._file, self._on_bytes = file, on_bytes
        self._all, self._place = hashlib.sha256(), 0
        if self._take(len(MAGIC)) != MAGIC:
            raise BackupDamaged("it does not begin as a backup of this program does")
        kind, payload, _ = self._frame()
        if kind != b"H":
            raise BackupDamaged("it has no header")
        self.header = _read(_inflated(payload), BackupHeader, "header")
        self.sha256 = ""
        """Of the file; "" before its end was read."""

    def records(self) -> Iterator[ShardRecord | ShardEnd]:
        """Every record and every end of a shard, in order; what came is as it was written only once its end came."""
        for shard in self.header.shards:
            digest = hashlib.sha256()
            while True:
                kind, payload, frame = self._frame()
                if kind == b"E":
                    break
                if kind != b"R":
                    raise BackupDamaged(f"shard {shard} is not whole")
                digest.update(frame)
                try:
                    records = _decode(_inflated(payload))
                except UNREADABLE as error:
                    raise BackupDamaged(f"shard {shard}: a record cannot be read: {error}") from None
                yield from records
            end = _read(payload, ShardEnd, f"end of shard {shard}")
            if end.shard != shard or end.sha256 != digest.hexdigest():
                raise BackupDamaged(f"shard {shard} is not as it was written: its digest is another one")
            yield end
        self._read_end()

    def _read_end(self) -> None:
        digest = self._all.hexdigest()
        kind, payload, _ = self._frame()
        if kind != b"Z":
            raise BackupDamaged("its end is missing")
        if _read(payload, BackupEnd, "end").sha256 != digest:
            raise BackupDamaged("it is not as it was written: the digest of the whole is another one")
        if self._file.read(1):
            raise BackupDamaged("something follows its end")
        self.sha256 = digest

    def _frame(self) -> tuple[bytes, bytes, bytes]:
        """Kind, payload, and both as they stand."""
        head = self._take(_HEAD.size)
        kind, length = _HEAD.unpack(head)
        if length > FRAME_BYTES_MAX:
            raise BackupDamaged(f"at byte {self._place} something stands that was not written so")
        payload = self._take(length)
        self._on_bytes(len(head) + length)
        return kind, payload, head + payload

    def _take(self, length: int) -> bytes:
        data = self._file.read(length)
        if len(data) < length:
            raise BackupDamaged(f"it ends at byte {self._place + len(data)}, in the middle: it was cut short")
        self._place += length
        self._all.update(data)
        return data


def _inflated(payload: bytes) -> bytes:
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(payload, RAW_BYTES_MAX)
    except zlib.error as error:
        raise BackupDamaged(f"it cannot be decompressed: {error}") from None
    if not inflater.eof or inflater.unused_data:
        raise BackupDamaged("it cannot be decompressed: a part does not end where it should")
    return data


def _read(data: bytes, kind: type[_T], what: str) -> _T:
    try:
        return msgspec.json.decode(data, type=kind)
    except UNREADABLE as error:
        raise BackupDamaged(f"its {what} cannot be read: {error}") from None
