"""What aiokafka would tell of a password at DEBUG is not told, whatever is set."""

import json
import logging
from collections.abc import Iterator

import pytest
from aiokafka.protocol.admin import SaslAuthenticateRequest_v0
from aiokafka.protocol.metadata import MetadataRequest_v0

from streams.config.logs import configure_logs

CLIENT = logging.getLogger("aiokafka.conn")


@pytest.fixture
def logs_restored() -> Iterator[None]:
    handlers, level, of_client = logging.root.handlers, logging.root.level, CLIENT.level
    yield
    logging.root.handlers = handlers
    logging.root.setLevel(level)
    CLIENT.setLevel(of_client)


@pytest.mark.usefixtures("logs_restored")
def test_client_when_told_to_tell_everything_then_of_no_request_that_carries_a_password(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs("DEBUG")
    CLIENT.setLevel(logging.DEBUG)
    for request in (MetadataRequest_v0(["fills"]), SaslAuthenticateRequest_v0(b"\0worker\0c4nary")):
        CLIENT.debug("Request to %s:%d %d: %s", "kafka", 9092, 1, request)
    (line,) = capsys.readouterr().err.splitlines()
    assert "fills" in json.loads(line)["event"]
