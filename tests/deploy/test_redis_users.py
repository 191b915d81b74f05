"""The users of Redis as they are shipped, on a real server started as it is deployed: what each may, and that it may nothing else."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.exceptions import NoPermissionError

from tests.deploy.files import DEPLOY
from tests.support.certificates import Authority
from tests.support.cli import unimargin
from tests.support.secure_redis import AT_ONCE, SecureRedis

READERS = ("api", "notifier", "operator", "prometheus", "health")
"""Who may write no account."""
USERS = ("worker", "restore", *READERS)
OWN_KEYS = {
    "worker": "unimargin:{shard-0}:accounts",
    "restore": "unimargin:{shard-0}:accounts",
    "notifier": "unimargin:notify:told:x",
    "operator": "unimargin:{policy}:in-force",
}
"""Of those who may write: a key that is theirs."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureRedis]:
    with SecureRedis(tmp_path_factory.mktemp("all-users")) as started:
        yield started


def commands(server: SecureRedis, category: str) -> list[tuple[list[str], int]]:
    """Every command of a category, as words, and how many words a call of it has at least."""
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        names = client.execute_command("COMMAND LIST", "FILTERBY", "ACLCAT", category)
        found = []
        for name in names:
            words = name.split("|")
            told = client.execute_command("COMMAND", "INFO", name)[name]
            found.append((words, abs(told["arity"])))
        return found


def refusal(client: redis.Redis, words: list[str], arity: int) -> str:
    """What the server has against a call, "" where it has nothing."""
    try:
        client.execute_command(*words, *["unimargin:x"] * (arity - len(words)))
    except NoPermissionError as error:
        return str(error)
    except redis.ResponseError as error:
        return (
            str(error) if "command not allowed" in str(error) else ""
        )  # of nobody, by the server's configuration
    return ""


def test_default_when_somebody_comes_without_a_name_then_refused(running: SecureRedis) -> None:
    with (
        redis.Redis(
            port=running.port, retry=AT_ONCE, ssl=True, ssl_ca_certs=str(running.secrets / "ca.pem")
        ) as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()


def test_server_when_it_starts_again_then_it_has_every_transaction_and_script_of_its_users(
    running: SecureRedis,
) -> None:
    """It reads its append-only file as `default`, and leaves out what that user may not do."""
    key = "unimargin:{shard-7}:meta"
    script = "redis.call('HSET', KEYS[1], 'commit', '1'); redis.call('HSET', KEYS[1], 'beat', '1')"
    with running.client("worker") as client:
        client.evalsha(client.script_load(script), 1, key)
        pipe = client.pipeline(transaction=True)
        pipe.hset(key, "first", "1").hset(key, "second", "2").execute()
    running.__exit__(None, None, None)
    running.__enter__()
    with running.client("worker") as client:
        assert client.hgetall(key) == {"commit": "1", "beat": "1", "first": "1", "second": "2"}
    assert [it for it in running.refused() if it.startswith("default")] == []


def test_server_when_spoken_to_in_clear_then_no_answer(running: SecureRedis) -> None:
    with redis.Redis(port=running.port, retry=AT_ONCE) as client, pytest.raises(redis.ConnectionError):
        client.ping()


def test_user_when_nobody_gave_it_a_password_then_off(running: SecureRedis) -> None:
    with redis.Redis.from_url(running.url) as client:
        assert "off" in client.acl_getuser("lacking")["flags"]
        assert "on" in client.acl_getuser("worker")["flags"]


@pytest.mark.parametrize("category", ["write", "dangerous", "admin", "scripting", "pubsub", "blocking"])
def test_api_when_it_calls_any_command_that_is_not_for_readers_then_refused(
    running: SecureRedis, category: str
) -> None:
    asked = commands(running, category)
    assert asked
    with running.client("api") as client:
        allowed = [" ".join(words) for words, arity in asked if not refusal(client, words, arity)]
    assert allowed == []


@pytest.mark.parametrize("user", USERS)
def test_user_when_it_wants_what_no_role_needs_then_refused(running: SecureRedis, user: str) -> None:
    with running.client(user) as client:
        for words in (
            *("FLUSHALL", "SHUTDOWN", "KEYS *", "CONFIG SET maxmemory 1", "ACL LIST"),
            *(
                "ACL SETUSER x on",
                "MONITOR",
                "REPLICAOF no one",
                "EVAL return 0",
                "FUNCTION LIST",
                "MIGRATE h 1 k 0 1",
            ),
            *(
                "MODULE LIST",
                "CLIENT KILL TYPE normal",
                "SAVE",
                "SWAPDB 0 1",
                "PUBLISH c m",
                "SORT unimargin:x",
            ),
        ):
            assert refusal(client, words.split(), 0), words


@pytest.mark.parametrize("user", USERS)
def test_user_when_it_reads_or_writes_keys_that_are_not_its_own_then_refused(
    running: SecureRedis, user: str
) -> None:
    with running.client(user) as client:
        foreign = ["other:key", "unimargin", "unimargin2:{shard-0}:accounts"]
        if user in READERS:
            foreign += [
                it for it in {*OWN_KEYS.values(), "unimargin:{shard-0}:fence"} if it != OWN_KEYS.get(user)
            ]
        for key in foreign:
            for write in (["SET", key, "1"], ["HSET", key, "f", "1"], ["DEL", key], ["RPUSH", key, "1"]):
                assert refusal(client, write, 0), write
        for key in foreign[:3]:
            for read in (["GET", key], ["HGETALL", key], ["HSCAN", key, "0"], ["LRANGE", key, "0", "-1"]):
                assert refusal(client, read, 0), read
        if user in OWN_KEYS:
            assert not refusal(client, ["SET", OWN_KEYS[user], "1"], 0)


def test_look_when_a_runbook_says_so_then_the_server_answers_and_no_key_is_seen(running: SecureRedis) -> None:
    def look(*words: str) -> str:
        environment = {**os.environ, "SECRETS": str(running.secrets), "PORT": str(running.port)}
        command = ["sh", DEPLOY / "redis" / "look.sh", *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    asked = set()
    for path in [*(DEPLOY / "runbooks").glob("Margin*.md"), *(DEPLOY / "redis").glob("*.md")]:
        asked |= set(re.findall(r"(?:exec redis look|on redis-cli) ([^`]+)`", path.read_text()))
    assert len(asked) > 3
    for words in asked:
        assert "NOPERM" not in look(*words.split()), words
    assert "NOPERM" in look("GET", "unimargin:x")


def test_users_when_listed_then_every_role_is_there_and_none_has_all_commands_or_all_keys() -> None:
    lines = [it for it in (DEPLOY / "redis" / "users.acl").read_text().splitlines() if it.startswith("user")]
    assert {it.split()[1] for it in lines} == {*USERS, "default"}
    assert lines[0] == "user default off ~* &* +@all"
    for line in lines[1:]:
        assert re.match(r"user \w+ PASSWORD ", line)
        assert " -@all " in line
        assert not re.search(r"nopass|allkeys|allcommands|\+@all|~\*| [>#<]", line)


@pytest.mark.parametrize("code", ["another authority", "another password", "a file that is none"])
def test_command_when_redis_does_not_let_it_in_then_told_without_the_password(
    running: SecureRedis, tmp_path: Path, code: str
) -> None:
    settings = running.settings("api")
    if code == "another authority":
        settings["REDIS_TLS_CA_FILE"] = str(Authority(tmp_path / "other").ca)
    elif code == "a file that is none":
        settings["REDIS_TLS_CA_FILE"] = str(tmp_path / "no.pem")
    else:
        del settings["REDIS_PASSWORD_FILE"]
        settings["REDIS_PASSWORD"] = "hunter2"
    said = unimargin("account", "list", env={f"UNIMARGIN_{name}": value for name, value in settings.items()})
    words = {
        "another authority": (1, "redis_certificate_refused: "),
        "another password": (1, "redis_authentication_failed: "),
        "a file that is none": (2, "tls_file_unusable: UNIMARGIN_REDIS_TLS_CA_FILE"),
    }[code]
    assert said.code == words[0], said.err
    assert words[1] in said.err
    assert "Traceback" not in said.err
    for secret in ("hunter2", running.password("api")):
        assert secret not in said.err + said.out
