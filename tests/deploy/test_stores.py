import subprocess
import time

import pytest
import redis

from tests.conftest import system_redis_server
from tests.deploy.files import DEPLOY, topics

OF_RECORD = ("fills", "ledger", "margin-events", "liquidations")
CO_PARTITIONED = (*OF_RECORD, "account-state")


def test_account_keyed_topics_have_one_partition_count():
    assert len({topics()[name]["partitions"] for name in CO_PARTITIONED}) == 1


@pytest.mark.parametrize("name", [*OF_RECORD, "quarantine"])
def test_topics_of_record_are_kept_for_ever(name):
    config = topics()[name]["config"]
    assert config["cleanup.policy"] == "delete"
    assert config["retention.ms"] == "-1"
    assert config["retention.bytes"] == "-1"


def test_topics_are_the_ones_of_the_pipeline_with_string_settings():
    assert set(topics()) == {*CO_PARTITIONED, "prices", "quarantine", "operator", "fund"}
    assert topics()["prices"]["partitions"] == 4
    assert topics()["quarantine"]["partitions"] == 1
    assert topics()["operator"]["partitions"] == 1
    assert topics()["account-state"]["config"]["cleanup.policy"] == "compact"
    assert (topics()["fund"]["partitions"], topics()["fund"]["config"]["cleanup.policy"]) == (1, "compact")
    for topic in topics().values():
        assert set(topic) == {"partitions", "config"}
        assert all(isinstance(value, str) for value in topic["config"].values())


@pytest.fixture
def start_redis(tmp_path):
    """A function that starts a redis-server with our configuration on a socket and gives (client, process)."""
    binary = system_redis_server()
    assert binary, "redis-server is not installed (Debian package: redis-server)"
    socket = tmp_path / "redis.sock"
    command = [str(binary), str(DEPLOY / "redis" / "redis.conf"), "--port", "0", "--unixsocket", str(socket)]
    processes = []

    def start():
        socket.unlink(missing_ok=True)
        process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
        processes.append(process)
        client = redis.Redis(unix_socket_path=str(socket), decode_responses=True)
        deadline = time.monotonic() + 10
        while True:
            assert process.poll() is None, "redis-server refused its configuration"
            try:
                client.exists("health")
            except redis.ConnectionError:
                assert time.monotonic() < deadline, "redis-server did not start"
                time.sleep(0.05)
            else:
                return client, process

    yield start
    for process in processes:
        process.kill()
        process.wait()


def test_redis_with_our_configuration_is_durable_and_never_evicts(start_redis):
    client, _ = start_redis()
    got = client.config_get("append*", "maxmemory*", "save")
    client.close()
    assert got["appendonly"] == "yes"
    assert got["appendfsync"] == "everysec"
    assert got["maxmemory-policy"] == "noeviction"
    assert int(got["maxmemory"]) > 0
    assert got["save"] == ""


def test_redis_with_our_configuration_when_killed_keeps_what_it_acknowledged(start_redis):
    client, process = start_redis()
    for number in range(500):
        client.hset("{shard-0}:account", str(number), "state")
    client.close()
    process.kill()
    process.wait()
    client, _ = start_redis()
    assert client.hlen("{shard-0}:account") == 500
    client.close()
