"""A recorded day under a policy: how the requirement of positions that do not change goes, and whom it calls.

The accounts are those that a replay makes up at the recording's first prices; nobody trades after that and no liquidation is executed, so
whatever the requirement does the policy and the prices do. The margin is that of the first accounts by name, exactly.
"""

from collections.abc import Callable

import msgspec

from engine.analytics.responsiveness import MarginSample
from engine.ladder import Band
from engine.margin.margin_model import shared_figures
from engine.numbers import ZERO, canonical, exact
from engine.policy import Policy
from streams.replay.bands_said import BandsSaid
from streams.replay.runner import Replay
from streams.replay.sources import Files

MEASURED_ACCOUNTS = 100
"""Of whom the margin is measured; all are judged."""


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """One day under one policy."""

    accounts: int
    measured: int
    maintenance: list[MarginSample]
    """Sum of the measured accounts' shared pools, in account currency."""
    initial: list[MarginSample]
    called: int
    """Pools that came into a margin call, or a worse band."""
    liquidated: int


def margin_course(
    files: Files, policy: Policy, every_ns: int, clock: Callable[[], int], on_bytes: Callable[[int], None]
) -> Course:
    """Play the files, and look at the margin every `every_ns` of event time. `on_bytes` is told how much more was read."""
    said = BandsSaid()
    replay = Replay(policy, say=said.take, clock=clock)
    (shard,) = replay.shards
    measured: list[str] = []
    maintenance: list[MarginSample] = []
    initial: list[MarginSample] = []
    next_ns = 0

    def look() -> None:
        with exact():
            states = [shard.state(name) for name in measured]
            figures = [shared_figures(it, replay.marks.prices, policy) for it in states if it is not None]
            sums = (
                sum((it.requirement for it in figures), ZERO),
                sum((it.initial_margin for it in figures), ZERO),
            )
        for course, margin in zip((maintenance, initial), sums, strict=True):
            course.append(MarginSample(replay.time_ns, canonical(margin)))

    read = 0
    for arrival in files.arrivals():
        on_bytes(files.bytes_read - read)
        read = files.bytes_read
        if replay.judging and arrival.time_ns >= next_ns:
            # before it, so that all of the instant in front has come
            measured = measured or list(shard.book.accounts())[:MEASURED_ACCOUNTS]
            look()
            next_ns = arrival.time_ns + every_ns
        replay.take(arrival)
    replay.finish()
    if measured:
        look()
    return Course(
        accounts=len(list(shard.book.accounts())),
        measured=len(measured),
        maintenance=maintenance,
        initial=initial,
        called=len(said.reached(Band.MARGIN_CALL)),
        liquidated=len(said.reached(Band.LIQUIDATION)),
    )
