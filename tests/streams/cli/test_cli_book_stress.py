"""`unimargin stress` against a real Redis: every account of every shard, by hand."""

import pytest

from tests.support.builders import account
from tests.support.cli import unimargin
from tests.support.cli_state import leave_state, marks_now

QUOTES = {"USDT-USD": 1, "BTC-USD": 100, "BTC-PERP": 100, "ETH-PERP": 50, "USD-PERP": 100, "ADA-PERP": 1}


@pytest.mark.system
def test_stress_when_accounts_lie_in_several_shards_then_who_falls_on_each_day(redis_env):
    url = redis_env["UNIMARGIN_REDIS_URL"]
    long = account({"USD": 250}, {"USD-PERP": (10, 100)}, name="long")
    short = account({"USD": 250}, {"USD-PERP": (-10, 100)}, name="short")
    leave_state(url, 0, [long], marks=marks_now(QUOTES))
    leave_state(url, 1, [short, account({"USD": 9}, name="idle")], marks=marks_now(QUOTES))
    asked = (
        "stress",
        "--scenario",
        "2020-03-12",
        "--scenario",
        "2025-10-10",
        "--moves",
        "-30",
        "--fund",
        "100",
    )
    said = unimargin(*asked, "--json", env=redis_env).json
    markets = {it["market"]: it for it in said["markets"]}
    assert list(markets) == ["now", "2020-03-12", "2025-10-10", "uniform -30 %", "beta -30 %"]
    assert (said["accounts"], said["shards"]) == (3, 2)
    # 250 - 1,000 * 52 %, of which the fund bears 100; the short one gains what the long one loses
    crash = markets["2020-03-12"]
    assert (crash["accounts"], crash["deficit"], crash["fund_used"], crash["uncovered"]) == (
        1,
        "270",
        "100",
        "170",
    )
    assert (crash["notional"], crash["equity"]) == ("480", "509")
    assert crash["worst"] == [{"account": "long", "pools": 1, "notional": "480", "deficit": "270"}]
    # 250 - 130 = 120 is above 5 % of 870
    assert markets["2025-10-10"]["accounts"] == 0
    # 250 - 300
    assert (markets["beta -30 %"]["deficit"], markets["now"]["accounts"]) == ("50", 0)
    text = unimargin(*asked, env=redis_env).out
    for words in (
        "Condemned in each market, in USD; the fund can bear 100",
        "long",
        "3 accounts in 2 shards",
        "BNB",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("--fund", "much"), "--fund 'much'"),
        (("--moves", "-200"), "--moves: "),
        (("--scenario", "x"), "neither a file"),
    ],
)
def test_stress_when_it_cannot_be_meant_then_one_line(words, hint):
    said = unimargin("stress", *words)
    assert (said.code, hint in said.err) == (2, True)
