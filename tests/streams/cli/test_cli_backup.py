"""`unimargin backup` on a real Redis: what is written, what is refused, and what a user is told."""

import time
from pathlib import Path
from typing import Any

import pytest
import redis

from engine.events.effects import AccountRisk
from engine.ledger.accounts import AccountState
from streams.store.backup import backup_restoring
from streams.store.policy_store import in_force_key, versions_key
from streams.store.store_format import FORMAT
from streams.store.store_keys import ShardKeys
from tests.support.builders import mark
from tests.support.cli import unimargin
from tests.support.cli_state import leave_state

IN_FORCE = b'{"digest":"d1","name":"of monday","version":3,"activated_ns":5,"who":"desk","why":""}'


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup_restoring, "LISTEN_SECONDS", 0.1)


@pytest.fixture
def held(redis_env: dict[str, str]) -> dict[str, str]:
    """Two shards with accounts, and a policy in force."""
    url = redis_env["UNIMARGIN_REDIS_URL"]
    for shard in (0, 2):
        names = [f"acct-{shard}-{number}" for number in range(5)]
        leave_state(
            url,
            shard,
            [AccountState(name) for name in names],
            [AccountRisk(names[0])],
            [mark("BTC", 50_000)],
            {"fills": 40 + shard},
        )
    with redis.Redis.from_url(url) as client:
        client.set(in_force_key("unimargin"), IN_FORCE)
        client.hset(versions_key("unimargin"), "d1", "{}")
    return redis_env


def dumped(env: dict[str, str]) -> dict[bytes, Any]:
    """All keys but trails, which a backup leaves out."""
    with redis.Redis.from_url(env["UNIMARGIN_REDIS_URL"]) as client:
        kinds = {key: client.type(key) for key in client.scan_iter()}
        return {
            key: client.hgetall(key) if kind == b"hash" else client.dump(key)
            for key, kind in kinds.items()
            if kind != b"stream"
        }


def emptied(env: dict[str, str]) -> None:
    with redis.Redis.from_url(env["UNIMARGIN_REDIS_URL"]) as client:
        client.flushall()


def test_backup_when_created_verified_and_restored_then_redis_holds_what_it_held(
    held: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "a.backup"
    before = dumped(held)
    said = unimargin("backup", "create", str(file), env=held)
    assert said.code == 0, said.err
    assert "2 shards, 10 accounts" in said.out
    assert list(tmp_path.glob("a.*")) == [file]
    # no service is needed
    verified = unimargin("backup", "verify", str(file), env={"UNIMARGIN_REDIS_URL": "redis://127.0.0.1:1/0"})
    assert verified.code == 0, verified.err
    assert "whole: 2 shards, 10 accounts, sha256 " in verified.out
    assert "policy in force: of monday, version 3, digest d1" in verified.out
    told = unimargin("backup", "verify", str(file), "--json").json
    assert [(it["shard"], it["watermarks"]) for it in told["shards"]] == [
        (0, {"fills": 40}),
        (2, {"fills": 42}),
    ]
    emptied(held)
    dry = unimargin("backup", "restore", str(file), "--dry-run", env=held)
    assert "would be restored: 2 shards, 10 accounts" in dry.out
    assert dumped(held) == {}
    assert unimargin("backup", "restore", str(file), env=held).code == 0
    assert dumped(held) == before


def test_restore_when_redis_holds_data_then_it_is_refused_unless_it_is_to_be_replaced(
    held: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "a.backup"
    before = dumped(held)
    assert unimargin("backup", "create", str(file), env=held).code == 0
    # a shard of its own, more accounts, another policy
    leave_state(held["UNIMARGIN_REDIS_URL"], 5, [AccountState("new")])
    leave_state(held["UNIMARGIN_REDIS_URL"], 0, [AccountState("newer")])
    with redis.Redis.from_url(held["UNIMARGIN_REDIS_URL"]) as client:
        client.set(in_force_key("unimargin"), IN_FORCE.replace(b"d1", b"d2"))
    now = dumped(held)
    for words in ((), ("--dry-run",)):
        said = unimargin("backup", "restore", str(file), *words, env=held)
        assert said.code == 1
        assert "Redis holds data of the shards 0, 2, 5: --replace deletes it" in said.err
    dry = unimargin("backup", "restore", str(file), "--replace", "--dry-run", env=held)
    assert "would be replaced: shards 0, 2, 5" in dry.out
    assert dumped(held) == now
    done = unimargin("backup", "restore", str(file), "--replace", "--json", env=held)
    assert done.json["replaced"] == [0, 2, 5]
    assert dumped(held) == before


def test_restore_when_another_policy_is_in_force_then_it_is_refused(
    held: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "a.backup"
    assert unimargin("backup", "create", str(file), env=held).code == 0
    emptied(held)
    with redis.Redis.from_url(held["UNIMARGIN_REDIS_URL"]) as client:
        client.set(in_force_key("unimargin"), IN_FORCE.replace(b"d1", b"d2"))
    now = dumped(held)
    said = unimargin("backup", "restore", str(file), env=held)
    assert (said.code, "another policy is in force" in said.err) == (1, True)
    assert dumped(held) == now


def test_backup_when_the_file_is_damaged_or_none_then_it_is_told_and_nothing_is_written(
    held: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "a.backup"
    assert unimargin("backup", "create", str(file), env=held).code == 0
    again = unimargin("backup", "create", str(file), env=held)
    assert (again.code, "overwrites nothing" in again.err) == (2, True)
    emptied(held)
    data = file.read_bytes()
    changed = bytearray(data)
    changed[len(data) // 2] ^= 1
    for bad, words in (
        (data[:-9], "it was cut short"),
        (bytes(changed), "not a usable backup"),
        (b"", "cut short"),
    ):
        file.write_bytes(bad)
        for command in ("verify", "restore"):
            said = unimargin("backup", command, str(file), env=held)
            assert said.code == 1
            assert words in said.err
    assert dumped(held) == {}
    missing = unimargin("backup", "verify", str(tmp_path / "none"))
    assert (missing.code, "No such file" in missing.err) == (1, True)


def test_create_when_it_cannot_be_done_then_it_is_told_and_no_file_is_left(
    held: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "a.backup"
    with redis.Redis.from_url(held["UNIMARGIN_REDIS_URL"]) as client:
        client.hset(ShardKeys("unimargin", 2).meta, "format", FORMAT + 1)
    said = unimargin("backup", "create", str(file), env=held)
    assert (said.code, "shard 2: Redis holds format" in said.err) == (1, True)
    nowhere = unimargin("backup", "create", str(tmp_path / "none" / "a"), env=held)
    assert (nowhere.code, "No such file or directory" in nowhere.err) == (1, True)
    emptied(held)
    nothing = unimargin("backup", "create", str(file), env=held)
    assert (nothing.code, "nothing to back up" in nothing.err) == (1, True)
    away = unimargin("backup", "create", str(file), env={"UNIMARGIN_REDIS_URL": "redis://127.0.0.1:1/0"})
    assert (away.code, "Is the server running" in away.err) == (1, True)
    assert list(tmp_path.glob("*.backup*")) == []


def test_restore_when_the_backup_is_of_a_newer_edition_then_it_is_refused(
    held: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.backup"
    with redis.Redis.from_url(held["UNIMARGIN_REDIS_URL"]) as client:
        client.hset(ShardKeys("unimargin", 2).meta, "format", FORMAT + 1)
    with monkeypatch.context() as newer:
        newer.setattr("streams.store.backup.shard_imaging.FORMAT", FORMAT + 1)
        assert unimargin("backup", "create", str(file), env=held).code == 0
    emptied(held)
    said = unimargin("backup", "restore", str(file), env=held)
    assert (said.code, "written by a newer edition" in said.err) == (1, True)
    assert dumped(held) == {}


def test_doctor_when_a_newer_edition_has_written_then_the_shard_is_told() -> None:
    from streams.cli.doctor.doctor_redis import _shard  # noqa: PLC0415
    from streams.store.store_keys import parse_meta  # noqa: PLC0415

    meta = parse_meta(3, {b"format": str(FORMAT + 1).encode(), b"taken_ms": str(time.time_ns()).encode()})
    told = _shard(0, meta, 0, {})
    assert "written by a newer edition" in str(told)
    assert "newer edition" not in str(_shard(0, parse_meta(3, {}), 0, {}))
