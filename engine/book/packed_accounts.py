"""Accounts of a book with their records in the columns, in bytes: what another process loads without reading a state.

Only accounts that the columns express and whose pools are well are packed so: what else a book keeps of an account depends on its
risk record, or on judgements. The bytes mean something to a book of the same edition alone: the same source of this engine and
the same policy, which numbers symbols and assets.
"""

import hashlib
from collections.abc import Set as AbstractSet
from functools import cache
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

import engine
from engine.book.account_table import Records
from engine.book.columns import ROW, TERM
from engine.book.ragged import Array
from engine.book.roster import name_hash, name_of
from engine.policy import Policy

PACKED_TOGETHER = 1_024
"""Accounts in a part: about 250 KB, 2 ms to pack."""


class PackedAccounts(msgspec.Struct, array_like=True):
    """Some accounts; arrays as their bytes."""

    names: list[str]
    """Assets and positions that the states have as numbers."""
    sizes: bytes
    """Of each packed state."""
    states: bytes
    """One after the other."""
    hashes: bytes
    """Of the names (`roster.name_hash`)."""
    terms_of: bytes
    terms: bytes
    rows_of: bytes
    rows: bytes
    watches_of: bytes
    watched: bytes


class Leaving(NamedTuple):
    """Accounts that are not to be taken from any part."""

    names: AbstractSet[str]
    hashes: Array
    """Of the names: a name is read only where its hash is one of these."""

    @classmethod
    def of(cls, names: AbstractSet[str]) -> "Leaving":
        """The accounts of these names."""
        return cls(names, np.fromiter(map(name_hash, names), np.uint32, len(names)))


class UnpackedAccounts(NamedTuple):
    """The same, to be taken by a book."""

    names: list[str]
    states: list[bytes]
    hashes: Array
    records: Records


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(PackedAccounts).decode


@cache
def _source_digest() -> str:
    root = Path(engine.__file__).parent
    parts = sorted((str(path.relative_to(root)), path.read_bytes()) for path in root.rglob("*.py"))
    return hashlib.sha256(b"\0".join(name.encode() + text for name, text in parts)).hexdigest()


def edition(policy: Policy) -> str:
    """What has to be the same where accounts are packed and where they are loaded."""
    return f"{_source_digest()}/{policy.digest}"


def packed(names: list[str], states: list[bytes], hashes: Array, records: Records) -> bytes:
    """These accounts in bytes."""
    parts = PackedAccounts(
        names,
        np.array(list(map(len, states)), np.int32).tobytes(),
        b"".join(states),
        hashes.tobytes(),
        *(column.tobytes() for column in records),
    )
    return _encode(parts)


def unpacked(data: bytes, leaving: Leaving) -> UnpackedAccounts:
    """What `packed` was given, without those who are leaving. Raises `msgspec.MsgspecError` or ValueError for anything else."""
    it = _decode(data)
    sizes, hashes = np.frombuffer(it.sizes, np.int32), np.frombuffer(it.hashes, np.uint32)
    ends = np.cumsum(sizes)
    begins = ends - sizes
    text = it.states
    states = [text[begin:end] for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]
    records = Records(
        np.frombuffer(it.terms_of, np.int32),
        np.frombuffer(it.terms, TERM),
        np.frombuffer(it.rows_of, np.int32),
        np.frombuffer(it.rows, ROW),
        np.frombuffer(it.watches_of, np.int32),
        np.frombuffer(it.watched, np.int16),
    )
    suspects = np.flatnonzero(np.isin(hashes, leaving.hashes)).tolist()
    left = [number for number in suspects if name_of(states[number]) in leaving.names]
    if left:
        staying = np.ones(len(states), np.bool_)
        staying[left] = False
        states = [states[number] for number in np.flatnonzero(staying).tolist()]
        hashes, records = hashes[staying], records.of(staying)
    return UnpackedAccounts(it.names, states, hashes, records)
