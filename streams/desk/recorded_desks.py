"""The API over a recorded day: a desk for each moment that is asked for, by the query `at`; the newest few are kept."""

import asyncio
from collections import OrderedDict
from typing import Any

from litestar import Request

from engine.events.effects import Stream
from engine.policy import Policy
from streams.config.settings import Settings
from streams.desk.answering import Desk
from streams.desk.api_app import api_app
from streams.desk.api_door import check_open_door
from streams.desk.api_keys import ApiKeys
from streams.desk.api_metrics import ApiMetrics
from streams.desk.api_server import Listening, serve
from streams.desk.event_hub import DropReason, EventHub
from streams.desk.event_ring import EventRing, Place
from streams.desk.problem_details import mistaken
from streams.desk.query_names import MOMENT
from streams.desk.ranking import Ranking
from streams.desk.recorded_day import RecordedDay
from streams.kafka.fund_follower import FundFollower

DESKS_MAX = 24
"""Each holds a ring of the newest events and ranks of all accounts: some MB."""
_STREAMS = tuple(Stream)


async def run_recorded(
    settings: Settings, policy: Policy, keys: ApiKeys, day: RecordedDay, listening: Listening
) -> None:
    """Serve a recorded day until SIGTERM or SIGINT. Raises `SettingsError`."""
    check_open_door(settings, keys)
    # nobody listens to an operator of a day that is over, and no fund is stated in it
    settings = settings.model_copy(update={"operator_topic_enabled": False, "fund_topic_enabled": False})
    metrics = ApiMetrics()
    desks = RecordedDesks(settings, policy, metrics, day)
    await serve(api_app(settings, desks.at, keys, metrics, recorded=True), settings, listening, desks.close)


class RecordedDesks:
    """Makes desks of moments, and remembers some."""

    def __init__(self, settings: Settings, policy: Policy, metrics: ApiMetrics, day: RecordedDay) -> None:
        """`day` has at least one moment."""
        self._settings, self._policy, self._metrics, self._day = settings, policy, metrics, day
        self._desks: OrderedDict[int, asyncio.Future[Desk]] = OrderedDict()

    async def at(self, request: Request[Any, Any, Any]) -> Desk:
        """The desk at the moment that a request asks of; the last one where it names none. Raises `Refused`."""
        asked = request.query_params.get(MOMENT)
        if asked is not None and not (asked.isdecimal() and len(asked) < 20):  # noqa: PLR2004 - digits of 64 bits
            raise mistaken("at: Unix nanoseconds")
        number = len(self._day.moments) - 1 if asked is None else self._day.nearest(int(asked))
        known = self._desks.get(number)
        if known is None:
            known = asyncio.ensure_future(asyncio.to_thread(self._desk, number))
            self._desks[number] = known
            known.add_done_callback(lambda it: self._forget_failed(number, it))
        self._desks.move_to_end(number)
        while len(self._desks) > DESKS_MAX:
            _, oldest = self._desks.popitem(last=False)
            oldest.add_done_callback(_closed)
        return await asyncio.shield(known)

    def _forget_failed(self, number: int, made: "asyncio.Future[Desk]") -> None:
        if made.cancelled() or made.exception() is not None:
            self._desks.pop(number, None)

    def close(self) -> None:
        """Take no more questions, and end every stream."""
        for desk in self._desks.values():
            desk.add_done_callback(_closed)

    def _desk(self, number: int) -> Desk:
        moment, book = self._day.moments[number], self._day.book(number)
        ranking, hub = Ranking(self._policy), EventHub(self._settings, self._metrics)
        funds = FundFollower(self._settings, lambda _: None)
        desk = Desk(self._settings, self._policy, book, ranking, hub, funds, recorded=self._day)
        ranking.rank_all(book)
        for it in self._day.moments[: number + 1]:
            desk.course.add(it.sample)
        hub.hold(self._ring(moment.events, desk))
        return desk

    def _ring(self, events: int, desk: Desk) -> EventRing:
        ring = EventRing(self._settings.api_stream_buffer_events, [1] * len(_STREAMS))
        for event in self._day.events[:events]:
            ring.add(Place(_STREAMS.index(event.stream), 0), event.offset, event)
            desk.hear(event)
        return ring


def _closed(made: "asyncio.Future[Desk]") -> None:
    if not made.cancelled() and made.exception() is None:
        made.result().hub.drop_all(DropReason.CLOSING)
        made.result().close()
