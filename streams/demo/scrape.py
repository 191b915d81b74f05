"""What the workers say of themselves: their /metrics addresses, read as Prometheus would and summed."""

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

SCRAPE_TIMEOUT_SECONDS = 2.0
STARTED = "margin_worker_start_timestamp_seconds"
CUMULATIVE = ("_total", "_bucket", "_count", "_sum")
"""Endings of the series that only grow while a worker lives, and begin at 0 with the next."""

Labels = frozenset[tuple[str, str]]
Series = dict[tuple[str, Labels], float]


class WorkerMetrics:
    """Sums over all workers. Counters go on through a worker's restart; a silent worker's gauges count as 0."""

    def __init__(self, addresses: Sequence[str]) -> None:
        """`addresses`: the URL of each worker's metrics."""
        self.addresses = tuple(addresses)
        self._workers = [_Worker(address) for address in addresses]

    async def scrape(self, session: aiohttp.ClientSession) -> None:
        """Read every worker once; one that does not answer keeps its counters."""
        await asyncio.gather(*(worker.scrape(session) for worker in self._workers))

    def total(self, name: str) -> float:
        """A counter or gauge over all its series and all workers."""
        return sum(self.of_each_worker(name))

    def of_each_worker(self, name: str) -> list[float]:
        """A counter or gauge over all its series, worker by worker."""
        return [sum(value for _, value in worker.matching(name)) for worker in self._workers]

    def by(self, label: str, name: str) -> dict[str, float]:
        """A counter or gauge by the values of one label."""
        values: defaultdict[str, float] = defaultdict(float)
        for labels, value in itertools.chain(*(worker.matching(name) for worker in self._workers)):
            values[labels[label]] += value
        return dict(values)

    def quantile(self, name: str, q: float) -> float | None:
        """The q-quantile of a histogram; see `histogram_quantile`."""
        by_edge = {float(edge): count for edge, count in self.by("le", f"{name}_bucket").items()}
        return histogram_quantile(by_edge, q)


def histogram_quantile(cumulative: Mapping[float, float], q: float) -> float | None:
    """The q-quantile of {upper edge: observations at or below it}, by linear interpolation inside its bucket.

    None without observations. Beyond the last finite edge there is nothing to interpolate with: that edge is returned.
    """
    edges = sorted(cumulative)
    if not edges or not cumulative[edges[-1]]:
        return None
    rank = q * cumulative[edges[-1]]
    below_edge, below = 0.0, 0.0
    for edge in edges:
        if cumulative[edge] >= rank and cumulative[edge] > below:
            part = (rank - below) / (cumulative[edge] - below)
            return below_edge if edge == float("inf") else below_edge + (edge - below_edge) * part
        below_edge, below = edge, cumulative[edge]
    return below_edge


class _Worker:
    """The series of one worker."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._answers = False
        self._now: Series = {}
        self._earlier: Series = {}
        """What its earlier lives had counted."""

    def matching(self, name: str) -> Iterator[tuple[dict[str, str], float]]:
        cumulative = name.endswith(CUMULATIVE)
        lives = [self._now] if self._answers or cumulative else []
        if cumulative:
            lives.append(self._earlier)
        for life in lives:
            for (found, labels), value in life.items():
                if found == name:
                    yield dict(labels), value

    async def scrape(self, session: aiohttp.ClientSession) -> None:
        timeout = aiohttp.ClientTimeout(total=SCRAPE_TIMEOUT_SECONDS)
        try:
            async with session.get(self._address, timeout=timeout) as response:
                response.raise_for_status()
                self.take(await response.text())
        except (aiohttp.ClientError, TimeoutError):
            self._answers = False

    def take(self, text: str) -> None:
        """Make `text` the current series."""
        series = {
            (sample.name, frozenset(sample.labels.items())): float(sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
        started = (STARTED, frozenset[tuple[str, str]]())
        if self._now and self._now.get(started) != series.get(started):
            for key, value in self._now.items():
                if key[0].endswith(CUMULATIVE):
                    self._earlier[key] = self._earlier.get(key, 0.0) + value
        self._now, self._answers = series, True
