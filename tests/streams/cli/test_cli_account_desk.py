"""`unimargin account capital`, `funding` and `may-open` against a real Redis."""

import time
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from engine.ledger.accounts import AccountState, Progress, Stop
from engine.policy import Policy, parse
from engine.rejections import RejectionCode
from tests.support.builders import Number, account
from tests.support.cli import NOWHERE, Said, unimargin
from tests.support.cli_state import leave_state, marks_now
from tests.support.wide import holding, wide_text

pytestmark = pytest.mark.system

D = Decimal
_replace = msgspec.structs.replace

PORTFOLIO = """
[portfolio]
initial_factor = 1.3

[portfolio.units.default]
grid.prices = [-0.1, 0, 0.1]
basis = { move_min = 0.01, netting = "each" }
"""
QUOTES: dict[str, Number] = {
    "USDT-USD": 1,
    "BTC-USD": 64_000,
    "BTC-PERP": 100,
    "BTC-DEC": 100,
    "ETH-PERP": 50,
    "USD-PERP": 100,
}


@pytest.fixture
def desk_env(redis_url_db: str, tmp_path: Path) -> dict[str, str]:
    path = tmp_path / "desk.toml"
    path.write_text(wide_text().replace("2026-12-25", "2099-12-25") + PORTFOLIO)
    return {"UNIMARGIN_REDIS_URL": redis_url_db, "UNIMARGIN_POLICY_FILE": str(path)}


@pytest.fixture
def desk_policy(desk_env: dict[str, str]) -> Policy:
    return parse(Path(desk_env["UNIMARGIN_POLICY_FILE"]).read_text())


def leave(
    env: Mapping[str, str], state: AccountState, rates: Mapping[str, Number] | None = None, age_s: float = 0
) -> None:
    marks = [
        _replace(mark, funding_rate=D((rates or {})[mark.symbol])) if mark.symbol in (rates or {}) else mark
        for mark in marks_now(QUOTES, age_s)
    ]
    leave_state(env["UNIMARGIN_REDIS_URL"], 0, [state], marks=marks)


def ask(
    env: Mapping[str, str], quantity: Number, *words: str, symbol: str = "USD-PERP", side: str = "buy"
) -> Said:
    asked = ("--symbol", symbol, "--side", side, "--quantity", str(quantity), "--price", "100")
    return unimargin("account", "may-open", "alice", *asked, *words, env=env)


# --- capital


def test_capital_when_hedged_then_each_model_and_what_it_frees(
    desk_env: dict[str, str], desk_policy: Policy
) -> None:
    held = {"BTC-PERP": (10, 105), "BTC-DEC": (-4, 105)}
    leave(desk_env, holding(desk_policy, {"USD": 1000}, held, margin_model="portfolio"))
    shown = unimargin("account", "capital", "alice", "--json", env=desk_env).json
    assert (shown["margin_model"], shown["currency"], shown["degraded_reasons"]) == ("portfolio", "USD", [])
    figures = {it["model"]: (D(it["capital"]), D(it["freed"])) for it in shown["models"]}
    # IM 100 + 40, and the loss of 50 without the profit of 20
    segregated = 140 + 50
    # IM 100 + 40, and the loss of 50 less the profit of 20
    cross = 140 + 30
    # IM 1.3 * (600 * 10 % + 0.01 * (1000 + 400))
    portfolio = D("1.3") * (60 + 14) + 30
    assert figures == {
        "segregated": (segregated, 0),
        "cross": (cross, segregated - cross),
        "portfolio": (portfolio, segregated - portfolio),
    }
    text = unimargin("account", "capital", "alice", env=desk_env).out
    # 63.8 of 190
    for words in ("segregated", "63.8", "33.6 %", "under portfolio margin"):
        assert words in text


def test_capital_when_the_policy_has_no_portfolio_margin_then_two_models_and_said(
    redis_env: dict[str, str],
) -> None:
    leave(redis_env, account({"USD": 100}, {"USD-PERP": (10, 100)}), age_s=60)
    shown = unimargin("account", "capital", "alice", "--json", env=redis_env).json
    assert [it["model"] for it in shown["models"]] == ["segregated", "cross"]
    assert shown["degraded_reasons"] == ["USD-PERP: price is stale"]
    text = unimargin("account", "capital", "alice", env=redis_env).out
    assert "no portfolio margin" in text
    assert "degraded: USD-PERP: price is stale" in text


# --- funding


def test_funding_when_the_pool_pays_then_hours_to_each_line(redis_env: dict[str, str]) -> None:
    state = account({"USD": 100}, {"USD-PERP": (10, 100)}, {"ETH-PERP": (1, 50, 20)})
    leave(redis_env, state, {"USD-PERP": "0.001"})
    shown = unimargin("account", "funding", "alice", "--json", env=redis_env).json
    (paid,) = shown["positions"]
    # - 10 * 100 * 0.1 % every 8 hours
    assert (paid["symbol"], paid["rate"], paid["payment"], paid["payment_per_hour"]) == (
        "USD-PERP",
        "0.001",
        "-1",
        "-0.125",
    )
    assert shown["drain_per_hour"] == "0.125"
    # (100 - line * 50) / 0.125
    hours = {band: D(it["hours"]) for band, it in shown["lines"].items()}
    assert hours == {"warning": 200, "margin_call": 320, "reduce_only": 380, "liquidation": 400}
    assert (shown["without_rate"], shown["isolated"]) == ([], ["ETH-PERP"])
    text = unimargin("account", "funding", "alice", env=redis_env).out
    for words in ("0.1 %", "8 h", "16.7 days", "not counted: ETH-PERP"):
        assert words in text


def test_funding_when_a_line_is_crossed_already_then_zero(redis_env: dict[str, str]) -> None:
    # ratio 55 / 50 = 1.1: below warning (1.5) and margin call (1.2)
    leave(redis_env, account({"USD": 55}, {"USD-PERP": (10, 100)}), {"USD-PERP": "0.001"})
    shown = unimargin("account", "funding", "alice", "--json", env=redis_env).json
    # (55 - line * 50) / 0.125
    assert {band: D(it["hours"]) for band, it in shown["lines"].items()} == {
        "warning": 0,
        "margin_call": 0,
        "reduce_only": 20,
        "liquidation": 40,
    }
    assert "crossed already" in unimargin("account", "funding", "alice", env=redis_env).out


def test_funding_when_no_rate_is_known_then_named_and_no_line_is_reached(redis_env: dict[str, str]) -> None:
    leave(redis_env, account({"USD": 100}, {"USD-PERP": (10, 100)}))
    shown = unimargin("account", "funding", "alice", "--json", env=redis_env).json
    assert (shown["positions"], shown["without_rate"], shown["drain_per_hour"]) == ([], ["USD-PERP"], "0")
    assert {it["hours"] for it in shown["lines"].values()} == {None}
    text = unimargin("account", "funding", "alice", env=redis_env).out
    assert "never" in text
    assert "no funding rate known" in text


# --- may-open


def test_may_open_when_covered_then_allowed_and_exit_0(redis_env: dict[str, str]) -> None:
    leave(redis_env, account({"USD": 100}))
    said = ask(redis_env, 9, "--json")
    # 10 % of 900
    assert (said.code, said.json["allowed"], said.json["reason"]) == (0, True, "covered")
    assert (said.json["requirement"], said.json["available_before"], said.json["available_after"]) == (
        "90",
        "100",
        "10",
    )
    assert said.json["order"] == {
        "symbol": "USD-PERP",
        "leg": None,
        "mode": "cross",
        "side": "buy",
        "quantity": "9",
        "price": "100",
        "reduce_only": False,
    }
    assert ask(redis_env, 9).out.startswith("ALLOWED  alice: buy 9 USD-PERP at 100")


def test_may_open_when_not_covered_then_refused_and_exit_1(redis_env: dict[str, str]) -> None:
    leave(redis_env, account({"USD": 100}))
    said = ask(redis_env, 11, "--json")
    # 100 - 10 % of 1100
    assert (said.code, said.json["reason"], said.json["available_after"]) == (1, "insufficient_margin", "-10")
    told = ask(redis_env, 11)
    assert (told.code, told.err) == (1, "")
    assert told.out.startswith("REFUSED")
    assert "-10" in told.out


def test_may_open_when_the_pool_is_short_already_then_by_how_much(redis_env: dict[str, str]) -> None:
    # C 100, IM 10 % of 1200
    leave(redis_env, account({"USD": 100}, {"USD-PERP": (12, 100)}))
    told = ask(redis_env, 1)
    assert told.code == 1
    row = next(line for line in told.out.splitlines() if "short of its initial margin already" in line)
    assert " 20 " in row


def test_may_open_when_it_reduces_then_allowed_though_nothing_is_available(redis_env: dict[str, str]) -> None:
    leave(redis_env, account({"USD": 100}, {"USD-PERP": (12, 100)}))
    assert ask(redis_env, 2, "--json", side="sell").json["reason"] == "reduces_risk"
    assert ask(redis_env, 2, "--reduce-only", side="sell").code == 0


def test_may_open_when_isolated_or_for_a_leg_then_of_that_position(redis_env: dict[str, str]) -> None:
    state = account({"USD": 100}, {"USD-PERP|long": (5, 100)})
    leave(redis_env, state)
    isolated = ask(redis_env, 2, "--isolated", "--leg", "short", "--json", side="sell")
    assert isolated.json["order"]["mode"] == "isolated"
    # available 100 - 50; 10 % of 200
    assert (isolated.json["available_before"], isolated.json["requirement"]) == ("50", "20")
    assert "isolated" in ask(redis_env, 2, "--isolated", "--leg", "short", side="sell").out


def test_may_open_when_a_price_is_stale_then_refused_and_named(redis_env: dict[str, str]) -> None:
    leave(redis_env, account({"USD": 100}), age_s=60)
    said = ask(redis_env, 1, "--json")
    assert (said.code, said.json["reason"]) == (1, "degraded")
    assert said.json["degraded_reasons"] == ["USD-PERP: price is stale"]
    assert "USD-PERP: price is stale" in ask(redis_env, 1).out


def test_may_open_when_the_account_is_stopped_then_refused_and_named(redis_env: dict[str, str]) -> None:
    stop = Stop(RejectionCode.SEQUENCE_GAP, offset=6)
    leave(redis_env, _replace(account({"USD": 100}), fills=Progress(stop=stop)))
    said = ask(redis_env, 1, "--json")
    assert (said.code, said.json["reason"]) == (1, "account_stopped")
    assert said.json["degraded_reasons"] == ["fills stopped at offset 6: sequence_gap"]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("--symbol", "usd-prep"), "did you mean USD-PERP"),
        (("--symbol", "ZZZ"), "named as in the policy file"),
        (("--quantity", "ten"), "--quantity: 'ten' is not a number"),
        (("--quantity", "-1"), "--side says buy or sell"),
        (("--quantity", "0"), "above zero"),
        (("--price", "NaN"), "--price: 'NaN' is not a finite number"),
        (("--price", "0"), "--price '0' must be above zero"),
        (("--price", "-5"), "--price '-5' must be above zero"),
        (("--price", "1e-30"), "18 digits"),
        (("--symbol", "BTC-USDT", "--isolated"), "spot pair"),
        (("--symbol", "BTC-40000-P", "--isolated"), "an option"),
        (("--symbol", "BTC-USDT", "--leg", "long"), "no legs"),
        (("--symbol", "ETH-PERP"), "say --leg long or --leg short"),
        (("--leg", "long"), "leave --leg out"),
    ],
)
def test_may_open_when_the_order_cannot_be_meant_then_one_line_that_says_what_to_do(
    desk_env: dict[str, str], desk_policy: Policy, words: tuple[str, ...], hint: str
) -> None:
    leave(desk_env, holding(desk_policy, {"USD": 100}, {"ETH-PERP|long": (1, 50), "USD-PERP": (1, 100)}))
    said = ask(desk_env, 1, *words)
    assert (said.code, said.out) == (2, "")
    assert hint in said.err
    assert len(said.err.splitlines()) == 1


# --- what they share


COMMANDS = (
    ("capital", "alice"),
    ("funding", "alice"),
    ("may-open", "alice", "--symbol", "USD-PERP", "--side", "buy", "--quantity", "1", "--price", "100"),
)


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_a_command_when_the_account_is_unknown_or_not_listed_then_exit_1_and_named(
    redis_env: dict[str, str], words: tuple[str, ...]
) -> None:
    said = unimargin("account", *words, env=redis_env)
    assert (said.code, said.out) == (1, "")
    assert "unknown account 'alice'" in said.err
    leave(redis_env, account({"DOGE": 1}))
    said = unimargin("account", *words, env=redis_env)
    assert (said.code, said.out) == (1, "")
    assert "asset DOGE" in said.err
    assert "UNIMARGIN_POLICY_FILE" in said.err


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_a_command_when_redis_is_away_then_its_address_within_seconds(words: tuple[str, ...]) -> None:
    began_s = time.monotonic()
    said = unimargin("account", *words, env={"UNIMARGIN_REDIS_URL": f"redis://desk:hunter2@{NOWHERE}/3"})
    assert (said.code, said.out) == (1, "")
    assert f"Redis at redis://{NOWHERE}/3" in said.err
    assert "hunter2" not in said.err
    assert time.monotonic() - began_s < 20
