"""`unimargin liquidations` and `unimargin adl` against a real Redis."""

from decimal import Decimal

import pytest

from engine.effects import AccountRisk
from engine.ladder import Band, LadderState, Request
from tests.support.builders import account
from tests.support.cli import unimargin
from tests.support.cli_state import leave_state, marks_now

pytestmark = pytest.mark.system

D = Decimal
QUOTES = {"BTC-PERP": 100, "ETH-PERP": 10, "USDT-USD": 1, "BTC-USD": 30_000, "USD-PERP": 900}


def liquidated(name, cash, band=Band.LIQUIDATION, pool="", isolated=None):
    """Ten BTC-PERP, which require 50, and so much cash."""
    request = Request(f"{name}/cross/1", fills=-1, ledger=-1, shortfall=D(1), progress_ns=1)
    held = {} if isolated else {"BTC-PERP": (10, 100)}
    state = account({"USDT": cash}, held, isolated, name=name)
    return state, AccountRisk(name, {pool: LadderState(band, f"{name}/{pool or 'cross'}/1", request=request)})


def leave(redis_env, *accounts, age_s=0):
    """The accounts, every second one in another shard."""
    for shard in (0, 1):
        states, risks = zip(*accounts[shard::2], strict=True)
        leave_state(redis_env["UNIMARGIN_REDIS_URL"], shard, states, risks, marks_now(QUOTES, age_s))


def test_liquidations_when_pools_are_in_liquidation_then_the_least_covered_first_with_its_plan(redis_env):
    leave(
        redis_env,
        liquidated("covered", 49),
        liquidated("bankrupt", -30, Band.BANKRUPT),
        liquidated("ring", 0, pool="BTC-PERP", isolated={"BTC-PERP": (10, 100, 40)}),
        liquidated("worse", 20),
        (account({"USDT": 1}, name="called"), AccountRisk("called", {"": LadderState(Band.MARGIN_CALL)})),
        (account({"USDT": 1}, name="healthy"), AccountRisk("healthy")),
    )
    shown = unimargin("liquidations", "--json", env=redis_env).json
    # C / MM: -30 / 50, 20 / 50, 40 / 50, 49 / 50
    assert [(it["account"], it["position"]) for it in shown["items"]] == [
        ("bankrupt", None),
        ("worse", None),
        ("ring", "BTC-PERP"),
        ("covered", None),
    ]
    assert (shown["pools"], shown["bankrupt"]) == (4, 1)
    first = shown["items"][0]
    assert (first["rank"], first["liquidation_id"], D(first["ratio"])) == (1, "bankrupt/cross/1", D("-0.6"))
    assert first["plan"]["outcome"] == "takeover"
    # 30, and closing 1,000 at 0.05 % + 0.1 %
    assert D(shown["expected_shortfall"]) == D("31.5")
    assert [it["plan"]["outcome"] for it in shown["items"][1:]] == ["exit"] * 3

    limited = unimargin("liquidations", "--limit", "1", env=redis_env)
    assert "bankrupt" in limited.out
    assert "covered" not in limited.out
    assert "4 pools in liquidation, 1 shown, 1 of them bankrupt; expected shortfall 31.5 USD" in limited.out


def test_liquidations_when_prices_are_stale_then_no_plan(redis_env):
    leave(redis_env, liquidated("one", 40), liquidated("two", 30), age_s=60)
    shown = unimargin("liquidations", "--json", env=redis_env).json
    assert [(it["degraded"], it["plan"]) for it in shown["items"]] == [(True, None)] * 2


def test_adl_when_holders_are_in_profit_then_by_profit_times_leverage_and_who_pays(redis_env):
    leave_state(
        redis_env["UNIMARGIN_REDIS_URL"],
        0,
        [
            account({"USDT": 100}, {"BTC-PERP": (-10, 110)}, name="small"),
            account({"USDT": 10_000}, {"BTC-PERP": (-10, 150)}, name="rich"),
            account({"USDT": 100}, {"BTC-PERP": (-10, 90)}, name="loses"),
        ],
        marks=marks_now(QUOTES),
    )
    isolated = account({"USDT": 1}, isolated={"BTC-PERP": (-10, 105, 20)}, name="ring")
    other = account({"USDT": 1}, {"BTC-PERP": (10, 50)}, name="long")
    leave_state(redis_env["UNIMARGIN_REDIS_URL"], 1, [isolated, other], marks=marks_now(QUOTES))
    words = ("adl", "BTC-PERP", "short", "--shortfall", "170", "--fund", "50")
    shown = unimargin(*words, "--json", env=redis_env).json
    # uPnL * notional / equity: 50 * 1000 / 20, 100 * 1000 / 100, 500 * 1000 / 10,000
    assert [(row["account"], row["mode"]) for row in shown["queue"]] == [
        ("ring", "isolated"),
        ("small", "cross"),
        ("rich", "cross"),
    ]
    assert (shown["holders"], shown["in_profit"], D(shown["profit"])) == (4, 3, 50 + 100 + 500)
    assert [D(row["leverage"]) for row in shown["queue"]] == [50, 10, D("0.1")]
    # the fund's 50 of 170, then all 50 of the first, 70 of the second
    assert [D(row["forgone"]) for row in shown["queue"]] == [50, 70, 0]
    assert D(shown["cover"]["uncovered"]) == 0

    said = unimargin(*words, env=redis_env).out
    assert "of 170 the fund pays 50, 2 holders give up 120" in said
    assert "3 of 4 positions are in profit, by 650 together" in said
    by_size = unimargin("adl", "BTC-PERP", "long", "--ranking", "position_size", "--json", env=redis_env).json
    assert [row["account"] for row in by_size["queue"]] == ["long"]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("adl", "NOPE", "long"), "not a contract of this policy"),
        (("adl", "BTC-PERP", "long", "--shortfall", "x"), "is not a number"),
        (("adl", "BTC-PERP", "long", "--fund", "-1"), "is below 0"),
    ],
)
def test_adl_when_asked_for_nonsense_then_told_and_code_2(redis_env, words, complaint):
    said = unimargin(*words, env=redis_env)
    assert said.code == 2
    assert complaint in said.err
