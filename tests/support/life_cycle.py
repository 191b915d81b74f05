"""What was said of accounts, held against the life cycle of a liquidation as it is heard.

A *breath* is what one judgement says of one pool: transitions that take place in the band before, then at most one change of
band. The journal knows the engine's transition table and its words, none of its state: everything else it counts itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.accounts import AccountState, Execution
from engine.effects import AccountRisk, EventType, InputOffsets, RiskEvent, Stream
from engine.judgement import CROSS, Judgement
from engine.ladder import SEVERITY, Band, LadderState, band_at
from engine.ladder.episode import PATIENCE_DOUBLINGS_MAX
from engine.ladder.table import LIQUIDATING, TRANSITIONS, Trigger
from engine.margin.figures import Figures
from engine.marks import NANOSECONDS
from engine.policy import Ladder, Policy

PLANNED = {EventType.LIQUIDATION_REQUESTED, EventType.ACCOUNT_BANKRUPT}
_TRUST = {EventType.DEGRADED, EventType.RECOVERED}
_TIMED = {Trigger.MOVED, Trigger.OUTDATED, Trigger.STUCK}
_CHANGES = {Trigger.WORSE, Trigger.BETTER}
_BESIDE_A_CHANGE = {Trigger.DEGRADED, Trigger.RECOVERED, Trigger.EXPIRED, Trigger.EXECUTED}
"""Transitions within a band that a change of band may follow."""
_WELL = LadderState()


@dataclass
class Story:
    """One pool, from what was said of it."""

    name: str
    """`account/pool`, the beginning of its ids."""
    band: Band = Band.HEALTHY
    degraded: bool = False
    episode_id: str | None = None
    running: str | None = None
    """The liquidation that was asked for last and still runs."""
    newest: RiskEvent | None = None
    """The event with its plan."""
    older: list[RiskEvent] = field(default_factory=list)
    """Those with plans that were replaced or are over."""
    executed: Execution | None = None
    """What fills had done of this or an older liquidation when it was last spoken of."""
    said_ns: int = 0
    changed_ns: int = 0
    """When the band changed last."""
    progress_ns: int = 0
    """When the last sign of an execution was said, or the liquidation first asked for, or asked for anew after a failure."""

    failures: int = 0
    """Times that the liquidation failed since the last sign of an execution."""

    @property
    def patience(self) -> int:
        """How many times longer than the policy says is waited for an exchange that executes nothing."""
        return 2 ** min(self.failures, PATIENCE_DOUBLINGS_MAX)


class Journal:
    """Everything said, of any number of accounts, across restarts and changes of policy."""

    def __init__(self) -> None:
        self.stories: dict[tuple[str, str], Story] = {}
        self.types: set[EventType] = set()
        self._numbers: dict[tuple[str, Stream], int] = {}
        self._episodes: set[str] = set()
        self._asked: dict[str, str] = {}
        """Story of every liquidation id."""
        self._ended: dict[str, str] = {}
        """How liquidations ended: failed, completed, or by which newer one they were replaced."""

    def story(self, account: str, pool: str) -> Story:
        """The story of a pool."""
        return self.stories.setdefault((account, pool), Story(f"{account}/{pool or 'cross'}"))

    def hear(self, judgement: Judgement, state: AccountState, policy: Policy) -> None:
        """Take what a judgement of `state` says."""
        breaths: dict[str, list[RiskEvent]] = {}
        for event in judgement.events:
            self._number(event)
            breaths.setdefault(event.position or CROSS, []).append(event)
        for pool, events in breaths.items():
            self._breath(self.story(state.account, pool), events, state, policy)
        self.agrees(judgement.risk)

    def agrees(self, risk: AccountRisk) -> None:
        """The record of an account says what was said."""
        for (account, pool), story in self.stories.items():
            if account == risk.account:
                kept = risk.pools.get(pool, _WELL)
                running = kept.request.liquidation_id if kept.request else None
                told = (story.band, story.degraded, story.episode_id, story.running)
                assert (kept.band, kept.degraded, kept.episode_id, running) == told
        silent = [pool for pool in risk.pools if (risk.account, pool) not in self.stories]
        assert silent == []
        numbers = {
            stream: last for (account, stream), last in self._numbers.items() if account == risk.account
        }
        assert risk.sequences == numbers

    def _number(self, event: RiskEvent) -> None:
        """Each stream of an account is numbered from 1 without a gap."""
        key = event.account, event.stream
        self._numbers[key] = self._numbers.get(key, 0) + 1
        assert event.sequence == self._numbers[key]
        assert event.id == f"{event.account}/{event.stream}/{event.sequence}"
        self.types.add(event.type)

    def _breath(self, story: Story, events: Sequence[RiskEvent], state: AccountState, policy: Policy) -> None:
        first = events[0]
        for event in events:
            assert event.inputs == InputOffsets(state.fills.offset, state.ledger.offset)
            assert (event.previous_band, event.band) == (story.band, first.band)
            assert event.degraded == event.ladder.degraded
        found = transitions_of(first.previous_band, first.band, [event.type for event in events])
        self._episode(story, events)
        self._trust(story, found, first)
        self._in_time(story, found, first, policy)
        for event in events:
            if event.stream is Stream.LIQUIDATIONS:
                self._liquidation(story, event, events, state, policy)
        if first.band is not first.previous_band:
            story.band, story.changed_ns = first.band, first.time_ns
        if first.band not in LIQUIDATING:
            assert story.running is None
        story.said_ns = first.time_ns

    def _episode(self, story: Story, events: Sequence[RiskEvent]) -> None:
        """Opened once, resolved once, with everything between under one id that never comes back."""
        opening, closing = story.band is Band.HEALTHY, events[0].band is Band.HEALTHY
        spoken = [event for event in events if event.stream is Stream.MARGIN_EVENTS]
        opened, resolved = (
            [place for place, event in enumerate(spoken) if event.type.endswith(end)]
            for end in (".opened", ".resolved")
        )
        if opening and not closing:
            # only a word on trust may come before it
            assert len(opened) == 1
            assert {event.type for event in spoken[: opened[0]]} <= _TRUST
            story.episode_id = f"{story.name}/{spoken[0].sequence}"
            assert story.episode_id not in self._episodes
            self._episodes.add(story.episode_id)
        else:
            assert opened == []
        assert {event.episode_id for event in events} == {story.episode_id}
        assert resolved == ([len(spoken) - 1] if closing and not opening else [])
        if closing:
            story.episode_id = None
        assert events[0].ladder.episode_id == story.episode_id

    def _trust(self, story: Story, found: Sequence[Trigger], said: RiskEvent) -> None:
        for trigger in found:
            if trigger in {Trigger.DEGRADED, Trigger.RECOVERED}:
                assert story.degraded is (trigger is Trigger.RECOVERED)
                story.degraded = not story.degraded
        assert said.degraded is story.degraded

    def _in_time(self, story: Story, found: Sequence[Trigger], said: RiskEvent, policy: Policy) -> None:
        """What figures, inputs and time say within a band is apart by event time, and so is every step back.

        So a pool says no more than once a check interval, and for each fill, change of trust and call that expires.
        """
        rules, ladder = policy.liquidation, policy.ladder
        if not _TIMED.isdisjoint(found):
            liquidating = story.band in LIQUIDATING
            check = rules.replan_seconds * story.patience if liquidating else ladder.update_check_seconds
            assert said.time_ns - story.said_ns >= check * NANOSECONDS
        if Trigger.STUCK in found:
            assert said.time_ns - story.progress_ns >= rules.stuck_seconds * story.patience * NANOSECONDS
            story.failures += 1
        if Trigger.BETTER in found:
            assert said.time_ns - story.changed_ns >= ladder.exit_hold_seconds * NANOSECONDS
        begins = said.band in LIQUIDATING and story.band not in LIQUIDATING
        if begins or Trigger.EXECUTED in found:
            story.failures = 0
        if begins:
            story.executed = said.ladder.request.execution
        if begins or Trigger.STUCK in found or Trigger.EXECUTED in found:
            story.progress_ns = said.time_ns

    def _liquidation(
        self,
        story: Story,
        event: RiskEvent,
        breath: Sequence[RiskEvent],
        state: AccountState,
        policy: Policy,
    ) -> None:
        """A liquidation is asked for in one breath, and ends once: completed, failed, or replaced by one that names it."""
        pool, name = event.position or CROSS, event.liquidation_id
        assert name is not None
        if event.type in PLANNED:
            assert event.plan is not None
            assert not (event.degraded and policy.ladder.withhold_liquidation_when_degraded)
            self._asking(story, event, next(it for it in breath if it.type in PLANNED))
            return
        assert (event.plan, event.replaces) == (None, None)
        if event.type is EventType.LIQUIDATION_PROGRESSED:
            assert self._asked[name] == story.name
            assert event.executed == state.executions[pool]
            assert event.executed.liquidation_id == name
            story.executed = event.executed
            return
        assert name == story.running
        self._end(name, event.type.value)
        if event.type is EventType.LIQUIDATION_COMPLETED:
            story.older.append(story.newest)
            story.running = story.newest = None

    def _asking(self, story: Story, event: RiskEvent, first: RiskEvent) -> None:
        if event is not first:
            # a request and a bankruptcy in one breath are one liquidation
            assert (event.liquidation_id, event.replaces) == (first.liquidation_id, first.replaces)
            assert event.plan == first.plan
            story.newest = event
            return
        name = event.liquidation_id
        assert name == f"{story.name}/{event.sequence}"
        assert name not in self._asked
        assert event.replaces == story.running
        if story.running is not None:
            if self._ended.get(story.running) != EventType.LIQUIDATION_FAILED:
                self._end(story.running, f"replaced by {name}")
            story.older.append(story.newest)
        self._asked[name] = story.name
        story.running, story.newest = name, event

    def _end(self, name: str, how: str) -> None:
        assert name not in self._ended, f"{name}: {self._ended.get(name)}, then {how}"
        self._ended[name] = how


def transitions_of(before: Band, after: Band, types: Sequence[EventType]) -> list[Trigger]:
    """The transitions of the table that say exactly `types` on the way from `before` to `after`."""
    legal = {
        trigger: said
        for (start, trigger, end), said in TRANSITIONS.items()
        if start is before and end is (after if trigger in _CHANGES else before)
        if trigger in _CHANGES | _BESIDE_A_CHANGE or before is after
    }
    found, rest = [], tuple(types)
    while rest:
        fitting = [trigger for trigger, said in legal.items() if rest[: len(said)] == said]
        assert len(fitting) == 1, (before, after, types)
        found.append(fitting[0])
        rest = rest[len(legal[fitting[0]]) :]
    assert _CHANGES.isdisjoint(found[:-1])
    assert _CHANGES.isdisjoint(found) is (before is after), (before, after, types)
    return found


def stands_where_its_figures_say(pool: LadderState, figures: Figures, ladder: Ladder) -> None:
    """Never better than the lines say, and worse only while the exit lines are not met, or not for long enough."""
    entered, left = (
        _kept(band_at(figures, ladder, exiting=exiting), pool, ladder) for exiting in (False, True)
    )
    withheld = figures.degraded and ladder.withhold_liquidation_when_degraded
    if withheld:
        entered = min(entered, Band.REDUCE_ONLY, key=SEVERITY.__getitem__)
    assert pool.degraded is figures.degraded
    assert SEVERITY[pool.band] >= SEVERITY[entered]
    leaving = SEVERITY[left] < SEVERITY[pool.band] and not (withheld and left is Band.LIQUIDATION)
    assert (pool.exit_since_ns is not None) is leaving


def _kept(band: Band, pool: LadderState, ladder: Ladder) -> Band:
    """An expired call keeps a pool that is still called where the policy says."""
    if not pool.expired or ladder.expired_call == "notify" or SEVERITY[band] < SEVERITY[Band.MARGIN_CALL]:
        return band
    return max(band, Band(ladder.expired_call), key=SEVERITY.__getitem__)
