"""`unimargin account stress` against a real Redis, and `unimargin scenario`."""

from decimal import Decimal
from pathlib import Path

import pytest

from engine.analytics.stress_scenario import parse_scenario
from streams.config.stress_scenarios import shipped_scenarios
from tests.support.builders import account
from tests.support.cli import unimargin
from tests.support.cli_state import leave_state, marks_now

D = Decimal
QUOTES = {"USDT-USD": 1, "BTC-USD": 100, "BTC-PERP": 100, "ETH-PERP": 50, "USD-PERP": 100}
TRADES = """ts_ms,symbol,price,qty
1760130000000,BTCUSD,100,1
1760130001000,ETHUSD,50,1
1760130002000,BTCUSD,80,1
1760130003000,ETHUSD,45,1
1760130004000,BTCUSD,99,1
1760130005000,ZZZUSD,1,1
"""


def leave(env, state, age_s=0.0):
    leave_state(env["UNIMARGIN_REDIS_URL"], 0, [state], marks=marks_now(QUOTES, age_s))


@pytest.mark.system
def test_stress_when_asked_then_worst_case_grids_and_days_of_history(redis_env):
    leave(redis_env, account({"USD": 250}, {"USD-PERP": (10, 100)}))
    shown = unimargin("account", "stress", "alice", "--moves", "-20,10", "--json", env=redis_env).json
    # 250 + 10 * (100 f - 100) = 50 f    =>    f = 750 / 950
    assert shown["worst_case"]["key"] == "USD-PERP"
    assert (shown["worst_case"]["leverage"], shown["worst_case"]["lines"][-1]["move"]) == (
        "4.000000000000000000",
        "-0.210527",
    )
    # 1,000 * -20 % and 10 %
    profits = [(cell["move"], cell["pools"][0]["profit"]) for cell in shown["grids"]["uniform"]]
    assert profits == [("-0.2", "-200"), ("0", "0"), ("0.1", "100")]
    assert shown["grids"]["beta"] == shown["grids"]["uniform"], "the policy has no betas"
    # 1,000 * -52 %, -30 %, -24 %, -13 %
    days = {it["name"]: it["pools"][0]["profit"] for it in shown["scenarios"]}
    assert days == {"2020-03-12": "-520", "2021-05-19": "-300", "2022-11-08": "-240", "2025-10-10": "-130"}
    text = unimargin("account", "stress", "alice", env=redis_env).out
    for words in (
        "USD-PERP, the most leveraged",
        "-21.05 %",
        "every underlying by its beta",
        "2020-03-12",
        "bankrupt",
    ):
        assert words in text


@pytest.mark.system
def test_stress_when_a_scenario_is_a_file_and_explained_then_items_that_sum(redis_env, tmp_path):
    own = tmp_path / "own.toml"
    window = "begins = 2020-01-01T00:00:00Z\nends = 2020-01-02T00:00:00Z"
    moves = "[prices]\nBTC = -0.1\nFTT = -0.5"
    own.write_text(f'name = "own"\nabout = "-"\nsources = []\n{window}\n{moves}\n')
    leave(redis_env, account({"USD": 100}, {"USD-PERP": (10, 100)}), age_s=60)
    words = ("account", "stress", "alice", "--scenario", str(own), "--explain")
    shown = unimargin(*words, "--json", env=redis_env).json
    (day,) = shown["scenarios"]
    assert (day["profit_by_item"], day["not_priced"]) == ({"": {"USD-PERP": "-100"}}, ["FTT"])
    assert shown["degraded_reasons"] == ["USD-PERP: price is stale"]
    assert "asset or position" in unimargin(*words, env=redis_env).out


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("--moves", "-100"), "--moves: "),
        (("--volatility", "up"), "--volatility: "),
        (("--scenario", "2020-03-13"), "neither a file nor one of 2020-03-12"),
    ],
)
def test_stress_when_it_cannot_be_meant_then_one_line(words, hint):
    said = unimargin("account", "stress", "alice", *words)
    assert said.code == 2
    assert hint in said.err


def test_scenarios_when_they_ship_then_each_names_window_and_sources():
    known = shipped_scenarios()
    assert [it.name for it in known] == ["2020-03-12", "2021-05-19", "2022-11-08", "2025-10-10"]
    for it in known:
        assert it.sources
        assert f"{it.begins:%Y-%m-%d}" == it.name
        assert it.prices["BTC"] < 0
    text = unimargin("scenario", "list").out
    assert "BTC -52 %" in text
    assert len(unimargin("scenario", "list", "--json").json) == len(known)


def test_from_recording_when_coins_fell_then_a_scenario_that_reads_back(tmp_path):
    file = tmp_path / "day.csv"
    file.write_text(TRADES)
    said = unimargin("scenario", "from-recording", str(file), "--name", "mine")
    assert said.code == 0
    made = parse_scenario(said.out)
    # the worst mean: - 20 % and - 10 %
    assert (made.name, made.prices) == ("mine", {"BTC": D("-0.2"), "ETH": D("-0.1")})
    assert (made.ends - made.begins).total_seconds() == 3
    assert unimargin("scenario", "from-recording", str(file), "--json").json["name"] == "day"


def test_from_recording_when_nothing_rose_or_no_file_is_there_then_said(tmp_path):
    file = tmp_path / "day.csv"
    file.write_text(TRADES)
    up = unimargin("scenario", "from-recording", str(file), "--up")
    assert (up.code, "risen" in up.err) == (1, True)
    missing = unimargin("scenario", "from-recording", str(Path(tmp_path / "none.csv")))
    assert (missing.code, "no such file" in missing.err) == (2, True)
