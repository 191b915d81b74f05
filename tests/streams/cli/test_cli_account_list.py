"""`unimargin account list` against a real Redis: who comes first, and by which pool."""

from decimal import Decimal

import msgspec
import pytest

from engine.events.effects import AccountRisk
from engine.ladder import Band, LadderState
from engine.ledger.accounts import AccountState, Progress, Stop
from engine.rejections import RejectionCode
from streams.answers import account_list
from tests.support.builders import account
from tests.support.cli import unimargin
from tests.support.cli_state import leave_state, marks_now

pytestmark = pytest.mark.system

D = Decimal
QUOTES = {"USDT-USD": 1, "BTC-USD": 100, "BTC-PERP": 100, "ETH-PERP": 50, "USD-PERP": 100}
STOPPED = Progress(offset=4, next_seq=5, stop=Stop(RejectionCode.SEQUENCE_GAP, offset=6, through_seq=9))


def leave(env: dict[str, str], states: list[AccountState], risks: tuple[AccountRisk, ...] = ()) -> None:
    """Every second account in another shard."""
    for shard in (0, 1):
        mine = states[shard::2]
        told = [it for it in risks if it.account in {state.account for state in mine}]
        leave_state(env["UNIMARGIN_REDIS_URL"], shard, mine, told, marks_now(QUOTES))


def listed(env: dict[str, str], *words: str) -> list[str]:
    said = unimargin("account", "list", "--json", *words, env=env)
    assert (said.code, said.err) == (0, ""), said.err
    return [it["account"] for it in said.json["accounts"]]


@pytest.fixture
def book(redis_env: dict[str, str]) -> dict[str, str]:
    """Requirements (5 %): small 50, large 500, near 50, flat none, hurt 25; call line 1.2 or so."""
    states = [
        account({"USD": 100}, {"USD-PERP": (10, 100)}, name="small"),  # 2
        account({"USD": 900}, {"USD-PERP": (100, 100)}, name="large"),  # 1.8
        account({"USD": 52}, {"USD-PERP": (10, 100)}, name="near"),  # 1.04
        account({"USD": 7}, name="flat"),
        msgspec.structs.replace(
            account({"USD": 5_000}, {"BTC-PERP": (1, 100)}, name="halted"), fills=STOPPED
        ),
    ]
    leave(redis_env, states, (AccountRisk("large", {"": LadderState(Band.WARNING, "large/cross/1")}),))
    return redis_env


@pytest.mark.parametrize(
    ("sort", "first"),
    [
        ("risk", ["large", "near", "small"]),  # the engine has put only one of them anywhere
        ("ratio", ["near", "large", "small"]),
        ("shortfall", ["near", "large", "small"]),
        ("equity", ["flat", "near", "small"]),
        ("distance", ["near", "large", "small"]),
    ],
)
def test_list_when_sorted_then_the_riskiest_by_that_first(
    book: dict[str, str], sort: str, first: list[str]
) -> None:
    assert listed(book, "--sort", sort)[:3] == first
    assert listed(book, "--sort", sort, "--limit", "1") == first[:1]


def test_list_by_distance_then_the_move_that_whatif_confirms(book: dict[str, str]) -> None:
    said = unimargin("account", "list", "--sort", "distance", "--json", env=book).json
    moves = {it["account"]: it["distance_to_call"] for it in said["accounts"]}
    assert moves["near"] == "0"
    assert moves["flat"] is None
    leave(book, [account({}, name="emptied")])
    found = {
        it["account"]: it["distance_to_call"]
        for it in unimargin("account", "list", "--sort", "distance", "--json", env=book).json["accounts"]
    }
    assert found["emptied"] is None
    assert next(iter(found)) == "near"
    told = unimargin("account", "show", "emptied", env=book).out
    assert "whole market down / up until the shared pool is on the line of margin_call never / never" in told
    for name in ("small", "large"):
        beyond, short = (D(moves[name]) * it * 100 for it in (D("1.001"), D("0.999")))
        bands = [
            unimargin("whatif", name, "--shock", f"ALL=-{move}%", "--json", env=book).json["pools"][0][
                "after"
            ]["band"]
            for move in (beyond, short)
        ]
        assert bands == ["margin_call", "warning"], name
    shown = unimargin("account", "list", "--sort", "distance", env=book).out
    assert "market to call" in shown


def test_list_when_filtered_then_only_those_and_all_are_counted(book: dict[str, str]) -> None:
    assert listed(book, "--symbol", "BTC-PERP") == ["halted"]
    assert listed(book, "--stopped") == ["halted"]
    assert listed(book, "--stopped", "--symbol", "USD-PERP") == []
    assert listed(book, "--band", "warning") == ["large"]
    said = unimargin("account", "list", "--limit", "2", "--json", env=book).json
    assert (said["total"], len(said["accounts"])) == (5, 2)
    nobody = unimargin("account", "list", "--band", "bankrupt", "--json", env=book).json
    assert (nobody["total"], nobody["in_all"]) == (0, 5)
    for words, title in (
        (("--band", "bankrupt"), "Accounts: 0 of 5, by risk"),
        (("--symbol", "USD-PERP", "--limit", "1"), "Accounts: 1 of 5, by risk; 3 pass the filters"),
        (("--limit", "2"), "Accounts: 2 of 5, by risk"),
    ):
        (line,) = [
            it for it in unimargin("account", "list", *words, env=book).out.splitlines() if "Accounts:" in it
        ]
        assert line.strip() == title


def test_list_when_nobody_is_found_then_one_object_with_an_empty_list(redis_env: dict[str, str]) -> None:
    said = unimargin("account", "list", "--json", env=redis_env).json
    assert (said["accounts"], said["total"]) == ([], 0)


def test_list_when_the_worst_pool_is_isolated_then_the_figures_are_its_own(redis_env: dict[str, str]) -> None:
    state = account({"USD": 1_000}, {"USD-PERP": (1, 100)}, {"BTC-PERP": (10, 100, 52)}, name="ring")
    leave(
        redis_env,
        [state],
        (AccountRisk("ring", {"BTC-PERP": LadderState(Band.REDUCE_ONLY, "ring/BTC-PERP/1")}),),
    )
    (row,) = unimargin("account", "list", "--json", env=redis_env).json["accounts"]
    shown = unimargin("account", "show", "ring", "--json", env=redis_env).json["pools"]
    pool = next(it for it in shown if it["position"] == "BTC-PERP")
    same = ("position", "band", "ratio", "equity", "maintenance_margin", "shortfall_to_call", "episode_id")
    assert {name: row[name] for name in same} == {name: pool[name] for name in same}
    assert row["equity"] == "52"


def test_list_when_one_cannot_be_read_then_the_others_are_listed_and_it_is_named(
    redis_env: dict[str, str],
) -> None:
    broken = msgspec.structs.replace(account(name="odd"), balances={"USD": "many"})  # type: ignore[dict-item]
    leave(redis_env, [broken, account({"USD": 5}, name="well")])
    said = unimargin("account", "list", "--json", env=redis_env).json
    assert [it["account"] for it in said["accounts"]] == ["well"]
    assert "odd" in said["unreadable"][0]


def test_list_when_there_are_more_than_are_held_then_the_same_first(
    redis_env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(redis_env, [account({"USD": n}, name=f"a{n:03}") for n in range(60)])
    whole = listed(redis_env, "--sort", "equity", "--limit", "7")
    monkeypatch.setattr(account_list, "CHUNK_ACCOUNTS", 3)
    assert listed(redis_env, "--sort", "equity", "--limit", "7") == whole == [f"a{n:03}" for n in range(7)]


def test_list_when_the_symbol_is_mistyped_then_refused_with_the_nearest(redis_env: dict[str, str]) -> None:
    said = unimargin("account", "list", "--symbol", "btc-prep", env=redis_env)
    assert (said.code, said.out) == (2, "")
    assert "did you mean BTC-PERP" in said.err


def test_show_when_the_account_is_mistyped_then_the_nearest_is_offered(redis_env: dict[str, str]) -> None:
    leave(redis_env, [account(name="alice"), account(name="robert")])
    said = unimargin("account", "show", "Alcie", env=redis_env)
    assert (said.code, said.out) == (1, "")
    assert "unknown account 'Alcie': none of 2 shards in Redis holds it; did you mean alice?" in said.err
    said = unimargin("account", "resume", "Alcie", "--topic", "fills", "--reason", "mended", env=redis_env)
    assert (said.code, "did you mean alice?" in said.err) == (1, True)


def test_show_when_a_balance_is_tiny_then_its_own_digits_and_not_0(redis_env: dict[str, str]) -> None:
    leave(redis_env, [account({"BTC": "0.000000000000000001"})])
    assert "0.000000000000000001" in unimargin("account", "show", "alice", env=redis_env).out


@pytest.mark.parametrize("words", [("adl", "BTC-PREP", "long"), ("symbols", "show", "BTC-PREP")])
def test_symbol_when_mistyped_then_the_nearest_is_offered(
    redis_env: dict[str, str], words: tuple[str, ...]
) -> None:
    said = unimargin(*words, env=redis_env)
    assert (said.code in {1, 2}, said.out) == (True, "")
    assert "did you mean BTC-PERP" in said.err


def test_tail_when_the_type_is_none_then_refused_with_the_nearest() -> None:
    said = unimargin("events", "tail", "--type", "margin.cal_opened")
    assert (said.code, said.out) == (2, "")
    assert "did you mean margin.call.opened" in said.err, said.err
