"""`unimargin events tail` against a real Kafka, with entries as the processor makes them."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from decimal import Decimal

import msgspec
import pytest

from engine.events.adl_events import AdlEvent, AdlEventType
from engine.events.effects import EventType, RiskEvent
from engine.ladder import Band
from engine.liquidation.adl_risk import AdlLevel, AdlReason, AdlState, FundExposure
from streams.config.settings import Settings
from streams.contract.cloudevents import outbox_entry
from streams.contract.commit import OutboxEntry
from streams.kafka.clients import producer
from tests.streams.conftest import SHARDS
from tests.streams.contract.test_cloudevents import EVENT
from tests.support import builders
from tests.support.cli import unimargin
from tests.support.cli_state import leave_state
from tests.support.interrupts import heeding_ctrl_c
from tests.support.kafka_server import RealKafka
from tests.support.waiting import wait_for

pytestmark = pytest.mark.system

TYPES = (EventType.WARNING_OPENED, EventType.CALL_ESCALATED, EventType.LIQUIDATION_REQUESTED)
ENTERED = {
    EventType.WARNING_OPENED: Band.WARNING,
    EventType.CALL_ESCALATED: Band.MARGIN_CALL,
    EventType.REDUCE_ONLY_ESCALATED: Band.LIQUIDATION,
    EventType.LIQUIDATION_ENTERED: Band.LIQUIDATION,
}


def said_of(account: str, sequence: int, event_type: EventType) -> RiskEvent:
    """An event whose name needs no escaping."""
    entered = ENTERED.get(event_type)
    otherwise = Band.LIQUIDATION if event_type is EventType.LIQUIDATION_REQUESTED else Band.MARGIN_CALL
    return msgspec.structs.replace(
        EVENT,
        type=event_type,
        id=f"{account}/x/{sequence}",
        account=account,
        sequence=sequence,
        band=entered or otherwise,
        entered=entered,
    )


def publish(kafka: RealKafka, entries: Iterable[OutboxEntry]) -> None:
    async def send() -> None:
        async with producer(Settings(kafka_bootstrap_servers=kafka.bootstrap_servers)) as sender:
            for entry in entries:
                await sender.send_and_wait(
                    entry.topic, entry.value, entry.key, entry.partition, headers=list(entry.headers)
                )

    asyncio.run(send())


@pytest.fixture
def account(cli_kafka: RealKafka, unique: Callable[[str], str]) -> str:
    """An account with one event of each type in `TYPES`, one after the other in time."""
    name = unique("account")
    events = [said_of(name, number, event_type) for number, event_type in enumerate(TYPES, start=1)]
    publish(cli_kafka, [outbox_entry(event, number % SHARDS, "/test") for number, event in enumerate(events)])
    return name


def test_tail_when_json_then_the_event_with_its_headers(kafka_env: dict[str, str], account: str) -> None:
    said = unimargin(
        *("events", "tail", "--from-beginning", "--account", account, "--limit", "3", "--json"), env=kafka_env
    )
    assert said.code == 0
    found = {line["ce_id"]: line for line in said.json_lines}
    assert set(found) == {f"{account}/x/{number}" for number in (1, 2, 3)}
    last = found[f"{account}/x/3"]
    assert (last["topic"], last["headers"]["ce_type"]) == ("liquidations", "liquidation.requested")
    event = msgspec.convert(last["data"], RiskEvent)
    assert event == said_of(account, 3, EventType.LIQUIDATION_REQUESTED)


@pytest.mark.parametrize(
    ("words", "count", "wanted"),
    [
        (("--topic", "liquidations"), 1, "liquidation.requested"),
        (("--type", "margin.call"), 1, "margin.call.escalated"),
        (("--topic", "margin-events"), 2, "margin.warning.opened"),
        (("--entered", "margin_call"), 1, "-> margin_call "),
    ],
)
def test_tail_when_filtered_then_only_those(
    kafka_env: dict[str, str], account: str, words: tuple[str, ...], count: int, wanted: str
) -> None:
    said = unimargin(
        *("events", "tail", "--from-beginning", "--account", account, "--limit", str(count), *words),
        env=kafka_env,
    )
    assert len(said.out.splitlines()) == count
    assert wanted in said.out
    for words_of_a_line in ("2023-11-14T22:13:20.000Z", account, "cross", "1.1", "short 1 to call"):
        assert words_of_a_line in said.out


def test_tail_when_both_topics_tell_who_entered_a_band_then_once_and_a_topic_that_is_named_wins(
    cli_kafka: RealKafka, kafka_env: dict[str, str], unique: Callable[[str], str]
) -> None:
    name = unique("account")
    types = (EventType.REDUCE_ONLY_ESCALATED, EventType.LIQUIDATION_ENTERED, EventType.LIQUIDATION_REQUESTED)
    said = [said_of(name, number, event_type) for number, event_type in enumerate(types, start=1)]
    publish(cli_kafka, [outbox_entry(event, 0, "/test") for event in (*said, said[1])])
    words = ("events", "tail", "--from-beginning", "--account", name, "--entered", "liquidation")
    # the same verdict, published twice
    lines = unimargin(*words, "--limit", "2", env=kafka_env).out.splitlines()
    assert [line.split()[1:3] for line in lines] == [["liquidation.entered", name]] * 2
    assert all("-> liquidation " in line for line in lines)
    named = unimargin(*words, "--topic", "margin-events", "--limit", "1", env=kafka_env)
    assert "margin.reduce_only.escalated" in named.out


def test_tail_when_the_band_entered_is_none_then_refused_before_it_waits(kafka_env: dict[str, str]) -> None:
    said = unimargin("events", "tail", "--entered", "healthy", env=kafka_env)
    assert said.code == 2
    assert "'healthy' is not one of 'warning', 'margin_call'" in said.err


def test_tail_when_an_event_is_of_another_version_then_shown_and_passed(
    cli_kafka: RealKafka, kafka_env: dict[str, str], unique: Callable[[str], str]
) -> None:
    name = unique("account")
    entry = outbox_entry(said_of(name, 1, EventType.DEGRADED), 0, "/test")
    odd = msgspec.structs.replace(entry, value=b'{"type":"new.kind"}')
    publish(cli_kafka, [odd, msgspec.structs.replace(entry, value=b"\xff"), entry])
    words = ("events", "tail", "--from-beginning", "--account", name, "--limit", "3")
    shown = unimargin(*words, env=kafka_env)
    assert shown.code == 0
    assert shown.out.count("cannot be read as a risk event of this version") == 2
    assert [line["data"] is None for line in unimargin(*words, "--json", env=kafka_env).json_lines] == [
        False,
        True,
        False,
    ]


def test_tail_when_a_deleveraging_risk_changed_then_the_fund_and_what_is_taken_of_it(
    cli_kafka: RealKafka, kafka_env: dict[str, str], unique: Callable[[str], str]
) -> None:
    symbol = unique("contract")
    exposure = FundExposure(
        group="major",
        fund=Decimal(20_000),
        stated_ns=1,
        expected_shortfall=Decimal("7000.5"),
        expected_shortfall_of_symbol=Decimal(5),
    )
    state = AdlState(AdlLevel.SOON, 1_700_000_000_000_000_000, None, 1)
    event = AdlEvent(
        type=AdlEventType.RISK_CHANGED,
        id=f"adl/{symbol}/margin-events/1",
        symbol=symbol,
        sequence=1,
        time_ns=1_700_000_000_000_000_000,
        level=AdlLevel.SOON,
        previous_level=AdlLevel.NONE,
        reason=AdlReason.SHORTFALL,
        exposure=exposure,
        shards=(0,),
        state=state,
        policy_digest="p",
    )
    publish(cli_kafka, [outbox_entry(event, 0, "/test")])
    words = ("events", "tail", "--from-beginning", "--account", event.subject, "--limit", "1")
    shown = " ".join(unimargin(*words, env=kafka_env).out.split())
    assert "symbol.adl_risk_changed" in shown
    assert f"{symbol}: none -> soon: liquidations are expected to take 7,000.5 of the 20,000" in shown
    assert "in fund major" in shown
    explained = unimargin("explain", event.id, env=kafka_env)
    assert explained.code != 0
    assert "is about a contract, not about an account" in " ".join(explained.err.split())


def test_tail_when_following_then_new_events_until_ctrl_c(
    cli_kafka: RealKafka, kafka_env: dict[str, str], account: str
) -> None:
    with heeding_ctrl_c():
        process = subprocess.Popen(
            [sys.executable, "-m", "streams.cli", "events", "tail", "--account", account, "--json"],
            env={**os.environ, **kafka_env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    number = 10
    os.set_blocking(process.stdout.fileno(), False)

    def first_words() -> bytes | None:
        nonlocal number
        number += 1
        publish(cli_kafka, [outbox_entry(said_of(account, number, EventType.CALL_UPDATED), 1, "/test")])
        return process.stdout.read()

    try:
        said = wait_for("an event", first_words)
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    events = [msgspec.json.decode(line)["ce_id"] for line in (said + rest).splitlines()]
    assert (process.returncode, errors) == (0, b"")
    assert events
    assert not set(events) & {f"{account}/x/{number}" for number in (1, 2, 3)}, "older than the start"


def test_tail_when_no_shard_holds_the_account_then_told_and_followed_all_the_same(
    kafka_env: dict[str, str], redis_env: dict[str, str], redis_url_db: str
) -> None:
    leave_state(redis_url_db, 0, [builders.account({"USD": 1}, name="alice")])
    with heeding_ctrl_c():
        process = subprocess.Popen(
            [sys.executable, "-m", "streams.cli", "events", "tail", "--account", "alcie"],
            env={**os.environ, **kafka_env, **redis_env},
            stderr=subprocess.PIPE,
        )
    try:
        said = {process.stderr.readline() for _ in range(2)}
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert b"following margin-events and liquidations; Ctrl-C ends\n" in said
    assert any(b"note: unknown account 'alcie'" in it and b"did you mean alice?" in it for it in said)
    assert (process.returncode, errors) == (0, b"")


def test_tail_when_nothing_comes_then_ctrl_c_ends_it_too(kafka_env: dict[str, str]) -> None:
    with heeding_ctrl_c():
        process = subprocess.Popen(
            [sys.executable, "-m", "streams.cli", "events", "tail", "--type", "margin.call"],
            env={**os.environ, **kafka_env},
            stderr=subprocess.PIPE,
        )
    try:
        assert process.stderr.readline() == b"following margin-events and liquidations; Ctrl-C ends\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, errors) == (0, b"")
