"""A real API over a real Redis and a real Kafka."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.api_process import ApiProcess
from tests.support.builders import SAMPLE

MakeApi = Callable[..., ApiProcess]


@pytest.fixture
def sample_policy(tmp_path: Path) -> Path:
    """The sample policy, under which prices stay fresh for as long as a test takes."""
    path = tmp_path / "policy.toml"
    path.write_text(SAMPLE.replace("stale_after_seconds = 10", "stale_after_seconds = 600"))
    return path


@pytest.fixture
def make_api(kafka_env: dict[str, str], redis_env: dict[str, str], tmp_path: Path) -> Iterator[MakeApi]:
    """Start APIs; `settings` are UNIMARGIN_* without the prefix."""
    made: list[ApiProcess] = []

    def start(name: str = "api", **settings: str) -> ApiProcess:
        own = {f"UNIMARGIN_{key}": value for key, value in settings.items()}
        api = ApiProcess({**kafka_env, **redis_env, **own}, tmp_path, name)
        made.append(api)
        return api.start().wait_ready()

    yield start
    for api in made:
        api.close()


@pytest.fixture
def api(make_api: MakeApi) -> ApiProcess:
    """One API."""
    return make_api()
