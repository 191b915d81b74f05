"""Whatever the engine says of any account under any policy fits the published schema: no field more, none less."""

import json
from collections import Counter
from decimal import Decimal

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from engine.events.effects import AccountRisk, EventType
from engine.marks.mark_book import NANOSECONDS
from engine.numbers import exact
from streams.contract.cloudevents import headers
from tests.deploy.asyncapi_files import headers_validator, payload_validator
from tests.engine.strategies import drawn_case, seeds, thorough
from tests.support.judging import judge_with_reasons

MOVES = [Decimal(text) for text in ("0.5", "0.8", "0.95", "1", "1.06", "1.3", "2")]
steps = st.tuples(st.sampled_from(MOVES), st.integers(0, 90), st.booleans())
"""By how much every price moves, how many seconds pass before, and whether the prices are stale then."""


def moved(prices, factor, seconds, *, stale):
    """All prices times the factor, some time later."""
    with exact():
        marks = {
            symbol: msgspec.structs.replace(mark, price=mark.price * factor)
            for symbol, mark in prices.marks.items()
        }
    symbols = frozenset(marks) if stale else frozenset()
    time_ns = prices.time_ns + seconds * NANOSECONDS
    return msgspec.structs.replace(prices, marks=marks, stale=symbols, time_ns=time_ns)


def life(case, walk):
    """The events of an account on a walk of all prices."""
    risk, prices, said = AccountRisk(case.state.account), case.prices, []
    for factor, seconds, stale in walk:
        prices = moved(prices, factor, seconds, stale=stale)
        judged = judge_with_reasons(case.state, risk, prices, prices.time_ns, case.policy, detailed=True)
        risk, said = judged.risk, said + list(judged.events)
    return said


@thorough
@given(seeds, st.booleans(), st.lists(steps, min_size=1, max_size=5))
def test_event_when_said_of_any_account_then_its_message_validates(seed, options, walk):
    for event in life(drawn_case(seed, options=options), walk):
        payload_validator(event.type.value).validate(json.loads(msgspec.json.encode(event)))
        said = {name: value.decode() for name, value in headers(event, "/unimargin/test/0")}
        headers_validator(event.type.value).validate(said)


def test_events_when_drawn_then_most_types_and_most_kinds_of_steps_are_among_them():
    walk = [
        (Decimal(factor), 40, stale)
        for factor, stale in (("1", False), ("0.8", True), ("0.95", False), ("2", False))
    ]
    events = [event for seed in range(200) for event in life(drawn_case(seed, options=seed % 2 == 0), walk)]
    types = Counter(event.type for event in events)
    kinds = Counter(step.__struct_config__.tag for event in events if event.plan for step in event.plan.steps)
    assert len(types) > len(EventType) / 2, types
    # drawn policies convert nothing, so debts are not repaid; the document's own examples show that step
    assert kinds.keys() >= {"cancel", "net", "reduce", "take_over"}, kinds
