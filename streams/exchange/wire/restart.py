"""Taking up an exchange again from what it has sent: the topics are its memory.

The books follow from the messages alone (`clearing.py`), in whatever order partitions are read; what was liquidated is known by
the tags in their ids; where each account's newest message lies, by where it was found. What of the opening was
not sent is sent now. The market goes on at the time that has passed since the opening, from the last marks. Forgotten are the
pressure on the order books, what the insurance fund has sold (it sells again), calls that customers were still thinking about, and what a wrong job is to be paid back for (`clearing.wrong_job`).
"""

import time

from engine.inputs import AccountInput, Mark, Topic
from engine.marks.mark_book import NANOSECONDS
from engine.rejections import Rejection
from streams.config.settings import Settings
from streams.contract.codec import decode_account_input, decode_prices
from streams.exchange.clearing.input_desk import topic_of
from streams.exchange.feed_errors import FeedError
from streams.exchange.simulation import Simulation
from streams.exchange.traders.trading_agents import number_of
from streams.kafka.clients import partition_counts
from streams.kafka.log_reader import LogReader, open_log

MARKS_TAIL_RECORDS = 2_000
"""Of each partition of the prices: enough for the last mark of every symbol."""


async def resumed(settings: Settings, simulation: Simulation, speed: float) -> float:
    """Bring `simulation` to where the topics are; return the market's second, 0 where they hold nothing.

    Raises `FeedError` where they hold another exchange's messages, or a market that has ended.
    """
    topics = {Topic.LEDGER: settings.topic_ledger, Topic.FILLS: settings.topic_fills}
    counts = await partition_counts(settings, [*topics.values(), settings.topic_prices])
    opened_ns: int | None = None
    async with open_log(settings) as log:
        for topic, name in topics.items():
            for partition in range(counts[name]):
                found = await _take_up(log, simulation, topic, name, partition)
                opened_ns = min(filter(None, (opened_ns, found)), default=None)
        if opened_ns is None:
            return 0.0
        for partition in range(counts[settings.topic_prices]):
            simulation.follow(await _last_marks(log, settings.topic_prices, partition))
    second = (time.time_ns() - opened_ns) / NANOSECONDS * speed
    if second >= simulation.options.seconds:
        raise FeedError(
            f"the topics hold an exchange that was opened {second / speed:.0f} s ago: its market has ended; "
            "a longer one goes on with --seconds, a new one needs fresh topics"
        )
    return second


async def _take_up(
    log: LogReader, simulation: Simulation, topic: Topic, name: str, partition: int
) -> int | None:
    """Book one partition of inputs; return the event time of its first one."""
    first_ns = None
    begin, end = await log.bounds(name, partition)
    async for records in log.read(name, partition, begin, end):
        for record in records:
            message = decode_account_input(topic, record.key, record.value)
            if isinstance(message, Rejection) or not _ours(message, simulation):
                raise FeedError(
                    f"{name}/{partition} holds a message at {record.offset} that this simulation did not send: "
                    "start it with the options of the first run, or with fresh topics"
                )
            first_ns = message.time_ns if first_ns is None else first_ns
            simulation.resume(message, record.offset)
    return first_ns


def _ours(message: AccountInput, simulation: Simulation) -> bool:
    """Whether the message carries on what the books hold; the first ones of an account are those of its number."""
    state = simulation.books.state(message.account)
    progress = state.fills if topic_of(message) is Topic.FILLS else state.ledger
    if progress.next_seq is not None:
        return message.account_seq == progress.next_seq
    number = number_of(message.account)
    if number is None or not 1 <= number <= simulation.population.accounts:
        return False
    return message in simulation.population.account_inputs(number, message.time_ns)


async def _last_marks(log: LogReader, topic: str, partition: int) -> list[Mark]:
    begin, end = await log.bounds(topic, partition)
    newest: dict[str, Mark] = {}
    async for records in log.read(topic, partition, max(begin, end - MARKS_TAIL_RECORDS), end):
        for record in records:
            marks = decode_prices(record.value)
            if not isinstance(marks, Rejection):
                newest |= {mark.symbol: mark for mark in marks}
    return list(newest.values())
