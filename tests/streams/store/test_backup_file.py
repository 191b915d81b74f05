"""The file of a backup: whatever is changed in it is found, without any service."""

import hashlib
import io
import random

import pytest

from streams.store.backup.backup_file import BackupDamaged, BackupReader, BackupWriter
from streams.store.backup.backup_records import AccountRecord, BackupHeader, ShardEnd

HEADER = BackupHeader("1", 1, "unimargin", 7, (0, 2), None, {})
END = ShardEnd(0, 1, 2, 1, 3, {"fills": 4}, {}, "")


def account(name: str) -> AccountRecord:
    return AccountRecord(name, b"state of " + name.encode(), None, [], {}, {}, again=False)


def written() -> bytes:
    file = io.BytesIO()
    writer = BackupWriter(file, HEADER)
    for shard in HEADER.shards:
        writer.begin()
        for number in range(50):
            writer.add(account(f"{shard}/{number}"), 100_000)
        writer.end(ShardEnd(shard, 1, 2, 1, 50, {"fills": 4}, {}, ""))
    writer.finish()
    return file.getvalue()


def read(data: bytes) -> list[object]:
    reader = BackupReader(io.BytesIO(data))
    found: list[object] = list(reader.records())
    assert reader.sha256
    return found


def test_backup_when_read_then_it_is_what_was_written_in_order() -> None:
    found = read(written())
    names = [it.account for it in found if isinstance(it, AccountRecord)]
    assert names == [f"{shard}/{number}" for shard in (0, 2) for number in range(50)]
    assert [it.shard for it in found if isinstance(it, ShardEnd)] == [0, 2]


def test_backup_when_cut_anywhere_then_it_is_damaged() -> None:
    data = written()
    for length in [0, 1, 18, 19, *range(20, len(data), 7), len(data) - 1]:
        with pytest.raises(BackupDamaged):
            read(data[:length])


def test_backup_when_any_byte_is_another_one_then_it_is_damaged() -> None:
    data = written()
    rng = random.Random(5)
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1 << rng.randrange(8)
        with pytest.raises(BackupDamaged):
            read(bytes(changed))


def test_backup_when_something_follows_its_end_or_it_is_no_backup_then_it_is_damaged() -> None:
    with pytest.raises(BackupDamaged, match="follows its end"):
        read(written() + b"\0")
    with pytest.raises(BackupDamaged, match="does not begin as a backup"):
        read(b"PK\x03\x04" + bytes(100))


def test_backup_when_a_shard_is_begun_again_then_nothing_of_the_first_attempt_is_left() -> None:
    file = io.BytesIO()
    writer = BackupWriter(file, BackupHeader("1", 1, "unimargin", 7, (0,), None, {}))
    writer.begin()
    for _ in range(30):
        writer.add(account("lost"), 100_000)
    writer.begin_again()
    writer.add(account("kept"), 10)
    end = writer.end(END)
    digest = writer.finish()
    data = file.getvalue()
    assert [it.account for it in read(data) if isinstance(it, AccountRecord)] == ["kept"]
    assert len(end.sha256) == 64
    assert digest == hashlib.sha256(data[: data.rindex(b"Z\0")]).hexdigest()
