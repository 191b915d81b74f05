"""What is stored is read as a whole or not at all."""

from typing import Any

import msgspec
import pytest

from engine.book.readings import as_floats, as_text
from engine.events.effects import AccountRisk
from engine.ladder.breaker import BreakerState
from engine.ledger.accounts import AccountState, Execution, Late, decode
from engine.liquidation.adl_risk import AdlState
from engine.strict_decoding import StrictDecoder


def structs_of(kind: Any) -> set[type[msgspec.Struct]]:
    """Every struct that a value of the type may hold."""
    found: set[type[msgspec.Struct]] = set()
    waiting = [msgspec.inspect.type_info(kind)]
    while waiting:
        info = waiting.pop()
        if isinstance(info, msgspec.inspect.StructType):
            if info.cls in found:
                continue
            found.add(info.cls)
            waiting += [field.type for field in info.fields]
        for name in ("key_type", "value_type", "item_type"):
            if (inner := getattr(info, name, None)) is not None:
                waiting.append(inner)
        for name in ("item_types", "types"):
            waiting += getattr(info, name, ())
    return found


def with_unknown(data: Any) -> list[Any]:
    """The document with an unknown field in one place, once for each place; an empty one stands for a mapping of amounts."""
    if data and isinstance(data, dict):
        inner = [data | {key: it} for key, value in data.items() for it in with_unknown(value)]
        return [data | {"unknown_to_this_edition": 1}, *inner]
    if isinstance(data, list):
        return [
            [*data[:at], it, *data[at + 1 :]] for at, value in enumerate(data) for it in with_unknown(value)
        ]
    return []


STATE = {
    "account": "alice",
    "positions": {"BTC": {"quantity": "1", "entry_value": "2"}},
    "isolated": {"ETH": {"position": {"quantity": "1", "entry_value": "2"}, "margin": "3"}},
    "orders": {"o": {"symbol": "BTC", "quantity": "1", "price": "2"}},
    "executions": {
        "": {"liquidation_id": "l", "fills": 1, "closed": {}, "late": {"liquidation_id": "k", "inputs": 1}}
    },
    "conversions": {"": {"liquidation_id": "l", "fills": 1, "closed": {}}},
    "fills": {"offset": 4, "stop": {"code": "unknown_symbol", "offset": 5}, "remembered": [1, 2]},
}
NO_STRUCT = {"positions", "isolated", "orders", "executions", "conversions"}


def test_account_state_when_any_of_its_records_is_looked_at_then_it_refuses_unknown_fields() -> None:
    structs = structs_of(AccountState)
    assert len(structs) > 6
    # these two are told in events as well; `decode` and the readings check them all the same
    assert {it for it in structs if not it.__struct_config__.forbid_unknown_fields} == {Execution, Late}


@pytest.mark.parametrize("read", [decode, as_text, as_floats])
def test_account_state_when_a_field_is_unknown_then_it_is_refused_however_deep_it_lies(read: Any) -> None:
    assert read(msgspec.json.encode(STATE)).account == "alice"
    planted = [
        it
        for it in with_unknown(STATE)
        if not any("unknown_to_this_edition" in it[name] for name in NO_STRUCT)
    ]
    assert len(planted) > 6
    for document in planted:
        with pytest.raises(msgspec.MsgspecError):
            read(msgspec.json.encode(document))
    longer = STATE | {"fills": {"offset": 4, "remembered": [1, 2, 3, 4, 5, 6, 7, 8, 9]}}
    with pytest.raises(msgspec.MsgspecError):
        read(msgspec.json.encode(longer))


@pytest.mark.parametrize(
    ("kind", "known", "unknown"),
    [
        (AccountRisk, {"account": "a"}, {"account": "a", "x": 1}),
        (AccountRisk, {"account": "a", "pools": {"": {}}}, {"account": "a", "pools": {"": {"x": 1}}}),
        (BreakerState, {"openings": 1}, {"openings": 1, "x": None}),
        (dict[str, AdlState], {"BTC": {}}, {"BTC": {"x": 1}}),
    ],
)
def test_strict_decoder_when_a_field_is_unknown_then_it_is_refused(
    kind: Any, known: Any, unknown: Any
) -> None:
    decoder: StrictDecoder[Any] = StrictDecoder(kind)
    data = msgspec.json.encode(known)
    assert decoder.decode(data) == msgspec.json.decode(data, type=kind)
    assert msgspec.json.decode(msgspec.json.encode(unknown), type=kind) == msgspec.json.decode(
        data, type=kind
    )
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        decoder.decode(msgspec.json.encode(unknown))
