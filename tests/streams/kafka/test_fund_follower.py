"""The fund's topic on a real broker: the newest statement of each group, from the first record on, and as it changes."""

import asyncio

import msgspec
from confluent_kafka import Producer

from engine.liquidation.fund_groups import FundBalance
from streams.config.settings import Settings
from streams.kafka.fund_follower import FundFollower


def settings_of(kafka, topic, *, enabled=True):
    return Settings(
        kafka_bootstrap_servers=kafka.bootstrap_servers, topic_fund=topic, fund_topic_enabled=enabled
    )


def state(producer, topic, group, value):
    body = None if value is None else msgspec.json.encode({"type": "fund_balance", "group": group, **value})
    producer.produce(topic, body, group.encode())


def told(funds):
    return None if funds is None else {it.group: (it.balances, it.time_ns) for it in funds}


async def until(follower, expected):
    async with asyncio.timeout(30):
        while told(follower.funds) != expected:  # noqa: ASYNC110 - nobody tells of a change
            await asyncio.sleep(0.02)


async def test_follower_when_it_starts_and_goes_on_then_the_newest_of_each_group_and_the_rest_is_put_aside(
    cli_kafka, unique
):
    topic, refused = unique("fund"), []
    cli_kafka.create_topics({topic: 2})
    producer = Producer({"bootstrap.servers": cli_kafka.bootstrap_servers})
    state(producer, topic, "all", {"balances": {"USDT": "5"}, "time_ns": 1})
    state(producer, topic, "all", {"balances": {"USDT": "4"}, "time_ns": 2})
    state(producer, topic, "gone", {"balances": {"USDT": "3"}, "time_ns": 2})
    state(producer, topic, "gone", None)
    state(producer, topic, "all", {"balances": {"USDT": "much"}, "time_ns": 3})
    assert producer.flush(30) == 0
    follower = FundFollower(settings_of(cli_kafka, topic), refused.append)
    assert follower.funds is None
    running = asyncio.create_task(follower.run())
    await until(follower, {"all": ({"USDT": 4}, 2)})
    (entry,) = refused
    assert dict(entry.headers)["topic"] == topic.encode()
    state(producer, topic, "new", {"symbols": ["BTC-PERP"], "balances": {}, "time_ns": 4})
    state(producer, topic, "all", None)
    assert producer.flush(30) == 0
    await until(follower, {"new": ({}, 4)})
    assert follower.funds == [FundBalance(group="new", symbols=("BTC-PERP",), balances={}, time_ns=4)]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_follower_when_the_topic_is_empty_then_no_fund_is_known_to_exist(cli_kafka, unique):
    topic = unique("fund")
    cli_kafka.create_topics({topic: 1})
    follower = FundFollower(settings_of(cli_kafka, topic), [].append)
    running = asyncio.create_task(follower.run())
    await until(follower, {})
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_follower_when_there_is_no_fund_topic_then_it_ends_and_nothing_is_known(cli_kafka, unique):
    follower = FundFollower(settings_of(cli_kafka, unique("gone"), enabled=False), [].append)
    await asyncio.wait_for(follower.run(), 5)
    assert follower.funds is None
