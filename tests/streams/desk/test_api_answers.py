"""Every answer of the API is the command line's, digit for digit; a real Redis as a worker leaves it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
import redis

from streams.store.store_keys import ShardKeys
from tests.streams.desk.conftest import QUOTES, MakeApi
from tests.support.api_process import ApiProcess
from tests.support.builders import account
from tests.support.cli import unimargin
from tests.support.cli_state import leave_state, marks_now
from tests.support.waiting import wait_for

pytestmark = pytest.mark.system

TIMED = {"read_at_ns", "age_seconds"}
"""Fields that say when it was asked."""
PORTFOLIO = {
    "name": "thought of",
    "balances": {"USDT": "10000"},
    "positions": {"BTC-PERP": {"quantity": "1.5", "entry_price": "51000.5"}},
    "orders": [{"symbol": "ETH-PERP", "quantity": "2", "price": "2900"}],
    "prices": {"ETH-PERP": "3100.25"},
}


def timeless(said: Any) -> Any:
    """The same without what says when it was asked."""
    if isinstance(said, dict):
        return {name: timeless(value) for name, value in said.items() if name not in TIMED}
    return [timeless(it) for it in said] if isinstance(said, list) else said


@pytest.fixture
def env(redis_env: Mapping[str, str]) -> dict[str, str]:
    return dict(redis_env)


def test_answers_when_held_against_the_command_line_then_the_same_to_the_digit(
    filled: ApiProcess, env: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "portfolio.json"
    file.write_bytes(msgspec.json.encode(PORTFOLIO))
    order = {"symbol": "BTC-PERP", "side": "sell", "quantity": "0.25", "price": "50100"}
    changes = {
        "deposits": [{"asset": "USDT", "amount": "250.5"}],
        "orders": [{"symbol": "BTC-PERP", "side": "sell", "quantity": "0.5"}],
        "shocks": [{"target": "BTC", "move": "-0.15"}, {"target": "ETH-PERP", "move": "0.05"}],
    }
    words = ("--deposit", "USDT", "250.5", "--order", "BTC-PERP", "sell", "0.5", "--shock", "BTC=-15%")
    pairs = [
        ("/accounts/called", None, ("account", "show", "called")),
        ("/accounts/called?explain=true", None, ("account", "show", "called", "--explain")),
        (
            "/accounts/called/may-open",
            order,
            (
                "account",
                "may-open",
                "called",
                *(it for pair in order.items() for it in (f"--{pair[0]}", pair[1])),
            ),
        ),
        ("/accounts/called/withdrawable", None, ("account", "withdrawable", "called")),
        (
            "/accounts/well/withdrawable?asset=BTC",
            None,
            ("account", "withdrawable", "well", "--asset", "BTC"),
        ),
        ("/accounts/called/stress?explain=true", None, ("account", "stress", "called", "--explain")),
        (
            "/what-if",
            {"account": "called", **changes},
            ("whatif", "called", *words, "--shock", "ETH-PERP=+5%"),
        ),
        ("/stress?fund=100&moves=-20,-10", None, ("stress", "--fund", "100", "--moves=-20,-10")),
        ("/heat-map", None, ("heatmap",)),
        (
            "/heat-map?symbol=BTC-PERP&moves=-20,20",
            None,
            ("heatmap", "--symbol", "BTC-PERP", "--moves=-20,20"),
        ),
        ("/liquidations", None, ("liquidations",)),
    ]
    for path, body, command in pairs:
        said, shown = filled.ask(path, body), unimargin(*command, "--json", env=env)
        assert said.status == 200, said.body
        assert shown.code in {0, 1}, shown.err
        assert timeless(said.data) == timeless(shown.json), path
    breakers = unimargin("breaker", "show", "--json", env=env).json
    assert filled.ask("/breaker").data == breakers
    symbols = unimargin("symbols", "show", "--json", env=env).json
    assert timeless([it["belief"] for it in filled.ask("/symbols").data]) == timeless(symbols)
    simulated = filled.ask("/simulate?explain=true", {"portfolio": PORTFOLIO}).data
    told = unimargin("simulate-portfolio", str(file), "--explain", "--json", env=env)
    assert told.code == 0, told.err
    assert timeless(simulated["before"]) == timeless(told.json)
    assert timeless(simulated["after"]) == timeless(told.json)
    moved = filled.ask("/simulate", {"portfolio": PORTFOLIO, "shocks": changes["shocks"]}).data
    assert moved["after"]["figures"] != moved["before"]["figures"] == simulated["before"]["figures"]


def test_envelope_when_answered_then_says_when_from_what_and_under_which_rules(
    filled: ApiProcess, env: dict[str, str]
) -> None:
    shown = unimargin("account", "show", "called", "--json", env=env).json
    of_all, of_one = filled.ask("/accounts").json, filled.ask("/accounts/called").json
    assert of_all["inputs"] == {"0": {"fills": 40, "ledger": 6}, "1": {"fills": -1, "ledger": -1}}
    assert of_one["inputs"] == {"0": shown["inputs"]}
    for said in (of_all, of_one):
        assert said["policy_digest"] == shown["policy_digest"]
        assert max(said["instant"], said["read_at"]) <= said["evaluated_at"]
        assert said["instant"].endswith("Z")


def test_accounts_when_listed_then_the_riskiest_first_by_band_then_ratio_and_rows_as_the_command_line(
    filled: ApiProcess, env: dict[str, str]
) -> None:
    rows = filled.ask("/accounts").data["items"]
    assert [it["account"] for it in rows[:4]] == ["sinking more", "sinking", "called", "well"]
    assert [it["band"] for it in rows[:4]] == ["liquidation", "liquidation", "margin_call", "healthy"]
    listed = {
        it["account"]: it
        for it in unimargin("account", "list", "--limit", "50", "--json", env=env).json["accounts"]
    }
    assert len(listed) == 44
    for row in rows:
        assert listed[row["account"]] == row


def test_accounts_when_filtered_and_paged_then_each_once_and_none_forgotten(filled: ApiProcess) -> None:
    def names(query: str) -> list[str]:
        said = filled.ask(f"/accounts?{query}")
        assert said.status == 200, said.body
        return [it["account"] for it in said.data["items"]]

    assert names("band=liquidation") == ["sinking more", "sinking"]
    assert names("controls=trade_only") == ["called"]
    assert names("call=urgent&symbol=ETH-PERP") == ["sinking more", "sinking"]
    assert names("symbol=BTC-PERP") == ["called", "well"]
    seen, cursor = [], ""
    while True:
        page = filled.ask(f"/accounts?limit=7{cursor}").data
        seen += [it["account"] for it in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={quote(page['next_cursor'])}"
    assert len(seen) == len(set(seen)) == page["total"] == 44
    assert seen[:3] == ["sinking more", "sinking", "called"]


def test_episodes_when_open_then_the_worst_first_and_paged(filled: ApiProcess) -> None:
    whole = filled.ask("/episodes").data
    assert [it["account"] for it in whole["items"]] == ["sinking more", "sinking", "called"]
    assert whole["items"][2]["deadline_ns"] == 2_000_000_000_000_000_000
    first = filled.ask("/episodes?limit=2").data
    rest = filled.ask(f"/episodes?limit=2&after={quote(first['next_cursor'])}").data
    assert [*first["items"], *rest["items"]] == whole["items"]
    assert rest["next_cursor"] is None
    assert [it["account"] for it in filled.ask("/episodes?band=margin_call").data["items"]] == ["called"]


def test_mistakes_when_asked_then_problem_details_that_name_the_field(filled: ApiProcess) -> None:
    order = {"symbol": "BTC-PERP", "side": "buy", "quantity": "1", "price": "50000"}
    mistakes: list[tuple[str, object, int, str]] = [
        ("/accounts/nobody", None, 404, "nobody"),
        ("/accounts/caled", None, 404, "did you mean called?"),
        ("/what-if", {"account": "caled"}, 404, "did you mean called?"),
        ("/events?account=caled", None, 404, "did you mean called?"),
        ("/symbols/DOGE", None, 404, "DOGE"),
        ("/symbols/BTC-PRP", None, 404, "did you mean BTC-PERP"),
        ("/accounts?symbol=BTC-PRP", None, 400, "did you mean BTC-PERP"),
        ("/accounts?bnd=healthy", None, 400, "did you mean band?"),
        ("/accounts/called?at=1700000000000000000", None, 400, "recorded day"),
        ("/accounts/called?account=well", None, 400, "there are explain"),
        ("/breaker?desk=1", None, 400, "it takes none"),
        ("/what-if?explain=true", {"account": "called"}, 400, "it takes none"),
        ("/episodes?band=bankrup", None, 400, "did you mean bankrupt"),
        ("/stream?kinds=bands", None, 400, "did you mean band?"),
        ("/events?account=called&topic=foo", None, 400, "margin-events"),
        ("/nothing", None, 404, ""),
        ("/accounts?band=awful", None, 400, "one of healthy, warning, margin_call"),
        ("/accounts?limit=0", None, 400, "limit"),
        ("/accounts?cursor=%00", None, 400, "cursor"),
        ("/accounts?cursor=W10=", None, 400, "cursor"),
        ("/episodes?after=x", None, 400, "after"),
        ("/heat-map?moves=much", None, 400, "moves"),
        ("/heat-map?symbol=BTC-PRP", None, 400, "did you mean BTC-PERP"),
        ("/stress?scenario=../../etc/passwd", None, 400, "scenario"),
        ("/stress?fund=-1", None, 400, "fund"),
        ("/stress?fund=NaN", None, 400, "fund"),
        ("/accounts/called/withdrawable?asset=DOGE", None, 400, "asset"),
        ("/accounts/called/may-open", {**order, "quantity": "-1"}, 400, "quantity"),
        ("/accounts/called/may-open", {**order, "quantity": "1e400"}, 400, "quantity"),
        ("/accounts/called/may-open", {**order, "symbol": "BTC-PERB"}, 400, "BTC-PERP"),
        ("/accounts/called/may-open", {**order, "size": "1"}, 400, "size"),
        ("/accounts/called/may-open", {**order, "price": "NaN"}, 400, "price"),
        ("/what-if", {}, 400, "account or portfolio"),
        ("/what-if", {"account": "called", "portfolio": PORTFOLIO}, 400, "account or portfolio"),
        ("/what-if", {"account": "called", "shocks": [{"target": "MOON", "move": "0.1"}]}, 400, "MOON"),
        ("/what-if", {"account": "called", "shocks": [{"target": "BTC", "move": "-1"}]}, 400, "move"),
        ("/simulate", {"portfolio": {"balances": {"DOGE": "1"}}}, 400, "DOGE"),
        ("/simulate", {"portfolio": {"balances": {"USD": "1e300"}}}, 400, "USD"),
        ("/breaker/void", {"why": "  "}, 409, ""),
        ("/events", None, 400, "account"),
    ]
    for path, body, status, words in mistakes:
        said = filled.ask(path, body)
        assert (said.status, said.headers["content-type"]) == (status, "application/problem+json"), (
            path,
            said.body,
        )
        assert said.json["status"] == status
        assert said.json["type"].startswith("urn:unimargin:problem:")
        assert words in said.body.decode(), (path, said.body)
        assert "--" not in said.json["detail"], said.body
    wrong = filled.ask("/accounts", {}, method="DELETE")
    assert (wrong.status, wrong.headers["content-type"]) == (405, "application/problem+json")
    big = filled.ask("/what-if", {"account": "x" * 2_000_000})
    assert (big.status, big.headers["content-type"]) == (413, "application/problem+json")


def test_schema_when_read_then_every_path_answers_as_it_says(filled: ApiProcess) -> None:
    schema = filled.ask("/schema", key=None).json
    assert schema["openapi"].startswith("3.1")
    bodies = {
        "/accounts/{account}/may-open": {"symbol": "BTC-PERP", "side": "buy", "quantity": "1", "price": "1"},
        "/what-if": {"account": "called"},
        "/simulate": {"account": "called"},
        "/breaker/release": {"why": "x"},
        "/breaker/void": {"why": "x"},
    }
    assert {path for path, of in schema["paths"].items() if "post" in of} == set(bodies)
    for path, operations in schema["paths"].items():
        if path == "/stream":
            continue
        asked = path.replace("{account}", "called").replace("{symbol}", "BTC-PERP")
        said = filled.ask(asked + ("?account=called" if path == "/events" else ""), bodies.get(path))
        operation = operations["post" if path in bodies else "get"]
        assert str(said.status) in operation["responses"], path
        content = operation["responses"][str(said.status)]["content"]
        assert said.headers["content-type"] in content, path


def test_accounts_when_one_cannot_be_valued_or_read_then_it_says_why_and_the_others_are_answered(
    make_api: MakeApi, redis_url_db: str
) -> None:
    states = [
        account({asset: 1}, name=name) for asset, name in (("USD", "fine"), ("DOGE", "odd"), ("USD", "newer"))
    ]
    leave_state(redis_url_db, 0, states, marks=marks_now(QUOTES))
    with redis.Redis.from_url(redis_url_db) as client:
        record = b'{"account":"newer","pools":{"":{"band":"of a later version"}}}'
        client.hset(ShardKeys("unimargin", 0).risks, "newer", record)
    api = make_api()
    wait_for("one is in no list", lambda: api.ask("/health").data["unreadable"] == 1)
    listed = api.ask("/accounts").data
    assert ([it["account"] for it in listed["items"]], listed["complete"]) == (["fine", "odd"], True)
    for name, words in (("odd", "asset DOGE"), ("newer", "risk record of 'newer'")):
        said = api.ask(f"/accounts/{name}")
        assert (said.status, said.json["type"]) == (503, "urn:unimargin:problem:unanswerable")
        assert words in said.json["detail"]
