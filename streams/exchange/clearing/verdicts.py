"""What the engine has said, counted, and held against what it could not know: true prices, and books without the wrong job.

    wrongly liquidated   a pool that enters liquidation (or is called bankrupt) from a better band, while
                         collateral value >= liquidation line * requirement
                         at the exchange's true prices of that moment, all of them fresh, in its books without payments of a wrong job

The moment is when the exchange hears of it: in one process the step that was judged, on real servers a little later. Every such
verdict counts, also the second one of a pool that had recovered.
"""

from collections import Counter
from collections.abc import Callable

import msgspec

from engine.events.breaker_events import BreakerEvent, BreakerEventType
from engine.events.effects import EventType, RiskEvent
from engine.events.pools import pool_figures
from engine.ladder.breaker import Cause, Stake
from engine.ladder.table import LIQUIDATING
from engine.ledger.accounts import AccountState
from engine.marks.mark_book import Prices
from engine.numbers import exact
from engine.policy import Policy
from streams.contract.cloudevents import Event

CONDEMNING = frozenset({EventType.LIQUIDATION_ENTERED, EventType.ACCOUNT_BANKRUPT})
CALLING = frozenset({
    EventType.CALL_OPENED, EventType.CALL_ESCALATED, EventType.REDUCE_ONLY_OPENED, EventType.REDUCE_ONLY_ESCALATED,
})  # fmt: skip


class Hold(msgspec.Struct, kw_only=True):
    """The breaker of a shard has opened."""

    second: float
    shard: int
    number: int
    cause: Cause
    limit: str
    """The share that was exceeded most."""
    share: float
    held: Stake
    """When it opened."""
    left: Stake | None = None
    """What was still held when it was closed; None while it is open."""
    ended: str | None = None
    """released or voided."""
    why: str | None = None


class Verdicts:
    """Counters of what was said."""

    def __init__(
        self, policy: Policy, state: Callable[[str], AccountState], prices: Callable[[], Prices]
    ) -> None:
        """`state`: an account as it should be; `prices`: the true ones of now."""
        self._policy, self._state, self._prices = policy, state, prices
        self.by_type: Counter[str] = Counter()
        self.called: set[str] = set()
        """Accounts that were called, or put into reduce-only."""
        self.degraded: set[str] = set()
        """Accounts that were told of doubt."""
        self.requests = 0
        """Pools that came to liquidation or bankruptcy from a better band."""
        self.liquidated: set[str] = set()
        """Their accounts."""
        self.wrong_requests = 0
        self.wrongly: set[str] = set()
        """Accounts of those that were wrongly liquidated."""
        self.doubted: set[str] = set()
        """Price symbols whose doubt, or staleness, an event names."""
        self.holds: dict[tuple[int, int], Hold] = {}
        """By shard and number of the opening."""

    @property
    def holding(self) -> bool:
        """Whether the breaker of any shard is open."""
        return any(it.ended is None for it in self.holds.values())

    def note(self, event: Event, second: float) -> None:
        """Count an event that is heard at `second`."""
        self.by_type[event.type.value] += 1
        if isinstance(event, RiskEvent):
            self._note_account(event)
        elif isinstance(event, BreakerEvent):
            self._note_breaker(event, second)

    def _note_account(self, event: RiskEvent) -> None:
        self.doubted |= {name for name, mark in event.marks.items() if mark.stale or mark.doubt is not None}
        if event.type in CALLING:
            self.called.add(event.account)
        elif event.type is EventType.DEGRADED:
            self.degraded.add(event.account)
        elif event.type in CONDEMNING and event.previous_band not in LIQUIDATING:
            self.requests += 1
            self.liquidated.add(event.account)
            if self._wrong(event):
                self.wrong_requests += 1
                self.wrongly.add(event.account)

    def _wrong(self, event: RiskEvent) -> bool:
        figures = pool_figures(self._state(event.account), event.position or "", self._prices(), self._policy)
        with exact():
            return figures.collateral_value >= self._policy.ladder.liquidation * figures.requirement

    def _note_breaker(self, event: BreakerEvent, second: float) -> None:
        opening, place = event.opening, (event.shard, event.opening.number)
        if event.type is BreakerEventType.HELD:
            self.holds[place] = Hold(
                second=round(second, 3), shard=event.shard, number=opening.number, cause=opening.cause,
                limit=opening.limit, share=round(opening.share, 4), held=event.held,
            )  # fmt: skip
        elif place in self.holds:
            hold = self.holds[place]
            hold.left, hold.why = event.held, event.why
            hold.ended = "released" if event.type is BreakerEventType.RELEASED else "voided"
