"""Seeded traffic of a small exchange: accounts that deposit, trade and pay, on prices that move.

The content follows from the seed; how it falls between restarts does not. One message in thirty is sent again
later, as a producer does that lost an answer. One symbol pauses at times, so that its holders degrade and recover.
"""

import random
import threading
from collections import deque
from types import TracebackType
from typing import Self

import msgspec

from engine.inputs import AccountInput, MarkBatch
from tests.support.market import BASE, Market
from tests.support.sender import Sender, topic_of
from tests.support.trader import Trader

TICK_S = 0.05
INPUTS_PER_TICK = 4
RESENT = 1 / 30
RESEND_MEMORY = 400
"""Messages among which one is chosen to be sent again: at the default pace, the last five seconds."""
BATCHED = ("SOL-PERP", "USD-PERP", "BTC-USD")
"""Their marks travel as batches under one key, the others' alone: each symbol keeps to one partition."""
PAUSING = "ADA-PERP"
PAUSE_TICKS, PAUSE_EVERY_TICKS = 90, 260
REPEAT_TICKS = 4


class Traffic:
    """A thread that trades and marks until `stop`. As a context manager it seeds, starts and stops."""

    def __init__(
        self, bootstrap: str, seed: int, accounts: int = 60, inputs_per_tick: int = INPUTS_PER_TICK
    ) -> None:
        self.sender = Sender(bootstrap)
        self.inputs_per_tick = inputs_per_tick
        rng = random.Random(seed)
        self.market = Market(random.Random(rng.random()))
        self._rng = rng
        self._traders = [
            Trader(f"acct-{number:03}", random.Random(rng.random()), self.market, numbered=number % 2 == 0)
            for number in range(accounts)
        ]
        self.inputs_sent = 0
        self._recent: deque[AccountInput] = deque(maxlen=RESEND_MEMORY)
        self._trading, self._moving = threading.Event(), threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)
        self._failure: BaseException | None = None

    def seed(self) -> None:
        """First prices, deposits, settings, fills."""
        self._mark(sorted(BASE))
        for trader in self._traders:
            for message in trader.opening():
                self._send(message)
        self.sender.flush()

    def start(self) -> None:
        """Trade and mark, in the background."""
        self._trading.set()
        self._moving.set()
        self._thread.start()

    def hold(self) -> None:
        """No more inputs, and prices hold still: the same ones are repeated, all symbols stay fresh."""
        self._trading.clear()
        self._moving.clear()
        self.check()

    def resume(self) -> None:
        """Trade and move again."""
        self._trading.set()
        self._moving.set()

    def burst(self, inputs: int) -> None:
        """While it is held: send so many at once; all are acknowledged."""
        for _ in range(inputs):
            self._send(self._rng.choice(self._traders).next())
        self.sender.flush()

    def stop(self) -> None:
        """End the thread; everything sent is acknowledged."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()
        self.check()
        self.sender.flush()

    def check(self) -> None:
        """Fail if the thread failed or Kafka refused something."""
        if self._failure is not None:
            raise self._failure
        self.sender.check()

    def __enter__(self) -> Self:
        self.seed()
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.stop()
        else:
            self._stopping.set()

    def _run(self) -> None:
        tick = 0
        try:
            while not self._stopping.wait(TICK_S):
                tick += 1
                if self._moving.is_set():
                    self._move(tick)
                elif tick % REPEAT_TICKS == 0:
                    self._mark(sorted(BASE))
                if self._trading.is_set():
                    self._trade()
                self.sender.poll()
        except BaseException as error:
            self._failure = error
            raise

    def _move(self, tick: int) -> None:
        pausing = tick % PAUSE_EVERY_TICKS < PAUSE_TICKS
        moved = [symbol for symbol in sorted(BASE) if self._rng.random() < 0.5]
        for symbol in moved:
            self.market.step(symbol)
        self._mark([symbol for symbol in moved if not (pausing and symbol == PAUSING)])

    def _mark(self, symbols: list[str]) -> None:
        batch = [self.market.mark(symbol) for symbol in symbols if symbol in BATCHED]
        if batch:
            self.sender.prices(MarkBatch(marks=tuple(batch)), key="batch")
        for symbol in symbols:
            if symbol not in BATCHED:
                self.sender.prices(self.market.mark(symbol), key=symbol)

    def _trade(self) -> None:
        for _ in range(self._rng.randint(0, 2 * self.inputs_per_tick)):
            self._send(self._rng.choice(self._traders).next())
            if self._recent and self._rng.random() < RESENT:
                self._produce(self._rng.choice(self._recent))

    def _send(self, message: AccountInput) -> None:
        self._recent.append(message)
        self.inputs_sent += 1
        self._produce(message)

    def _produce(self, message: AccountInput) -> None:
        self.sender.send(topic_of(message), message.account.encode(), msgspec.json.encode(message))
