"""The API while its broker is away: what it writes of it, and that it ends all the same."""

from datetime import datetime
from pathlib import Path

import msgspec
import pytest

from engine.events.effects import Stream
from streams.config.logs import REPEAT_SECONDS
from tests.streams.desk.conftest import MakeApi
from tests.support.kafka_server import RealKafka
from tests.support.waiting import wait_for

pytestmark = pytest.mark.system


def test_api_when_the_broker_dies_then_the_library_repeats_nothing_and_sigterm_ends_it(
    make_api: MakeApi, tmp_path: Path
) -> None:
    (tmp_path / "kafka").mkdir()
    with RealKafka(tmp_path / "kafka") as kafka:
        kafka.create_topics(dict.fromkeys(Stream, 8))
        api = make_api(KAFKA_BOOTSTRAP_SERVERS=kafka.bootstrap_servers)
        kafka.kill()

        def complained() -> list[dict[str, str]]:
            lines = [msgspec.json.decode(it) for it in api.log.read_bytes().splitlines() if it[:1] == b"{"]
            said = [it for it in lines if it.get("logger", "").startswith("aiokafka")]
            return said if len({it["event"] for it in said}) >= 3 and _seconds(said) > 2 else []

        said = wait_for("the library has complained for a while", complained)
        newest: dict[str, float] = {}
        for it in said:
            at = datetime.fromisoformat(it["timestamp"]).timestamp()
            assert at - newest.get(it["event"], 0) > REPEAT_SECONDS - 1, it
            newest[it["event"]] = at
        assert api.terminate() == 0


def _seconds(said: list[dict[str, str]]) -> float:
    first, last = (datetime.fromisoformat(said[at]["timestamp"]) for at in (0, -1))
    return (last - first).total_seconds()
