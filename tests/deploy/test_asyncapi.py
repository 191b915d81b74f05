"""The published contract: it is what the program says now, complete, and its examples are real."""

import copy
import json
import os
import re
from typing import get_args

import msgspec
import pytest

from engine.events.adl_events import AdlEvent, AdlEventType
from engine.events.breaker_events import BreakerEvent, BreakerEventType
from engine.events.effects import LIQUIDATION_TYPES, EventType, RiskEvent, Stream
from engine.inputs import FillsInput, LedgerInput, PriceInput, Topic
from engine.liquidation.fund_groups import FundBalance
from engine.liquidation.plan import Step
from engine.marks.outages import OutageKind
from engine.policy import Policy
from engine.rejections import Rejection
from streams.asyncapi.asyncapi_document import asyncapi_document
from streams.config.settings import Settings, load_settings
from streams.contract.account_copy import ACCOUNT_TYPE, SHARD_TYPE
from streams.contract.cloudevents import read_event
from streams.contract.codec import decode_account_input, decode_prices
from streams.contract.fund_record import decode_fund
from streams.contract.operator_command import OperatorCommand, OperatorOutcome, decode_operator_record
from streams.contract.policy_version import PolicyVersion, decode_policy_version, read_policy
from streams.contract.topic_layout import pipeline_topics
from tests.deploy.asyncapi_files import DOCUMENT, document, examples, headers_validator, payload_validator
from tests.deploy.commands import assert_command_exists
from tests.deploy.files import ROOT, topics
from tests.support.asyncapi_parser import asyncapi_verdict
from tests.support.cli import unimargin

REFRESH = f".venv/bin/unimargin schemas asyncapi --out {DOCUMENT.relative_to(ROOT)}"
MESSAGES = document()["components"]["messages"]
CHANNELS = document()["channels"]
ERROR, WARNING = 0, 1
"""Severities of the parser."""

tags_of = {
    "prices": {kind.__struct_config__.tag for kind in get_args(PriceInput)},
    "fills": {kind.__struct_config__.tag for kind in get_args(FillsInput)},
    "ledger": {kind.__struct_config__.tag for kind in get_args(LedgerInput)},
    Stream.MARGIN_EVENTS: (
        (set(EventType) - LIQUIDATION_TYPES) | set(BreakerEventType) | set(OutageKind) | set(AdlEventType)
    ),
    Stream.LIQUIDATIONS: LIQUIDATION_TYPES,
    "quarantine": {"record.quarantined"},
    "operator": {kind.__struct_config__.tag for kind in (*get_args(OperatorCommand), OperatorOutcome)},
    "account-state": {ACCOUNT_TYPE, SHARD_TYPE},
    "fund": {FundBalance.__struct_config__.tag},
    "policies": {PolicyVersion.__struct_config__.tag},
}


@pytest.fixture(autouse=True)
def without_settings(monkeypatch):
    for variable in [name for name in os.environ if name.startswith("UNIMARGIN_")]:
        monkeypatch.delenv(variable)


def test_document_when_generated_now_then_the_committed_one():
    said = unimargin("schemas", "asyncapi")
    assert said.code == 0, said.err
    committed = DOCUMENT.read_text(encoding="utf-8")
    assert said.out == committed, f"{DOCUMENT.name} is stale; write it anew: {REFRESH}"


@pytest.mark.parametrize("role", CHANNELS)
def test_channel_when_listed_then_it_has_a_message_for_every_tag_of_its_topic(role):
    assert set(CHANNELS[role]["messages"]) == tags_of[role]
    for name, reference in CHANNELS[role]["messages"].items():
        assert reference == {"$ref": f"#/components/messages/{name}"}


def test_channels_when_listed_then_every_topic_of_the_pipeline_as_it_is_laid_out():
    bindings = [channel["bindings"]["kafka"] for channel in CHANNELS.values()]
    assert sorted(binding["topic"] for binding in bindings) == sorted(
        pipeline_topics(Settings(operator_topic_enabled=True, fund_topic_enabled=True))
    )
    assert {binding["topic"]: binding["partitions"] for binding in bindings} == {
        name: layout["partitions"] for name, layout in topics().items()
    }
    assert CHANNELS["fills"]["bindings"]["kafka"]["topicConfiguration"] == {
        "cleanup.policy": ["delete"],
        "retention.ms": -1,
        "retention.bytes": -1,
        "unclean.leader.election.enable": "false",
    }


def test_operations_when_listed_then_one_a_channel_from_the_point_of_view_of_unimargin():
    actions = {
        operation["channel"]["$ref"].removeprefix("#/channels/"): operation["action"]
        for operation in document()["operations"].values()
    }
    assert actions == {
        **dict.fromkeys(("prices", "fills", "ledger", "operator", "fund", "policies"), "receive"),
        **dict.fromkeys((*Stream, "account-state", "quarantine"), "send"),
    }


@pytest.mark.parametrize("name", MESSAGES)
def test_message_when_listed_then_described_keyed_and_shown_by_an_example(name):
    message = MESSAGES[name]
    assert len(message["description"]) > 20
    assert message["examples"], f"streams/asyncapi/example_day.py lets nothing happen that shows {name}"
    assert ("key" in message["bindings"]["kafka"]) == (name not in tags_of["prices"] | tags_of["operator"])


@pytest.mark.parametrize(("name", "example"), examples(), ids=lambda it: it if isinstance(it, str) else "")
def test_example_when_validated_then_it_fits_its_own_message_and_no_other_of_the_channel(name, example):
    payload_validator(name).validate(example["payload"])
    if "headers" in MESSAGES[name]:
        headers_validator(name).validate(example["headers"])
    for channel in CHANNELS.values():
        others = set(channel["messages"]) - {name} if name in channel["messages"] else set()
        assert not [other for other in others if payload_validator(other).is_valid(example["payload"])]


@pytest.mark.parametrize("name", sorted(set(MESSAGES) - tags_of["quarantine"]))
def test_schema_when_a_field_is_missing_or_unknown_then_it_refuses(name):
    payload = MESSAGES[name]["examples"][0]["payload"]
    odd = {
        "marks": "marks",
        ACCOUNT_TYPE: "state",
        "policy_version": "activated_ns",
        "operator_outcome": "shard",
    }
    first = odd.get(name, "time_ns")
    assert not payload_validator(name).is_valid({key: it for key, it in payload.items() if key != first})
    assert not payload_validator(name).is_valid({**payload, "colour": "red"})


@pytest.mark.parametrize("wrong", ["1,5", "NaN", 1.5, "", None])
def test_schema_when_an_amount_is_no_decimal_string_then_it_refuses(wrong):
    payload = MESSAGES["deposit"]["examples"][0]["payload"]
    assert not payload_validator("deposit").is_valid({**payload, "amount": wrong})


@pytest.mark.parametrize("header", MESSAGES["margin.call.opened"]["examples"][0]["headers"])
def test_headers_when_one_is_missing_then_the_schema_refuses(header):
    headers = dict(MESSAGES["margin.call.opened"]["examples"][0]["headers"])
    del headers[header]
    assert not headers_validator("margin.call.opened").is_valid(headers)


def test_examples_of_inputs_when_decoded_then_what_the_program_takes():
    for topic in Topic:
        for name in CHANNELS[topic]["messages"]:
            payload = MESSAGES[name]["examples"][0]["payload"]
            taken = decode_account_input(topic, payload["account"].encode(), json.dumps(payload).encode())
            assert not isinstance(taken, Rejection), (name, taken)
    for name in CHANNELS["prices"]["messages"]:
        taken = decode_prices(json.dumps(MESSAGES[name]["examples"][0]["payload"]).encode())
        assert not isinstance(taken, Rejection), (name, taken)


@pytest.mark.parametrize("kind", EventType)
def test_example_of_an_event_when_decoded_then_that_event_under_its_own_identity(kind):
    example = MESSAGES[kind]["examples"][0]
    event = msgspec.json.decode(json.dumps(example["payload"]), type=RiskEvent)
    assert json.loads(msgspec.json.encode(event)) == example["payload"]
    headers = example["headers"]
    assert (headers["ce_type"], headers["ce_id"], headers["ce_subject"]) == (kind, event.id, event.account)
    assert headers["ce_sequence"] == str(event.sequence)


@pytest.mark.parametrize("kind", BreakerEventType)
def test_example_of_a_breaker_when_decoded_then_that_event_under_its_own_identity(kind):
    example = MESSAGES[kind]["examples"][0]
    event = msgspec.json.decode(json.dumps(example["payload"]), type=BreakerEvent)
    assert read_event(msgspec.json.encode(event)) == event
    headers = example["headers"]
    assert (headers["ce_type"], headers["ce_id"], headers["ce_subject"]) == (kind, event.id, "breaker/0")
    assert event.id == f"breaker/0/margin-events/{event.sequence}"
    # one that was in liquidation before has come to need another plan when it is voided
    assert event.held.accounts == (8 if kind is BreakerEventType.VOIDED else 7)


def test_example_of_a_deleveraging_risk_when_decoded_then_that_event_under_its_own_identity():
    example = MESSAGES[AdlEventType.RISK_CHANGED]["examples"][0]
    event = msgspec.json.decode(json.dumps(example["payload"]), type=AdlEvent)
    assert read_event(msgspec.json.encode(event)) == event
    headers = example["headers"]
    assert (headers["ce_id"], headers["ce_subject"]) == (event.id, "adl/BTC-USDT-PERP")
    assert event.id == f"adl/BTC-USDT-PERP/margin-events/{event.sequence}"
    # 18,000 * 0.999 + 0.05 * 55,000
    assert (event.level, event.exposure.fund) == ("soon", 17_982 + 2_750)


def test_example_of_a_policy_when_decoded_then_a_version_with_the_policy_that_its_digest_names():
    payload = MESSAGES["policy_version"]["examples"][0]["payload"]
    version = decode_policy_version(b"1", json.dumps(payload).encode())
    assert not isinstance(version, Rejection), version
    assert read_policy(bytes(version.policy)).digest == version.digest


def test_examples_of_commands_when_decoded_then_what_the_program_takes():
    for name in CHANNELS["operator"]["messages"]:
        taken = decode_operator_record(json.dumps(MESSAGES[name]["examples"][0]["payload"]).encode())
        assert not isinstance(taken, Rejection), (name, taken)


def test_example_of_a_fund_when_decoded_then_what_the_program_takes():
    (payload,) = (example["payload"] for example in MESSAGES["fund_balance"]["examples"])
    taken = decode_fund(payload["group"].encode(), json.dumps(payload).encode())
    assert not isinstance(taken, Rejection), taken


def test_examples_of_plans_when_taken_together_then_every_kind_of_step_is_shown():
    plans = [example["payload"]["plan"] for example in MESSAGES[EventType.LIQUIDATION_REQUESTED]["examples"]]
    shown = {step["type"] for plan in plans for step in plan["steps"]}
    assert shown == {kind.__struct_config__.tag for kind in get_args(Step)}


def test_docstring_of_a_field_when_there_is_one_then_the_schema_says_it():
    fields = document()["components"]["schemas"]["Fill"]["properties"]
    assert fields["fee"]["description"] == "Charged to the wallet, in `fee_asset`; negative for a rebate."
    codes = document()["components"]["schemas"]["RejectionCode"]["description"]
    assert "- `malformed`: Not complete JSON: truncated, or not JSON at all." in codes


def test_page_when_it_names_a_field_a_setting_or_a_command_then_there_is_one():
    text = (DOCUMENT.parent / "README.md").read_text(encoding="utf-8")
    assert REFRESH in text
    described = json.dumps(document()) + json.dumps(msgspec.json.schema(Policy))
    spans = set(re.findall(r"`([^`]+)`", text))
    names = {span for span in spans if re.fullmatch(r"[a-z]+(_[a-z]+)+", span)}
    assert [name for name in sorted(names) if f'"{name}"' not in described] == []
    assert {kind.__struct_config__.tag for kind in get_args(Step)} <= spans
    for span in spans:
        if span.startswith("unimargin "):
            assert_command_exists(span.split()[1:])


def test_servers_when_two_brokers_with_a_password_are_set_then_both_secured_and_no_secret_told(monkeypatch):
    monkeypatch.setenv("UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS", "kafka-1.example:9093, kafka-2.example:9093")
    monkeypatch.setenv("UNIMARGIN_KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("UNIMARGIN_KAFKA_SASL_MECHANISM", "SCRAM-SHA-512")
    monkeypatch.setenv("UNIMARGIN_KAFKA_SASL_USERNAME", "exchange")
    monkeypatch.setenv("UNIMARGIN_KAFKA_SASL_PASSWORD", "hunter2")
    monkeypatch.setenv("UNIMARGIN_TOPIC_PRICES", "quotes")
    monkeypatch.setenv("UNIMARGIN_TOPIC_QUARANTINE", "set-aside")
    made = asyncapi_document(load_settings(None))
    servers = made["servers"].values()
    assert [server["host"] for server in servers] == ["kafka-1.example:9093", "kafka-2.example:9093"]
    assert {server["protocol"] for server in servers} == {"kafka-secure"}
    assert all(server["security"] for server in servers)
    assert made["components"]["securitySchemes"]["sasl"]["type"] == "scramSha512"
    assert made["channels"]["prices"]["address"] == "quotes"
    assert made["channels"]["quarantine"]["bindings"]["kafka"]["topic"] == "set-aside"
    assert "hunter2" not in json.dumps(made)
    assert problems(made) == []


def test_command_when_the_file_cannot_be_written_then_named(tmp_path):
    said = unimargin("schemas", "asyncapi", "--out", str(tmp_path))
    assert said.code == 2
    assert str(tmp_path) in said.err


def problems(made):
    """Errors and warnings of AsyncAPI's own parser."""
    said = asyncapi_verdict(json.dumps(made))["diagnostics"]
    return [diagnostic for diagnostic in said if diagnostic["severity"] <= WARNING]


def test_asyncapi_when_its_own_parser_reads_the_document_then_nothing_to_object_to():
    verdict = asyncapi_verdict(DOCUMENT.read_text(encoding="utf-8"))
    assert [it for it in verdict["diagnostics"] if it["severity"] <= WARNING] == []
    assert verdict["version"] == "3.0.0"
    assert set(verdict["messages"]) == set(MESSAGES)


def without_action(broken):
    del broken["operations"]["receive-fills"]["action"]


def with_a_dangling_reference(broken):
    broken["channels"]["fills"]["messages"]["fill"]["$ref"] = "#/components/messages/fil"


def with_a_schema_that_is_none(broken):
    broken["components"]["schemas"]["Fill"]["properties"]["price"]["type"] = "decimal"


def with_another_message_in_an_operation(broken):
    broken["operations"]["receive-fills"]["messages"] = [{"$ref": "#/channels/ledger/messages/deposit"}]


@pytest.mark.parametrize(
    "damage",
    [
        without_action,
        with_a_dangling_reference,
        with_a_schema_that_is_none,
        with_another_message_in_an_operation,
    ],
)
def test_asyncapi_when_the_document_is_broken_then_its_own_parser_notices(damage):
    broken = copy.deepcopy(document())
    damage(broken)
    assert ERROR in {problem["severity"] for problem in problems(broken)}
