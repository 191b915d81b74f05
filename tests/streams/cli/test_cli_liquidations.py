"""`unimargin liquidations` and `unimargin adl` against a real Redis."""

from decimal import Decimal

import msgspec
import pytest

from engine.events.effects import AccountRisk
from engine.ladder import Band, LadderState, Request
from engine.liquidation.adl_risk import AdlLevel, AdlState
from tests.support.builders import SAMPLE, account
from tests.support.cli import unimargin
from tests.support.cli_state import leave_adl, leave_state, marks_now
from tests.support.sender import Sender

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
    words = ("adl", "BTC-PERP", "short", "--shortfall", "170", "--price", "108", "--fund", "50")
    shown = unimargin(*words, "--json", env=redis_env).json
    # uPnL * notional / equity: 50 * 1000 / 20, 100 * 1000 / 100, 500 * 1000 / 10,000
    assert [(row["account"], row["mode"]) for row in shown["queue"]] == [
        ("ring", "isolated"),
        ("small", "cross"),
        ("rich", "cross"),
    ]
    assert (shown["holders"], shown["in_profit"], D(shown["profit"])) == (4, 3, 50 + 100 + 500)
    assert [D(row["leverage"]) for row in shown["queue"]] == [50, 10, D("0.1")]
    # the fund's 50 of 170; of the first all 10 at its entry, 10 * 5; of the second 70 at 8 a contract
    assert [D(row["forgone"]) for row in shown["queue"]] == [50, 70, 0]
    assert [D(row["closed"]) for row in shown["queue"]] == [10, D("8.75"), 0]
    assert [row["price"] for row in shown["queue"]] == ["105", "108", None]
    assert D(shown["cover"]["uncovered"]) == 0

    for row in shown["queue"]:
        pools = unimargin("account", "show", row["account"], "--json", env=redis_env).json["pools"]
        mine = next(
            it for it in pools if it["position"] == ("BTC-PERP" if row["mode"] == "isolated" else None)
        )
        assert row["equity"] == mine["equity"], row["account"]
        assert D(row["equity"]) - D(row["backing"]) == D(row["unrealised_pnl"])
    said = unimargin(*words, env=redis_env).out
    assert "of 170 the fund pays 50, 2 positions give up 120 (queue by deficit)" in said
    assert "3 of 4 positions are in profit, by 650 together" in said
    whole = unimargin(*words, "--rule", "per_contract", "--size", "position", env=redis_env).out
    # 170 / 8 = 21.25 contracts are taken over, a third of each: 7.083 * (5 + 8 + 8)
    assert "3 positions give up 148.75, 28.75 more than is needed (per_contract by position)" in whole
    by_size = unimargin("adl", "BTC-PERP", "long", "--ranking", "position_size", "--json", env=redis_env).json
    assert [row["account"] for row in by_size["queue"]] == ["long"]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("adl", "NOPE", "long"), "not a contract of this policy"),
        (("adl", "BTC-PERP", "long", "--shortfall", "x"), "is not a number"),
        (("adl", "BTC-PERP", "long", "--fund", "-1"), "is below 0"),
        (("adl", "BTC-PERP", "long", "--shortfall", "5"), "at which --price"),
    ],
)
def test_adl_when_asked_for_nonsense_then_told_and_code_2(redis_env, words, complaint):
    said = unimargin(*words, env=redis_env)
    assert said.code == 2
    assert complaint in said.err


@pytest.fixture
def fund_env(redis_env, kafka_env, cli_kafka, unique):
    """Settings with a fund's topic of its own, and a function that states what is in it."""
    name = unique("fund")
    cli_kafka.create_topics({name: 1})
    env = {**redis_env, **kafka_env, "UNIMARGIN_TOPIC_FUND": name, "UNIMARGIN_FUND_TOPIC_ENABLED": "true"}

    def state(group, value):
        sender = Sender(cli_kafka.bootstrap_servers)
        body = (
            None if value is None else msgspec.json.encode({"type": "fund_balance", "group": group, **value})
        )
        sender.send_now(name, group.encode(), body)
        sender.check()

    return env, state


def test_fund_when_its_topic_states_it_then_the_newest_of_the_contract_pays_first(fund_env):
    env, state = fund_env
    short = account({"USDT": 100}, {"BTC-PERP": (-10, 120)}, name="winner")
    leave(env, liquidated("bankrupt", -30, Band.BANKRUPT), (short, AccountRisk("winner")))
    state("all", {"balances": {"USDT": "999"}, "time_ns": 1})
    state("gone", {"symbols": ["BTC-PERP"], "balances": {"USDT": "777"}, "time_ns": 1})
    state("gone", None)
    state("major", {"symbols": ["BTC-PERP", "ETH-PERP"], "balances": {"USDT": "500"}, "time_ns": 1})
    state(
        "major", {"symbols": ["BTC-PERP", "ETH-PERP"], "balances": {"USDT": "10", "DOGE": "5"}, "time_ns": 2}
    )
    shown = unimargin("liquidations", "--json", env=env).json
    cover = shown["items"][0]["plan"]["cover"]
    # 30 and costs of 1.5: the fund's 10, then 21.5 of the short, closed at 103 while the mark is 100: 7.1666... contracts
    assert (D(cover["deficit"]), D(cover["from_fund"]), D(cover["fund_after"])) == (D("31.5"), 10, 0)
    (cut,) = cover["cuts"]
    assert (cut["account"], cut["price"], round(D(cut["quantity"]), 4)) == ("winner", "103", D("7.1667"))
    assert "the fund pays 10, 1 winners 21.5" in " ".join(unimargin("liquidations", env=env).out.split())
    state("major", {"symbols": ["BTC-PERP"], "balances": {"USDT": "40"}, "time_ns": 3})
    leave(env, liquidated("bankrupt", -30, Band.BANKRUPT), liquidated("worse", -40, Band.BANKRUPT))
    both = unimargin("liquidations", "--json", env=env).json["items"]
    # the worse one has 40 of its 41.5, and nothing is left for the other
    paid = [(it["account"], D(it["plan"]["cover"]["from_fund"])) for it in both]
    assert paid == [("worse", 40), ("bankrupt", 0)]
    state("major", {"symbols": ["BTC-PERP"], "balances": {"USDT": "10"}, "time_ns": 4})
    words = ("adl", "BTC-PERP", "short", "--shortfall", "25", "--price", "105")
    assert "of 25 the fund pays 10, 1 positions give up 15" in unimargin(*words, env=env).out
    # who says what the fund has is believed
    assert "of 25 the fund pays 20, 1 positions give up 5" in unimargin(*words, "--fund", "20", env=env).out


def test_adl_when_a_fund_pays_for_the_contract_then_the_level_that_workers_told_is_beside_it(fund_env):
    env, state = fund_env
    words = ("adl", "BTC-PERP", "short")
    level = AdlState(AdlLevel.SOON, 1_700_000_000_000_000_000, None, 3)
    leave(env, liquidated("bankrupt", -30, Band.BANKRUPT), liquidated("other", 20))
    leave_adl(env["UNIMARGIN_REDIS_URL"], 1, {"BTC-PERP": level})
    assert "deleveraging risk: not told, no fund is stated" in unimargin(*words, env=env).out
    assert unimargin(*words, "--json", env=env).json["risk"] is None
    state("major", {"symbols": ["BTC-PERP", "ETH-PERP"], "balances": {"USDT": "40"}, "time_ns": 1})
    assert "deleveraging risk: soon since 2023-11-14T22:13:20" in unimargin(*words, env=env).out
    shown = unimargin(*words, "--fund", "5", "--json", env=env).json
    assert msgspec.convert(shown["risk"], AdlState) == level
    assert "deleveraging risk: none\n" in unimargin("adl", "ETH-PERP", "long", env=env).out


def test_adl_when_workers_follow_no_fund_then_what_was_told_before_is_not_shown(redis_env):
    leave(redis_env, liquidated("bankrupt", -30, Band.BANKRUPT), liquidated("other", 20))
    leave_adl(redis_env["UNIMARGIN_REDIS_URL"], 0, {"BTC-PERP": AdlState(AdlLevel.SOON, 1, None, 1)})
    assert unimargin("adl", "BTC-PERP", "short", "--json", env=redis_env).json["risk"] is None


def test_fund_when_its_topic_holds_something_else_then_the_record_is_named(fund_env):
    env, state = fund_env
    leave(env, liquidated("bankrupt", -30, Band.BANKRUPT), liquidated("other", 20))
    state("all", {"balances": {"USDT": "much"}, "time_ns": 1})
    said = unimargin("liquidations", env=env)
    assert said.code == 1
    assert "record 0 of fund-" in said.err


def test_liquidations_when_the_fund_is_not_stated_then_nobody_is_said_to_pay(redis_env):
    leave(redis_env, liquidated("bankrupt", -30, Band.BANKRUPT), liquidated("other", 20))
    assert unimargin("liquidations", "--json", env=redis_env).json["items"][0]["plan"]["cover"] is None


@pytest.mark.parametrize("mode", ["cross", "isolated"])
def test_adl_when_the_policy_counts_accrued_funding_then_equity_still_is_that_of_the_account(
    redis_env, tmp_path, mode
):
    path = tmp_path / "accruing.toml"
    path.write_text(f"{SAMPLE}\n[pool]\nfunding_accrual = true\n")
    env = redis_env | {"UNIMARGIN_POLICY_FILE": str(path)}
    held = {"BTC-PERP": (-10, 110)}
    ring = {"BTC-PERP": (-10, 110, 100)}
    state = account({"USDT": 100}, held, name="a") if mode == "cross" else account(isolated=ring, name="a")
    marks = [
        msgspec.structs.replace(it, funding_rate=D("0.5")) if it.symbol == "BTC-PERP" else it
        for it in marks_now(QUOTES)
    ]
    leave_state(redis_env["UNIMARGIN_REDIS_URL"], 0, [state], marks=marks)
    (row,) = unimargin("adl", "BTC-PERP", "short", "--json", env=env).json["queue"]
    pools = unimargin("account", "show", "a", "--json", env=env).json["pools"]
    pool = next(it for it in pools if bool(it["position"]) is (mode == "isolated"))
    # half of 1,000 in an interval of hours: what accrues between the two questions is less than a cent or two
    assert D(row["equity"]) == pytest.approx(D(pool["equity"]), abs=D("0.1"))
