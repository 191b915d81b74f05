"""Events: of one account since a number, and everything as it happens."""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from litestar import MediaType, Request, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import Parameter
from litestar.types import ASGIApp, Receive, Scope, Send

from engine.events.effects import Stream
from engine.inputs import NAME_LENGTH_MAX
from streams.answers.account_read import find_account
from streams.desk.account_routes import DeskPart, LimitQuery
from streams.desk.answer_envelope import Answer
from streams.desk.answering import Desk
from streams.desk.book_copy import at_once
from streams.desk.event_hub import DropReason, Listener
from streams.desk.event_ring import Kept
from streams.desk.problem_details import responses, unavailable
from streams.desk.questions import NEAR_NAMES_MAX
from streams.desk.stream_events import StreamKind

RETRY_MS = 2_000
"""A client that lost its stream comes back after this."""

WRITTEN_TOGETHER = 50
"""Events in one write, some 150 KB: what a client that takes nothing holds."""

_NameQuery = Annotated[str, Parameter(min_length=1, max_length=NAME_LENGTH_MAX)]


class ToldEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event as its topic has it."""

    kind: StreamKind
    topic: Stream
    partition: int
    offset: int
    sequence: int
    event: msgspec.Raw
    """As it was published: the AsyncAPI document describes it."""


class EventsSince(msgspec.Struct, frozen=True, kw_only=True):
    """Events of one account in one topic."""

    events: tuple[ToldEvent, ...]
    """By number, which has no gaps."""
    missing: bool
    """Whether events between `since` and the first of these are no longer in memory: read the topic for them."""
    newest: int
    """Number of the newest event that was committed; more than the last of these while it is on its way."""


@get("/events", responses=responses(HTTPStatus.NOT_FOUND))
async def list_events(
    desk: DeskPart,
    account: _NameQuery,
    topic: Stream = Stream.MARGIN_EVENTS,
    since: Annotated[int, Parameter(ge=0, description="Only events with a higher number.")] = 0,
    limit: LimitQuery = 50,
) -> Answer[EventsSince]:
    """What was said of an account in one topic since an event that you have, as far as memory goes."""
    desk.check_fresh()
    ring = desk.hub.ring
    if ring is None:
        raise unavailable(f"the events cannot be read: {desk.hub.problem}")
    kept = ring.of_account(account)
    if not kept:  # what was said of an account may be known before the account is, and after it is not
        await desk.answer(("known", account), lambda: _check_known(desk, account))
    held = {it.event.sequence: it for it in kept if it.event.stream is topic}
    found = [held[number] for number in sorted(held) if number > since]
    found = found[:limit]
    newest = max(_said(desk, account, topic), max(held, default=0))
    first = found[0].event.sequence if found else newest + 1
    return desk.of_all(EventsSince(events=tuple(map(_told, found)), missing=first > since + 1, newest=newest))


@get(
    "/stream",
    media_type=MediaType.TEXT,
    responses={
        200: ResponseSpec(str, description="Server-sent events.", media_type="text/event-stream"),
        **responses(),
    },
)
async def follow_events(
    request: Request[Any, Any, Any],
    desk: DeskPart,
    kinds: Annotated[list[StreamKind] | None, Parameter(description="Only these; default: all.")] = None,
    account: Annotated[
        str | None, Parameter(max_length=NAME_LENGTH_MAX, description="Of accounts, only this.")
    ] = None,
    since: Annotated[str | None, Parameter(max_length=4096, description="As Last-Event-ID.")] = None,
) -> ASGIApp:
    """Follow accounts that enter and leave bands, liquidations, symbols, the breaker and deleveraging risks as they happen.

    The header `Last-Event-ID` resumes, also at another process. Where what came since is no longer in memory the first event is `reload`:
    load everything anew and go on from its id. The last event may be `dropped`, with a reason; without events a comment comes now and then.
    """
    if desk.hub.ring is None:
        raise unavailable(f"the events cannot be read: {desk.hub.problem}")
    if desk.hub.listeners >= desk.settings.api_stream_clients:
        raise unavailable("as many listeners as this process takes are there already", retry_after_s=10)
    last_id = request.headers.get("last-event-id") or since
    return _Streaming(desk, Listener(kinds or list(StreamKind), account), last_id)


class _Streaming:
    """One stream, from its first byte to its end."""

    def __init__(self, desk: Desk, listener: Listener, last_id: str | None) -> None:
        self._desk, self._listener, self._last_id = desk, listener, last_id

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        """Serve it. A client that takes nothing holds one task and what its socket holds, until it is dropped."""
        serving = asyncio.ensure_future(
            self._serve(_bounded(send, self._desk.settings.api_stream_write_seconds))
        )
        leaving = asyncio.ensure_future(_until_gone(receive))
        try:
            await asyncio.wait({serving, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (serving, leaving):
                task.cancel()
            await asyncio.gather(serving, leaving, return_exceptions=True)

    async def _serve(self, send: Callable[[Any], Awaitable[None]]) -> None:
        headers = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
        ]
        hub, listener = self._desk.hub, self._listener
        # from here to `add` nothing waits, so nothing comes in between
        missed, first = self._first()
        hub.add(listener)
        try:
            await send({"type": "http.response.start", "status": HTTPStatus.OK.value, "headers": headers})
            await _write(send, f"retry: {RETRY_MS}\n\n".encode())
            await _write_all(send, missed)
            await _write(send, first)
            while listener.dropped is None:
                taken = await listener.take(self._desk.settings.api_stream_heartbeat_seconds)
                await (_write_all(send, taken) if taken else _write(send, b": still here\n\n"))
            said = msgspec.json.encode({"reason": listener.dropped.value})
            await _write(send, b"event: dropped\ndata: " + said + b"\n\n", more=False)
        except TimeoutError:
            listener.drop(DropReason.SLOW)
        finally:
            hub.remove(listener)

    def _first(self) -> tuple[list[Kept], bytes]:
        """What the client has missed, and then where it stands, or that it has to load everything anew."""
        ring = self._desk.hub.ring
        if ring is None:
            self._listener.drop(DropReason.LOG_CHANGED)
            return [], b""
        missed = [] if self._last_id is None else ring.since(self._last_id)
        if missed is None:
            said = msgspec.json.encode({"why": "what came since the id is no longer in memory"})
            return [], f"id: {ring.id}\nevent: reload\ndata: ".encode() + said + b"\n\n"
        wanted = [it for it in missed if self._listener.wants(it)]
        return wanted, f"id: {ring.id}\nevent: ready\ndata: {{}}\n\n".encode()


def _frame(kept: Kept) -> bytes:
    # JSON of msgspec has no line break in it
    return f"id: {kept.id}\nevent: {kept.event.kind.value}\ndata: ".encode() + kept.event.data + b"\n\n"


async def _write_all(send: Callable[[Any], Awaitable[None]], events: list[Kept]) -> None:
    for first in range(0, len(events), WRITTEN_TOGETHER):
        await _write(send, b"".join(map(_frame, events[first : first + WRITTEN_TOGETHER])))


async def _write(send: Callable[[Any], Awaitable[None]], body: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


def _bounded(send: Send, seconds: float) -> Callable[[Any], Awaitable[None]]:
    async def bounded(message: Any) -> None:
        async with asyncio.timeout(seconds):
            await send(message)

    return bounded


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _check_known(desk: Desk, account: str) -> None:
    """Raise `UnknownAccount`."""
    at_once(find_account(desk.copy, account, NEAR_NAMES_MAX))


def _said(desk: Desk, account: str, topic: Stream) -> int:
    """Events that were said so far, as the account's risk record has it."""
    found = desk.copy.entry(account)
    return 0 if found is None or found[1].risk is None else found[1].risk.sequences.get(topic, 0)


def _told(kept: Kept) -> ToldEvent:
    event = kept.event
    return ToldEvent(
        kind=event.kind,
        topic=event.stream,
        partition=event.partition,
        offset=event.offset,
        sequence=event.sequence,
        event=msgspec.Raw(event.event),
    )
