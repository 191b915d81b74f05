"""Recorded prices as arrivals, with a made-up population that opens at the first of them.

Rules
-----
* Everything has the recording's own time: the accounts open at its first row.
* Trades of a thin market are rarer than an exchange's marks. So the last price of a recorded symbol is repeated for some
  time after its last row; then it is silent, and goes stale as the policy says. A symbol that is never recorded keeps its
  sample price.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from heapq import merge
from typing import NamedTuple

import msgspec

from engine.inputs import Fill, Mark, Topic
from engine.marks.mark_book import NANOSECONDS
from engine.policy import Policy
from streams.contract.record import Decoded, Record
from streams.exchange.market.recording import Recording
from streams.exchange.traders.population import Population
from streams.replay.arrivals import PRICES, Arrival

FRESH_SECONDS = 900.0
"""No pause of the thin markets in the recorded crash is longer. A silent symbol that counts as stale degrades every holder,
and there is hardly a second of that day in which all of 17 such markets trade."""
SILENCE_NS_MAX = 3_600 * NANOSECONDS
"""When nothing was recorded for so long the market is closed: nothing is repeated, everything goes stale."""
NS_PER_MS = 1_000_000


class _Price(NamedTuple):
    time_ns: int
    symbol: str
    price: Decimal


class RecordedMarket:
    """Recordings, each in time order, as one market."""

    def __init__(self, recordings: Sequence[Recording], policy: Policy, fresh_seconds: float) -> None:
        """The recordings must be made with speed 1, so that their seconds are the recorded ones."""
        self._recordings = recordings
        self._policy = policy
        self._fresh_ns = int(fresh_seconds * NANOSECONDS)
        self.start_ns = min(it.start_ms for it in recordings) * NS_PER_MS
        self.start_prices: dict[str, Decimal] = {}
        for recording in sorted(recordings, key=lambda it: it.start_ms, reverse=True):
            told = {
                symbol: price
                for symbol, price in recording.start_prices.items()
                if symbol not in recording.constant or symbol not in self.start_prices
            }
            self.start_prices |= told
        self._constant = frozenset.intersection(*(it.constant for it in recordings))

    def arrivals(self) -> Iterator[Arrival]:
        """The start prices, then every row; repeats between them."""
        lasts = {symbol: _Price(self.start_ns, symbol, price) for symbol, price in self.start_prices.items()}
        sequences: Counter[str] = Counter()
        number = itertools.count()

        def arrival(prices: Iterable[_Price], time_ns: int) -> Arrival:
            marks = []
            for it in prices:
                sequences[it.symbol] += 1
                marks.append(Mark(it.symbol, it.price, sequences[it.symbol], time_ns))
            return Arrival(time_ns, PRICES, 0, next(number), tuple(marks))

        # half of it, so that also a mark that came just after a look at them is repeated in time
        every_ns = min(
            int(it.stale_after_seconds * NANOSECONDS) for it in self._policy.price_symbols.values()
        )
        every_ns = max(1, every_ns // 2)
        look_ns = self.start_ns + every_ns
        marked, newest_ns = set(lasts), self.start_ns
        yield arrival(lasts.values(), self.start_ns)
        for time_ns, together in itertools.groupby(self._prices(), key=lambda it: it.time_ns):
            while time_ns >= look_ns:
                if look_ns - newest_ns > SILENCE_NS_MAX:
                    look_ns = time_ns + every_ns
                    break
                repeated = [it for it in lasts.values() if self._repeats(it, marked, look_ns)]
                if repeated:
                    yield arrival(repeated, look_ns)
                marked.clear()
                look_ns += every_ns
            prices, newest_ns = list(together), time_ns
            yield arrival(prices, time_ns)
            for it in prices:
                lasts[it.symbol] = it
                marked.add(it.symbol)

    def population(self, accounts: int, seed: int) -> Iterator[Arrival]:
        """The inputs that open so many made-up accounts, all of one instant: before the start prices."""
        encode = msgspec.json.Encoder().encode
        population = Population(self._policy, accounts, seed, self.start_prices)
        for number, message in enumerate(population.inputs(self.start_ns)):
            record = Record(number, message.account.encode(), encode(message))
            topic = Topic.FILLS if isinstance(message, Fill) else Topic.LEDGER
            # not in the order of topics, which would mean to hold them all
            yield Arrival(self.start_ns, topic, 0, number, Decoded(record, message), where=message.account)

    def _repeats(self, last: _Price, marked: set[str], now_ns: int) -> bool:
        if last.symbol in marked:
            return False
        return last.symbol in self._constant or now_ns - last.time_ns <= self._fresh_ns

    def _prices(self) -> Iterator[_Price]:
        return merge(*map(_of_recording, self._recordings), key=lambda it: it.time_ns)


def _of_recording(recording: Recording) -> Iterator[_Price]:
    for mark in recording:
        time_ms = recording.start_ms + round(mark.at_seconds * 1000)
        yield _Price(time_ms * NS_PER_MS, mark.symbol, mark.price)
