from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.ledger.accounts import (
    AccountState,
    IsolatedPosition,
    Position,
    Progress,
    Stop,
    decode,
    encode,
)
from engine.numbers import canonical
from engine.rejections import RejectionCode
from tests.support.builders import account

D = Decimal

amounts = st.decimals(min_value=-(10**20), max_value=10**20, places=18).filter(bool).map(canonical)
names = st.sampled_from(["BTC", "ETH", "ADA", "ü"])
positions = st.builds(Position, quantity=amounts, entry_value=amounts)
stops = st.builds(
    Stop, code=st.sampled_from(RejectionCode), offset=st.integers(0), through_seq=st.none() | st.integers(0)
)
progress = st.builds(
    Progress,
    offset=st.integers(-1, 2**63 - 1),
    next_seq=st.none() | st.integers(0, 2**63 - 1),
    stop=st.none() | stops,
)
states = st.builds(
    AccountState,
    account=names,
    balances=st.dictionaries(names, amounts),
    positions=st.dictionaries(names, positions),
    isolated=st.dictionaries(names, st.builds(IsolatedPosition, position=positions, margin=amounts)),
    leverage=st.dictionaries(names, amounts),
    fills=progress,
    ledger=progress,
)


@given(states)
def test_decode_when_given_what_encode_wrote_then_the_same_state(state):
    assert decode(encode(state)) == state


@given(states, st.randoms())
def test_encode_when_entries_came_in_another_order_then_the_same_bytes(state, random):
    def shuffled(entries):
        keys = list(entries)
        random.shuffle(keys)
        return {key: entries[key] for key in keys}

    other = msgspec.structs.replace(
        state,
        balances=shuffled(state.balances),
        positions=shuffled(state.positions),
        isolated=shuffled(state.isolated),
    )
    assert encode(other) == encode(state)


def test_encode_when_amounts_were_written_differently_then_the_same_bytes():
    plain = account({"USD": "1500", "BTC": "0.5"}, {"X": ("2", "100")})
    padded = account({"BTC": "0.500", "USD": "1.5E+3"}, {"X": ("2.0", "1E+2")})
    assert encode(plain) == encode(padded)


@pytest.mark.parametrize(
    "other",
    [
        account({"USD": 2}),
        account({"USD": 1}, {"X": (1, 1)}),
        account({"USD": 1}, isolated={"X": (1, 1, 1)}),
        account({"USD": 1}, leverage={"X": 2}),
        account({"USD": 1}, name="bob"),
        msgspec.structs.replace(account({"USD": 1}), fills=Progress(offset=0)),
        msgspec.structs.replace(account({"USD": 1}), ledger=Progress(next_seq=3)),
    ],
)
def test_encoding_when_anything_differs_then_it_differs(other):
    assert encode(other) != encode(account({"USD": 1}))


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"{}", b'{"account": 1}', b'{"account": "a", "balances": {"USD": "x"}}']
)
def test_decode_when_the_bytes_are_no_state_then_it_raises(data):
    with pytest.raises(msgspec.MsgspecError):
        decode(data)
