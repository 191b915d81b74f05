"""The two input topics commute: the state is a function of two prefixes, not of how they were interleaved."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from engine.inputs import (
    Deposit,
    Fee,
    FundingPayment,
    IsolatedTransfer,
    LeverageSetting,
    MarginMode,
    Resume,
    Topic,
    Withdrawal,
)
from engine.ledger.accounts import AccountState, decode, encode
from tests.support.builders import consumed, sample, trade

POLICY = sample()
NEW = AccountState("alice")

modes = st.sampled_from(MarginMode)
amounts = st.sampled_from([Decimal(text) for text in ("1", "-1", "0.3", "-0.7", "1E-18", "250", "-250")])
symbols = st.sampled_from(["BTC-PERP", "BTC-PERP", "ADA-PERP", "ADA-PERP", "BTC-USDT", "DOGE-PERP"])
assets = st.sampled_from(["USD", "USDT", "USDT", "BTC", "DOGE"])
# mostly in turn, so that streams get far; now and then repeated, skipped or absent
steps = st.sampled_from([1, 1, 1, 1, 1, 0, -1, 2, None])


def resumes(**fields):
    return st.builds(
        Resume,
        account=st.just("alice"),
        entry_id=st.just("r"),
        time_ns=st.just(0),
        reason=st.just("looked at"),
        next_account_seq=st.none() | st.integers(0, 12),
        **fields,
    )


def entries(kind, **fields):
    return st.builds(kind, account=st.just("alice"), entry_id=st.just("e"), time_ns=st.just(0), **fields)


fills = st.one_of(
    st.builds(
        trade,
        symbols,
        amounts,
        st.sampled_from([1, 3, 7]),
        fee=amounts,
        margin_mode=modes,
        margin_transfer=amounts,
    ),
    resumes(),
)
ledger = st.one_of(
    entries(Deposit, asset=assets, amount=amounts),
    entries(Withdrawal, asset=assets, amount=amounts),
    entries(Fee, asset=assets, amount=amounts),
    entries(IsolatedTransfer, symbol=symbols, amount=amounts),
    entries(FundingPayment, symbol=symbols, amount=amounts, margin_mode=modes),
    entries(LeverageSetting, symbol=symbols, leverage=st.integers(1, 50).map(Decimal)),
    resumes(),
)


def numbered(topic, messages, steps_taken):
    """Messages of one topic in their order, with offsets and (mostly) account_seq."""
    inputs, seq = [], 0
    for offset, (message, step) in enumerate(zip(messages, steps_taken, strict=False)):
        seq += step or 0
        numbers = {"account_seq": None if step is None else max(seq, 0)}
        fields = {name: getattr(message, name) for name in message.__struct_fields__} | numbers
        inputs.append((topic, offset, type(message)(**fields)))
    return inputs


def streams(topic, messages):
    return st.builds(
        numbered, st.just(topic), st.lists(messages, max_size=10), st.lists(steps, min_size=10, max_size=10)
    )


@st.composite
def interleavings(draw, first, second):
    """`first` and `second` merged, each in its own order."""
    turns = draw(st.permutations([True] * len(first) + [False] * len(second)))
    ours, theirs = iter(first), iter(second)
    return [next(ours) if turn else next(theirs) for turn in turns]


@given(st.data(), streams(Topic.FILLS, fills), streams(Topic.LEDGER, ledger))
def test_state_when_topics_are_interleaved_in_any_way_then_it_is_the_same_to_the_byte(data, done, booked):
    expected = consumed(NEW, POLICY, done + booked)
    merged = data.draw(interleavings(done, booked))
    state = consumed(NEW, POLICY, merged)
    assert state == expected
    assert encode(state) == encode(expected)


@given(st.data(), streams(Topic.FILLS, fills), streams(Topic.LEDGER, ledger))
def test_state_when_it_went_through_bytes_halfway_then_nothing_differs(data, done, booked):
    merged = data.draw(interleavings(done, booked))
    cut = data.draw(st.integers(0, len(merged)))
    halfway = decode(encode(consumed(NEW, POLICY, merged[:cut])))
    assert encode(consumed(halfway, POLICY, merged[cut:])) == encode(consumed(NEW, POLICY, merged))
