"""A real API process, asked as a client would ask it, and listeners to its stream."""

import hashlib
import json
import sys
from collections.abc import Mapping
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from streams.desk.api_keys import ApiRole
from tests.support.workers import Answer, Worker

API_COMMAND = (sys.executable, "-m", "streams.cli", "api")
KEYS = {role: f"um_{role.value}-of-the-tests" for role in ApiRole}
ASK_S = 30.0


class Told(NamedTuple):
    """An answer of the API."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)

    @property
    def data(self) -> Any:
        """What the envelope holds."""
        return self.json["data"]


class ApiProcess(Worker):
    """One API; ports and keys are its own."""

    def __init__(self, environment: Mapping[str, str], directory: Path, name: str = "api") -> None:
        keys = directory / f"{name}-keys.toml"
        keys.write_text(
            "".join(
                f'[keys.the-{role}]\nrole = "{role}"\nsha256 = "{hashlib.sha256(key.encode()).hexdigest()}"\n'
                "requests_per_minute = 100000\n"
                for role, key in KEYS.items()
            )
        )
        known = {
            "UNIMARGIN_API_PORT": "0",
            "UNIMARGIN_API_KEYS_FILE": str(keys),
            "UNIMARGIN_API_REFRESH_SECONDS": "0.1",
            "UNIMARGIN_API_BOOK_SECONDS": "0",
            "UNIMARGIN_KAFKA_FETCH_WAIT_MS": "20",
            **environment,
        }
        super().__init__(name, known, directory / f"{name}.log", command=API_COMMAND)

    def address(self) -> str | None:
        for line in reversed(self.events("api_listens")):
            return f"{line['host']}:{line['port']}"
        return None

    def ready(self) -> str | None:
        address = self.address()
        if address is None:
            return "it does not listen yet"
        try:
            told = self.ask("/health", key=None)
        except OSError as error:
            return str(error)
        return None if told.status == 200 else f"{told.status}: {told.body.decode()}"

    def get(self, path: str) -> Answer:
        told = self.ask(path, key=None)
        return Answer(told.status, told.body.decode())

    def ask(
        self,
        path: str,
        body: object = None,
        *,
        key: str | None = KEYS[ApiRole.OPERATOR],
        headers: Mapping[str, str] | None = None,
        method: str | None = None,
    ) -> Told:
        """Ask; a body is posted as JSON."""
        address = self.address()
        assert address is not None, self.last_words()
        connection = HTTPConnection(address, timeout=ASK_S)
        sent = {} if key is None else {"Authorization": f"Bearer {key}"}
        data = None if body is None else json.dumps(body)
        try:
            connection.request(
                method or ("GET" if body is None else "POST"), path, data, {**sent, **(headers or {})}
            )
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Told(response.status, found, response.read())
        finally:
            connection.close()

    def listen(self, query: str = "", last_id: str | None = None) -> "StreamReader":
        """Open /stream."""
        address = self.address()
        assert address is not None, self.last_words()
        return StreamReader(address, query, last_id)


class Heard(NamedTuple):
    """One server-sent event."""

    id: str
    event: str
    data: Any


class StreamReader:
    """A listener that reads one event after the other."""

    def __init__(self, address: str, query: str, last_id: str | None) -> None:
        self._connection = HTTPConnection(address, timeout=ASK_S)
        headers = {"Authorization": f"Bearer {KEYS[ApiRole.VIEWER]}"}
        if last_id is not None:
            headers["Last-Event-ID"] = last_id
        self._connection.request("GET", f"/stream{query}", headers=headers)
        self.response = self._connection.getresponse()
        self.comments = 0

    def next(self) -> Heard:
        """The next event. Raises OSError or AssertionError where none comes."""
        fields: dict[str, str] = {}
        while True:
            line = self.response.readline().decode().rstrip("\n")
            assert line or fields or not self.response.isclosed(), "the stream ended"
            if line.startswith(":"):
                self.comments += 1
            elif line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif "data" in fields:
                return Heard(fields.get("id", ""), fields["event"], json.loads(fields["data"]))

    def until(self, event: str) -> list[Heard]:
        """Events up to the first of that name, which is the last of the list."""
        found = [self.next()]
        while found[-1].event != event:
            found.append(self.next())
        return found

    def close(self) -> None:
        self.response.close()
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
