"""Finding an event in its topic, and the inputs of its account in the log."""

from collections.abc import Callable, Iterable, Sequence

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from engine.events.adl_events import AdlEvent
from engine.events.breaker_events import BreakerEvent, BreakerEventType
from engine.events.effects import RiskEvent, Stream
from engine.events.pools import CROSS, pool_figures
from engine.events.price_events import PriceEvent
from engine.inputs import Topic
from engine.ladder import SEVERITY
from engine.ledger.accounts import AccountState
from engine.policy import Policy
from engine.rejections import Rejection
from streams.cli.breaker.breaker_words import said_of
from streams.cli.events.outage_words import outage_in_words
from streams.cli.explain.explain_compare import Published, event_prices
from streams.cli.explain.explain_replay import AccountReplay
from streams.cli.explain.near_ids import ACCOUNTS_MAX, NearIds
from streams.cli.liquidations.adl_words import risk_in_words
from streams.config.near_names import did_you_mean, near_names
from streams.config.problem import Problem
from streams.config.progress_bar import counted
from streams.config.settings import Settings, SettingsError
from streams.config.terminal import printable
from streams.contract.published_event import decode_event
from streams.contract.record import Record, taken_in_ns
from streams.kafka.topic_access import (
    ConsumerRecord,
    LogBounds,
    find_places,
    header_texts,
    read_between,
    read_to_end,
)


class Copies(msgspec.Struct, frozen=True):
    """Records that are the same but for where they lie: an event may be published twice."""

    first: Published
    count: int


def stream_of(event_id: str) -> tuple[str, Stream]:
    """The account and stream that an event's id names. Raises `SettingsError` for what is no id."""
    account, stream, number = ["", "", *event_id.rsplit("/", 2)][-3:]
    usable = (
        event_id.encode(errors="ignore").decode() == event_id
    )  # bytes that are no UTF-8 come as surrogates
    if not account or stream not in set(Stream) or not (usable and number.isascii() and number.isdecimal()):
        raise SettingsError(
            f"{event_id!r} is no event id; they are ACCOUNT/{Stream.MARGIN_EVENTS}/NUMBER or "
            f"ACCOUNT/{Stream.LIQUIDATIONS}/NUMBER, as `unimargin events tail --json` shows them in ce_id"
        )
    return account, Stream(stream)


async def find_event(settings: Settings, consumer: AIOKafkaConsumer, event_id: str) -> list[Copies]:
    """Every different record that bears the id, in order of appearance; usually one. Raises `Problem` for none."""
    _, stream = stream_of(event_id)
    places = await find_places(settings, [stream])
    wanted = event_id.encode()
    found, near = [], NearIds(event_id)
    async for record in counted("reading events", None, read_to_end(consumer, places)):
        borne = next((value for name, value in record.headers if name == "ce_id"), None)
        if borne == wanted:
            found.append(record)
        elif borne is not None:
            near.see(borne.decode(errors="replace"))
    read = [it for it in found if not isinstance(decode_event(it.value), Rejection)]
    found = (
        read or found[:1]
    )  # somebody else's record that bears the id hides no event; alone it is told as what it is
    if not found:
        trimmed = await _trimmed(consumer, places)
        raise Problem(f"no event {event_id!r} in topic {stream}{trimmed}{near.words()}")
    return _distinct(map(_published, found))


async def newest_event(settings: Settings, consumer: AIOKafkaConsumer, account: str) -> list[Copies]:
    """The event of the account that was said last, in either stream. Raises `Problem` for none."""
    places = await find_places(settings, list(Stream))
    key = account.encode()
    newest: Published | None = None
    others: set[str] = set()
    async for record in counted("reading events", None, read_to_end(consumer, places)):
        if record.key != key and len(others) < ACCOUNTS_MAX:
            others.add((record.key or b"").decode(errors="replace"))
        # whatever else bears the key was not said by a worker
        if record.key == key and isinstance(decode_event(record.value), RiskEvent):
            published = _published(record)
            if newest is None or _age(published.event) >= _age(newest.event):
                newest = published
    if newest is None:
        near = list(map(printable, near_names(account, others)))
        hint = f"; {did_you_mean(near, '')}" if near else ""
        raise Problem(f"nothing was ever said of account {account!r}{await _trimmed(consumer, places)}{hint}")
    return await find_event(settings, consumer, newest.event.id)


async def opening_of(consumer: AIOKafkaConsumer, record: Published) -> BreakerEvent | None:
    """What the breaker said when it opened, of an event that was judged while it was open; None where it is not in the log any more."""
    number = record.event.breaker
    if number is None:
        return None
    place = TopicPartition(Stream.MARGIN_EVENTS, record.partition)
    async for it in read_to_end(consumer, [place]):
        if it.key is not None and it.key.startswith(b"breaker/"):
            event = decode_event(it.value)
            if (
                isinstance(event, BreakerEvent)
                and event.type is BreakerEventType.HELD
                and event.opening.number == number
            ):
                return event
    return None


async def rebuilt(
    settings: Settings,
    consumer: AIOKafkaConsumer,
    record: Published,
    policy: Policy,
    booking: Callable[[int], Policy],
) -> AccountState:
    """The account at the inputs that the event names, from the log alone, booked by the terms of their event times.

    `policy` is the one that the event was judged under. Raises `Problem` where the log no longer holds them all.
    """
    event = record.event
    topics = {
        Topic.FILLS: (settings.topic_fills, event.inputs.fills),
        Topic.LEDGER: (settings.topic_ledger, event.inputs.ledger),
    }
    replay = AccountReplay(event.account, booking)
    for topic, (name, last) in topics.items():
        place = TopicPartition(name, record.partition)
        replay.take(topic, await _inputs(consumer, place, event, last))
    prices, pool = event_prices(event, replay.state, policy), event.position or CROSS
    held = event.ladder.degraded_until_ns is not None
    if (
        event.degraded
        and not held
        and not pool_figures(replay.state, pool, prices, policy, event.ladder_before).degraded
    ):
        for topic, (name, last) in topics.items():
            following = await _following(consumer, TopicPartition(name, record.partition), event, last)
            replay.state = replay.stopped_by(topic, following)
    return replay.state


async def _inputs(
    consumer: AIOKafkaConsumer, place: TopicPartition, event: RiskEvent, last: int
) -> list[Record]:
    """The account's records up to offset `last`."""
    if last < 0:
        return []
    begin = (await consumer.beginning_offsets([place]))[place]
    end = (await consumer.end_offsets([place]))[place]
    where = f"{place.topic}/{place.partition}"
    if begin > 0:
        raise Problem(
            f"{event.id} cannot be explained: it follows from the inputs of {event.account!r} in {where} up to offset "
            f"{last}, but that log was trimmed and begins at offset {begin}. Nothing else is used in its place"
        )
    if last >= end:
        raise Problem(
            f"{event.id} names offset {last} of {where}, which ends at {end}: is this the log it was judged from?"
        )
    return await _of_account(consumer, place, event.account, LogBounds(begin, last + 1))


async def _following(
    consumer: AIOKafkaConsumer, place: TopicPartition, event: RiskEvent, last: int
) -> list[Record]:
    """The account's records after offset `last`."""
    begin = (await consumer.beginning_offsets([place]))[place]
    end = (await consumer.end_offsets([place]))[place]
    return await _of_account(consumer, place, event.account, LogBounds(max(begin, last + 1), end))


async def _of_account(
    consumer: AIOKafkaConsumer, place: TopicPartition, account: str, bounds: LogBounds
) -> list[Record]:
    key = account.encode()
    return [
        Record(record.offset, record.key, record.value, taken_in_ns(record.timestamp))
        async for record in counted(
            f"reading {place.topic}", bounds.end - bounds.begin, read_between(consumer, {place: bounds})
        )
        # one under another's key that names the account stops it
        if record.key == key or key in (record.value or b"")
    ]


async def _trimmed(consumer: AIOKafkaConsumer, places: Sequence[TopicPartition]) -> str:
    """A clause that says where events may have been deleted; empty where none were."""
    begins = await consumer.beginning_offsets(places)
    cut = [f"{place.topic}/{place.partition} begins at {begins[place]}" for place in places if begins[place]]
    return f"; it may have been deleted: {', '.join(cut)}" if cut else ""


def _published(record: ConsumerRecord) -> Published:
    event = decode_event(record.value)
    if isinstance(event, Rejection):
        where = f"{record.topic}/{record.partition}/{record.offset}"
        raise Problem(f"{where} cannot be read as a risk event of this version: {event.detail}")
    if isinstance(event, PriceEvent):
        raise Problem(f"{event.id} is about prices, not about an account: {outage_in_words(event)}")
    if isinstance(event, AdlEvent):
        raise Problem(f"{event.id} is about a contract, not about an account: {risk_in_words(event)}")
    if isinstance(event, BreakerEvent):
        raise Problem(
            f"{event.id} is about the breaker of shard {event.shard}, not about an account: {said_of(event)}"
        )
    return Published(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=record.key or b"",
        value=record.value,
        headers=header_texts(record),
        event=event,
    )


def _distinct(records: Iterable[Published]) -> list[Copies]:
    found: list[Copies] = []
    for record in records:
        for i, known in enumerate(found):
            if _same(known.first, record):
                found[i] = Copies(known.first, known.count + 1)
                break
        else:
            found.append(Copies(record, 1))
    return found


def _same(one: Published, other: Published) -> bool:
    return msgspec.structs.replace(one, offset=0) == msgspec.structs.replace(other, offset=0)


def _age(event: RiskEvent) -> tuple[int, int, int]:
    # at one time the worse band is the newer: only getting worse takes effect at once
    return event.time_ns, SEVERITY[event.band], event.sequence
