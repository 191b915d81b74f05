"""Who is let in at the API: keys, roles, limits, and what nobody is told."""

from pathlib import Path

import pytest

from streams.desk.api_keys import ApiRole
from tests.streams.desk.conftest import MakeApi
from tests.support.api_process import KEYS, ApiProcess
from tests.support.builders import account
from tests.support.cli import unimargin
from tests.support.cli_state import leave_state, marks_now
from tests.support.waiting import wait_for

pytestmark = pytest.mark.system

PROBLEM = "application/problem+json"


def test_key_when_wrong_or_missing_then_401_and_never_in_the_log(api: ApiProcess) -> None:
    right = KEYS[ApiRole.VIEWER]
    wrong = ["", "um_nobody", right[:-1], right + "x", "x" * 5000, "clé"]
    headers = [{"Authorization": f"Bearer {key}".encode().decode("latin-1")} for key in wrong]
    for sent in [{}, {"Authorization": f"Basic {right}"}, {"Authorization": right}, *headers]:
        said = api.ask("/accounts", key=None, headers=sent)
        assert (said.status, said.headers["content-type"]) == (401, PROBLEM), sent
        assert said.headers["www-authenticate"].startswith("Bearer")
        assert said.json["status"] == 401
        assert right.encode() not in said.body
    assert api.ask("/accounts?key=" + right, key=None).status == 401
    assert api.ask("/accounts", key=right).status == 200
    assert not [key for key in (right, *wrong) if key and key in api.log.read_text()]


def test_roles_when_asked_for_more_then_403_and_when_enough_then_answered(api: ApiProcess) -> None:
    question = {"portfolio": {"balances": {"USD": "1"}}}
    order = {"why": "to see"}
    wanted = {
        ApiRole.VIEWER: (200, 403, 403, 403),
        ApiRole.RISK: (200, 200, 200, 403),
        ApiRole.OPERATOR: (200, 200, 200, 409),
    }
    for role, statuses in wanted.items():
        said = [
            api.ask("/accounts", key=KEYS[role]),
            api.ask("/what-if", question, key=KEYS[role]),
            api.ask("/stress", key=KEYS[role]),
            api.ask("/breaker/release", order, key=KEYS[role]),
        ]
        assert tuple(it.status for it in said) == statuses, [it.body for it in said]
        assert all(it.headers["content-type"] == PROBLEM for it in said if it.status >= 400)


def test_limit_when_passed_then_429_with_a_time_and_others_go_on(make_api: MakeApi) -> None:
    api = make_api(API_REQUESTS_PER_MINUTE="20")
    statuses = [api.ask("/symbols", key="um_guess").status for _ in range(25)]
    assert statuses[:20] == [401] * 20
    assert 429 in statuses[20:]
    refused = next(it for it in (api.ask("/symbols", key="um_guess") for _ in range(10)) if it.status == 429)
    assert refused.headers["content-type"] == PROBLEM
    assert 1 <= int(refused.headers["retry-after"]) <= 3
    # keys of the file state a limit of their own
    assert {api.ask("/symbols", key=KEYS[ApiRole.VIEWER]).status for _ in range(30)} == {200}


def test_loopback_when_open_then_only_for_who_asks_from_here_by_its_name(make_api: MakeApi) -> None:
    api = make_api(API_OPEN_ON_LOOPBACK="true")
    for headers, status in (
        ({}, 200),
        ({"X-Forwarded-For": "127.0.0.1"}, 401),
        ({"Forwarded": "for=127.0.0.1"}, 401),
        ({"Host": "evil.example"}, 401),
        ({"Host": "localhost:1"}, 200),
        ({"Host": "[::1]:1"}, 200),
    ):
        assert api.ask("/symbols", key=None, headers=headers).status == status, headers
    assert api.ask("/breaker/void", {"why": "x"}, key=None).status == 403


def test_start_when_nobody_could_or_everybody_would_be_let_in_then_refused(redis_env: dict[str, str]) -> None:
    nobody = unimargin("api", env=redis_env)
    assert (nobody.code, "there is no key" in nobody.err) == (2, True)
    everybody = {**redis_env, "UNIMARGIN_API_OPEN_ON_LOOPBACK": "true", "UNIMARGIN_API_HOST": "0.0.0.0"}
    said = unimargin("api", env=everybody)
    assert (said.code, "UNIMARGIN_API_KEYS_FILE" in said.err) == (2, True)


def test_new_key_when_made_then_its_lines_let_it_in(make_api: MakeApi, tmp_path) -> None:
    said = unimargin("api-key", 'the "night" desk', "--role", "risk")
    assert said.code == 0
    key = said.err.split()[-1]
    file = tmp_path / "made.toml"
    file.write_text(said.out)
    api = make_api(API_KEYS_FILE=str(file))
    assert api.ask("/symbols", key=key).status == 200
    assert api.ask("/symbols", key=key.upper()).status == 401
    assert key not in file.read_text()


def test_names_when_a_slash_is_in_one_then_it_can_be_asked_for(api: ApiProcess, redis_url_db: str) -> None:
    leave_state(redis_url_db, 0, [account({"USD": 5}, name="desk/7 ü")], marks=marks_now({"USDT-USD": 1}))
    path = "/accounts/desk%2F7%20%C3%BC"
    said = wait_for("the account is known", lambda: (it := api.ask(path)).status == 200 and it)
    assert said.data["account"] == "desk/7 ü"
    assert api.ask("/accounts/desk/7").status == 404


def test_process_when_something_nobody_foresaw_happens_then_it_ends_as_failed(
    kafka_env: dict[str, str], redis_env: dict[str, str], tmp_path: Path
) -> None:
    # an option that the client of Redis does not know: told at the first call
    odd = {"UNIMARGIN_REDIS_URL": f"{redis_env['UNIMARGIN_REDIS_URL']}?surprise=1"}
    with ApiProcess({**kafka_env, **redis_env, **odd}, tmp_path) as api:
        assert api.wait_end(1) == 1
        assert "api_task_failed" in api.log.read_text()
