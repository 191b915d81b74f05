"""Files of input messages as arrivals: one JSON message a line, as it would stand in its topic; plain or .gz.

Rules
-----
* The type of a message says its topic. A `resume` is of the ledger, in a file whose name begins with `fills` of the fills.
* A line that is no message is handed on like a record that is none: it is put aside with file, line and reason, and the
  account it names, if it names one, is stopped. A file that cannot be read to its end is an error.
* All accounts are in one shard. Offsets, which files do not have, are counted by topic in the order of arrival.
"""

import gzip
import zlib
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import msgspec

from engine.inputs import Fill, Mark, MarkBatch, OrderUpdate, Resume, Settlement, Topic
from engine.marks.plausible_times import NOT_RECEIVED_NS, latest_of
from engine.strict_decoding import UNREADABLE
from streams.contract.codec import PRICES_BYTES_MAX, decode_account_input, decode_prices
from streams.contract.operator_command import BreakerRelease, BreakerVoid, decode_operator_record
from streams.contract.record import Decoded, Record
from streams.exchange.feed_errors import RecordingError
from streams.replay.arrivals import OPERATOR, PRICES, Arrival, Dates

SUFFIXES = (".jsonl", ".jsonl.gz")
LINE_BYTES_MAX = PRICES_BYTES_MAX + 1
"""One byte more than the longest message, so that a longer line is seen to be too long; its rest is passed over."""
_TAGS: dict[Any, str] = {
    kind.__struct_config__.tag: topic
    for topic, kinds in (
        (Topic.FILLS.value, (Fill, OrderUpdate, Settlement)),
        (PRICES, (Mark, MarkBatch)),
        (OPERATOR, (BreakerRelease, BreakerVoid)),
    )
    for kind in kinds
}
"""Topic by type; every other message is of the ledger."""
_RESUME = Resume.__struct_config__.tag


class _Head(msgspec.Struct):
    type: str = ""
    account: str | None = None


_head = msgspec.json.Decoder(_Head)


class MessageFile:
    """The messages of one file. Iterate it once."""

    def __init__(self, path: Path) -> None:
        """Nothing is opened before the first line is asked for."""
        self.path = path
        self.bytes_read = 0
        """Of the file as it lies on disk."""
        self._fills = path.name.startswith(Topic.FILLS)

    def __iter__(self) -> Iterator[Arrival]:
        """Raises `RecordingError` where the file cannot be read."""
        dates = Dates()
        line = 0
        try:
            with opened(self.path) as (raw, text):
                while data := text.readline(LINE_BYTES_MAX):
                    line += 1
                    rest = data
                    while not rest.endswith(b"\n") and (rest := text.readline(LINE_BYTES_MAX)):
                        pass
                    self.bytes_read = raw.tell()
                    if line == 1:
                        data = data.removeprefix(BOM_UTF8)
                    if data.strip():
                        yield self._arrival(data.rstrip(b"\r\n"), line, dates)
        except (OSError, EOFError, zlib.error) as error:
            raise RecordingError(f"{self.path}, line {line + 1}: cannot be read: {error}") from error

    def _arrival(self, data: bytes, line: int, dates: Dates) -> Arrival:
        try:
            head = _head.decode(data)
        except UNREADABLE:
            head = _Head()  # the codec says what is wrong with it
        topic = _TAGS.get(head.type, Topic.LEDGER.value)
        if head.type == _RESUME and self._fills:
            topic = Topic.FILLS.value
        where = f"{self.path}, line {line}"
        if topic == PRICES:
            marks = decode_prices(data)
            return Arrival(dates.next(marks, NOT_RECEIVED_NS), PRICES, 0, line, marks, where=where)
        if topic == OPERATOR:
            command = decode_operator_record(data)
            return Arrival(dates.next(command, NOT_RECEIVED_NS), OPERATOR, 0, line, command, where=where)
        key = None if head.account is None else head.account.encode()
        record = Record(line, key, data, latest_of(dates.newest_ns))
        body = Decoded(record, decode_account_input(Topic(topic), key, data, record.taken_in_ns))
        return Arrival(dates.next(body, NOT_RECEIVED_NS), topic, 0, line, body, where=where)


def numbered(arrivals: Iterable[Arrival]) -> Iterator[Arrival]:
    """Give what comes from several files the offsets of one shard, and of one partition of prices."""
    counted: Counter[str] = Counter()
    for arrival in arrivals:
        offset, body = counted[arrival.topic], arrival.body
        counted[arrival.topic] += 1
        if isinstance(body, Decoded):
            body = Decoded(body.record._replace(offset=offset), body.message)
        yield arrival._replace(offset=offset, body=body)


@contextmanager
def opened(path: Path) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """The file as it lies on disk, and its content, unpacked where the name ends in .gz."""
    with path.open("rb") as raw:
        if path.suffix != ".gz":
            yield raw, raw
            return
        with gzip.open(raw, "rb") as content:
            yield raw, cast("IO[bytes]", content)
