"""The messages of the document: one for every tag of an input and every type of an event, each with its examples."""

import json
from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import msgspec

from engine.events.adl_events import AdlEvent, AdlEventType
from engine.events.breaker_events import BreakerEvent, BreakerEventType
from engine.events.effects import LIQUIDATION_TYPES, EventType, RiskEvent, Stream
from engine.events.price_events import PriceEvent
from engine.inputs import FillsInput, LedgerInput, PriceInput
from engine.ladder.table import TRANSITIONS, Trigger
from engine.liquidation.fund_groups import FundBalance
from engine.marks.outages import OutageKind
from engine.rejections import RejectionCode
from streams.asyncapi.json_schemas import Schema, component_schemas, member_docs, summary
from streams.contract.account_copy import AccountCopy, ShardCovered
from streams.contract.commit import OutboxEntry
from streams.contract.operator_command import OperatorCommand
from streams.contract.quarantine_record import EVENT_TYPE as QUARANTINED
from streams.contract.quarantine_record import REFUSED_TYPE, STOPPED_TYPE

if TYPE_CHECKING:  # at run time it would bring the engine, which the headers' schemas do without
    from streams.asyncapi.example_shard import ExampleShard

SCHEMA_REF = "#/components/schemas/{name}"
BINDING_VERSION = "0.5.0"
EVENT_HEADERS, QUARANTINE_HEADERS = "EventHeaders", "QuarantineHeaders"

_TEXT = {"type": "string", "minLength": 1}
_NUMBER = {"type": "string", "pattern": "^[0-9]+$"}
_PLACE = {"type": "string", "pattern": "^(-1|[0-9]+)$", "description": "-1 for an event that has no place."}
_CLOUD_EVENT = {
    "ce_specversion": {"const": "1.0"},
    "ce_source": {**_TEXT, "description": "Who says it: a URI reference."},
}


def _headers(title: str, required: Schema, optional: Schema | None = None) -> Schema:
    return {
        "title": title,
        "description": "Header values are UTF-8 text.",
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


HEADER_SCHEMAS: dict[str, Schema] = {
    EVENT_HEADERS: _headers(
        "CloudEvents 1.0 in binary mode",
        {
            **_CLOUD_EVENT,
            "ce_id": {**_TEXT, "description": "`account/stream/sequence` (`breaker/shard/stream/sequence`, `adl/NAME/stream/sequence`, `symbol/NAME/stream/time_ns`): the same whenever the event is published again."},
            "ce_type": {"enum": sorted([*EventType, *BreakerEventType, *OutageKind, *AdlEventType]), "description": "The `type` of the value."},
            "ce_subject": {**_TEXT, "description": "The account, `breaker/shard`, `adl/NAME`, `symbol/NAME` or `feed`, which is also the key."},
            "ce_time": {**_TEXT, "format": "date-time", "description": "Event time, with nine digits of a second."},
            "ce_sequence": {**_NUMBER, "description": "Counts the events of this subject in this topic, without gaps, from 1."},
            "content-type": {"const": "application/json"},
        },
    ),
    QUARANTINE_HEADERS: _headers(
        "Where the record was, and why it could not be applied",
        {
            **_CLOUD_EVENT,
            "ce_id": {**_TEXT, "description": "`topic/partition/offset` of the record; `account/stopped/...` of an account; `.../refused` of an event."},
            "ce_type": {"enum": sorted([QUARANTINED, STOPPED_TYPE, REFUSED_TYPE]), "description": f"`{STOPPED_TYPE}`: no record, but an account (the value is its state) that the engine could not judge after that input. `{REFUSED_TYPE}`: an event that Kafka does not take."},
            "topic": _TEXT,
            "partition": _PLACE,
            "offset": _PLACE,
            "reason": {"enum": sorted(RejectionCode), "description": "A code of `RejectionCode`."},
            "detail": {"type": "string", "description": "A sentence for a person."},
        },
        {"cut_from_bytes": {**_NUMBER, "description": "Only where the value was cut, or left out because too much came at once: its length. The whole is where the record was."}},
    ),
}  # fmt: skip


class Messages(NamedTuple):
    """Messages by id, the ids of each role of a topic, and the schemas that they refer to."""

    by_id: dict[str, Schema]
    of_role: dict[str, list[str]]
    schemas: dict[str, Schema]


def all_messages(shard: "ExampleShard") -> Messages:
    """Every message of the contract; the examples are what `shard` took and said."""
    inputs = {"prices": get_args(PriceInput), "fills": get_args(FillsInput), "ledger": get_args(LedgerInput)}
    commands = get_args(OperatorCommand)
    kinds = [kind for kinds in inputs.values() for kind in kinds]
    said = _one_of_each(shard.said)
    by_id = {_tag(kind): _input(kind, shard) for kind in kinds}
    by_id |= {_tag(kind): _input(kind, shard) for kind in commands}
    by_id |= {kind.value: _event(kind, said[kind]) for kind in EventType}
    by_id |= {
        kind.value: _of_no_account(kind, BreakerEvent, "`breaker/shard`.", said[kind])
        for kind in BreakerEventType
    }
    by_id |= {
        kind.value: _of_no_account(kind, PriceEvent, "`symbol/NAME`, or `feed`.", said[kind])
        for kind in OutageKind
    }
    by_id |= {kind.value: _of_no_account(kind, AdlEvent, "`adl/NAME`.", said[kind]) for kind in AdlEventType}
    by_id[_tag(FundBalance)] = _input(FundBalance, shard, key="The group.")
    by_id[_tag(AccountCopy)] = _input(AccountCopy, shard)
    by_id[_tag(ShardCovered)] = _input(ShardCovered, shard, key="The byte FF and `shard`: no account's name.")
    by_id[QUARANTINED] = _quarantined(said[QUARANTINED])
    of_role = {role: [_tag(kind) for kind in kinds] for role, kinds in inputs.items()}
    of_role |= {
        stream.value: [kind.value for kind in EventType if _stream(kind) is stream] for stream in Stream
    }
    of_role[Stream.MARGIN_EVENTS] += [kind.value for kind in (*BreakerEventType, *OutageKind, *AdlEventType)]
    of_role |= {"quarantine": [QUARANTINED], "operator": [_tag(kind) for kind in commands]}
    of_role["fund"] = [_tag(FundBalance)]
    of_role["account-state"] = [_tag(AccountCopy), _tag(ShardCovered)]
    named = [
        *kinds,
        *commands,
        FundBalance,
        AccountCopy,
        ShardCovered,
        RiskEvent,
        BreakerEvent,
        PriceEvent,
        AdlEvent,
        RejectionCode,
    ]
    return Messages(by_id, of_role, {**component_schemas(named, SCHEMA_REF), **HEADER_SCHEMAS})


def _input(kind: Any, shard: "ExampleShard", key: str = "The account.") -> Schema:
    taken = [message for message in (*shard.taken, *shard.copied) if type(message) is kind][:1]
    return _message(
        kind.__name__,
        summary(kind),
        payload=_ref(kind.__name__),
        examples=[{"name": _tag(kind), "payload": json.loads(msgspec.json.encode(each))} for each in taken],
        keyed=kind not in get_args(PriceInput | OperatorCommand),
        key=key,
    )


def _event(kind: EventType, said: list[OutboxEntry]) -> Schema:
    return _message(
        kind.value,
        _when(kind),
        payload={"allOf": [_ref(RiskEvent.__name__), {"properties": {"type": {"const": kind.value}}}]},
        headers=_ref(EVENT_HEADERS),
        examples=[_example(entry, json.loads(entry.value)) for entry in said],
    )


def _of_no_account(
    kind: BreakerEventType | OutageKind | AdlEventType, struct: type, key: str, said: list[OutboxEntry]
) -> Schema:
    return _message(
        kind.value,
        member_docs(type(kind))[kind.name],
        payload={"allOf": [_ref(struct.__name__), {"properties": {"type": {"const": kind.value}}}]},
        headers=_ref(EVENT_HEADERS),
        examples=[_example(entry, json.loads(entry.value)) for entry in said],
        key=key,
    )


def _quarantined(said: list[OutboxEntry]) -> Schema:
    return _message(
        "Quarantined record",
        "A record that could not be applied: its own key and value, byte for byte.",
        payload={"description": "Whatever the record held."},
        headers=_ref(QUARANTINE_HEADERS),
        examples=[_example(entry, entry.value.decode()) for entry in said],
        contentType="application/octet-stream",
    )


def _message(
    title: str, about: str, *, keyed: bool = True, key: str = "The account.", **parts: Any
) -> Schema:
    binding: Schema = {"bindingVersion": BINDING_VERSION}
    if keyed:
        binding["key"] = {"type": "string", "description": key}
    return {
        "title": title,
        "description": about,
        **parts,
        "bindings": {"kafka": binding},
    }


def _when(kind: EventType) -> str:
    """The transitions of the ladder that say it."""
    reasons = member_docs(Trigger)
    return "\n".join(
        f"- {f'in {after}' if before is after else f'{before} to {after}'}: {reasons[trigger.name]}"
        for (before, trigger, after), said in TRANSITIONS.items()
        if kind in said
    )


def _one_of_each(said: Iterable[OutboxEntry]) -> defaultdict[str, list[OutboxEntry]]:
    """By type the first record of it; of requests the first with each set of kinds of steps."""
    first: dict[tuple[str, frozenset[str]], OutboxEntry] = {}
    for entry in said:
        first.setdefault((entry.event_type, _kinds_of_steps(entry)), entry)
    found: defaultdict[str, list[OutboxEntry]] = defaultdict(list)
    for (event_type, _), entry in first.items():
        found[event_type].append(entry)
    return found


def _kinds_of_steps(entry: OutboxEntry) -> frozenset[str]:
    if entry.event_type != EventType.LIQUIDATION_REQUESTED:
        return frozenset()
    return frozenset(step["type"] for step in json.loads(entry.value)["plan"]["steps"])


def _example(entry: OutboxEntry, payload: Any) -> Schema:
    headers = {name: value.decode() for name, value in entry.headers}
    return {"name": headers["ce_id"], "headers": headers, "payload": payload}


def _stream(kind: EventType) -> Stream:
    return Stream.LIQUIDATIONS if kind in LIQUIDATION_TYPES else Stream.MARGIN_EVENTS


def _tag(kind: Any) -> str:
    return str(kind.__struct_config__.tag)


def _ref(name: str) -> Schema:
    return {"$ref": SCHEMA_REF.format(name=name)}
