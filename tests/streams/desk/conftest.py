"""A real API over a real Redis and a real Kafka."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.events.effects import AccountRisk
from engine.ladder import Band, LadderState
from engine.ladder.states import CallKind, Controls
from tests.support.api_process import ApiProcess
from tests.support.builders import SAMPLE, account
from tests.support.cli_state import leave_state, marks_now
from tests.support.waiting import wait_for

MakeApi = Callable[..., ApiProcess]
QUOTES = {"USDT-USD": 1, "BTC-USD": 50_000, "BTC-PERP": 50_000, "ETH-PERP": 3_000}


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


def risk(name: str, band: Band, **fields: Any) -> AccountRisk:
    return AccountRisk(name, {"": LadderState(band=band, episode_id=f"{name}//1", **fields)})


@pytest.fixture
def filled(make_api: MakeApi, redis_url_db: str) -> ApiProcess:
    """Accounts of every sort in two shards, and an API that has ranked them."""
    states = [
        account({"USDT": 10_000}, {"BTC-PERP": (1, 50_000)}, name="well"),
        account(
            {"USDT": 3_400, "BTC": "0.1"}, {"BTC-PERP": (2, 51_000), "ETH-PERP": (-1, 3_100)}, name="called"
        ),
        account({"USDT": 1_000}, {"ETH-PERP": (5, 3_150)}, name="sinking"),
        account({"USDT": 900}, {"ETH-PERP": (5, 3_150)}, name="sinking more"),
    ]
    call = {
        "controls": Controls.TRADE_ONLY,
        "call": CallKind.STANDARD,
        "deadline_ns": 2_000_000_000_000_000_000,
    }
    risks = [
        risk("called", Band.MARGIN_CALL, **call),
        risk("sinking", Band.LIQUIDATION, controls=Controls.LOCKED, call=CallKind.URGENT),
        risk("sinking more", Band.LIQUIDATION, controls=Controls.LOCKED, call=CallKind.URGENT),
    ]
    leave_state(redis_url_db, 0, states[:2], risks[:1], marks_now(QUOTES), {"fills": 41, "ledger": 7})
    others = [account({"USDT": 10 + it}, name=f"small-{it}") for it in range(40)]
    leave_state(redis_url_db, 1, [*states[2:], *others], risks[1:], marks_now(QUOTES))
    api = make_api()
    wait_for(
        "everybody is ranked", lambda: (it := api.ask("/accounts").data)["total"] == 44 and it["complete"]
    )
    return api
