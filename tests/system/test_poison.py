"""Poison: input that is no input. It is kept, named, and harms nobody but the account it speaks of, and that visibly."""

import time
from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

import msgspec
import pytest

from engine.events.effects import EventType, RiskEvent
from engine.inputs import MarkBatch, Topic
from engine.ledger.accounts import AccountState
from engine.rejections import RejectionCode
from streams.embedded.embedded_redis import EmbeddedRedis
from tests.conftest import system_redis_server
from tests.support.audit import QUARANTINE_BYTES_MAX, audit
from tests.support.cluster import Cluster
from tests.support.inputs import MARKS, deposit, fill, mark, resume
from tests.support.kafka_log import LogRecord, read_topic
from tests.support.kafka_server import RealKafka
from tests.support.redis_view import read_account
from tests.support.repeater import Repeater
from tests.support.sender import Sender
from tests.support.waiting import wait_for
from tests.support.workers import Worker

pytestmark = pytest.mark.system

MIB = 1024 * 1024
LARGEST = MIB - 400
"""What fits into a record batch of the broker's default limit (1 MiB and 12 bytes) with key and overhead."""


class Scene(NamedTuple):
    """One worker that all tests of this module share: whatever they send, it must live."""

    cluster: Cluster
    worker: Worker
    sender: Sender
    repeater: Repeater
    pid: int


@pytest.fixture(scope="module")
def scene(system_kafka: RealKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    directory = tmp_path_factory.mktemp("poison")
    with (
        EmbeddedRedis(directory / "redis", binary=system_redis_server()) as server,
        Cluster(system_kafka, server, directory) as cluster,
    ):
        sender = Sender(cluster.bootstrap)
        with Repeater(sender) as repeater:
            worker = cluster.worker().wait_ready()
            yield Scene(cluster, worker, sender, repeater, worker.pid)


@pytest.fixture(autouse=True)
def _nothing_else_is_disturbed(scene: Scene) -> Iterator[None]:
    """After every test: an account of every shard still takes inputs, and it is the same worker process."""
    yield
    for number in range(8):
        account = f"bystander-{number}"
        _, offset = scene.sender.inputs(deposit(account, "1"))
        wait_for(f"{account} goes on", lambda a=account, o=offset: _applied(scene, a, ledger=o))
    assert (scene.worker.pid, scene.worker.statuses) == (scene.pid, []), scene.worker.last_words()


def fills_of(account: str) -> dict[str, tuple[bytes | None, RejectionCode]]:
    """Poison for `fills` under the key of `account`."""
    good = msgspec.json.encode(fill(account, trade_id=f"bad-{account}"))
    wrong_type = msgspec.json.encode({**msgspec.json.decode(good), "price": [1]})
    no_number = msgspec.json.encode({**msgspec.json.decode(good), "price": "NaN"})
    nothing = msgspec.json.encode({**msgspec.json.decode(good), "quantity": "0"})
    return {
        "truncated": (good[:-9], RejectionCode.MALFORMED),
        "wrong-type": (wrong_type, RejectionCode.WRONG_SHAPE),
        "unknown-field": (good[:-1] + b',"extra":1}', RejectionCode.WRONG_SHAPE),
        "1-mib": (good[:-1] + b" " * (LARGEST - len(good)) + b"}", RejectionCode.OVERSIZED),
        "unknown-instrument": (
            msgspec.json.encode(fill(account, symbol="NONE-PERP")),
            RejectionCode.UNKNOWN_INSTRUMENT,
        ),
        "unknown-fee-asset": (
            msgspec.json.encode(fill(account, fee_asset="NONE")),
            RejectionCode.UNKNOWN_ASSET,
        ),
        "not-utf8": (good.replace(b"BTC-PERP", b"BTC\xff\xfePERP"), RejectionCode.NOT_UTF8),
        "empty": (b"", RejectionCode.MALFORMED),
        "no-value": (None, RejectionCode.MALFORMED),
        "key-mismatch": (msgspec.json.encode(fill("somebody-else")), RejectionCode.KEY_MISMATCH),
        "nan-price": (no_number, RejectionCode.OUT_OF_RANGE),
        "zero-quantity": (nothing, RejectionCode.OUT_OF_RANGE),
        "ledger-entry": (msgspec.json.encode(deposit(account)), RejectionCode.WRONG_SHAPE),
    }


def ledger_of(account: str) -> dict[str, tuple[bytes | None, RejectionCode]]:
    """Poison for `ledger` under the key of `account`."""
    good = msgspec.json.encode(deposit(account, entry_id=f"bad-{account}"))
    minus = msgspec.json.encode({**msgspec.json.decode(good), "amount": "-1"})
    endless = msgspec.json.encode({**msgspec.json.decode(good), "amount": "1e400"})
    return {
        "truncated": (good[:-1], RejectionCode.MALFORMED),
        "wrong-type": (good.replace(b'"1000"', b"true"), RejectionCode.WRONG_SHAPE),
        "unknown-field": (good[:-1] + b',"extra":1}', RejectionCode.WRONG_SHAPE),
        "1-mib": (b"[" * LARGEST, RejectionCode.OVERSIZED),
        "nested": (b"[" * 10_000, RejectionCode.WRONG_SHAPE),
        "unknown-asset": (msgspec.json.encode(deposit(account, asset="NONE")), RejectionCode.UNKNOWN_ASSET),
        "binary": (b"\xff\xfe\x00", RejectionCode.MALFORMED),
        "not-utf8": (good.replace(b"USDT", b"US\xff\xfe"), RejectionCode.NOT_UTF8),
        "empty": (b"", RejectionCode.MALFORMED),
        "key-mismatch": (msgspec.json.encode(deposit("somebody-else")), RejectionCode.KEY_MISMATCH),
        "minus": (minus, RejectionCode.OUT_OF_RANGE),
        "endless": (endless, RejectionCode.OUT_OF_RANGE),
        "fill": (msgspec.json.encode(fill(account)), RejectionCode.WRONG_SHAPE),
    }


@pytest.mark.parametrize("kind", fills_of("x"))
def test_fill_when_poison_then_kept_and_its_account_stopped_until_resumed(scene: Scene, kind: str) -> None:
    account = f"fills-{kind}"
    value, code = fills_of(account)[kind]
    _check_stop_and_resume(scene, Topic.FILLS, account, value, code)


@pytest.mark.parametrize("kind", ledger_of("x"))
def test_ledger_entry_when_poison_then_kept_and_its_account_stopped_until_resumed(
    scene: Scene, kind: str
) -> None:
    account = f"ledger-{kind}"
    value, code = ledger_of(account)[kind]
    _check_stop_and_resume(scene, Topic.LEDGER, account, value, code)


def _check_stop_and_resume(
    scene: Scene, topic: Topic, account: str, value: bytes | None, code: RejectionCode
) -> None:
    sender, key = scene.sender, account.encode()
    sender.inputs(deposit(account), fill(account, "0.01"))
    counted = scene.worker.metric("margin_quarantined_total", topic=topic, reason=code)
    partition, offset = sender.send_now(topic, key, value)
    kept = _quarantined(scene, topic, partition, offset)
    whole = value or b""
    assert (kept.key, kept.headers["reason"]) == (key, code)
    assert kept.value == whole[: QUARANTINE_BYTES_MAX - len(key)]
    assert kept.headers.get("cut_from_bytes") == (str(len(whole)) if len(kept.value) < len(whole) else None)
    assert scene.worker.metric("margin_quarantined_total", topic=topic, reason=code) == counted + 1

    state = wait_for(f"{account} is stopped", lambda: _state(scene, account, stopped=True))
    progress = state.fills if topic is Topic.FILLS else state.ledger
    assert progress.stop is not None
    assert (progress.stop.code, progress.stop.offset) == (code, offset)
    _wait_for_event(scene, account, EventType.DEGRADED)

    good = fill(account, "0.02") if topic is Topic.FILLS else deposit(account, "7")
    refused = sender.inputs(good)
    assert _quarantined(scene, topic, *refused).headers["reason"] == RejectionCode.ACCOUNT_STOPPED
    sender.inputs(resume(account), topic=topic)
    _, last = sender.inputs(fill(account, "0.04") if topic is Topic.FILLS else deposit(account, "8"))
    place = {"fills": last} if topic is Topic.FILLS else {"ledger": last}
    state = wait_for(f"{account} goes on", lambda: _applied(scene, account, **place))
    assert not state.stopped
    if topic is Topic.FILLS:
        assert state.positions["BTC-PERP"].quantity == Decimal(
            "0.05"
        )  # 0.01 + 0.04: what was refused is not in it
    else:
        assert state.balances["USDT"] == 1008  # 1000 + 8
    _wait_for_event(scene, account, EventType.RECOVERED)


def test_input_when_a_sequence_number_is_missing_then_stops_until_the_missing_ones_come(scene: Scene) -> None:
    account, sender = "gap", scene.sender
    messages = [fill(account, "0.01", account_seq=number) for number in range(1, 6)]
    sender.inputs(deposit(account), *messages[:2])
    refused = [sender.inputs(messages[number]) for number in (3, 4)]
    for place in refused:
        reason = _quarantined(scene, Topic.FILLS, *place).headers["reason"]
        assert reason in {RejectionCode.SEQUENCE_GAP, RejectionCode.ACCOUNT_STOPPED}
    state = wait_for("the account is stopped", lambda: _state(scene, account, stopped=True))
    assert state.fills.stop is not None
    assert state.fills.stop.code is RejectionCode.SEQUENCE_GAP
    _, last = sender.inputs(*messages[2:])
    state = wait_for("the gap closed by itself", lambda: _applied(scene, account, fills=last))
    assert not state.stopped
    assert state.positions["BTC-PERP"].quantity == Decimal("0.05")
    _wait_for_event(scene, account, EventType.RECOVERED)


@pytest.mark.parametrize("number", [None, 1])
def test_fill_when_its_id_was_applied_with_other_content_then_contradiction_told_and_stopped(
    scene: Scene, number: int | None
) -> None:
    account, sender = f"contradiction-{number}", scene.sender
    first = fill(account, "0.01", trade_id="t-1", account_seq=number)
    _, applied = sender.inputs(deposit(account), first)
    wait_for("the first is applied", lambda: _applied(scene, account, fills=applied))
    counted = scene.worker.metric("margin_inputs_duplicate_total", topic=Topic.FILLS)
    again = msgspec.json.encode(first).replace(b'"0.01"', b'"0.0100"')
    sender.send_now(Topic.FILLS, account.encode(), again)
    other = msgspec.structs.replace(first, side="sell")
    place = sender.inputs(other)
    kept = _quarantined(scene, Topic.FILLS, *place)
    assert kept.headers["reason"] == RejectionCode.ID_CONTRADICTION
    assert scene.worker.metric("margin_inputs_duplicate_total", topic=Topic.FILLS) == counted + 1
    state = wait_for("the account is stopped", lambda: _state(scene, account, stopped=True))
    assert state.fills.stop is not None
    assert state.fills.stop.code is RejectionCode.ID_CONTRADICTION
    assert state.positions["BTC-PERP"].quantity == Decimal("0.01")
    _wait_for_event(scene, account, EventType.DEGRADED)


def test_record_when_far_larger_decompressed_then_cut_and_kept(scene: Scene) -> None:
    size = 8 * MIB
    squeezing = Sender(scene.cluster.bootstrap, **{"compression.type": "gzip", "message.max.bytes": 2 * size})
    partition, offset = squeezing.send_now(Topic.FILLS, b"bomb", b" " * size)
    kept = _quarantined(scene, Topic.FILLS, partition, offset)
    assert (kept.headers["reason"], kept.headers["cut_from_bytes"]) == (RejectionCode.OVERSIZED, str(size))
    assert len(kept.value or b"") == QUARANTINE_BYTES_MAX - len(b"bomb")


def test_record_when_its_key_is_as_large_as_a_record_then_cut_and_kept(scene: Scene) -> None:
    partition, offset = scene.sender.send_now(Topic.LEDGER, b"k" * LARGEST, msgspec.json.encode(deposit("x")))
    kept = _quarantined(scene, Topic.LEDGER, partition, offset)
    assert kept.headers["reason"] == RejectionCode.KEY_MISMATCH
    assert kept.key == b"k" * QUARANTINE_BYTES_MAX


def test_record_when_its_key_is_not_text_then_kept_and_nobody_stopped(scene: Scene) -> None:
    partition, offset = scene.sender.send_now(Topic.FILLS, b"\xff\xfe", b"{")
    kept = _quarantined(scene, Topic.FILLS, partition, offset)
    assert (kept.key, kept.value, kept.headers["reason"]) == (b"\xff\xfe", b"{", RejectionCode.MALFORMED)


def test_fill_when_in_a_partition_that_is_not_its_accounts_then_kept_and_not_applied(scene: Scene) -> None:
    stray = fill("stray")
    wrong = (scene.cluster.partition_of(b"stray") + 1) % 4
    scene.sender.send(Topic.FILLS, b"stray", msgspec.json.encode(stray), partition=wrong)
    scene.sender.flush()
    kept = wait_for(
        "it is quarantined",
        lambda: next(
            (it for it in read_topic(scene.cluster.bootstrap, "quarantine") if it.key == b"stray"), None
        ),
    )
    assert kept.headers["reason"] == RejectionCode.WRONG_PARTITION
    assert read_account(scene.cluster.redis.url, "stray") is None


PRICE_RECORDS = {
    "truncated": (b'{"type":"mark","symbol":"BTC-PERP"', RejectionCode.MALFORMED),
    "wrong-type": (
        b'{"type":"mark","symbol":"BTC-PERP","price":"1","sequence":"x","time_ns":0}',
        RejectionCode.WRONG_SHAPE,
    ),
    "unknown-field": (
        b'{"type":"mark","symbol":"BTC-PERP","price":"1","sequence":1,"time_ns":0,"x":1}',
        RejectionCode.WRONG_SHAPE,
    ),
    "1-mib": (b" " * LARGEST, RejectionCode.OVERSIZED),
    "not-utf8": (
        b'{"type":"mark","symbol":"\xff\xfe","price":"1","sequence":1,"time_ns":0}',
        RejectionCode.NOT_UTF8,
    ),
    "empty": (b"", RejectionCode.MALFORMED),
}


@pytest.mark.parametrize("kind", PRICE_RECORDS)
def test_price_record_when_poison_then_kept_and_prices_go_on(scene: Scene, kind: str) -> None:
    value, code = PRICE_RECORDS[kind]
    accepted = scene.worker.metric("margin_marks_accepted_total")
    partition, offset = scene.sender.send_now("prices", b"BTC-PERP", value)
    kept = _quarantined(scene, "prices", partition, offset)
    assert (kept.value, kept.headers["reason"]) == (value[: QUARANTINE_BYTES_MAX - len(b"BTC-PERP")], code)
    wait_for("more marks are believed", lambda: scene.worker.metric("margin_marks_accepted_total") > accepted)


BAD_MARKS = {
    "nan": ({"price": "NaN"}, RejectionCode.NOT_FINITE),
    "infinite": ({"price": "Infinity"}, RejectionCode.NOT_FINITE),
    "zero": ({"price": "0"}, RejectionCode.NOT_POSITIVE),
    "negative": ({"price": "-50000"}, RejectionCode.NOT_POSITIVE),
    "old": ({"price": "40000", "sequence": 5}, RejectionCode.OLD_SEQUENCE),
    "future": ({"price": "50000", "ahead_s": 3600}, RejectionCode.FUTURE_DATED),
    "jump": ({"price": "25000"}, RejectionCode.JUMP_UNCONFIRMED),
}


@pytest.mark.parametrize("kind", BAD_MARKS)
def test_mark_when_it_fails_a_check_then_counted_and_moves_no_account(scene: Scene, kind: str) -> None:
    fields, code = BAD_MARKS[kind]
    # 1 BTC long at 50,000: collateral 10,000 over maintenance 2,500 is healthy; at half the price it is bankrupt.
    account = f"holder-{kind}"
    _, last = scene.sender.inputs(deposit(account, "10000"))
    wait_for("the deposit is there", lambda: _applied(scene, account, ledger=last))
    _, last = scene.sender.inputs(fill(account, "1"))
    wait_for("the holder is there", lambda: _applied(scene, account, fills=last))
    counted = scene.worker.metric("margin_marks_refused_total", reason=code)
    bad = mark("BTC-PERP", **fields)
    with scene.repeater.paused():
        scene.sender.prices(MarkBatch(marks=(bad,)), key="BTC-PERP")
        scene.sender.flush()
        wait_for(
            "it is counted",
            lambda: scene.worker.metric("margin_marks_refused_total", reason=code) == counted + 1,
        )
    accepted = scene.worker.metric("margin_marks_accepted_total", symbol="BTC-PERP")
    wait_for(
        "good marks go on",
        lambda: scene.worker.metric("margin_marks_accepted_total", symbol="BTC-PERP") > accepted + 1,
    )
    assert not _events(scene, account)


def test_mark_when_nobody_knows_its_symbol_then_counted(scene: Scene) -> None:
    counted = scene.worker.metric("margin_marks_refused_total", reason=RejectionCode.UNKNOWN_SYMBOL)
    strange = msgspec.structs.replace(mark("BTC-PERP"), symbol="NONE-PERP")
    scene.sender.prices(strange, key="NONE-PERP")
    wait_for(
        "it is counted",
        lambda: (
            scene.worker.metric("margin_marks_refused_total", reason=RejectionCode.UNKNOWN_SYMBOL)
            == counted + 1
        ),
    )


def test_everything_when_all_poison_was_sent_then_replay_and_events_agree(scene: Scene) -> None:
    audited = audit(scene.cluster)
    assert len(audited.replay.refused) > 2 * (len(fills_of("x")) + len(ledger_of("x")))
    used = {mark.price for event in audited.events for mark in event.marks.values()}
    assert used <= {Decimal(price) for price in MARKS.values()}, "only believable prices moved accounts"
    assert time.time_ns() > max(event.time_ns for event in audited.events), "the future was not believed"


def _quarantined(scene: Scene, topic: str, partition: int, offset: int) -> LogRecord:
    ce_id = f"{topic}/{partition}/{offset}"
    return wait_for(
        f"{ce_id} is in quarantine",
        lambda: next(
            (it for it in read_topic(scene.cluster.bootstrap, "quarantine") if it.headers["ce_id"] == ce_id),
            None,
        ),
    )


def _state(scene: Scene, account: str, *, stopped: bool) -> AccountState | None:
    state = read_account(scene.cluster.redis.url, account)
    return state if state is not None and state.stopped is stopped else None


def _applied(scene: Scene, account: str, fills: int = -1, ledger: int = -1) -> AccountState | None:
    state = read_account(scene.cluster.redis.url, account)
    if state is None or state.fills.offset < fills or state.ledger.offset < ledger:
        return None
    return state


def _events(scene: Scene, account: str) -> list[RiskEvent]:
    return [
        msgspec.json.decode(record.value or b"", type=RiskEvent)
        for record in read_topic(scene.cluster.bootstrap, "margin-events")
        if record.key == account.encode()
    ]


def _wait_for_event(scene: Scene, account: str, event_type: EventType) -> None:
    wait_for(
        f"{event_type} of {account}",
        lambda: any(event.type is event_type for event in _events(scene, account)),
    )
