"""What marks say of the whole exchange, from the record to the event: a fact alone moves verdicts, an absurd one none."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from engine.book.columnar_book import ColumnarBook
from engine.events.effects import EventType, RiskEvent
from engine.inputs import Topic
from engine.ladder import Band
from engine.ledger.accounts import encode
from engine.marks.instants import MarksRecord
from engine.marks.mark_book import MarkBook
from engine.rejections import RejectionCode
from streams.cli.explain.explain_compare import Published, compared, mismatches
from streams.contract.cloudevents import read_event
from streams.shards.price_watch import PriceWatch
from streams.shards.processor import ShardProcessor
from tests.support.builders import account, mark, sample, seconds

D = Decimal
POLICY = sample(
    ('index = "BTC-USD"', 'index = "BTC-USD"\ndeposit_scale_start = 100000'),
    (
        "[instruments.USD-PERP]",
        "[instruments.USD-PERP]\nopen_interest = { lower_cap = 1000, upper_cap = 3000 }",
    ),
)
CALM = {"USD-PERP": 100, "BTC-USD": 100, "USDT-USD": 1}
CROWD = [account({"BTC": 4}, {"USD-PERP": (40, 100)}, name=f"a-{number:02}") for number in range(12)]
"""Four coins count 380 at 100 against 200: healthy until a coin counts less than 78.9 % of that."""
BYSTANDER = account({"USD": 380}, {"USD-PERP": (40, 100)}, name="b-0")


class Shard:
    """One shard with the crowd, at calm prices at which half of what scales deposits is deposited."""

    def __init__(self) -> None:
        self.book, self.marks, self.sequence = ColumnarBook(POLICY), MarkBook(POLICY), 0
        self.processor = ShardProcessor(
            0,
            POLICY,
            self.book,
            partition_of=lambda _key: 0,
            topics={topic: topic.value for topic in Topic},
            quarantine_topic="quarantine",
            source="/test",
        )
        self.processor.load([encode(it) for it in (*CROWD, BYSTANDER)], {}, {}, None)
        self.watch = PriceWatch(POLICY, self.marks)
        self.quote(0, **{symbol: {} for symbol in CALM})
        self.quote(0, **{"BTC-USD": {"deposits": 500}, "USD-PERP": {"open_interest": 15}})
        list(self.processor.start_judging(self.marks.prices))

    def quote(self, at: Any, price: Any = None, **facts: dict[str, Any]) -> list[tuple[RiskEvent, bytes]]:
        """Marks with these facts by symbol, at calm prices or at `price`; the verdicts and their bytes."""
        self.sequence += 1
        made = [
            mark(symbol, CALM[symbol] if price is None else price, self.sequence, at=at, **said)
            for symbol, said in facts.items()
        ]
        instant, refused = self.marks.accept(MarksRecord(tuple(made)), seconds(at))
        self.refused = [it.code for it in refused]
        said = self.watch.on_instants([instant] if instant else [], [self.processor])
        entries = [entry for _, commits in said for commit in commits for entry in commit.outbox]
        found = [(read_event(entry.value), entry) for entry in entries]
        return [(event, entry) for event, entry in found if isinstance(event, RiskEvent)]


def test_deposits_when_they_alone_grow_then_every_holder_is_judged_and_the_event_names_them() -> None:
    shard = Shard()
    assert shard.quote(1, **{"BTC-USD": {"deposits": 1_000}}) == []  # 100,000: nothing scales yet
    # 100,000 of 110,000: 345.45, of 121,000: 314.05, of 133,100: 285.5 against 1.5 * 200
    assert shard.quote(2, **{"BTC-USD": {"deposits": 1_100}}) == []
    assert shard.quote(3, **{"BTC-USD": {"deposits": 1_210}}) == []
    said = shard.quote(4, **{"BTC-USD": {"deposits": 1_331}})
    verdicts = {event.account: event for event, _ in said if event.type is EventType.WARNING_OPENED}
    assert sorted(verdicts) == [it.account for it in CROWD]
    for event, entry in said:
        used = event.marks["BTC-USD"]
        assert (used.price, used.sequence, used.deposits) == (100, shard.sequence, 1_331)
        assert event.marks["USD-PERP"].open_interest == 15
        state = shard.book.state(event.account)
        assert state is not None
        assert mismatches(compared(_published(event, entry), state, POLICY)) == []
    (first,) = {event.collateral_value for event in verdicts.values()}
    assert first == 380 * D("0.751314800901577761")
    # said again, or left out, it moves nobody more
    assert shard.quote(5, **{"BTC-USD": {"deposits": 1_331}}) == []
    assert shard.quote(6, **{"BTC-USD": {}}) == []
    assert shard.marks.prices.marks["BTC-USD"].deposits == 1_331


def _published(event: RiskEvent, entry: Any) -> Published:
    return Published(
        topic=event.stream,
        partition=0,
        offset=0,
        key=event.account.encode(),
        value=entry.value,
        headers={name: data.decode() for name, data in entry.headers},
        event=msgspec.json.decode(entry.value, type=RiskEvent),
    )


@pytest.mark.parametrize(
    ("fact", "code"),
    [
        ({"deposits": "500000"}, RejectionCode.FACT_JUMP_UNCONFIRMED),
        ({"deposits": 5_000}, RejectionCode.FACT_JUMP_UNCONFIRMED),
        ({"deposits": "1E19"}, RejectionCode.FACT_OUT_OF_RANGE),
        ({"deposits": "1E30"}, RejectionCode.NOT_FINITE),
        ({"deposits": "NaN"}, RejectionCode.NOT_FINITE),
        ({"deposits": -5_000}, RejectionCode.NOT_POSITIVE),
        ({"potential_deposits": "1E6", "deposits": 500}, RejectionCode.FACT_JUMP_UNCONFIRMED),
    ],
)
def test_deposits_when_they_are_absurd_for_a_moment_then_nobody_moves_and_the_refusal_is_counted(
    fact: dict[str, Any], code: RejectionCode
) -> None:
    shard = Shard()
    at = D(2)
    for _ in range(30):
        at += D("0.01")
        assert shard.quote(at, **{"BTC-USD": fact}) == []
        assert shard.refused == [code]
    assert shard.quote(3, **{"BTC-USD": {"deposits": 500, "potential_deposits": 0}}) == []
    assert shard.refused == []
    assert {shard.book.risk(it.account).pools.get("", None) for it in CROWD} == {None}


def test_deposits_when_nothing_of_them_is_left_for_a_moment_then_nobody_is_freed() -> None:
    shard = Shard()
    for at, deposits in enumerate((1_000, 1_100, 1_210, 1_331, 1_464, 1_610, 1_771), 1):
        shard.quote(at, **{"BTC-USD": {"deposits": deposits}})
    # 100,000 of 177,100: 214.6, a call
    bands = [shard.book.risk(it.account).pools[""].band for it in CROWD]
    assert set(bands) == {Band.MARGIN_CALL}
    for millis in range(1, 30):
        assert shard.quote(8 + D(millis) / 1000, **{"BTC-USD": {"deposits": 0}}) == []
        assert shard.refused == [RejectionCode.FACT_JUMP_UNCONFIRMED]
    assert [shard.book.risk(it.account).pools[""].band for it in CROWD] == bands
    # for good it is believed at the third mark that is apart in time, and the pools leave when they have held
    said = [
        event
        for at in range(10, 30)
        for event, _ in shard.quote(
            at, **{name: {"deposits": 0} if name == "BTC-USD" else {} for name in CALM}
        )
    ]
    assert {event.account for event in said if event.band is Band.HEALTHY} == {it.account for it in CROWD}


def test_open_interest_when_it_alone_grows_then_no_band_moves_and_the_next_event_has_its_initial_margin() -> (
    None
):
    shard = Shard()
    for at, interest in enumerate((20, 30, 40), 1):
        assert shard.quote(at, **{"USD-PERP": {"open_interest": interest}}) == []
    said = shard.quote(4, price="91", **{"BTC-USD": {"deposits": 500}, "USD-PERP": {"open_interest": 30}})
    by_account = {event.account: event for event, _ in said if event.band is not Band.HEALTHY}
    event = by_account["a-00"]
    # 30 * 91 lies 86.5 % of the way between the caps: 0.1 + 0.9 * 0.865
    assert event.marks["USD-PERP"].open_interest == 30
    assert event.initial_margin == D("0.8785") * 40 * 91
