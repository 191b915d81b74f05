"""`unimargin send`: what goes out, where it lies, and what does not go out."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from engine.inputs import Deposit, Mark, Topic
from streams.cli.unimargin import app
from streams.contract.codec import decode_account_input, decode_prices
from streams.kafka.clients import account_partitioner
from tests.support.cli import NOWHERE, unimargin
from tests.support.kafka_log import ends, read_topic


def deposit(account: str = "alice", **other: Any) -> dict[str, Any]:
    return {
        "type": "deposit",
        "account": account,
        "entry_id": "d-1",
        "asset": "USDT",
        "amount": "1000",
        "time_ns": time.time_ns(),
    } | other


def fill(**other: Any) -> dict[str, Any]:
    return {
        "type": "fill",
        "account": "alice",
        "trade_id": "t-1",
        "symbol": "BTC-USDT-PERP",
        "side": "buy",
        "quantity": "1",
        "price": "60000",
        "fee": "1",
        "fee_asset": "USDT",
        "time_ns": time.time_ns(),
    } | other


def mark(**other: Any) -> dict[str, Any]:
    return {
        "type": "mark",
        "symbol": "BTC-USDT-PERP",
        "price": "60000",
        "sequence": 1,
        "time_ns": time.time_ns(),
    } | other


def order(**other: Any) -> dict[str, Any]:
    return {
        "type": "order_update",
        "account": "alice",
        "update_id": "u-1",
        "order_id": "o-1",
        "symbol": "ETH-USDT-PERP",
        "side": "buy",
        "quantity": "1",
        "price": "3000",
        "time_ns": time.time_ns(),
    } | other


def entry(kind: str, **other: Any) -> dict[str, Any]:
    told = {"type": kind, "account": "alice", "entry_id": "e-1", "amount": "1", "time_ns": time.time_ns()}
    return told | other


def setting(**other: Any) -> dict[str, Any]:
    told = {"type": "account_setting", "account": "alice", "entry_id": "e-1", "time_ns": time.time_ns()}
    return told | other


def dry(message: Any, *words: str) -> Any:
    text = message if isinstance(message, str) else json.dumps(message)
    said = unimargin("send", text, "--dry-run", "--partitions", "8", "--json", *words)
    assert (said.code, said.err) == (0, "")
    return said.json


def refused(message: Any, *words: str) -> str:
    text = message if isinstance(message, str) else json.dumps(message)
    said = unimargin("send", text, *words, env={"UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS": NOWHERE})
    assert (said.code, said.out) == (1, "")
    assert "Nothing was sent" in said.err
    return said.err


@pytest.mark.parametrize("account", ["alice", "bob", "账户", "a" * 64])
def test_send_when_sent_then_it_lies_where_the_worker_looks_for_the_account(
    own_inputs: dict[str, str], account: str
) -> None:
    said = unimargin("send", json.dumps(deposit(account)), "--json", env=own_inputs)
    assert (said.code, said.err) == (0, "")
    topic, bootstrap = own_inputs["UNIMARGIN_TOPIC_LEDGER"], own_inputs["UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS"]
    (record,) = read_topic(bootstrap, topic)
    assert (record.partition, record.offset) == (said.json["partition"], said.json["offset"])
    message = decode_account_input(Topic.LEDGER, record.key, record.value)
    assert isinstance(message, Deposit)
    assert message.account == account
    assert record.partition == account_partitioner(len(ends(bootstrap, topic)))(account.encode())


def test_send_when_a_price_then_keyed_by_its_symbol(cli_kafka: Any, kafka_env: dict[str, str]) -> None:
    before = len(read_topic(cli_kafka.bootstrap_servers, "prices"))
    said = unimargin("send", json.dumps(mark()), env=kafka_env)
    assert (said.code, said.err) == (0, "")
    assert "sent to prices, partition" in said.out
    records = read_topic(cli_kafka.bootstrap_servers, "prices")
    assert len(records) == before + 1
    mine = [it for it in records if it.key == b"BTC-USDT-PERP"][-1]
    (sent,) = decode_prices(mine.value)
    assert isinstance(sent, Mark)


def test_send_when_from_a_file_or_standard_input_then_the_same(tmp_path: Path) -> None:
    text = json.dumps(deposit())
    file = tmp_path / "message.json"
    file.write_text("\ufeff" + text + "\n", encoding="utf-8")
    words = ["--dry-run", "--partitions", "8", "--json"]
    by_file = unimargin("send", "--file", str(file), *words).json
    by_input = json.loads(CliRunner().invoke(app, ["send", "-", *words], input=text).stdout)
    assert by_file == by_input == dry(text)
    assert by_file["record"] == json.loads(text)


def test_send_when_dry_then_topic_by_type_key_and_partition_without_a_broker() -> None:
    said = dry(fill())
    assert (said["topic"], said["key"], said["offset"]) == ("fills", "alice", None)
    assert said["partition"] == account_partitioner(8)(b"alice")
    batch = dry({"type": "marks", "marks": [mark(), mark(symbol="ETH-USDT-PERP")]})
    assert (batch["topic"], batch["key"], batch["partition"]) == ("prices", None, 0)


@pytest.mark.parametrize(
    ("message", "code", "words"),
    [
        ("{", "malformed", ""),
        ("", "malformed", ""),
        ("[]", "wrong_shape", ""),
        ("{}", "wrong_shape", "type '' is of no topic. There are fills: fill"),
        ({"type": "depositt"}, "wrong_shape", "ledger: deposit"),
        (deposit(amount="-1"), "out_of_range", "amount must be above zero"),
        (deposit(amount="NaN"), "out_of_range", "amount is not a finite number"),
        (deposit(colour="red"), "wrong_shape", "colour"),
        (deposit(account=""), "wrong_shape", "account"),
        (deposit(time_ns=int(time.time())), "time_implausible", "is it in nanoseconds?"),
        (deposit(time_ns=time.time_ns() + 10**18), "time_implausible", "far ahead"),
        (fill(side="hold"), "wrong_shape", "hold"),
        (fill(note="x" * 20_000), "oversized", "20"),
        (deposit(asset="USTD"), "unknown_asset", "did you mean USD or USDT? Nothing"),
        (fill(symbol="BTC-USDT-PRP"), "unknown_instrument", "did you mean BTC-USDT-PERP"),
        (fill(fee_asset="USTD"), "unknown_asset", "did you mean USD or USDT? Nothing"),
        (fill(price="0"), "out_of_range", "must be above zero"),
        (order(symbol="ETH-USDT-PRP"), "unknown_instrument", "did you mean ETH-USDT-PERP"),
        (entry("isolated_transfer", symbol="BTC-USDT"), "unknown_instrument", "did you mean BTC-USDT-PERP"),
        (setting(collateral_off=["BTC", "USTD"]), "unknown_asset", "did you mean USD or USDT? Nothing"),
        (mark(price="-5"), "not_positive", "BTC-USDT-PERP"),
        (mark(symbol="NOPE"), "unknown_symbol", "NOPE"),
        (mark(symbol="BTC-USDT-PRP"), "unknown_symbol", "did you mean BTC-USDT-PERP"),
        (mark(time_ns=5), "time_implausible", "BTC-USDT-PERP"),
    ],
)
def test_send_when_the_worker_would_refuse_then_its_code_and_nothing_goes_out(
    message: Any, code: str, words: str
) -> None:
    said = refused(message)
    assert f"error: {code}" in said
    assert words in said


def test_send_when_only_the_worker_knows_what_a_leg_holds_then_sent() -> None:
    assert dry(fill(side="sell", leg="long"))["topic"] == "fills"


def test_send_when_either_topic_takes_it_then_the_topic_is_asked_for() -> None:
    resume = {
        "type": "resume",
        "account": "alice",
        "reason": "repaired",
        "entry_id": "r-1",
        "time_ns": time.time_ns(),
    }
    assert "a resume goes to fills or ledger: say --topic" in refused(resume)
    assert "a resume goes to fills or ledger, not to prices" in refused(resume, "--topic", "prices")
    assert dry(resume, "--topic", "fills")["topic"] == "fills"


def test_send_when_asked_for_nothing_or_two_things_then_told_with_code_2(tmp_path: Path) -> None:
    file = tmp_path / "m.json"
    file.write_text("{}")
    for words in ((), ("{}", "--file", str(file)), ("{}", "--topic", "events"), ("{}", "--partitions", "8")):
        said = unimargin("send", *words)
        assert (said.code, said.out) == (2, "")
    missing = unimargin("send", "--file", str(tmp_path / "none"))
    assert (missing.code, "No such file" in missing.err) == (2, True)


def test_send_when_the_broker_is_away_then_its_address() -> None:
    said = unimargin("send", json.dumps(deposit()), env={"UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS": NOWHERE})
    assert (said.code, said.out) == (1, "")
    assert f"Kafka at {NOWHERE}" in said.err


def test_send_when_the_topics_are_missing_then_how_to_make_them(kafka_env: dict[str, str]) -> None:
    said = unimargin("send", json.dumps(deposit()), env=kafka_env | {"UNIMARGIN_TOPIC_LEDGER": "nowhere"})
    assert said.code == 1
    assert "missing topics: nowhere" in said.err
