"""The state of an account survives its bytes, and its two topics commute with every kind of input there is."""

from decimal import Decimal

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from engine.inputs import (
    AccountSetting,
    Deposit,
    Fee,
    FundingPayment,
    Interest,
    IsolatedTransfer,
    LeverageSetting,
    MarginMode,
    OrderUpdate,
    Settlement,
    Topic,
    Withdrawal,
)
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
from tests.engine.ledger.test_ledger_commutation import interleavings, resumes, streams
from tests.engine.strategies import cases, entries, thorough
from tests.support.builders import consumed, sample, trade

POLICY = sample(
    (
        '[instruments.ADA-PERP]\nkind = "perpetual"',
        '[instruments.ADA-PERP]\nkind = "future"\nexpiry = 2030-06-28T08:00:00Z',
    ),
    (
        '[instruments.ETH-PERP]\nkind = "perpetual"',
        '[instruments.ETH-PERP]\nkind = "perpetual"\npayoff = "inverse"',
    ),
)
NEW = AccountState("alice")

values = st.decimals(min_value=-(10**12), max_value=10**12, places=18).map(canonical)
counts = st.integers(0, 2**63 - 1)
stops = st.builds(Stop, code=st.sampled_from(RejectionCode), offset=counts, through_seq=st.none() | counts)
progress = st.builds(
    Progress, offset=st.integers(-1, 2**63 - 1), next_seq=st.none() | counts, stop=st.none() | stops
)
isolated = st.dictionaries(
    st.sampled_from(["BTC-PERP", "BTC-PERP|long", "ADA-PERP|short"]),
    st.builds(
        IsolatedPosition, position=st.builds(Position, quantity=values, entry_value=values), margin=values
    ),
)


@st.composite
def states(draw):
    """An account as drawn for the margin engine, with the parts that cross margin does not read."""
    return msgspec.structs.replace(
        draw(cases).state,
        isolated=draw(isolated),
        fills=draw(progress),
        ledger=draw(progress),
        margin_model=draw(st.sampled_from([None, "cross", "portfolio"])),
    )


@thorough
@given(states(), st.randoms())
def test_state_when_encoded_and_decoded_then_equal_and_its_bytes_depend_on_no_order(state, random):
    data = encode(state)
    assert decode(data) == state
    assert encode(decode(data)) == data
    fields = {name: getattr(state, name) for name in state.__struct_fields__}
    shuffled = {
        name: dict(random.sample(sorted(value.items()), len(value))) if isinstance(value, dict) else value
        for name, value in fields.items()
    }
    assert encode(AccountState(**shuffled)) == encode(state)


symbols = st.sampled_from(["BTC-PERP", "ADA-PERP", "ETH-PERP", "BTC-USDT", "DOGE-PERP"])
assets = st.sampled_from(["USD", "USDT", "BTC", "DOGE"])
amounts = st.sampled_from([Decimal(text) for text in ("1", "-1", "0.3", "-0.7", "1E-18", "250", "-250")])
positives = st.sampled_from([Decimal(text) for text in ("1", "3", "0.7", "1E-18", "250")])
modes = st.sampled_from(MarginMode)
legs = st.sampled_from([None, None, "long", "short"])

fills = st.one_of(
    st.builds(
        trade, symbols, amounts, positives, fee=amounts, margin_mode=modes, margin_transfer=amounts, leg=legs
    ),
    st.builds(
        OrderUpdate,
        account=st.just("alice"),
        time_ns=st.just(0),
        update_id=st.just("u"),
        order_id=st.sampled_from(["a", "b", "c"]),
        symbol=symbols,
        side=st.sampled_from(["buy", "sell"]),
        quantity=st.sampled_from([Decimal(0), Decimal(1), Decimal("2.50")]),
        price=positives,
        reduce_only=st.booleans(),
        margin_mode=modes,
        leg=legs,
    ),
    st.builds(
        Settlement,
        account=st.just("alice"),
        time_ns=st.just(0),
        settlement_id=st.just("s"),
        symbol=symbols,
        price=st.just(Decimal(0)) | positives,
    ),
    resumes(),
)
ledger = st.one_of(
    entries(Deposit, asset=assets, amount=amounts),
    entries(Withdrawal, asset=assets, amount=amounts),
    entries(Fee, asset=assets, amount=amounts),
    entries(Interest, asset=assets, amount=amounts),
    entries(
        AccountSetting,
        margin_model=st.sampled_from([None, None, "cross", "portfolio"]),
        collateral_off=st.none() | st.lists(assets, max_size=3).map(tuple),
    ),
    entries(IsolatedTransfer, symbol=symbols, amount=amounts, leg=legs),
    entries(FundingPayment, symbol=symbols, amount=amounts, margin_mode=modes, leg=legs),
    entries(LeverageSetting, symbol=symbols, leverage=st.integers(1, 50).map(Decimal)),
    resumes(),
)


@thorough
@given(st.data(), streams(Topic.FILLS, fills), streams(Topic.LEDGER, ledger))
def test_state_when_topics_with_orders_and_settings_interleave_in_any_way_then_the_same_bytes(
    data, done, booked
):
    expected = consumed(NEW, POLICY, done + booked)
    state = consumed(NEW, POLICY, data.draw(interleavings(done, booked)))
    assert state == expected
    assert encode(state) == encode(expected)


@thorough
@given(st.data(), streams(Topic.FILLS, fills), streams(Topic.LEDGER, ledger))
def test_state_when_it_went_through_bytes_anywhere_then_the_rest_applies_alike(data, done, booked):
    merged = data.draw(interleavings(done, booked))
    cut = data.draw(st.integers(0, len(merged)))
    halfway = decode(encode(consumed(NEW, POLICY, merged[:cut])))
    assert encode(consumed(halfway, POLICY, merged[cut:])) == encode(consumed(NEW, POLICY, merged))
