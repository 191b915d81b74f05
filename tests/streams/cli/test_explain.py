"""The pure half of `unimargin explain`: replaying one account, comparing an event with what the engine says."""

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.events.effects import AccountRisk, EventType, RiskEvent, Stream
from engine.events.judgement import judge
from engine.inputs import Deposit, Resume, Topic
from engine.ladder import Band
from engine.ledger.accounts import AccountState
from engine.ledger.applying import stopped
from engine.margin.margin_model import explain_shared
from engine.marks.doubts import Doubt
from engine.marks.mark_book import Prices
from engine.policy import Policy
from engine.rejections import RejectionCode
from streams.cli.explain.explain_compare import Published, compared, mismatches
from streams.cli.explain.explain_replay import AccountReplay
from streams.cli.explain.explain_report import story
from streams.contract.cloudevents import headers
from streams.contract.record import Record
from tests.support.builders import account, applied, deposit, mark, prices, sample, seconds, trade
from tests.support.judging import judge_with_reasons

D = Decimal
POLICY = sample()
LONG = applied(
    applied(AccountState("alice"), POLICY, Topic.LEDGER, deposit(250)),
    POLICY,
    Topic.FILLS,
    trade("USD-PERP", 10, 100),
)


def at(price: Any, now: Any = 1, **options: Any) -> Prices:
    return prices({"USD-PERP": price, "USDT-USD": 1, "BTC-USD": 100}, at=now, **options)


def events_of(*quotes: Prices, state: AccountState = LONG, behind: bool = False) -> list[RiskEvent]:
    """What the engine says as prices go by: the verdicts, and what comes `behind` them."""
    risk, said = AccountRisk("alice"), []
    for quote in quotes:
        found = judge_with_reasons if behind else judge
        judgement = found(state, risk, quote, quote.time_ns, POLICY, quote.time_ns, detailed=behind)
        risk, said = judgement.risk, [*said, *judgement.events]
    return said


def published(event: RiskEvent, **changes: Any) -> Published:
    """The event as a worker publishes it, with fields of its JSON changed."""
    value = msgspec.json.encode(event)
    if changes:
        value = json.dumps({**json.loads(value), **changes}, separators=(",", ":")).encode()
    return Published(
        topic=event.stream,
        partition=1,
        offset=5,
        key=event.account.encode(),
        value=value,
        headers={name: data.decode() for name, data in headers(event, "/x")},
        event=msgspec.json.decode(value, type=RiskEvent),
    )


def differing(record: Published, state: AccountState = LONG, policy: Policy = POLICY) -> set[str]:
    return {pair.field for pair in mismatches(compared(record, state, policy))}


CROWDED = sample(
    ('index = "BTC-USD"', 'index = "BTC-USD"\ndeposit_scale_start = 100000\nborrow_scale_start = 50000'),
    (
        "[instruments.USD-PERP]",
        "[instruments.USD-PERP]\nopen_interest = { lower_cap = 1000, upper_cap = 3000 }",
    ),
)
COINS = msgspec.structs.replace(account({"BTC": 4, "USD": 20}, {"USD-PERP": (40, 100)}), fills=LONG.fills)
"""Four coins count 380 at 100, against 5 % of 4,000."""


def said_of_a_crowd(**totals: Any) -> RiskEvent:
    """The event of `COINS` when these totals come, alone, at the prices that were there."""
    calm = {
        "USD-PERP": mark("USD-PERP", 100, open_interest=20),
        "BTC-USD": mark("BTC-USD", 100, deposits=900),
    }
    risk = judge(COINS, AccountRisk("alice"), prices(calm, at=1), seconds(1), CROWDED).risk
    now = prices({**calm, "BTC-USD": mark("BTC-USD", 100, 2, at=2, **totals)}, at=2)
    (event,) = judge(COINS, risk, now, seconds(2), CROWDED, seconds(2)).events
    return event


def test_compare_when_a_verdict_hangs_on_what_the_exchange_holds_then_the_event_names_it_and_matches() -> (
    None
):
    event = said_of_a_crowd(deposits=1_000, potential_deposits=1_000, borrows=7)
    # 100,000 of 200,000 counts: 190 + 20 over 200 is 1.05
    assert (event.collateral_value, event.maintenance_margin, event.ratio) == (210, 200, D("1.05"))
    used = event.marks["BTC-USD"]
    assert (used.deposits, used.potential_deposits, used.borrows, used.open_interest) == (
        1_000,
        1_000,
        7,
        None,
    )
    assert event.marks["USD-PERP"].open_interest == 20
    # 20 * 100 lies half way between the caps: from 0.1 half of the way to 1
    assert event.initial_margin == D("0.55") * 4_000
    assert differing(published(event), COINS, CROWDED) == set()


@pytest.mark.parametrize(
    ("symbol", "fact", "changed"),
    [
        ("BTC-USD", {"deposits": "999"}, {"collateral_value", "ratio"}),
        ("BTC-USD", {"potential_deposits": "999"}, {"collateral_value", "ratio"}),
        ("USD-PERP", {"open_interest": "25"}, {"initial_margin"}),
    ],
)
def test_compare_when_what_the_exchange_holds_is_tampered_with_then_what_follows_from_it_is_named(
    symbol: str, fact: dict[str, Any], changed: set[str]
) -> None:
    event = said_of_a_crowd(deposits=1_000, potential_deposits=1_000)
    marks = json.loads(msgspec.json.encode(event.marks))
    marks[symbol] |= fact
    assert changed <= differing(published(event, marks=marks), COINS, CROWDED)


CAPPED = sample(
    (
        "[instruments.USD-PERP]",
        '[margin.capped]\nrealisable_profit = true\n[instruments.USD-PERP]\nmargin = "capped"',
    )
)
WINNER = msgspec.structs.replace(account({"USD": 100}, {"USD-PERP": (40, 90)}), fills=LONG.fills)
"""A profit of 400 at 100, against 5 % of 4,000."""


def test_compare_when_a_verdict_hangs_on_what_losers_can_pay_then_the_event_names_it_and_matches() -> None:
    calm = prices({"USD-PERP": mark("USD-PERP", 100)}, at=1)
    risk = judge(WINNER, AccountRisk("alice"), calm, seconds(1), CAPPED).risk
    now = prices({"USD-PERP": mark("USD-PERP", 100, 2, at=2, realisable_share="0.275")}, at=2)
    (event,) = judge(WINNER, risk, now, seconds(2), CAPPED, seconds(2)).events
    assert (event.equity, event.collateral_value, event.maintenance_margin) == (500, 100 + 110, 200)
    assert event.marks["USD-PERP"].realisable_share == D("0.275")
    assert differing(published(event), WINNER, CAPPED) == set()
    marks = json.loads(msgspec.json.encode(event.marks))
    marks["USD-PERP"]["realisable_share"] = "0.28"
    assert {"collateral_value", "ratio"} <= differing(published(event, marks=marks), WINNER, CAPPED)
    # the lines say the share, and what of the profit was not counted
    lines = explain_shared(WINNER, now, CAPPED).lines
    assert [
        it.inputs["realisable_share"] for it in lines if it.item == "USD-PERP" and it.figure == "equity"
    ] == [D("0.275")]
    assert [it.inputs["uncounted_profit"] for it in lines if it.figure == "collateral_value"] == [290]


WHOLE_STORY = [
    at(100),
    # 250 + 10 * (p - 100) over 0.5 p: 1.25, 1.10, bankrupt, 2.2, and once more 5 s later
    at(80, 2),
    at("79.3", 3),
    at(70, 4),
    at(84, 10),
    at(84, 16),
    at(84, 22),
]


def test_compare_when_a_whole_story_then_every_event_matches() -> None:
    said = events_of(*WHOLE_STORY, behind=True)
    assert {event.type for event in said} >= {
        EventType.WARNING_OPENED,
        EventType.CALL_ESCALATED,
        EventType.EXPLAINED,
        EventType.LIQUIDATION_ENTERED,
        EventType.LIQUIDATION_REQUESTED,
        EventType.ACCOUNT_BANKRUPT,
        EventType.LIQUIDATION_COMPLETED,
        EventType.REDUCE_ONLY_RESOLVED,
    }
    assert {event.stream for event in said} == set(Stream)
    for event in said:
        assert differing(published(event)) == set(), event.type


def test_compare_when_it_falls_at_once_and_degraded_then_every_event_of_one_judgement_matches() -> None:
    # two margin events and, after the price is fresh again, two liquidations in one judgement
    said = events_of(
        at(70, stale=["USD-PERP"]), at(70, 2), at(100, 3, stale=["USD-PERP"]), at(100, 4), behind=True
    )
    assert [event.type for event in said[:3]] == [
        EventType.DEGRADED,
        EventType.REDUCE_ONLY_OPENED,
        EventType.EXPLAINED,
    ]
    assert {EventType.RECOVERED, EventType.ACCOUNT_BANKRUPT} <= {event.type for event in said}
    for event in said:
        assert differing(published(event)) == set(), event.type


def test_compare_when_a_price_was_doubted_within_its_grace_then_every_event_matches() -> None:
    doubt = {"aged": {"USD-PERP": Doubt(D("0.05"))}}
    # 250 - 10 * 20 over 0.5 * 80 is 1.25: a warning, and a call or none where the mark is 5 % off
    said = events_of(at(100), now_with(80, 2, **doubt), now_with(100, 4, **doubt), at(82, 5), at(82, 11))
    assert [it.type for it in said[:2]] == [EventType.DEGRADED, EventType.WARNING_OPENED]
    assert {it.marks["USD-PERP"].doubt for it in said[:2]} == {Doubt(D("0.05"))}
    assert EventType.RECOVERED in {it.type for it in said}
    for event in said:
        assert differing(published(event)) == set(), event.type


def now_with(price: Any, now: Any, **more: Any) -> Prices:
    return msgspec.structs.replace(at(price, now), **more)


def test_compare_when_isolated_beside_a_shared_pool_in_trouble_then_matches() -> None:
    state = msgspec.structs.replace(
        account({"USD": 60}, {"USD-PERP": (10, 100)}, {"BTC-PERP": (10, 100, 80)}), fills=LONG.fills
    )
    now = prices({"USD-PERP": 100, "BTC-PERP": 98, "USDT-USD": 1, "BTC-USD": 100}, at=2)
    said = events_of(now, state=state, behind=True)
    assert {event.position for event in said} == {None, "BTC-PERP"}
    for event in said:
        assert differing(published(event), state) == set()


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.integers(60, 130), st.integers(60, 130), st.integers(0, 7), st.booleans()), max_size=12
    )
)
def test_compare_when_any_story_of_two_pools_then_every_event_matches(
    steps: list[tuple[int, int, int, bool]],
) -> None:
    state = msgspec.structs.replace(
        account({"USD": 300}, {"USD-PERP": (10, 100)}, {"BTC-PERP": (-10, 100, 200)}), fills=LONG.fills
    )
    time_s, quotes = 1, []
    for shared, isolated, passed_s, stale in steps:
        time_s += passed_s
        found = {"USD-PERP": shared, "BTC-PERP": isolated, "USDT-USD": 1, "BTC-USD": 100}
        quotes.append(prices(found, at=time_s, stale=["USD-PERP"] if stale else []))
    for event in events_of(*quotes, state=state):
        assert differing(published(event), state) == set(), event


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"equity": "50.00"}, {"equity"}),
        ({"ratio": "1.26"}, {"ratio"}),
        ({"shortfall_to_liquidation": "1"}, {"shortfall_to_liquidation"}),
        ({"episode_id": "alice/cross/9"}, {"episode_id"}),
        ({"degraded": True}, {"degraded"}),
        ({"liquidation_id": "alice/cross/1"}, {"liquidation_id"}),
        ({"inputs": {"fills": 0, "ledger": 3}}, {"inputs"}),
        ({"unheard_of": 1}, {"bytes"}),
        ({"band": "bankrupt"}, {"band"}),
        ({"type": "margin.call.opened"}, {"type"}),
        ({"previous_band": "margin_call"}, {"previous_band"}),
        ({"ladder_before": {"band": "margin_call", "checked_ns": 2_000_000_000}}, {"type"}),
    ],
)
def test_compare_when_tampered_then_the_field_is_named(changes: dict[str, Any], named: set[str]) -> None:
    (event,) = events_of(at(80))
    found = differing(published(event, **changes))
    assert named & found == named
    assert len(found) <= 3, found


def test_compare_when_a_mark_is_tampered_then_what_follows_from_it() -> None:
    (event,) = events_of(at(80))
    marks = json.loads(msgspec.json.encode(event.marks))
    marks["USD-PERP"]["price"] = "80.1"
    found = differing(published(event, marks=marks))
    # the mark is taken as it is; 51 / 40.05 follows from it
    assert {"equity", "collateral_value", "ratio", "maintenance_margin", "initial_margin"} <= found


def test_compare_when_a_mark_is_left_out_or_added_then_named() -> None:
    (event,) = events_of(at(80))
    marks = json.loads(msgspec.json.encode(event.marks))
    assert "marks" in differing(published(event, marks={**marks, "ETH-PERP": marks["USD-PERP"]}))
    assert differing(published(event, marks={})) != set()


def test_compare_when_the_state_is_another_then_figures_and_inputs_differ() -> None:
    (event,) = events_of(at(80))
    more = applied(AccountState("alice"), POLICY, Topic.LEDGER, deposit(250), deposit(1))
    found = differing(
        published(event), msgspec.structs.replace(more, positions=LONG.positions, fills=LONG.fills)
    )
    assert {"inputs", "equity"} <= found


@pytest.mark.parametrize("name", ["ce_id", "ce_type", "ce_time", "ce_subject", "ce_sequence", "content-type"])
def test_compare_when_a_header_or_key_is_tampered_then_named(name: str) -> None:
    (event,) = events_of(at(80))
    record = published(event)
    changed = msgspec.structs.replace(record, headers={**record.headers, name: "x"})
    assert differing(changed) == {f"header {name}"}
    gone = {key: value for key, value in record.headers.items() if key != name}
    assert differing(msgspec.structs.replace(record, headers=gone)) == {f"header {name}"}
    assert differing(msgspec.structs.replace(record, key=b"bob")) == {"key"}


def test_compare_when_of_another_engine_version_then_no_mismatch() -> None:
    (event,) = events_of(at(80))
    assert differing(published(msgspec.structs.replace(event, engine_version="0.0.1"))) == set()


# --- replay


def records(*messages: Any) -> list[Record]:
    return [
        Record(offset, b"alice", it if isinstance(it, bytes) else msgspec.json.encode(it))
        for offset, it in messages
    ]


def credit(entry: str, amount: int, **fields: Any) -> Deposit:
    return Deposit(account="alice", entry_id=entry, time_ns=0, asset="USD", amount=D(amount), **fields)


def test_replay_when_given_inputs_then_the_state_a_worker_has() -> None:
    replay = AccountReplay("alice", lambda _: POLICY)
    replay.take(Topic.FILLS, records((0, trade("USD-PERP", 10, 100))))
    replay.take(Topic.LEDGER, records((0, deposit(250)), (4, deposit(250))))
    assert replay.state == LONG, "the second is the first again"


def test_replay_when_an_input_is_refused_then_stopped_until_resumed() -> None:
    replay = AccountReplay("alice", lambda _: POLICY)
    replay.take(Topic.LEDGER, records((1, credit("a", 5)), (2, b"{"), (3, credit("b", 7))))
    expected = applied(AccountState("alice"), POLICY, Topic.LEDGER, credit("x", 5))
    assert replay.state.balances == expected.balances
    assert replay.state.ledger.offset == 1
    assert replay.state.ledger.stop is not None
    assert replay.state.ledger.stop.offset == 2
    resumed = Resume(account="alice", entry_id="r", time_ns=0, reason="checked")
    replay.take(Topic.LEDGER, records((4, resumed), (5, credit("c", 1))))
    assert (replay.state.balances, replay.state.stopped) == ({"USD": D(6)}, False)


def test_stopped_by_when_the_next_input_is_refused_then_stopped_else_as_it_is() -> None:
    replay = AccountReplay("alice", lambda _: POLICY)
    replay.take(Topic.LEDGER, records((1, credit("a", 5))))
    after = replay.stopped_by(Topic.LEDGER, records((2, credit("a", 5)), (3, b"{"), (4, credit("b", 1))))
    assert after == stopped(replay.state, Topic.LEDGER, 3, RejectionCode.MALFORMED, None)
    assert replay.stopped_by(Topic.LEDGER, records((2, credit("b", 5)), (3, b"{"))) == replay.state
    assert replay.stopped_by(Topic.LEDGER, []) == replay.state


# --- words


def test_story_when_a_call_then_bands_line_and_shortfall() -> None:
    event = events_of(*WHOLE_STORY[:3])[-1]
    told = "\n".join(story(event, POLICY))
    # 43 / 39.65; 1.2 * 39.65 - 43
    for words in (
        "margin.call.escalated: the shared pool of alice went from warning to margin_call",
        "collateral value 43 USD is 1.0845 times what is required: below the line of margin_call 1.2",
        "4.58 USD of collateral value are missing to the line of margin_call (1.2)",
        "cause: a mark dated 1970-01-01T00:00:03",
    ):
        assert words in told, told


def test_story_when_taken_over_then_the_plan_and_when_resolved_then_the_exit_line() -> None:
    said = events_of(*WHOLE_STORY, behind=True)
    requested = next(event for event in said if event.type is EventType.LIQUIDATION_REQUESTED)
    taken = "\n".join(story(requested, POLICY))
    # equity of 250 + 10 * (p - 100) is gone at 75
    assert "plan alice/cross/3: takeover" in taken
    assert "take over 10 USD-PERP (sell) at 75" in taken
    assert "it gives the reasons of alice/liquidations/2" in taken
    resolved = said[-1]
    assert resolved.band is Band.HEALTHY
    told = "\n".join(story(resolved, POLICY))
    assert "above the line of warning 1.5 + 0.02, and better for 5 s" in told
    assert "nothing is missing" in told


def test_story_when_degraded_then_why() -> None:
    said = events_of(at(100, stale=["USD-PERP"]))
    told = "\n".join(story(said[0], POLICY))
    assert "can no longer be trusted (stale: USD-PERP); it stays in healthy" in told
    assert seconds(1) == said[0].time_ns
