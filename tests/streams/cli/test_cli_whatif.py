"""`unimargin whatif` against a real Redis: figures before and after, by hand."""

import time
from decimal import Decimal

import pytest

from engine.events.effects import AccountRisk
from engine.inputs import Mark
from engine.ladder import Band, LadderState
from streams.cli.whatif.whatif_args import folded
from tests.support.builders import account
from tests.support.cli import NOWHERE, unimargin
from tests.support.cli_state import leave_state, marks_now
from tests.support.wide import holding, wide, wide_text

D = Decimal
QUOTES = {"USDT-USD": 1, "BTC-USD": 100, "BTC-PERP": 100, "ETH-PERP": 50, "USD-PERP": 100}


def leave(env, state, risks=(), quotes=QUOTES, age_s=0.0, extra=()):
    leave_state(env["UNIMARGIN_REDIS_URL"], 0, [state], risks, [*marks_now(quotes, age_s), *extra])


def ask(env, *words):
    said = unimargin("whatif", "alice", *words, "--json", env=env)
    assert (said.code, said.err) == (0, ""), said.err
    return said.json


def figures(side):
    return {name: D(side[name]) for name in ("equity", "initial_margin", "maintenance_margin", "ratio")}


# --- words


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("a", "--order", "X", "buy", "2", "--json"), ["a", "--order", "X buy 2", "--json"]),
        (("--order", "X", "buy", "2", "60.5", "a"), ["--order", "X buy 2 60.5", "a"]),
        (("--order", "X", "sell", "2", "short", "a"), ["--order", "X sell 2 short", "a"]),
        (("--order", "X", "sell", "2", "9", "long"), ["--order", "X sell 2 9 long"]),
        (("--order", "X sell 2", "a"), ["--order", "X sell 2", "a"]),
        (("--order", "X", "--json"), ["--order", "X", "--json"]),
        (("--order",), ["--order"]),
        (("--deposit", "USDT", "5", "a"), ["--deposit", "USDT 5", "a"]),
        (("--deposit=USDT 5", "--shock", "A=-1%"), ["--deposit=USDT 5", "--shock", "A=-1%"]),
        (("--", "--order", "X", "buy"), ["--", "--order", "X", "buy"]),
    ],
)
def test_words_when_an_option_takes_several_then_one(words, wanted):
    assert folded(words) == wanted


# --- figures


@pytest.mark.system
def test_whatif_when_the_market_falls_then_both_sides_and_the_lines_crossed(redis_env):
    leave(redis_env, account({"USD": 250}, {"USD-PERP": (10, 100)}))
    shown = ask(redis_env, "--shock", "BTC=-20%")
    (pool,) = shown["pools"]
    # 250; 10 % and 5 % of 1000; 250 / 50
    assert figures(pool["before"]) == {
        "equity": 250,
        "initial_margin": 100,
        "maintenance_margin": 50,
        "ratio": 5,
    }
    # 250 + 10 * (80 - 100); 10 % and 5 % of 800; 50 / 40
    assert figures(pool["after"]) == {
        "equity": 50,
        "initial_margin": 80,
        "maintenance_margin": 40,
        "ratio": D("1.25"),
    }
    assert (pool["before"]["band"], pool["after"]["band"], pool["entered"], pool["left"]) == (
        "healthy",
        "warning",
        ["warning"],
        [],
    )
    assert (pool["before"]["available_margin"], pool["after"]["available_margin"]) == ("150", "0")
    assert shown["prices"] == {"USD-PERP": {"before": "100", "after": "80"}}
    (held,) = shown["positions"]
    assert (held["before"]["unrealised_pnl"], held["after"]["unrealised_pnl"]) == ("0", "-200")
    # 250 + 10 * (p - 100) = 0.5 p
    assert D(held["before"]["liquidation_price"]) == pytest.approx(D(750) / D("9.5"))
    assert held["after"]["liquidation_price"] == held["before"]["liquidation_price"]


@pytest.mark.system
def test_whatif_when_it_falls_further_then_every_line_between(redis_env):
    leave(redis_env, account({"USD": 250}, {"USD-PERP": (10, 100)}))
    (pool,) = ask(redis_env, "--shock", "ALL=-25%")["pools"]
    # equity 250 - 250
    assert pool["entered"] == ["warning", "margin_call", "reduce_only", "liquidation", "bankrupt"]
    # 1.2 * 37.5
    assert (pool["after"]["shortfall_to_call"], pool["after"]["shortfall_to_liquidation"]) == ("45", "37.5")


@pytest.mark.system
def test_whatif_when_an_order_reduces_and_collateral_comes_then_back_above_the_lines(redis_env):
    # ratio 52 / 50
    risk = AccountRisk("alice", {"": LadderState(Band.REDUCE_ONLY, "e")})
    leave(redis_env, account({"USD": 52}, {"USD-PERP": (10, 100)}), [risk])
    shown = ask(redis_env, "--order", "USD-PERP", "sell", "4", "--deposit", "USD", "10")
    (pool,) = shown["pools"]
    # 62; 5 % of 600
    assert figures(pool["after"]) == {
        "equity": 62,
        "initial_margin": 60,
        "maintenance_margin": 30,
        "ratio": D("2.066666666666666667"),
    }
    assert pool["left"] == ["reduce_only", "margin_call", "warning"]
    assert pool["band"] == "reduce_only"
    assert shown["asked"]["orders"][0]["price"] == "100", "the default is the mark"
    (held,) = shown["positions"]
    assert (held["before"]["quantity"], held["after"]["quantity"]) == ("10", "6")


@pytest.mark.system
def test_whatif_when_an_order_and_a_shock_then_it_fills_before_the_shock(redis_env):
    leave(redis_env, account({"USD": 250}))
    shown = ask(redis_env, "--shock", "USD-PERP=-10%", "--order", "USD-PERP", "buy", "2", "99")
    (held,) = shown["positions"]
    assert (held["before"], held["after"]["entry_price"], held["after"]["mark"]) == (None, "99", "90")
    # 2 * (90 - 99)
    assert held["after"]["unrealised_pnl"] == "-18"


@pytest.mark.system
def test_whatif_when_an_order_fills_at_the_mark_of_a_pair_then_coins_move(redis_env):
    leave(redis_env, account({"USDT": 250}))
    shown = ask(redis_env, "--order", "BTC-USDT", "buy", "2")
    (pool,) = shown["pools"]
    # collateral 50 + 95 % of 200
    assert (pool["after"]["equity"], pool["after"]["collateral_value"]) == ("250", "240")


@pytest.mark.system
def test_whatif_when_an_option_on_the_underlying_then_repriced_and_one_without_volatility_named(
    redis_url_db, tmp_path
):
    text = wide_text().replace("2026-12-25", "2099-12-25")
    path = tmp_path / "policy.toml"
    path.write_text(text)
    env = {"UNIMARGIN_REDIS_URL": redis_url_db, "UNIMARGIN_POLICY_FILE": str(path)}
    held = {"BTC-50000-C": (1, 20_000), "BTC-60000-C": (1, 20_000)}
    call = Mark("BTC-50000-C", D(20_000), 7, time.time_ns(), volatility=D("0.6"))
    quotes = {"USDT-USD": 1, "BTC-USD": 60_000, "BTC-60000-C": 15_000}
    leave(env, holding(wide(), {"USD": 1000}, held), quotes=quotes, extra=[call])
    shown = ask(env, "--shock", "BTC=-15%")
    assert shown["not_repriced"] == ["BTC-60000-C"]
    assert set(shown["prices"]) == {"BTC-USD", "BTC-50000-C"}
    # a call loses at most what its underlying loses
    assert 20_000 - 9_000 < D(shown["prices"]["BTC-50000-C"]["after"]) < 20_000
    said = unimargin("whatif", "alice", "--shock", "BTC=-15%", env=env)
    assert "keep their mark, as volatility or forward are not known: BTC-60000-C" in said.out


@pytest.mark.system
def test_whatif_when_an_isolated_position_is_held_then_its_pool_too(redis_env):
    leave(redis_env, account({"USD": 250}, isolated={"USD-PERP": (10, 100, 100)}))
    shared, isolated = ask(redis_env, "--shock", "BTC=-5%")["pools"]
    assert (shared["position"], shared["entered"]) == (None, [])
    # 100 - 50; 5 % of 950
    assert (isolated["position"], figures(isolated["after"])["ratio"]) == (
        "USD-PERP",
        D("1.052631578947368421"),
    )
    assert isolated["entered"] == ["warning", "margin_call"]


@pytest.mark.system
def test_whatif_when_nothing_is_asked_then_the_distance_of_the_whole_market(redis_env):
    leave(redis_env, account({"USD": 250}, {"USD-PERP": (10, 100)}))
    shown = ask(redis_env)
    assert shown["pools"][0]["before"] == shown["pools"][0]["after"]
    # 250 + 1000 f - 1000 = 50 * 1.2 f
    assert shown["market_moves"]["margin_call"]["before"] == {
        "line": "1.2",
        "crossed": False,
        "down": "-0.202128",
        "up": None,
    }
    text = unimargin("whatif", "alice", env=redis_env).out
    for words in ("nothing is asked", "-20.21 %", "-21.05 %", "never"):
        assert words in text


@pytest.mark.system
def test_whatif_when_shown_to_people_then_side_by_side_in_words(redis_env):
    leave(redis_env, account({"USD": 250}, {"USD-PERP": (10, 100)}))
    text = unimargin(
        "whatif",
        "alice",
        *("--shock", "BTC=-24%", "--deposit", "USD", "1", "--order", "USD-PERP", "buy", "1"),
        env=redis_env,
    ).out
    for words in (
        "deposit 1 USD",
        "buy 1 USD-PERP at 100, filled whole, without a fee",
        "BTC -24 %",
        "falls below: warning, margin_call, reduce_only, liquidation, bankrupt",
        "-264",
        "(back from below)",
    ):
        assert words in text, words
    calm = unimargin("whatif", "alice", "--shock", "BTC=+1%", env=redis_env).out
    assert "crosses no line" in calm
    assert "BTC +1 %" in calm


@pytest.mark.system
def test_whatif_when_prices_are_stale_then_said(redis_env):
    leave(redis_env, account({"USD": 250}), age_s=60)
    text = unimargin("whatif", "alice", "--order", "USD-PERP", "buy", "20", env=redis_env).out
    assert "degraded then: USD-PERP: price is stale" in text


@pytest.mark.system
def test_show_when_asked_then_one_line_with_the_market_moves(redis_env):
    leave(redis_env, account({"USD": 250}, {"USD-PERP": (10, 100)}))
    text = unimargin("account", "show", "alice", env=redis_env).out
    assert "margin_call -20.21 % / never, liquidation -21.05 % / never" in text
    shown = unimargin("account", "show", "alice", "--json", env=redis_env).json
    assert shown["market_moves"]["liquidation"]["down"] == "-0.210527"
    assert shown["beta_moves"] == shown["market_moves"], "without betas in the policy all are 1"


# --- mistakes


@pytest.mark.system
@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("--shock", "BTC"), "write it like BTC=-15%"),
        (("--shock", "BTC=-15"), "write it like BTC=-15%"),
        (("--shock", "BTC=x%"), "'x' is not a number"),
        (("--shock", "BTC=-100%"), "cannot fall by 100 %"),
        (("--shock", "BTX=-5%"), "did you mean BTC"),
        (("--shock", "BTC-USDT=-5%"), "shock BTC or USDT instead"),
        (("--shock", "BTC=-5%", "--shock", "BTC=-6%"), "said twice"),
        (("--order", "USD-PERP", "buy"), "write SYMBOL buy|sell QTY"),
        (("--order", "USD-PERP", "hold", "1"), "write SYMBOL buy|sell QTY"),
        (("--order", "USD-PERP", "buy", "-1"), "above zero; the side says buy or sell"),
        (("--order", "USD-PERP", "buy", "1", "0"), "'0' must be above zero"),
        (("--order", "USD-PERP", "buy", "1", "-5"), "'-5' must be above zero"),
        (("--order", "usd-prep", "buy", "1"), "did you mean USD-PERP"),
        (("--order", "ADA-PERP", "buy", "1"), "say one after the quantity"),
        (("--order", "BTC-USDT", "buy", "1", "long"), "has no legs"),
        (("--order", "ETH-PERP", "buy", "1"), "say long or short"),
        (("--order", "USD-PERP", "buy", "1", "long"), "leave long out"),
        (("--deposit", "USDT"), "write ASSET AMOUNT"),
        (("--deposit", "DOGE", "5"), "'DOGE' is not an asset"),
        (("--deposit", "USTD", "5"), "did you mean USD or USDT?"),
        (("--deposit", "USDT", "0"), "above zero"),
    ],
)
def test_whatif_when_it_cannot_be_meant_then_one_line_that_says_what_to_do(redis_env, words, hint):
    leave(redis_env, account({"USD": 100}, {"ETH-PERP|long": (1, 50), "USD-PERP": (1, 100)}))
    said = unimargin("whatif", "alice", *words, env=redis_env)
    assert (said.code, said.out) == (2, "")
    assert hint in said.err
    assert len(said.err.splitlines()) == 1


@pytest.mark.system
def test_whatif_when_the_account_is_unknown_or_redis_away_then_named(redis_env):
    assert "unknown account 'alice'" in unimargin("whatif", "alice", env=redis_env).err
    assert NOWHERE in unimargin("whatif", "alice", env={"UNIMARGIN_REDIS_URL": f"redis://{NOWHERE}"}).err
