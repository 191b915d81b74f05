"""The smallest story there is: one deposit, one fill, prices that fall, one margin call. Each message is one that `unimargin send` would send."""

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer

from engine.analytics.line_move import line_moves
from engine.analytics.what_if import Market
from engine.events.effects import EventType, RiskEvent, Stream
from engine.inputs import Deposit, Fill, Mark, MarkBatch
from engine.ledger.accounts import AccountState
from engine.numbers import ONE, canonical, divide, exact
from engine.policy import Policy
from engine.rejections import Rejection
from streams.answers.account_read import UnknownAccount, find_account
from streams.answers.account_report import believed
from streams.answers.shelf import open_shelf
from streams.cli.send.outgoing import PRICES, Outgoing, outgoing
from streams.cli.send.send_command import send_message
from streams.config.problem import Problem
from streams.config.settings import Settings
from streams.contract.published_event import decode_event
from streams.exchange.market.sample_market import quotes, start_prices
from streams.kafka.topic_access import ConsumerRecord, find_places, open_reader
from streams.store.redis_access import read_state

PREFIX = "quickstart-"
DEPOSIT = Decimal(1_000)
"""Of the contract's settle asset."""
LEVERAGE = Decimal(5)
STEPS = 8
STEP_MS = 400
"""Between two falls: a person can follow them."""
TAKEN_SECONDS_MAX = 30.0
CALLED_SECONDS_MAX = 20.0
REPEAT_MS = 1_000
"""A mark that is not repeated gets stale."""
_SIZE_STEP = Decimal("0.0001")
_CALLED = {EventType.CALL_OPENED, EventType.CALL_ESCALATED}


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """A message, and where it lies."""

    topic: str
    partition: int
    offset: int | None
    record: msgspec.Raw


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """An event of the account."""

    id: str
    type: EventType
    ratio: Decimal | None
    shortfall_to_call: Decimal


class QuickstartReport(msgspec.Struct, frozen=True, kw_only=True):
    """What happened."""

    account: str
    symbol: str
    settle: str
    embedded: bool
    sent: tuple[Sent, ...]
    received: tuple[Received, ...]
    margin_call: str
    """Id of the event."""


class Telling(NamedTuple):
    """How what happens is told."""

    sent: Callable[[str, Outgoing], None]
    """What it is, and the message."""
    received: Callable[[ConsumerRecord], None]


class Story:
    """Runs once, against a stack that runs: a worker takes the messages in."""

    def __init__(self, settings: Settings, policy: Policy, telling: Telling) -> None:
        """Raises `Problem` where the policy lists no linear perpetual."""
        self._settings, self._policy, self._telling = settings, policy, telling
        quoted = quotes(policy)
        symbol = next((it.symbol for it in quoted if it.symbol in policy.instruments), None)
        if symbol is None:
            raise Problem(f"policy {policy.name!r} lists no linear perpetual to trade")
        self._symbol = symbol
        self._price_steps = {it.symbol: Decimal(1).scaleb(-it.decimals) for it in quoted}
        self._account = f"{PREFIX}{secrets.token_hex(3)}"
        self._marks: dict[str, Mark] = {}
        self._sent: list[Sent] = []
        self._received: list[RiskEvent] = []

    async def run(self, *, embedded: bool) -> QuickstartReport:
        """From the deposit to the call. Raises `Problem`."""
        await self._take_prices(embedded=embedded)
        settings, instrument = self._settings, self._policy.instruments[self._symbol]
        places = await find_places(settings, [*Stream])
        async with open_reader(settings) as events:
            events.assign(places)
            for place, offset in (await events.end_offsets(places)).items():
                events.seek(place, offset)
            await self._send_prices(ONE)
            now_ns, account = time.time_ns(), self._account
            await self._send(
                f"{DEPOSIT} {instrument.settle} come in",
                Deposit(
                    account=account,
                    time_ns=now_ns,
                    entry_id="deposit-1",
                    asset=instrument.settle,
                    amount=DEPOSIT,
                ),
                "ledger",
            )
            price = self._marks[self._symbol].price
            # a size that a person reads, not a figure of margin
            quantity = divide(DEPOSIT * LEVERAGE, instrument.notional(ONE, price)).quantize(_SIZE_STEP)
            await self._send(
                f"buys {quantity} {self._symbol} at {price}, {LEVERAGE} times the deposit",
                Fill(
                    account=account,
                    time_ns=now_ns,
                    trade_id="trade-1",
                    symbol=self._symbol,
                    side="buy",
                    quantity=canonical(quantity),
                    price=price,
                ),
                "fills",
            )
            move = self._move_to_call(await self._taken_in(account))
            await self._fall(move, events)
        called = next(it for it in self._received if it.type in _CALLED)
        return QuickstartReport(
            account=account,
            symbol=self._symbol,
            settle=instrument.settle,
            embedded=embedded,
            sent=tuple(self._sent),
            received=tuple(
                Received(id=it.id, type=it.type, ratio=it.ratio, shortfall_to_call=it.shortfall_to_call)
                for it in self._received
            ),
            margin_call=called.id,
        )

    async def _take_prices(self, *, embedded: bool) -> None:
        """Start from the prices that the workers have, or the sample market's."""
        policy = self._policy
        known: dict[str, Mark] = {}
        async with open_shelf(self._settings) as shelf:
            for shard in range(await shelf.shard_count()):
                if not embedded:
                    async for account, _ in shelf.accounts(shard):
                        if not account.startswith(PREFIX):
                            raise Problem(
                                f"this stack holds accounts, {account!r} for one, whom falling prices would harm; "
                                "--embedded runs the story on a stack of its own"
                            )
                for mark in await shelf.marks(shard):
                    if mark.symbol not in known or mark.sequence > known[mark.symbol].sequence:
                        known[mark.symbol] = mark
        for symbol, price in start_prices(policy).items():
            self._marks[symbol] = known.get(symbol) or Mark(symbol, price, 0, time.time_ns())

    async def _send_prices(self, factor: Decimal, from_marks: Mapping[str, Mark] | None = None) -> None:
        """One record with a mark of every symbol, the contract's underlying at `factor` of `from_marks`."""
        policy, now_ns = self._policy, time.time_ns()
        start = self._marks if from_marks is None else from_marks
        factors = {policy.instruments[self._symbol].base: factor}
        moved = Market(factors, believed(list(start.values()), policy, now_ns), policy).at(factors).marks
        for symbol, mark in self._marks.items():
            price = canonical(moved[symbol].price.quantize(self._price_steps[symbol]))
            self._marks[symbol] = msgspec.structs.replace(
                mark, price=price, sequence=mark.sequence + 1, time_ns=now_ns
            )
        batch = MarkBatch(tuple(self._marks.values()))
        words = f"{len(self._marks)} prices, {self._symbol} at {self._marks[self._symbol].price}"
        await self._send(words, batch, PRICES)

    async def _send(self, words: str, message: Deposit | Fill | MarkBatch, role: str) -> None:
        found = outgoing(msgspec.json.encode(message).decode(), role, self._policy)
        if isinstance(found, Rejection):
            raise AssertionError(f"{found.code}: {found.detail}")  # noqa: TRY004 - a broken invariant
        self._telling.sent(words, found)
        lies = await send_message(self._settings, found, None, dry_run=False)
        self._sent.append(
            Sent(topic=lies.topic, partition=lies.partition, offset=lies.offset, record=lies.record)
        )

    async def _taken_in(self, account: str) -> AccountState:
        """The account, once a worker has taken both messages in."""
        deadline = time.monotonic() + TAKEN_SECONDS_MAX
        async with open_shelf(self._settings) as shelf:
            while time.monotonic() < deadline:
                try:
                    state = read_state(account, (await find_account(shelf, account)).state)
                except UnknownAccount:
                    state = None
                if state is not None and state.positions and state.balances:
                    return state
                await asyncio.sleep(0.1)
        raise Problem(
            f"no worker took the messages in within {TAKEN_SECONDS_MAX:g} s; does `unimargin worker` run? `unimargin doctor` says"
        )

    def _move_to_call(self, state: AccountState) -> Decimal:
        """How far the market falls: between the line of the call and the next."""
        policy = self._policy
        prices = believed(list(self._marks.values()), policy, time.time_ns())
        lines = [policy.ladder.margin_call, policy.ladder.reduce_only]
        call, beyond = (it.down for it in line_moves(state, prices, policy, lines))
        if call is None:
            raise Problem(f"no fall of {self._symbol} calls this account under policy {policy.name!r}")
        with exact():
            return call if beyond is None else divide(call + beyond, Decimal(2))

    async def _fall(self, move: Decimal, events: AIOKafkaConsumer) -> None:
        start = dict(self._marks)
        for step in range(1, STEPS + 1):
            with exact():
                factor = ONE + divide(move * step, Decimal(STEPS))
            await self._send_prices(factor, start)
            await self._hear(events, STEP_MS)
        deadline = time.monotonic() + CALLED_SECONDS_MAX
        while not any(it.type in _CALLED for it in self._received):
            if time.monotonic() > deadline:
                raise Problem(
                    f"no margin call came within {CALLED_SECONDS_MAX:g} s; `unimargin doctor` may say why"
                )
            await self._hear(events, REPEAT_MS)
            if not any(it.type in _CALLED for it in self._received):
                await self._send_prices(ONE)

    async def _hear(self, events: AIOKafkaConsumer, wait_ms: int) -> None:
        """Take what is said of the account within `wait_ms`; a call ends the wait."""
        until = time.monotonic() + wait_ms / 1_000
        while (left := until - time.monotonic()) > 0:
            for records in (await events.getmany(timeout_ms=max(int(left * 1_000), 1))).values():
                for record in records:
                    event = decode_event(record.value)
                    if isinstance(event, RiskEvent) and event.account == self._account:
                        self._telling.received(record)
                        self._received.append(event)
            if self._received and self._received[-1].type in _CALLED:
                return
