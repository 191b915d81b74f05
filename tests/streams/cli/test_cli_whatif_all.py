"""`unimargin whatif --all`, and one way to say an order, against a real Redis."""

from decimal import Decimal

import pytest

from tests.support.builders import account
from tests.support.cli import unimargin
from tests.support.cli_state import leave_state, marks_now

pytestmark = pytest.mark.system

D = Decimal
QUOTES = {"USDT-USD": 1, "BTC-USD": 100, "BTC-PERP": 100, "ETH-PERP": 50, "USD-PERP": 100}


@pytest.fixture
def book(redis_env: dict[str, str]) -> dict[str, str]:
    url = redis_env["UNIMARGIN_REDIS_URL"]
    first = [
        account({"USD": 250}, {"USD-PERP": (10, 100)}, name="long"),
        account({"USD": 10_000}, {"USD-PERP": (10, 100)}, name="rich"),
    ]
    second = [
        account({"USD": 200}, {"USD-PERP": (10, 100)}, name="longer"),
        account({"USD": 54}, {"USD-PERP": (-10, 100)}, name="short"),
        account({"USD": 5_000}, isolated={"BTC-PERP": (10, 100, 160)}, name="ring"),
        account({"USD": 5}, name="flat"),
    ]
    leave_state(url, 0, first, marks=marks_now(QUOTES))
    leave_state(url, 1, second, marks=marks_now(QUOTES))
    return redis_env


def test_all_when_the_market_falls_then_who_changes_band_as_whatif_says_of_each(book: dict[str, str]) -> None:
    shown = unimargin("whatif", "--all", "--shock", "BTC=-20%", "--json", env=book).json
    rows = {it["account"]: it for it in shown["accounts"]}
    assert (shown["read"], shown["total"]) == (6, len(rows))
    moved = set()
    for name in ("long", "rich", "longer", "short", "ring", "flat"):
        pools = unimargin("whatif", name, "--shock", "BTC=-20%", "--json", env=book).json["pools"]
        changed = [it for it in pools if it["before"]["band"] != it["after"]["band"]]
        if not changed:
            continue
        moved.add(name)
        (pool,), row = changed, rows[name]
        assert row["position"] == pool["position"]
        assert (row["band_before"], row["band_after"]) == (pool["before"]["band"], pool["after"]["band"])
        assert (row["equity_before"], row["equity_after"]) == (
            pool["before"]["equity"],
            pool["after"]["equity"],
        )
        assert (row["ratio_after"], row["shortfall_to_call"]) == (
            pool["after"]["ratio"],
            pool["after"]["shortfall_to_call"],
        )
    # 250 - 200 against 40; 200 - 200; the margin of 160 - 200; and a short that comes back
    assert moved == rows.keys() == {"long", "longer", "ring", "short"}
    assert [it["account"] for it in shown["accounts"]] == ["ring", "longer", "long", "short"]
    assert sum(it["accounts"] for it in shown["changes"]) == shown["total"]


def test_all_when_limited_then_the_riskiest_and_all_are_counted(book: dict[str, str]) -> None:
    words = ("whatif", "--all", "--shock", "BTC=-20%", "--limit", "1")
    shown = unimargin(*words, "--json", env=book).json
    assert ([it["account"] for it in shown["accounts"]], shown["total"]) == (["ring"], 4)
    said = unimargin(*words, env=book).out
    assert "BTC -20 %: 4 of 6 accounts come into another band" in said
    assert "ring" in said
    assert "longer" not in said


def test_all_when_nobody_changes_band_then_an_object_with_an_empty_list(redis_env: dict[str, str]) -> None:
    shown = unimargin("whatif", "--all", "--shock", "BTC=-1%", "--json", env=redis_env).json
    assert (shown["accounts"], shown["changes"], shown["total"]) == ([], [], 0)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--all",), "say what moves"),
        (("alice", "--all", "--shock", "BTC=-1%"), "either one account or --all"),
        (("--all", "--shock", "BTC=-1%", "--deposit", "USD", "5"), "belong to one account"),
        (("--all", "--shock", "BCT=-1%"), "did you mean BTC"),
        (("--shock", "BTC=-1%"), "say which account"),
        (("alice", "--limit", "3"), "say which account"),
    ],
)
def test_all_when_it_cannot_be_meant_then_refused(
    redis_env: dict[str, str], words: tuple[str, ...], told: str
) -> None:
    said = unimargin("whatif", *words, env=redis_env)
    assert (said.code, said.out) == (2, "")
    assert told in said.err


def test_order_when_said_as_for_whatif_then_may_open_answers_as_for_its_parts(book: dict[str, str]) -> None:
    parts = ("--symbol", "USD-PERP", "--side", "buy", "--quantity", "2", "--price", "101")
    old = unimargin("account", "may-open", "long", *parts, "--json", env=book)
    for words in (("USD-PERP", "buy", "2", "101"), ("USD-PERP buy 2 101",)):
        new = unimargin("account", "may-open", "long", "--order", *words, "--json", env=book)
        assert (new.code, new.json) == (old.code, old.json)
    at_mark = unimargin("account", "may-open", "long", "--order", "USD-PERP", "buy", "2", "--json", env=book)
    assert at_mark.json["order"]["price"] == "100"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "say the order"),
        (("--symbol", "USD-PERP", "--side", "buy", "--quantity", "2"), "say the order"),
        (("--order", "USD-PERP", "buy", "2", "--price", "5"), "--order says all of it"),
        (("--order", "USD-PREP", "buy", "2"), "did you mean USD-PERP"),
        (("--order", "USD-PERP", "buy", "-2", "5"), "above zero"),
    ],
)
def test_order_when_it_is_not_one_then_refused(
    book: dict[str, str], words: tuple[str, ...], told: str
) -> None:
    said = unimargin("account", "may-open", "long", *words, env=book)
    assert (said.code, said.out) == (2, "")
    assert told in said.err
