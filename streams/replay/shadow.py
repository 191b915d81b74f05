"""Two policies over the same live inputs: who stands in another band under one than under the other. Pure: nothing is written.

Rules
-----
* Both begin with what the workers have stored: states, bands, breaker. So the second one is what would happen if its policy were put in
  force now.
* Both get the same inputs, in the order in which they are read. Event time never goes back: what is dated before its predecessor counts
  as dated like that one.
* An input that a stored state has already is passed over: states are read while workers go on, each after the watermark.
* Liquidations are executed by the exchange alone, for the policy in force. A pool that only the other policy would liquidate stays as it is.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from decimal import Decimal

import msgspec

from engine.book.readings import as_floats
from engine.events.effects import AccountRisk
from engine.inputs import Mark, Topic
from engine.ladder import Band
from engine.ladder.breaker import BreakerState
from engine.margin.listed_part import unlisted_holding
from engine.policy import Policy
from engine.rejections import Rejection
from streams.contract.record import Decoded
from streams.replay.arrivals import Arrival
from streams.replay.bands_said import BandsSaid, Pool
from streams.replay.runner import Replay


class StoredShard(msgspec.Struct, frozen=True, kw_only=True):
    """One shard as the workers left it."""

    states: Collection[bytes]
    risks: Mapping[str, AccountRisk]
    watermarks: dict[Topic, int]
    breaker: BreakerState


class Differing(msgspec.Struct, frozen=True, kw_only=True):
    """A pool that the two policies see in different bands."""

    account: str
    position: str | None
    """Of an isolated position; None for the shared pool."""
    time_ns: int
    """Event time of what made them differ, 0 for what was stored."""
    band: Band
    """Under the policy in force."""
    shadow_band: Band
    """Under the other."""
    ratio: Decimal | None
    """As last said under the policy in force; None where nothing was."""
    shadow_ratio: Decimal | None


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """Pools by what happened to them since the start; called is a margin call or worse."""

    called_both: int
    called_only_now: int
    called_only_shadow: int
    liquidated_both: int
    liquidated_only_now: int
    liquidated_only_shadow: int


class UnlistedHolding(Exception):  # noqa: N818 - it names what was found
    """An account holds what a policy does not list. A worker judges it by the rest; but a comparison of policies would compare nothing."""

    def __init__(self, account: str, holding: str) -> None:
        super().__init__(f"account {account!r} holds {holding}, which the policy does not list")


class _Side:
    """One policy."""

    def __init__(
        self,
        policy: Policy,
        partitions: int,
        partition_of: Callable[[bytes], int],
        clock: Callable[[], int],
        changed: Callable[[Pool, int], object],
    ) -> None:
        self.said = BandsSaid()
        self._changed = changed
        self.replay = Replay(
            policy, partitions=partitions, partition_of=partition_of, say=self._say, clock=clock
        )

    def load(self, shard: int, stored: StoredShard) -> None:
        for state in map(as_floats, stored.states):
            unlisted = unlisted_holding(state, self.replay.policy)
            if unlisted is not None:
                raise UnlistedHolding(state.account, unlisted)
        self.replay.shards[shard].load(stored.states, stored.risks, stored.watermarks, stored.breaker)
        for account, risk in stored.risks.items():
            self.said.bands |= {(account, pool): it.band for pool, it in risk.pools.items()}

    def _say(self, event: bytes) -> None:
        about = self.said.take(event)
        if about is not None:
            self._changed(*about)


class Shadow:
    """The policy in force, and another one beside it. `load` every shard, `prime` the marks, then `take` every arrival."""

    def __init__(
        self,
        policy: Policy,
        other: Policy,
        *,
        partitions: int,
        partition_of: Callable[[bytes], int],
        clock: Callable[[], int],
        tell: Callable[[Differing], object],
    ) -> None:
        """`tell` gets every pool whose difference has changed, and equal bands where it has ended."""
        self._sides = tuple(_Side(it, partitions, partition_of, clock, self._note) for it in (policy, other))
        self._tell = tell
        self._noted: dict[Pool, int] = {}
        """Pools whose band has changed with the arrival that is being taken, and when."""
        self._told: dict[Pool, tuple[Band, Band]] = {}
        """Pools that differ, as they were told last."""
        self._newest_ns = 0

    def load(self, shard: int, stored: StoredShard) -> None:
        """Take over what is stored of a shard. Raises `UnlistedHolding` where a policy lacks something that is held."""
        for side in self._sides:
            side.load(shard, stored)

    def prime(self, marks: Iterable[Mark]) -> None:
        """Take the marks that the workers saved last."""
        for mark in marks:
            for side in self._sides:
                side.replay.marks.prime(mark)

    def take(self, arrival: Arrival) -> None:
        """The next input that was read."""
        if self._known(arrival):
            return
        self._newest_ns = max(self._newest_ns, arrival.time_ns)
        for side in self._sides:
            side.replay.take(arrival._replace(time_ns=self._newest_ns))
        self._compare()

    def finish(self) -> None:
        """All have come."""
        for side in self._sides:
            side.replay.finish()
        self._compare()

    @property
    def judging(self) -> bool:
        """Whether both have prices to judge by."""
        return all(side.replay.judging for side in self._sides)

    @property
    def time_ns(self) -> int:
        """Event time of the newest input."""
        return self._newest_ns

    def differing(self) -> list[Differing]:
        """Every pool that differs now, by account."""
        now, other = self._sides
        pools = sorted(now.said.bands.keys() | other.said.bands.keys())
        found = (self._differing(pool, 0) for pool in pools)
        return [it for it in found if it.band is not it.shadow_band]

    def tally(self) -> Tally:
        """What happened since the start."""
        called, liquidated = (
            [side.said.reached(band) for side in self._sides] for band in (Band.MARGIN_CALL, Band.LIQUIDATION)
        )
        return Tally(
            called_both=len(called[0] & called[1]),
            called_only_now=len(called[0] - called[1]),
            called_only_shadow=len(called[1] - called[0]),
            liquidated_both=len(liquidated[0] & liquidated[1]),
            liquidated_only_now=len(liquidated[0] - liquidated[1]),
            liquidated_only_shadow=len(liquidated[1] - liquidated[0]),
        )

    def _known(self, arrival: Arrival) -> bool:
        """Whether the stored state of the account has this input already."""
        body = arrival.body
        if not isinstance(body, Decoded) or isinstance(body.message, Rejection):
            return False
        state = self._sides[0].replay.shards[arrival.partition].state(body.message.account)
        if state is None:
            return False
        progress = state.fills if arrival.topic == Topic.FILLS else state.ledger
        return arrival.offset <= progress.offset

    def _note(self, pool: Pool, time_ns: int) -> None:
        self._noted[pool] = time_ns

    def _compare(self) -> None:
        noted, self._noted = self._noted, {}
        for pool, time_ns in noted.items():
            found = self._differing(pool, time_ns)
            bands = found.band, found.shadow_band
            if found.band is found.shadow_band:
                if self._told.pop(pool, None) is not None:
                    self._tell(found)
            elif self._told.get(pool) != bands:
                self._told[pool] = bands
                self._tell(found)

    def _differing(self, pool: Pool, time_ns: int) -> Differing:
        now, other = self._sides
        account, position = pool
        return Differing(
            account=account,
            position=position or None,
            time_ns=time_ns,
            band=now.said.bands.get(pool, Band.HEALTHY),
            shadow_band=other.said.bands.get(pool, Band.HEALTHY),
            ratio=now.said.ratios.get(pool),
            shadow_ratio=other.said.ratios.get(pool),
        )
