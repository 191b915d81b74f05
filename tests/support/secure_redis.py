"""A real redis-server as deploy/redis/start.sh starts it: TLS, a user for each role, `default` off."""

import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from streams.embedded.ports import LOOPBACK, free_port
from tests.support.waiting import wait_until_none
from tests.support.workers import TREE

TOOLS = "c4nary-of-the-tests"
STOP_S = 10.0
AT_ONCE = Retry(NoBackoff(), 0)


def make_secrets(directory: Path) -> Path:
    """What deploy/make-secrets makes."""
    subprocess.run([TREE / "deploy" / "make-secrets", directory], check=True, capture_output=True, timeout=60)
    return directory


class SecureRedis:
    """From entry to exit; `url` is that of a user of the tests' own, who may do anything."""

    def __init__(self, directory: Path) -> None:
        self.data_dir = directory / "data"
        self.data_dir.mkdir(parents=True)
        self.secrets = make_secrets(directory / "secrets")
        for user, password in {"tests": TOOLS, "restore": f"{TOOLS}-restore"}.items():
            (self.secrets / f"redis_{user}").write_text(password)
        self.port = free_port()
        self._deploy = Path(shutil.copytree(TREE / "deploy" / "redis", directory / "deploy"))
        with (self._deploy / "users.acl").open("a") as users:
            users.write("user tests PASSWORD ~* &* +@all\nuser lacking PASSWORD ~* +@all\n")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Of the tests' own user, for any Redis client."""
        return f"rediss://tests:{TOOLS}@{LOOPBACK}:{self.port}/0?ssl_ca_certs={self.secrets / 'ca.pem'}"

    @property
    def running(self) -> bool:
        """Whether the server runs now."""
        return self._process is not None and self._process.poll() is None

    def password(self, user: str) -> str:
        """Of one of the roles."""
        return (self.secrets / f"redis_{user}").read_text()

    def client(self, user: str) -> redis.Redis:
        """A client of one of the roles; close it."""
        return redis.Redis(
            LOOPBACK,
            self.port,
            username=user,
            password=self.password(user),
            ssl=True,
            ssl_ca_certs=str(self.secrets / "ca.pem"),
            retry=AT_ONCE,
            decode_responses=True,
        )

    def settings(self, user: str) -> dict[str, str]:
        """Settings of a process of that role."""
        return {
            "REDIS_URL": f"rediss://{LOOPBACK}:{self.port}/0",
            "REDIS_USERNAME": user,
            "REDIS_PASSWORD_FILE": str(self.secrets / f"redis_{user}"),
            "REDIS_TLS_CA_FILE": str(self.secrets / "ca.pem"),
        }

    def refused(self) -> list[str]:
        """What the server has refused: who wanted what."""
        with redis.Redis.from_url(self.url, decode_responses=True) as client:
            return [f"{it['username']}: {it['reason']} {it['object']}" for it in client.acl_log()]

    def __enter__(self) -> Self:
        environment = {
            **os.environ,
            "SECRETS": str(self.secrets),
            "RUN": str(self.data_dir),
            "PORT": str(self.port),
        }
        with (self.data_dir / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                ["sh", str(self._deploy / "start.sh"), "--bind", LOOPBACK],
                cwd=self.data_dir,
                env=environment,
                stdout=log,
                stderr=log,
            )
        wait_until_none("redis-server answers", self._problem, 30.0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _problem(self) -> str | None:
        assert self.running, (self.data_dir / "server.log").read_text()
        try:
            with redis.Redis.from_url(self.url) as client:
                client.ping()
        except redis.RedisError as error:
            return str(error)
        return None
