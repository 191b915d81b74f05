"""`unimargin heatmap` against a real Redis: every account of every shard, by hand."""

from decimal import Decimal

import pytest

from engine.events.effects import AccountRisk
from engine.ladder import Band, LadderState
from engine.ledger.accounts import AccountState
from streams.answers.heatmap_report import HeatReport
from streams.cli.heatmap.heatmap_tables import compact, renderables
from streams.config.terminal import console
from tests.support.builders import account
from tests.support.cli import NOWHERE, unimargin
from tests.support.cli_state import leave_state, marks_now
from tests.support.wide import opened, wide, wide_text

D = Decimal
QUOTES = {"USDT-USD": 1, "BTC-USD": 100, "BTC-PERP": 100, "ETH-PERP": 50, "USD-PERP": 100, "ADA-PERP": 1}


def long(name, symbol="USD-PERP", **fields):
    # falls between -20 % and -30 %: 250 - 200 is above 5 % of 800, 250 - 300 is gone
    return account({"USD": 250}, {symbol: (10, 100)}, name=name, **fields)


def short(name, symbol="USD-PERP"):
    # falls between +10 % and +20 %: 250 - 200 is below 5 % of 1200
    return account({"USD": 250}, {symbol: (-10, 100)}, name=name)


def leave(env, *shards, risks=(), quotes=QUOTES, age_s=0.0):
    for shard, states in enumerate(shards):
        held = [it for it in risks if it.account in {state.account for state in states}]
        leave_state(env["UNIMARGIN_REDIS_URL"], shard, states, held, marks_now(quotes, age_s))


def ask(env, *words):
    said = unimargin("heatmap", "--moves", "-30,-20,10,20", *words, "--json", env=env)
    assert (said.code, said.err) == (0, ""), said.err
    return said.json


def row(said, symbol):
    return {
        move: amount
        for move, amount in zip(
            map(D, said["moves"]), map(D, said["by_symbol"].get(symbol, ())), strict=False
        )
        if amount
    }


@pytest.mark.system
def test_heatmap_when_accounts_lie_in_several_shards_then_their_notionals_add_up(redis_env):
    leave(
        redis_env,
        [long("a"), short("b")],
        [long("c"), long("d", "BTC-PERP")],
        [account({"USD": 3}, name="idle")],
    )
    said = ask(redis_env)
    # 10 * 70 each; 10 * 120
    assert row(said, "USD-PERP") == {D("-0.3"): 1400, D("0.2"): 1200}
    assert row(said, "BTC-PERP") == {D("-0.3"): 700}
    assert list(map(D, said["total"])) == [2100, 0, 0, 0, 1200]
    assert (said["moves"], said["pools"]) == (["-0.3", "-0.2", "0", "0.1", "0.2"], [3, 0, 0, 0, 1])
    assert (said["accounts"], said["shards"], said["currency"]) == (5, 3, "USD")
    assert (said["withheld_pools"], said["symbols"]) == (0, [])


@pytest.mark.system
def test_heatmap_when_asked_for_a_symbol_then_only_that(redis_env):
    leave(redis_env, [long("a"), long("d", "BTC-PERP")])
    said = ask(redis_env, "--symbol", "BTC-PERP")
    assert list(said["by_symbol"]) == ["BTC-PERP"]
    assert list(map(D, said["total"])) == [700, 0, 0, 0, 0]
    assert said["pools"] == [2, 0, 0, 0, 0]


@pytest.mark.system
def test_heatmap_when_a_liquidation_is_under_way_then_it_stands_at_no_move(redis_env):
    risk = AccountRisk("a", {"": LadderState(Band.LIQUIDATION, "a/cross/1")})
    leave(redis_env, [long("a"), long("b")], risks=[risk])
    assert row(ask(redis_env), "USD-PERP") == {D("-0.3"): 700, D(0): 1000}


@pytest.mark.system
def test_heatmap_when_saved_prices_are_old_then_withheld_unless_they_are_to_count(redis_env):
    risk = AccountRisk("a", {"": LadderState(degraded=True, degraded_until_ns=1)})
    leave(redis_env, [long("a")], age_s=60, risks=[risk])
    said = ask(redis_env)
    assert (said["by_symbol"], said["withheld_pools"]) == ({}, 1)
    assert "USD-PERP" in said["stale_symbols"]
    assert row(ask(redis_env, "--last-prices"), "USD-PERP") == {D("-0.3"): 700}
    text = unimargin("heatmap", env=redis_env).out
    assert "1 pools are left out" in text
    assert "--last-prices" in text


@pytest.mark.system
def test_heatmap_when_the_columns_cannot_express_an_account_then_it_counts_among_the_others(
    redis_env, tmp_path
):
    path = tmp_path / "wide.toml"
    path.write_text(wide_text())
    env = {**redis_env, "UNIMARGIN_POLICY_FILE": str(path)}
    # 100 contracts of 100 at 5000 are 2 coins; 0.5 coins: E = 2.5 - 2 / f, gone at f = 0.8
    inverse = AccountState("i", {"BTC": D("0.5")}, {"BTC-INV": opened(wide(), "BTC-INV", 100, 5_000)})
    leave(env, [long("a"), inverse], quotes={**QUOTES, "BTC-USD": 5_000, "BTC-INV": 5_000})
    said = ask(env)
    assert row(said, "BTC-INV") == {D("-0.2"): 10_000}
    assert row(said, "USD-PERP") == {D("-0.3"): 700}


@pytest.mark.system
def test_heatmap_when_nothing_was_ever_stored_then_an_empty_map(redis_env):
    said = ask(redis_env)
    assert (said["accounts"], said["by_symbol"], said["total"]) == (0, {}, ["0"] * 5)
    assert unimargin("heatmap", env=redis_env).code == 0


@pytest.mark.system
def test_heatmap_when_an_account_holds_what_the_policy_lacks_then_the_rest_is_mapped(redis_env):
    leave(redis_env, [account({"USD": 1}, {"OLD-PERP": (1, 1)}, name="a"), long("b")])
    said = ask(redis_env)
    assert said["accounts"] == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--moves", "down"), "--moves: 'down' is no percentage"),
        (("--moves", "-100"), "--moves: '-100': prices cannot fall by 100 % or more"),
    ],
)
def test_heatmap_when_asked_wrongly_then_told_at_once(words, told):
    said = unimargin("heatmap", *words, env={"UNIMARGIN_REDIS_URL": f"redis://{NOWHERE}/0"})
    assert said.code == 2
    assert told in said.err


def test_heatmap_when_a_symbol_is_no_contract_of_the_policy_in_force_then_named(redis_env):
    said = unimargin("heatmap", "--symbol", "BTC", env=redis_env)
    assert (said.code, "--symbol 'BTC': not a contract of this policy" in said.err) == (2, True)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0", "-"), ("0.00123", "0.00123"), ("7", "7"), ("12.34", "12.3"), ("999.4", "999"), ("999.6", "1k"),
        ("1234", "1.23k"), ("49800000", "49.8M"), ("999600", "1M"), ("1.5e9", "1.5G"), ("250e9", "250G"),
    ],
)  # fmt: skip
def test_compact_when_large_or_small_then_three_digits(value, text):
    assert compact(D(value)) == text


def test_tables_when_shown_then_by_then_counts_from_no_move_outwards():
    report = HeatReport(
        currency="USD",
        policy="sample",
        policy_digest="",
        read_at_ns=0,
        accounts=3,
        shards=1,
        symbols=(),
        moves=tuple(map(D, ("-0.2", "-0.1", "0", "0.1"))),
        pools=(1, 2, 5, 0),
        total=tuple(map(D, (100, 30, 900, 0))),
        by_symbol={"A": tuple(map(D, (60, 30, 900, 0))), "B": tuple(map(D, (40, 0, 0, 0)))},
        withheld_pools=0,
        stale_symbols=(),
    )
    out = console()
    with out.capture() as captured:
        for part in renderables(report):
            out.print(part)
    rows = [line.split("│")[1:5] for line in captured.get().splitlines() if line.startswith("│")]
    cells = [[cell.strip() for cell in row] for row in rows]
    assert cells[:4] == [
        ["+10 %", "-", "-", "-"],
        ["now", "5", "900", ""],
        ["-10 %", "2", "30", "30"],
        ["-20 %", "1", "100", "130"],
    ]
    assert cells[7] == ["-20 %", "60", "40", ""]
