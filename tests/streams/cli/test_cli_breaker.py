"""`unimargin breaker`: what is held, and sending what an operator decides."""

from decimal import Decimal

import msgspec
import pytest
import redis

from engine.ladder.breaker import BreakerState, Cause, HeldPool, InputsTaken, Opening, Stake, SymbolMove
from streams.contract.operator_command import BreakerRelease, BreakerVoid, decode_operator_record
from streams.store.store_keys import ShardKeys
from tests.support.cli import unimargin
from tests.support.kafka_log import read_topic

DECISION = ("--who", "desk.night", "--why", "all sources agree")
OPENING = Opening(
    number=3,
    cause=Cause(
        "window",
        1_760_130_000_000_000_000,
        symbols=(SymbolMove("BTC-PERP", 60_000, 52_000, 1e6),),
        inputs=(InputsTaken("ledger", 40, 52, {"funding_payment": 12, "deposit": 1}),),
    ),
    limit="open_interest",
    share=0.42,
    share_max=Decimal("0.3"),
    condemned=Stake(120, 4_200_000, 90_000),
    of=Stake(500, 10_000_000, 2_000_000),
    worst=(HeldPool("[red]whale", None, 900_000, 12_000),),
)


def store(url, shard, state):
    keys = ShardKeys("unimargin", shard)
    with redis.Redis.from_url(url) as client:
        client.set(keys.fence, 1)
        if state is not None:
            client.set(keys.breaker, msgspec.json.encode(state))


def test_show_when_a_shard_holds_then_cause_share_and_the_largest_are_told(redis_env, redis_url_db):
    store(redis_url_db, 0, None)
    store(redis_url_db, 1, BreakerState(openings=3, opening=OPENING, held=Stake(118, 4_100_000, 80_000)))
    said = unimargin("breaker", "show", env=redis_env)
    assert said.code == 0, said.err
    for part in (
        "118 accounts",
        "ledger 40..52: 12 funding_payment, 1 deposit",
        "BTC-PERP 60000 -> 52000",
        "42.0% of open interest, at most 30.0%",
        "[red]whale",
    ):
        assert part in " ".join(said.out.split()), (part, said.out)
    first, second = unimargin("breaker", "show", "--json", env=redis_env).json
    assert (first["shard"], first["open"], second["shard"], second["open"]) == (0, False, 1, True)
    assert second["state"]["held"] == {"accounts": 118, "open_interest": "4100000", "equity": "80000"}
    opening = second["state"]["opening"]
    assert (opening["share"], opening["cause"]["symbols"][0]["loss"]) == ("0.42", "1000000")
    assert first["state"]["held"]["open_interest"] == "0"
    assert second["state"]["opening"]["cause"]["inputs"][0]["kinds"] == {"funding_payment": 12, "deposit": 1}


def test_show_when_nothing_is_held_then_says_so(redis_env, redis_url_db):
    store(redis_url_db, 0, BreakerState(openings=2))
    said = unimargin("breaker", "show", env=redis_env)
    assert (said.code, "nothing is held" in said.out) == (0, True)


def test_show_when_there_is_no_shard_then_an_empty_list(redis_env):
    assert unimargin("breaker", "show", "--json", env=redis_env).json == []


def test_show_when_redis_holds_what_this_version_cannot_read_then_a_problem(redis_env, redis_url_db):
    store(redis_url_db, 0, None)
    with redis.Redis.from_url(redis_url_db) as client:
        client.set(ShardKeys("unimargin", 0).breaker, b"[]")
    said = unimargin("breaker", "show", env=redis_env)
    assert (said.code, "the breaker of shard 0 in Redis cannot be read" in said.err) == (1, True)


@pytest.mark.parametrize(("word", "kind"), [("release", BreakerRelease), ("void", BreakerVoid)])
def test_decision_when_sent_then_one_command_with_who_and_why(operators, cli_kafka, word, kind):
    said = unimargin("breaker", word, *DECISION, "--shard", "2", env=operators)
    assert said.code == 0, said.err
    (record,) = read_topic(cli_kafka.bootstrap_servers, operators["UNIMARGIN_TOPIC_OPERATOR"])
    command = decode_operator_record(record.value)
    assert isinstance(command, kind)
    assert (command.who, command.why, command.shard) == ("desk.night", "all sources agree", 2)


def test_decision_when_operators_are_off_then_refused_and_nothing_is_sent(operators, cli_kafka):
    said = unimargin(
        "breaker", "release", *DECISION, env={**operators, "UNIMARGIN_OPERATOR_TOPIC_ENABLED": "false"}
    )
    assert (said.code, "UNIMARGIN_OPERATOR_TOPIC_ENABLED is off" in said.err) == (2, True)
    assert read_topic(cli_kafka.bootstrap_servers, operators["UNIMARGIN_TOPIC_OPERATOR"]) == []


@pytest.mark.parametrize("blank", [("--who", " ", "--why", "x"), ("--who", "x", "--why", "")])
def test_decision_when_who_or_why_is_blank_then_refused(operators, blank):
    said = unimargin("breaker", "void", *blank, env=operators)
    assert (said.code, "both go on record" in said.err) == (2, True)


def test_decision_when_the_topic_does_not_exist_then_told_how_to_make_it(kafka_env, unique):
    env = {
        **kafka_env,
        "UNIMARGIN_TOPIC_OPERATOR": unique("gone"),
        "UNIMARGIN_OPERATOR_TOPIC_ENABLED": "true",
    }
    said = unimargin("breaker", "release", *DECISION, env=env)
    assert (said.code, "unimargin topics create" in said.err) == (1, True)
