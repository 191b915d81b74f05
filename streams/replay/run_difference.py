"""Two runs compared by their events: who was called, or liquidated, in one and not in the other.

Rules
-----
* Who is called, liquidated or bankrupt is a pool: an account's shared one, or one of its isolated positions. A pool counts
  as called when it has been in the band of a margin call or in a worse one.
* Runs are the same when their files are, to the byte; how they are packed does not count.
* Two policies never give the same bytes, because every event names its policy. The first event that differs is therefore
  looked for without the policy's digest.
* Files are read once, side by side; only the pools are kept.
"""

import itertools
import zlib
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from engine.events.effects import EventType
from engine.ladder import SEVERITY, Band
from engine.strict_decoding import UNREADABLE
from streams.config.settings import SettingsError
from streams.replay.message_files import opened


class Said(msgspec.Struct, frozen=True):
    """What the comparison reads of an event; events of other versions have these too."""

    type: str
    id: str
    account: str
    position: str | None
    time_ns: int
    band: Band
    ratio: Decimal | None
    policy_digest: str


class Affected(msgspec.Struct, frozen=True):
    """A pool to which something happened, and the first event that says so."""

    account: str
    position: str | None
    time_ns: int
    ratio: Decimal | None
    event: str


class Outcome(msgspec.Struct, frozen=True):
    """To which pools one thing happened: in both runs, or in one alone."""

    both: int
    only_a: list[Affected]
    only_b: list[Affected]


class FirstDifference(msgspec.Struct, frozen=True):
    """Where the files part; None where one has ended."""

    line: int
    a: Said | None
    b: Said | None


class Difference(msgspec.Struct, frozen=True):
    """Run B against run A."""

    same: bool
    policies: tuple[list[str], list[str]]
    """Digests of the policies that the events name."""
    events: tuple[int, int]
    by_type: dict[str, tuple[int, int]]
    called: Outcome
    liquidated: Outcome
    bankrupt: Outcome
    first: FirstDifference | None
    """None too where the policy's digest is all that differs."""


def difference(first: Path, second: Path) -> Difference:
    """Compare two event files. Raises `SettingsError` for a file that is none."""
    a, b = _Run(), _Run()
    same, parted = True, None
    for number, (one, other) in enumerate(itertools.zip_longest(_lines(first), _lines(second)), start=1):
        said_a = None if one is None else a.take(one, first, number)
        said_b = None if other is None else b.take(other, second, number)
        if one != other:
            same = False
            if parted is None and _content(one) != _content(other):
                parted = FirstDifference(number, said_a, said_b)
    return Difference(
        same=same,
        policies=(sorted(a.policies), sorted(b.policies)),
        events=(a.types.total(), b.types.total()),
        by_type={kind: (a.types[kind], b.types[kind]) for kind in sorted({*a.types, *b.types})},
        called=_outcome(a.called, b.called),
        liquidated=_outcome(a.liquidated, b.liquidated),
        bankrupt=_outcome(a.bankrupt, b.bankrupt),
        first=parted,
    )


_Pools = dict[tuple[str, str], Affected]


class _Run:
    """What one file says."""

    def __init__(self) -> None:
        self.types: Counter[str] = Counter()
        self.policies: set[str] = set()
        self.called: _Pools = {}
        self.liquidated: _Pools = {}
        self.bankrupt: _Pools = {}

    def take(self, line: bytes, path: Path, number: int) -> Said:
        try:
            said = _decoder.decode(line)
        except UNREADABLE as error:
            raise SettingsError(f"{path}, line {number}: not a risk event: {error}") from None
        self.types[said.type] += 1
        self.policies.add(said.policy_digest)
        pool = said.account, said.position or ""
        affected = Affected(said.account, said.position, said.time_ns, said.ratio, said.id)
        if SEVERITY[said.band] >= SEVERITY[Band.MARGIN_CALL]:
            self.called.setdefault(pool, affected)
        if said.type == EventType.LIQUIDATION_ENTERED:
            self.liquidated.setdefault(pool, affected)
        if said.type == EventType.ACCOUNT_BANKRUPT:
            self.bankrupt.setdefault(pool, affected)
        return said


def _outcome(a: _Pools, b: _Pools) -> Outcome:
    return Outcome(
        both=len(a.keys() & b.keys()),
        only_a=[a[pool] for pool in sorted(a.keys() - b.keys())],
        only_b=[b[pool] for pool in sorted(b.keys() - a.keys())],
    )


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with opened(path) as (_, content):
            yield from content
    except (OSError, EOFError, zlib.error) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from None


def _content(line: bytes | None) -> Any:
    """The event without its policy's digest."""
    if line is None:
        return None
    event = msgspec.json.decode(line, type=dict[str, Any])
    del event["policy_digest"]
    return event


_decoder = msgspec.json.Decoder(Said)
