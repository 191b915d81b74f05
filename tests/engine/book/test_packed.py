"""What a book keeps of an account: packed bytes that say everything, readings without decimals, numbers by name."""

from decimal import Decimal

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.book.packed import Packer
from engine.book.readings import as_floats, as_text
from engine.book.roster import RECENT_MAX, Roster
from engine.ledger.accounts import (
    AccountState,
    Execution,
    IsolatedPosition,
    Late,
    OpenOrder,
    Position,
    Progress,
    Remembered,
    Stop,
    encode,
)
from engine.rejections import RejectionCode
from tests.support.builders import account

D = Decimal

# not only canonical ones: a packed amount keeps its sign of zero, its trailing zeros and its exponent
amounts = st.sampled_from(
    [D("1.500"), D("1E+3"), D("-0.00"), D("1E-18"), D("-123456789012345678901234.123456789012345678")]
) | st.decimals(-(10**24), 10**24, places=18)
names = st.sampled_from(["BTC", "ETH|long", "ü", "", "x" * 31, "x" * 32, "x" * 300, "a", "aa"])
positions = st.builds(Position, quantity=amounts, entry_value=amounts)
progress = st.builds(
    Progress,
    offset=st.integers(-1, 2**63 - 1),
    next_seq=st.none() | st.integers(0, 2**63 - 1),
    stop=st.none() | st.builds(Stop, code=st.sampled_from(RejectionCode), offset=st.integers(0, 2**63 - 1)),
    remembered=st.none() | st.builds(Remembered, *[st.integers(0, 2**63 - 1)] * 8),
    newest_digest=st.none() | st.just("0123456789abcdef"),
).filter(lambda it: it != Progress())  # `encode` leaves only the default object itself out
untouched = AccountState("")
orders = st.builds(
    OpenOrder,
    symbol=names,
    quantity=amounts,
    price=amounts,
    isolated=st.booleans(),
    reduce_only=st.booleans(),
    leg=st.none() | st.sampled_from(["long", "short"]),
)
executions = st.builds(
    Execution,
    liquidation_id=names,
    fills=st.integers(0, 9),
    closed=st.dictionaries(names, amounts, max_size=2),
    entries=st.integers(0, 9),
    moved=st.just({}) | st.dictionaries(names, amounts, max_size=2),
    late=st.none() | st.builds(Late, liquidation_id=names, inputs=st.integers(1, 9)),
)
few = {"max_size": 2}
states = st.builds(
    AccountState,
    account=names,
    balances=st.dictionaries(names, amounts, **few),
    positions=st.dictionaries(names, positions, **few),
    isolated=st.dictionaries(names, st.builds(IsolatedPosition, position=positions, margin=amounts), **few),
    leverage=st.dictionaries(names, amounts, **few),
    fills=st.just(untouched.fills) | progress,
    ledger=st.just(untouched.ledger) | progress,
    orders=st.just({}) | st.dictionaries(names, orders, **few),
    margin_model=st.none() | st.sampled_from(["cross", "portfolio"]),
    collateral_off=st.just(()) | st.lists(names, **few).map(tuple),
    executions=st.just({}) | st.dictionaries(names, executions, **few),
    conversions=st.just({}) | st.dictionaries(names, executions, **few),
    funded_ns=st.just({}) | st.dictionaries(names, st.integers(0, 2**62), **few),
    isolated_funded_ns=st.just({}) | st.dictionaries(names, st.integers(0, 2**62), **few),
    orders_apart=st.booleans(),
)


def test_states_when_drawn_then_every_field_is_drawn():
    drawn = {"account", "balances", "positions", "isolated", "leverage", "fills", "ledger"}
    drawn |= {"orders", "margin_model", "collateral_off", "executions", "conversions"}
    drawn |= {"funded_ns", "isolated_funded_ns", "orders_apart"}
    assert set(AccountState.__struct_fields__) == drawn, "add the new field to `states` above"


def written(state):
    """Orders are kept as one mapping or another."""
    return repr(msgspec.structs.replace(state, orders=dict(sorted(state.orders.items()))))


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(states, states)
def test_unpack_when_given_what_pack_made_then_the_same_state_digit_for_digit(first, second):
    packer = Packer()
    drawn = (first, second)
    packed = [packer.pack(state) for state in drawn]
    for state, data in zip(drawn, packed, strict=True):
        unpacked = packer.unpack(data)
        assert unpacked == state
        # decimals that are equal may be written differently: 1.5 and 1.50
        assert written(unpacked) == written(state)
        # ... and so may a field that is left out for being the default, which is asked by identity
        assert encode(unpacked) == encode(state)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(states)
def test_pack_when_given_the_reading_as_text_then_the_bytes_of_the_state(state):
    stored = encode(state)
    packer = Packer()
    assert packer.pack(as_text(stored)) == packer.pack(msgspec.json.decode(stored, type=AccountState))


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(states)
def test_as_floats_when_an_account_is_read_then_each_amount_is_the_nearest_float(state):
    read = as_floats(encode(state))
    assert {asset: float(amount) for asset, amount in state.balances.items()} == read.balances
    for key, held in state.positions.items():
        assert read.positions[key].quantity == float(held.quantity)
        assert read.positions[key].entry_value == float(held.entry_value)
    for key, apart in state.isolated.items():
        assert read.isolated[key].margin == float(apart.margin)
    for order_id, order in state.orders.items():
        assert read.orders[order_id].price == float(order.price)
    assert read.stopped == state.stopped
    assert (read.fills, read.ledger, read.margin_model) == (state.fills, state.ledger, state.margin_model)


@given(st.sets(st.text(max_size=3), max_size=60), st.booleans())
def test_roster_when_accounts_came_then_each_name_has_its_number_and_no_other_has(members, expected):
    roster, everybody = Roster(), sorted(members)
    if expected:
        roster.make_room(len(everybody))
    assert [roster.add(account({"BTC": 1}, name=name)) for name in everybody] == list(range(len(everybody)))
    assert list(roster.names()) == everybody
    assert [roster.number(name) for name in everybody] == list(range(len(everybody)))
    assert roster.number("nobody of that name, by far more than forty letters") is None


def test_roster_when_more_accounts_changed_than_are_kept_as_they_are_then_every_state_is_the_newest():
    roster = Roster()
    count = 2 * RECENT_MAX
    for number in range(count):
        roster.add(account({"BTC": 1}, name=f"a-{number}"))
    for number in range(count):
        roster.replace(number, account({"BTC": number + 2}, name=f"a-{number}"))
    for number in range(count):
        assert roster.state(number).balances == {"BTC": D(number + 2)}
