"""Where a replay's arrivals come from: files, or the topics of a broker."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from engine.inputs import Topic
from engine.policy import Policy
from streams.config.problem import Problem
from streams.config.settings import Settings, SettingsError
from streams.exchange.market.recorded_layout import Reading
from streams.exchange.market.recorded_text import RECORDING_SUFFIXES
from streams.exchange.market.recording import Recording, told_left_out
from streams.kafka.clients import partition_counts
from streams.kafka.topic_access import LogBounds, find_places
from streams.replay.arrivals import OPERATOR, PRICES, Arrival, merged
from streams.replay.message_files import SUFFIXES, MessageFile, numbered
from streams.replay.recorded_market import RecordedMarket
from streams.replay.topics_log import TopicsLog

ACCOUNTS_DEFAULT = 5_000


class FileOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How files are played."""

    accounts: int | None
    """Of the made-up population; None: none beside files of messages, else `ACCOUNTS_DEFAULT`."""
    seed: int
    fresh_seconds: float
    """How long the last recorded price of a silent symbol is repeated."""
    from_ms: int | None = None
    to_ms: int | None = None
    """Rows of recordings outside are left out."""
    reading: Reading = Reading()
    """Of recordings."""


class Files:
    """Recordings and files of messages, as one input of one shard."""

    def __init__(self, path: Path, policy: Policy, options: FileOptions) -> None:
        """Raises `SettingsError` or `RecordingError` where there is nothing to play."""
        self.path = path
        paths = _files(path)
        self._messages = [MessageFile(it) for it in paths if it.name.endswith(SUFFIXES)]
        self._recordings = [
            Recording(
                it, policy, speed=1.0, from_ms=options.from_ms, to_ms=options.to_ms, reading=options.reading
            )
            for it in paths
            if not it.name.endswith(SUFFIXES)
        ]
        self._policy, self._options = policy, options
        self.bytes = sum(it.stat().st_size for it in paths)
        """As they lie on disk."""
        if options.accounts and not self._recordings:
            raise SettingsError(
                "--accounts: made-up accounts open at a recording's prices, and there is none"
            )

    @property
    def bytes_read(self) -> int:
        """Of `bytes`, about."""
        return sum(it.bytes_read for it in self._messages) + sum(it.bytes_read for it in self._recordings)

    @property
    def rows_left_out(self) -> Counter[str]:
        """Of recordings, by recorded symbol."""
        return sum((it.unknown for it in self._recordings), Counter[str]())

    @property
    def notes(self) -> list[str]:
        """What was left out of recordings because it says no price."""
        return told_left_out(self._recordings)

    def arrivals(self) -> Iterator[Arrival]:
        """Everything in order."""
        streams = [iter(it) for it in self._messages]
        if self._recordings:
            market = RecordedMarket(self._recordings, self._policy, self._options.fresh_seconds)
            accounts = self._options.accounts
            if accounts is None:
                accounts = 0 if self._messages else ACCOUNTS_DEFAULT
            streams += [market.population(accounts, self._options.seed), market.arrivals()]
        return numbered(merged(streams))


def _files(path: Path) -> Sequence[Path]:
    if not path.exists():
        raise SettingsError(f"--data {path}: no such file or directory")
    if not path.is_dir():
        return [path]
    found = sorted(it for it in path.iterdir() if it.name.lower().endswith((*SUFFIXES, *RECORDING_SUFFIXES)))
    if not found:
        raise SettingsError(
            f"--data {path}: no file in it ends in {', '.join((*SUFFIXES, *RECORDING_SUFFIXES))}"
        )
    return found


class Topics:
    """The input topics as they are now."""

    def __init__(self, log: TopicsLog, partitions: int, trimmed: Sequence[str]) -> None:
        """Use `open_topics`."""
        self.log, self.partitions, self.trimmed = log, partitions, trimmed


async def open_topics(settings: Settings, consumer: AIOKafkaConsumer, *, from_first: bool) -> Topics:
    """Find out what there is to read.

    Raises `Problem` where a topic is missing, or begins after offset 0 and `from_first` does not allow that.
    """
    kinds = {
        settings.topic_fills: Topic.FILLS.value,
        settings.topic_ledger: Topic.LEDGER.value,
        settings.topic_prices: PRICES,
    }
    if (await partition_counts(settings, [settings.topic_operator]))[settings.topic_operator]:
        kinds[settings.topic_operator] = OPERATOR
    places = await find_places(settings, list(kinds))
    begins = await consumer.beginning_offsets(places)
    ends = await consumer.end_offsets(places)
    trimmed = [f"{it.topic}/{it.partition} begins at offset {begins[it]}" for it in places if begins[it]]
    if trimmed and not from_first:
        raise Problem(
            f"the log was trimmed: {'; '.join(trimmed)}. Accounts and prices that follow from what was deleted would be "
            "missing; with --from-first the replay begins with what is there"
        )
    counts = Counter(place.topic for place in places)
    if counts[settings.topic_fills] != counts[settings.topic_ledger]:
        raise Problem(f"topics must have equal partition counts, found {dict(counts)}")
    bounds: dict[TopicPartition, LogBounds] = {it: LogBounds(begins[it], ends[it]) for it in places}
    return Topics(TopicsLog(consumer, kinds, bounds), counts[settings.topic_fills], trimmed)
