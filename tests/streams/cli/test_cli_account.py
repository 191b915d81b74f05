"""`unimargin account` against a real Redis, and for `resume` a real Kafka."""

import json
from collections.abc import Callable
from decimal import Decimal

import msgspec
import pytest

from engine.events.effects import AccountRisk
from engine.inputs import Topic
from engine.ladder import Band, LadderState
from engine.ledger.accounts import AccountState, OpenOrder, Progress, Stop
from engine.ledger.applying import not_judged
from engine.ledger.applying import stopped as stopped_by
from engine.rejections import RejectionCode
from streams.contract.operator_command import AccountsResume, NamedStop, decode_operator_record
from tests.support.builders import account, sample
from tests.support.cli import unimargin
from tests.support.cli_state import leave_state, marks_now
from tests.support.kafka_log import read_topic
from tests.support.kafka_server import RealKafka
from tests.support.waiting import wait_for

pytestmark = pytest.mark.system

QUOTES = {"USD-PERP": 900, "BTC-PERP": "98.5", "ETH-PERP": 50, "USDT-USD": "0.999", "BTC-USD": "64000.125"}
ALICE = account(
    {"USD": 1000, "USDT": "-3.25", "BTC": "0.0125"},
    {"USD-PERP": (10, 950), "BTC-PERP": ("-0.3", "101.7")},
    {"ETH-PERP": (4, 55, "31.5")},
    {"USD-PERP": 20},
)
IN_CALL = AccountRisk("alice", {"": LadderState(Band.MARGIN_CALL, "alice/cross/1")})


def stopped(name: str) -> object:
    """An account that missed a number in fills."""
    progress = Progress(offset=4, next_seq=5, stop=Stop(RejectionCode.SEQUENCE_GAP, offset=6, through_seq=9))
    return msgspec.structs.replace(account({"USD": 5}, name=name), fills=progress)


def test_show_when_the_breaker_holds_the_account_then_said_with_the_command_that_tells_why(
    redis_env: dict[str, str],
) -> None:
    held = AccountRisk("alice", {"": LadderState(Band.REDUCE_ONLY, "alice/cross/1", held_by=7)})
    leave_state(redis_env["UNIMARGIN_REDIS_URL"], 0, [ALICE], [held], marks_now(QUOTES))
    assert unimargin("account", "show", "alice", "--json", env=redis_env).json["pools"][0]["held_by"] == 7
    text = " ".join(unimargin("account", "show", "alice", env=redis_env).out.split())
    assert "held by the breaker (opening 7); `unimargin breaker show` says why" in text


def test_show_when_the_account_is_in_the_last_shard_then_figures_of_the_engine(
    redis_env: dict[str, str],
) -> None:
    leave_state(redis_env["UNIMARGIN_REDIS_URL"], 0)
    leave_state(redis_env["UNIMARGIN_REDIS_URL"], 3, [ALICE], [IN_CALL], marks_now(QUOTES))
    shown = unimargin("account", "show", "alice", "--json", env=redis_env).json

    assert (shown["account"], shown["shard"], shown["currency"]) == ("alice", 3, "USD")
    assert shown["policy_digest"] == sample().digest
    cross, isolated = shown["pools"]
    assert (cross["position"], cross["band"], cross["band_at_figures"]) == (None, "margin_call", "healthy")
    assert cross["episode_id"] == "alice/cross/1"
    # USD: 1000 + 10 * (900 - 950); USDT: (-3.25 - 0.3 * (98.5 - 101.7)) * 0.999; BTC: 0.0125 * 64000.125
    usdt = (Decimal("-3.25") + Decimal("0.96")) * Decimal("0.999")
    assert Decimal(cross["equity"]) == 500 + usdt + Decimal("800.0015625")
    # BTC at 95 %
    assert Decimal(cross["collateral_value"]) == 500 + usdt + Decimal("800.0015625") * Decimal("0.95")
    # 5 % of 9000 USD and of 29.55 USDT
    maintenance = 450 + Decimal("29.55") * Decimal("0.05") * Decimal("0.999")
    assert Decimal(cross["maintenance_margin"]) == maintenance
    assert (isolated["position"], isolated["band"]) == ("ETH-PERP", "healthy")
    assert Decimal(isolated["equity"]) == (Decimal("31.5") - 20) * Decimal("0.999")
    assert (cross["degraded"], shown["missing_marks"], shown["stops"]) == (False, [], {})
    assert "lines" not in cross

    held = {position["symbol"]: position for position in shown["positions"]}
    assert {name: position["mode"] for name, position in held.items()} == {
        "BTC-PERP": "cross",
        "USD-PERP": "cross",
        "ETH-PERP": "isolated",
    }
    assert (held["USD-PERP"]["entry_price"], held["USD-PERP"]["unrealised_pnl"]) == ("950", "-500")
    assert (held["USD-PERP"]["leverage"], held["ETH-PERP"]["isolated_margin"]) == ("20", "31.5")
    assert shown["balances"] == {"BTC": "0.0125", "USD": "1000", "USDT": "-3.25"}
    assert 0 <= shown["marks"]["USD-PERP"]["age_seconds"] < 10


@pytest.mark.parametrize("stale_s", [0, 60])
def test_explain_then_lines_sum_to_every_figure_exactly(redis_env: dict[str, str], stale_s: float) -> None:
    leave_state(redis_env["UNIMARGIN_REDIS_URL"], 1, [ALICE], [IN_CALL], marks_now(QUOTES, stale_s))
    shown = unimargin("account", "show", "alice", "--explain", "--json", env=redis_env).json
    assert [pool["degraded"] for pool in shown["pools"]] == [bool(stale_s)] * 2
    for pool in shown["pools"]:
        for figure in ("equity", "collateral_value", "initial_margin", "maintenance_margin"):
            values = [Decimal(line["value"]) for line in pool["lines"] if line["figure"] == figure]
            assert values
            assert sum(values) == Decimal(pool[figure])


def test_show_for_people_then_figures_lines_policy_offsets_and_age_of_marks(
    redis_env: dict[str, str],
) -> None:
    leave_state(redis_env["UNIMARGIN_REDIS_URL"], 0, [ALICE], [IN_CALL], marks_now(QUOTES, 60))
    shown = unimargin("account", "show", "alice", "--explain", env=redis_env).out
    for words in (
        sample().digest,
        "fills -1, ledger -1",
        "margin_call",
        "(tier maintenance rate * N - deduction) * price",
        "USD-PERP: price is stale",
        "60.",
    ):
        assert words in shown


def test_show_when_stopped_then_degraded_with_the_reason(redis_env: dict[str, str]) -> None:
    leave_state(redis_env["UNIMARGIN_REDIS_URL"], 0, [stopped("alice")])
    shown = unimargin("account", "show", "alice", "--json", env=redis_env).json
    assert shown["stops"] == {"fills": {"code": "sequence_gap", "offset": 6, "through_seq": 9}}
    assert shown["pools"][0]["degraded_reasons"] == ["fills stopped at offset 6: sequence_gap"]
    assert shown["pools"][0]["ratio"] is None
    assert "STOPPED in fills since offset 6" in unimargin("account", "show", "alice", env=redis_env).out


def test_show_when_a_price_never_came_then_missing(redis_env: dict[str, str]) -> None:
    quotes = {symbol: price for symbol, price in QUOTES.items() if symbol != "BTC-PERP"}
    leave_state(redis_env["UNIMARGIN_REDIS_URL"], 0, [ALICE], marks=marks_now(quotes))
    shown = unimargin("account", "show", "alice", "--json", env=redis_env).json
    assert shown["missing_marks"] == ["BTC-PERP"]
    assert shown["pools"][0]["degraded_reasons"] == ["BTC-PERP: no price"]


@pytest.mark.parametrize("shards", [0, 2])
def test_show_when_nobody_has_heard_of_the_account_then_exit_1(
    redis_env: dict[str, str], shards: int
) -> None:
    for shard in range(shards):
        leave_state(redis_env["UNIMARGIN_REDIS_URL"], shard, [ALICE])
    said = unimargin("account", "show", "bob", env=redis_env)
    assert (said.code, said.out) == (1, "")
    assert f"unknown account 'bob': none of {shards} shards" in said.err


def test_show_when_the_policy_does_not_list_a_holding_then_named(redis_env: dict[str, str]) -> None:
    leave_state(redis_env["UNIMARGIN_REDIS_URL"], 0, [account({"DOGE": 1}, {"DOGE-PERP": (1, 1)})])
    said = unimargin("account", "show", "alice", env=redis_env)
    assert said.code == 1
    assert "instrument DOGE-PERP, asset DOGE" in said.err


def test_show_when_only_an_order_and_dust_are_of_what_left_the_policy_then_shown_without_them(
    redis_env: dict[str, str],
) -> None:
    order = OpenOrder(symbol="GONE-PERP", quantity=Decimal(1), price=Decimal(1))
    balances = {**ALICE.balances, "GONE": Decimal("1e-18")}
    state = msgspec.structs.replace(ALICE, balances=balances, orders={"o": order})
    leave_state(redis_env["UNIMARGIN_REDIS_URL"], 0, [state], [IN_CALL], marks_now(QUOTES))
    shown = unimargin("account", "show", "alice", "--json", env=redis_env).json
    assert shown["balances"].keys() == ALICE.balances.keys()
    assert (shown["orders"], shown["pools"][0]["degraded"]) == ([], False)


def test_list_when_the_policy_does_not_list_what_one_holds_then_it_is_degraded_and_the_others_are_listed(
    redis_env: dict[str, str],
) -> None:
    odd = account({"DOGE": 1, "USD": 5}, {"DOGE-PERP": (1, 1)}, name="odd")
    leave_state(redis_env["UNIMARGIN_REDIS_URL"], 0, [odd, ALICE], marks=marks_now(QUOTES))
    rows = {
        it["account"]: it for it in unimargin("account", "list", "--json", env=redis_env).json["accounts"]
    }
    assert rows.keys() == {"alice", "odd"}
    assert (rows["odd"]["degraded"], rows["odd"]["stopped"], rows["odd"]["equity"]) == (True, False, "5")


def test_show_when_the_state_cannot_be_read_then_told(redis_env: dict[str, str]) -> None:
    broken = msgspec.structs.replace(ALICE, balances={"USD": "many"})  # type: ignore[dict-item]
    leave_state(redis_env["UNIMARGIN_REDIS_URL"], 0, [broken])
    said = unimargin("account", "show", "alice", env=redis_env)
    assert said.code == 1
    assert "cannot be read" in said.err


def test_show_when_a_name_looks_like_markup_or_control_then_printed_harmlessly(
    redis_env: dict[str, str],
) -> None:
    name = "[red]\x1b[31m"
    leave_state(redis_env["UNIMARGIN_REDIS_URL"], 0, [account({"USD": 1}, name=name)])
    for words in (("show", name), ("list",)):
        shown = unimargin("account", *words, env=redis_env).out
        assert "[red]\\x1b[31m" in shown
        assert "\x1b" not in shown


def test_list_then_worst_first_and_limited(redis_env: dict[str, str]) -> None:
    url = redis_env["UNIMARGIN_REDIS_URL"]
    bands = {"anna": Band.HEALTHY, "bert": Band.LIQUIDATION, "carl": Band.WARNING}
    risks = [
        AccountRisk(name, {"": LadderState(band, "e")})
        for name, band in bands.items()
        if band is not Band.HEALTHY
    ]
    leave_state(url, 0, [account({"USD": 1}, name="anna"), account({"USD": 2}, name="bert")], risks[:1])
    leave_state(url, 2, [account({"USD": 3}, name="carl"), stopped("dora")], risks[1:])

    def listed(*words: str) -> list[tuple[str, int, str]]:
        rows = unimargin("account", "list", "--json", *words, env=redis_env).json["accounts"]
        return [(row["account"], row["shard"], row["band"]) for row in rows]

    everyone = [
        ("bert", 0, "liquidation"),
        ("carl", 2, "warning"),
        ("anna", 0, "healthy"),
        ("dora", 2, "healthy"),
    ]
    assert listed() == everyone
    assert listed("--limit", "2") == everyone[:2]
    assert listed("--band", "warning") == everyone[1:2]
    assert listed("--band", "bankrupt") == []
    assert "stopped degraded" in unimargin("account", "list", env=redis_env).out


@pytest.fixture
def operators(
    cli_kafka: RealKafka, own_inputs: dict[str, str], unique: Callable[[str], str]
) -> dict[str, str]:
    """Settings with an operators' topic, and topics of inputs, that no other test uses."""
    name = unique("operator")
    cli_kafka.create_topics({name: 1})
    env = {**own_inputs, "UNIMARGIN_TOPIC_OPERATOR": name}
    wait_for("the topic has a leader", lambda: unimargin("operator", "log", env=env).code == 0)
    return env


def commands(kafka: RealKafka, env: dict[str, str]) -> list[AccountsResume]:
    records = read_topic(kafka.bootstrap_servers, env["UNIMARGIN_TOPIC_OPERATOR"])
    return [decode_operator_record(it.value) for it in records]


def test_resume_when_stopped_then_a_command_that_a_worker_takes_and_nothing_among_the_inputs(
    cli_kafka: RealKafka, redis_env: dict[str, str], operators: dict[str, str]
) -> None:
    leave_state(redis_env["UNIMARGIN_REDIS_URL"], 1, [stopped("alice")])
    env = {**redis_env, **operators}
    words = ("account", "resume", "alice", "--topic", "fills", "--reason", "number 5 was sent")
    dry = unimargin(*words, "--dry-run", env=env)
    assert (dry.code, "would be sent" in dry.out) == (0, True)
    said = unimargin(*words, "--next-seq", "5", "--who", "desk", "--json", env=env)
    assert said.code == 0, said.err
    (command,) = commands(cli_kafka, operators)
    assert command.stops == (NamedStop("alice", Topic.FILLS, 6),)
    assert (command.who, command.why, command.next_account_seq) == ("desk", "number 5 was sent", 5)
    assert said.json == {"topic": operators["UNIMARGIN_TOPIC_OPERATOR"], "id": command.id}
    for topic in ("FILLS", "LEDGER"):
        assert read_topic(cli_kafka.bootstrap_servers, operators[f"UNIMARGIN_TOPIC_{topic}"]) == []
    off = unimargin(*words, env={**env, "UNIMARGIN_OPERATOR_TOPIC_ENABLED": "false"})
    assert (off.code, "UNIMARGIN_OPERATOR_TOPIC_ENABLED is off" in off.err) == (2, True)


def test_resume_when_no_topic_is_named_then_every_stop_of_the_account_by_one_command(
    cli_kafka: RealKafka, redis_env: dict[str, str], operators: dict[str, str]
) -> None:
    both = not_judged(AccountState("both", fills=Progress(offset=4), ledger=Progress(offset=2)))
    leave_state(redis_env["UNIMARGIN_REDIS_URL"], 1, [stopped("alice"), both, AccountState("well")])
    env = {**redis_env, **operators}
    for name in ("alice", "both"):
        said = unimargin("account", "resume", name, "--why", "sent again", env=env)
        assert said.code == 0, said.err
    of_alice, of_both = commands(cli_kafka, operators)
    assert of_alice.stops == (NamedStop("alice", Topic.FILLS, 6),)
    assert of_both.stops == (NamedStop("both", Topic.FILLS, 4), NamedStop("both", Topic.LEDGER, 2))
    assert {it.why for it in (of_alice, of_both)} == {"sent again"}
    said = unimargin("account", "resume", "both", "--why", "sent again", "--next-seq", "5", env=env)
    assert (said.code, "say --topic" in said.err) == (2, True)
    said = unimargin("account", "resume", "well", "--why", "sent again", env=env)
    assert (said.code, "'well' is not stopped" in said.err) == (1, True)
    assert len(commands(cli_kafka, operators)) == 2


@pytest.mark.parametrize(
    ("name", "topic", "reason", "code", "words"),
    [
        ("alice", "ledger", "why", 1, "not stopped in ledger (stopped in: fills)"),
        ("bob", "fills", "why", 1, "unknown account 'bob'"),
        ("alice", "fills", " ", 2, "--why"),
    ],
)
def test_resume_when_there_is_nothing_to_resume_then_refused_and_nothing_written(
    redis_env: dict[str, str], name: str, topic: str, reason: str, code: int, words: str
) -> None:
    leave_state(redis_env["UNIMARGIN_REDIS_URL"], 0, [stopped("alice")])
    said = unimargin("account", "resume", name, "--topic", topic, "--reason", reason, env=redis_env)
    assert (said.code, said.out) == (code, "")
    assert words in said.err


def test_resume_when_all_of_a_reason_then_each_stop_once_and_no_other(
    cli_kafka: RealKafka, redis_env: dict[str, str], operators: dict[str, str]
) -> None:
    url, error = redis_env["UNIMARGIN_REDIS_URL"], RejectionCode.ENGINE_ERROR

    def both(name: str) -> AccountState:
        return not_judged(AccountState(name, fills=Progress(offset=4), ledger=Progress(offset=2)))

    states = [stopped_by(AccountState(f"m-{n}"), Topic.FILLS, n, error, None) for n in range(2_100)]
    leave_state(url, 0, [*states, both("both"), AccountState("well")])
    leave_state(url, 1, [stopped("alice")])
    env = {**redis_env, **operators}
    words = ("account", "resume", "--all", "--reason", "engine_error", "--json")
    dry = unimargin(*words, "--dry-run", env=env)
    assert dry.json == {"sent": False, "reason": "engine_error", "stops": {"fills": 2_101, "ledger": 1}}
    assert commands(cli_kafka, operators) == []
    assert unimargin(*words, "--why", "mended", env=env).json["sent"]
    sent = commands(cli_kafka, operators)
    named = [(it.account, it.topic, it.stop_offset) for command in sent for it in command.stops]
    expected = [("both", "fills", 4), ("both", "ledger", 2), *((f"m-{n}", "fills", n) for n in range(2_100))]
    assert sorted(named) == sorted(expected)
    assert {it.why for it in sent} == {"all stopped by engine_error: mended"}
    assert len(sent) == len({it.id for it in sent}) == 22  # of 100 stops each
    one = ("account", "resume", "--all", "--topic", "ledger", "--reason", "engine_error")
    assert unimargin(*one, env=env).code == 0
    assert len(commands(cli_kafka, operators)) == 23
    said = unimargin("account", "resume", "--all", "--reason", "not_utf8", env=env)
    assert (said.code, "no account is stopped by not_utf8" in said.err) == (1, True)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--all", "--reason", "because"), "'because' is none of"),
        (("--all",), "--reason"),
        (("--why", "why"), "name the account"),
        (("alice",), "--why must say something"),
        (("alice", "--why", " "), "--why must say something"),
        (("alice", "--why", "mended", "--reason", "mended"), "say it once, by --why"),
        (("alice", "--all", "--reason", "engine_error"), "--all takes neither"),
        (("--all", "--reason", "engine_error", "--next-seq", "4"), "--all takes neither"),
    ],
)
def test_resume_when_it_is_not_said_what_then_refused(words: tuple[str, ...], told: str) -> None:
    said = unimargin("account", "resume", *words)
    assert (said.code, said.out) == (2, "")
    assert told in said.err


def test_json_then_one_document(redis_env: dict[str, str]) -> None:
    leave_state(redis_env["UNIMARGIN_REDIS_URL"], 0, [ALICE], marks=marks_now(QUOTES))
    (line,) = unimargin("account", "show", "alice", "--json", env=redis_env).out.splitlines()
    assert json.loads(line)["account"] == "alice"
