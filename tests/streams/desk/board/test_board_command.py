"""`unimargin board` as a user starts it: its way in, and a recorded day with its slider."""

import json
import re
import sys
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.streams.replay.test_day_recording import falling
from tests.support.board_browser import BoardBrowser
from tests.support.builders import SAMPLE
from tests.support.cli import unimargin
from tests.support.waiting import wait_for
from tests.support.workers import Worker

pytestmark = pytest.mark.system


def test_recorded_day_when_the_slider_is_moved_then_all_of_the_page_is_of_that_moment(tmp_path: Path) -> None:
    recording = tmp_path / "day.jsonl"
    recording.write_text("\n".join(falling()) + "\n")
    policy = tmp_path / "policy.toml"
    policy.write_text(SAMPLE)
    with Worker(
        "board",
        {"UNIMARGIN_API_PORT": "0", "UNIMARGIN_POLICY_FILE": str(policy), "PYTHONUNBUFFERED": "1"},
        tmp_path / "board.log",
        command=(*BOARD_COMMAND, "--replay", str(recording), "--role", "risk"),
    ) as process:
        address = wait_for("it serves", lambda: way_in(process))
        with BoardBrowser() as browser:
            page = browser.page
            page.goto(address)
            browser.until("the last moment", lambda: "1 not healthy" in browser.text("#scrubber output"))
            browser.until("bankrupt", lambda: "bankrupt" in browser.text(".tabulator-row"))
            assert "recorded day" in browser.text("#state")
            page.locator("#moment").focus()
            page.keyboard.press("Home")
            browser.until("healthy", lambda: "healthy" in browser.text(".tabulator-row"))
            browser.until("the price of then", lambda: "49,6" in browser.text("#symbols"))
            for _ in range(150):
                page.keyboard.press("ArrowRight")
            browser.until("worse", lambda: "healthy" not in browser.text(".tabulator-row"))
            page.locator(".tabulator-row a").click()
            browser.until("said by then", lambda: "warning opened" in browser.text("#account-history"))
            assert "bankrupt" not in browser.text("#account-history")
            page.locator("#account input[name=move]").fill("-20")
            page.locator(".whatif button").click()
            browser.until("what if, then", lambda: "bankrupt" in browser.text(".whatif .scroller"))
            browser.picture("recorded-account-1280-dark")
            assert browser.complaints == []


BOARD_COMMAND = (sys.executable, "-m", "streams.cli", "board")


def way_in(process: Worker) -> str | None:
    """The address that it printed."""
    found = re.search(r"board: (http://\S+)", process.log.read_text())
    return found[1] if found else None


def test_board_command_when_started_then_its_printed_way_in_is_a_viewers_and_of_this_process_alone(
    kafka_env: dict[str, str], redis_env: dict[str, str], tmp_path: Path
) -> None:
    env = {**kafka_env, **redis_env, "UNIMARGIN_API_PORT": "0", "PYTHONUNBUFFERED": "1"}
    with Worker("board", env, tmp_path / "board.log", command=BOARD_COMMAND) as process:
        address, _, key = wait_for("it serves", lambda: way_in(process)).partition("board/#key=")

        def caller(presented: str) -> tuple[int, dict[str, str]]:
            request = Request(f"{address}caller", headers={"Authorization": f"Bearer {presented}"})
            try:
                with urlopen(request, timeout=10) as response:
                    return response.status, json.loads(response.read())["data"]
            except HTTPError as error:
                return error.code, {}

        status, told = wait_for("it answers", lambda: (it := caller(key))[0] != 503 and it)
        assert (status, told["name"], told["role"], told["recorded"]) == (200, "board", "viewer", False)
        assert caller(f"{key}x")[0] == 401
        assert process.terminate() == 0
    log = (tmp_path / "board.log").read_text()
    assert log.count(key) == 1  # the line that says the address, which is standard output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--accounts", "5"), "--accounts, --from and --to belong to --replay"),
        (("--replay", "nowhere.csv"), "--replay nowhere.csv: no such file or directory"),
        (("--replay", "empty.jsonl"), "nothing to replay"),
    ],
)
def test_board_command_when_it_cannot_be_meant_then_told_why(
    words: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.jsonl").write_text("")
    told = unimargin("board", *words)
    assert (told.code, told.out) == (2, "")
    assert said in told.err
