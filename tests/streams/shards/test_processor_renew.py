"""A processor that follows another's commits goes on exactly as one that loads all of them at the end."""

from itertools import chain

import msgspec

from engine.book.columnar_book import ColumnarBook
from engine.events.effects import AccountRisk
from engine.inputs import Topic
from engine.ladder import Band
from streams.contract.commit import Commit, merge
from streams.contract.record import Record
from streams.shards.processor import ShardProcessor
from tests.support.builders import mark, prices, sample
from tests.support.inputs import deposit, fill
from tests.support.instants import singly

POLICY = sample()
AT_50000 = prices(
    {"BTC-PERP": 50000, "BTC-USD": 50000, "USDT-USD": 1, "ETH-PERP": 3000, "ADA-PERP": 1, "USD-PERP": 1}
)
AT_43000 = prices(
    {"BTC-PERP": 43000, "BTC-USD": 43000, "USDT-USD": 1, "ETH-PERP": 3000, "ADA-PERP": 1, "USD-PERP": 1}
)


def processor() -> ShardProcessor:
    return ShardProcessor(
        3,
        POLICY,
        ColumnarBook(POLICY),
        partition_of=lambda _: 3,
        topics={topic: topic.value for topic in Topic},
        quarantine_topic="quarantine",
        source="/test",
    )


def applied(owner: ShardProcessor, topic: Topic, *messages: object) -> Commit:
    records = [
        Record(owner.watermarks[topic] + number, it.account.encode(), msgspec.json.encode(it))
        for number, it in enumerate(messages)
    ]
    return owner.apply(topic, owner.decode(topic, records)).commit


def said(slices: object) -> list[Commit]:
    return list(chain.from_iterable(slices))


def risks_of(commit: Commit) -> dict[str, AccountRisk]:
    return {name: msgspec.json.decode(data, type=AccountRisk) for name, data in commit.risks.items()}


def test_renew_when_another_commits_then_the_followed_shard_judges_as_one_that_is_loaded_at_the_end():
    owner, warm, cold = processor(), processor(), processor()
    first = merge(
        [
            applied(owner, Topic.LEDGER, *(deposit(name, "8000") for name in "abcd")),
            applied(owner, Topic.FILLS, *(fill(name, "1") for name in "abc")),
            *said(owner.start_judging(AT_50000)),
        ]
    )
    warm.load(first.accounts.values(), risks_of(first), {})

    # b closes half, d gets a position, and at 44,500 a and c are called: 8,000 - 5,500 = 2,500 of 2,225 (5 %)
    second = merge(
        [
            applied(owner, Topic.FILLS, fill("b", "-0.5"), fill("d", "0.1")),
            *said(owner.settle()),
            *said(owner.on_instants(singly([mark("BTC-PERP", 44500, sequence=2, at=2)]))),
        ]
    )
    assert set(second.accounts) == {"b", "d"}
    assert {"a", "c"} <= set(second.risks)
    warm.renew(second.accounts, risks_of(second))
    everything = merge([first, second])
    cold.load(everything.accounts.values(), risks_of(everything), {})

    assert {name: warm.book.state(name) for name in "abcd"} == {name: owner.state(name) for name in "abcd"}
    assert {name: warm.book.risk(name) for name in "abcd"} == {name: owner.book.risk(name) for name in "abcd"}
    of_warm, of_cold = (said(it.start_judging(AT_43000)) for it in (warm, cold))
    assert of_warm == of_cold
    # 8,000 - 7,000 = 1,000 of 2,150
    assert {pool.band for pool in risks_of(merge(of_warm))["a"].pools.values()} == {Band.LIQUIDATION}
    assert warm.book.totals(()) == cold.book.totals(())


def test_renew_when_only_a_risk_record_is_known_of_an_account_then_it_is_kept():
    warm = processor()
    warm.renew({}, {"ghost": AccountRisk("ghost", sequences={"margin-events": 4})})

    assert warm.book.risk("ghost").sequences == {"margin-events": 4}
