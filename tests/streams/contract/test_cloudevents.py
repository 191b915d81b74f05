"""Risk events as CloudEvents records: the headers a consumer dedupes, orders and routes by."""

from decimal import Decimal

import msgspec
import pytest

from engine.events.effects import EventType, InputOffsets, MarkUsed, RiskEvent
from engine.ladder import Band, LadderState
from streams.contract.cloudevents import headers, outbox_entry, rfc3339

EVENT = RiskEvent(
    type=EventType.CALL_OPENED,
    id="konto-é/margin-events/7",
    account="konto-é",
    position=None,
    sequence=7,
    episode_id="e",
    time_ns=1_700_000_000_000_000_001,
    band=Band.MARGIN_CALL,
    previous_band=Band.HEALTHY,
    degraded=False,
    ladder=LadderState(),
    ratio=Decimal("1.10"),
    equity=Decimal(11),
    collateral_value=Decimal(11),
    initial_margin=Decimal(20),
    maintenance_margin=Decimal(10),
    shortfall_to_call=Decimal(1),
    shortfall_to_liquidation=Decimal(0),
    marks={"BTC-USD": MarkUsed(Decimal("64000.10"), 5, 1_700_000_000_000_000_000)},
    inputs=InputOffsets(fills=3, ledger=-1),
    policy_digest="p",
    engine_version="v",
    cause_time_ns=1_700_000_000_000_000_000,
)


def test_headers_then_every_attribute_of_the_event() -> None:
    assert dict(headers(EVENT, "/unimargin/shard/2")) == {
        "ce_specversion": b"1.0",
        "ce_id": "konto-é/margin-events/7".encode(),
        "ce_source": b"/unimargin/shard/2",
        "ce_type": b"margin.call.opened",
        "ce_subject": "konto-é".encode(),
        "ce_time": b"2023-11-14T22:13:20.000000001Z",
        "ce_sequence": b"7",
        "content-type": b"application/json",
    }


def test_outbox_entry_then_keyed_by_account_in_the_topic_of_its_stream() -> None:
    entry = outbox_entry(EVENT, 2, "/unimargin/shard/2")
    assert (entry.topic, entry.partition, entry.key) == ("margin-events", 2, "konto-é".encode())
    assert entry.event_type == "margin.call.opened"
    assert entry.cause_time_ns == EVENT.cause_time_ns
    assert msgspec.json.decode(entry.value, type=RiskEvent) == EVENT
    assert msgspec.json.decode(entry.value)["ratio"] == "1.10"

    requested = msgspec.structs.replace(EVENT, type=EventType.LIQUIDATION_REQUESTED)
    assert outbox_entry(requested, 2, "/unimargin/shard/2").topic == "liquidations"


def test_outbox_entry_when_stored_and_read_back_then_the_same() -> None:
    entry = outbox_entry(EVENT, 2, "/unimargin/shard/2")
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(entry), type=type(entry)) == entry


@pytest.mark.parametrize(
    ("time_ns", "text"),
    [
        (0, "1970-01-01T00:00:00.000000000Z"),
        (999_999_999, "1970-01-01T00:00:00.999999999Z"),
        (1_000_000_000, "1970-01-01T00:00:01.000000000Z"),
        (2**63 - 1, "2262-04-11T23:47:16.854775807Z"),
    ],
)
def test_rfc3339_then_no_digit_is_lost(time_ns: int, text: str) -> None:
    assert rfc3339(time_ns) == text
