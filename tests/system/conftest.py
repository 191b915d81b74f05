"""Options of the kill tests, and one Kafka, Redis and set of topics per test.

make test ARGS="tests/system/test_kill.py --kills 300 --seed 7"
"""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streams.embedded.embedded_redis import EmbeddedRedis
from tests.conftest import system_redis_server
from tests.support.cli import unimargin
from tests.support.cluster import Cluster
from tests.support.kafka_server import RealKafka
from tests.support.secure_kafka import SecureKafka

ROLES = ("worker", "exchange", "api", "notifier", "operator", "prometheus")
EVERY_TOPIC = {"UNIMARGIN_OPERATOR_TOPIC_ENABLED": "true", "UNIMARGIN_FUND_TOPIC_ENABLED": "true"}
KILLS = 20
"""In CI."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=None, help="kill -9 of workers in the kill tests")
    parser.addoption("--aged-fills", type=int, default=None, help="how many fills age a worker")
    parser.addoption("--failovers", type=int, default=None, help="kill -9 of primaries in the failover tests")
    parser.addoption("--lose", action="store_true", help="have some of the failovers lose commits")
    parser.addoption("--broker-kills", type=int, default=None, help="kill -9 of one of three brokers")


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    """How many workers to kill."""
    # Without a path on the command line pytest comes here too late to learn of the options.
    return int(request.config.getoption("--kills", None) or KILLS)


@pytest.fixture
def seed(request: pytest.FixtureRequest, say: Callable[[str], None]) -> int:
    """The seed of traffic and faults, said so that a failure can be repeated."""
    given = request.config.getoption("--seed", None)
    chosen = random.SystemRandom().randrange(2**32) if given is None else int(given)
    say(f"repeat with --seed {chosen}")
    return chosen


@pytest.fixture(scope="session")
def system_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealKafka]:
    """A Kafka for the system tests alone: the event topics have fixed names."""
    with RealKafka(tmp_path_factory.mktemp("system-kafka")) as kafka:
        yield kafka


@pytest.fixture(scope="session")
def secure_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    """A Kafka with TLS, a password and a certificate for each role, and an authorizer that knows the shipped table."""
    with SecureKafka(tmp_path_factory.mktemp("secure-kafka"), ("admin", *ROLES)) as kafka:
        env = {f"UNIMARGIN_{name}": value for name, value in kafka.scram("admin").items()}
        said = unimargin("topics", "acls", "apply", env={**env, **EVERY_TOPIC})
        assert said.code == 0, said.err
        yield kafka


@pytest.fixture
def cluster(system_kafka: RealKafka, tmp_path: Path) -> Iterator[Cluster]:
    """Fresh topics, an empty Redis of its own, no workers yet."""
    with (
        EmbeddedRedis(tmp_path / "redis", binary=system_redis_server()) as server,
        Cluster(system_kafka, server, tmp_path) as fresh,
    ):
        yield fresh
