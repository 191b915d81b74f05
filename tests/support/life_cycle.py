"""What was said of accounts, held against the life cycle of a liquidation as it is heard.

A *breath* is what one judgement says of one pool: transitions that take place in the band before, then at most one change of
band. What is said behind it, a plan or an explanation, comes in breaths of its own, whenever it comes. The journal knows the
engine's transition table and its words, none of its state: everything else it counts itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.events.effects import AccountRisk, EventType, InputOffsets, RiskEvent, Stream
from engine.events.judgement import Judgement
from engine.events.pools import CROSS
from engine.ladder import SEVERITY, Band, LadderState, band_at
from engine.ladder.episode import PATIENCE_DOUBLINGS_MAX
from engine.ladder.table import LIQUIDATING, TRANSITIONS, Trigger
from engine.ledger.accounts import AccountState, Execution
from engine.margin.figures import Figures
from engine.marks.mark_book import NANOSECONDS
from engine.policy import Ladder, Policy

REASONS = (EventType.LIQUIDATION_REQUESTED, EventType.EXPLAINED)
"""What is said behind a verdict, in order."""
_TRUST = {EventType.DEGRADED, EventType.RECOVERED}
_TIMED = {Trigger.MOVED, Trigger.STUCK}
_CHANGES = {Trigger.WORSE, Trigger.BETTER}
_BESIDE_A_CHANGE = {Trigger.DEGRADED, Trigger.RECOVERED, Trigger.EXPIRED, Trigger.EXECUTED}
"""Transitions within a band that a change of band may follow."""
_BEHIND = {Trigger.PLANNED, Trigger.EXPLAINED}
_WELL = LadderState()


@dataclass
class Story:
    """One pool, from what was said of it."""

    name: str
    """`account/pool`, the beginning of its ids."""
    band: Band = Band.HEALTHY
    degraded: bool = False
    episode_id: str | None = None
    verdict: str | None = None
    """The last word of the last breath that told of a worse band; None while the pool is healthy."""
    entered: bool = False
    """Liquidation was entered, and is not completed."""
    plan_due: bool = False
    """Something was said of liquidation that a request is to follow."""
    outdated: bool = False
    """A word on something else told in passing that the running plan is out of date."""
    detail_due: bool = False
    """The verdict is to be explained."""
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
        """How liquidations ended: completed, or by which newer one they were replaced."""
        self._failed: set[str] = set()
        self._verdicts: dict[str, str] = {}
        """Story of every verdict that was said, by id."""
        self.planned_late = self.explained_late = self.never_planned = 0
        """Reasons that came when something else had been said since; liquidations that ended before any plan: for tests that ask
        whether they saw enough."""

    def story(self, account: str, pool: str) -> Story:
        """The story of a pool."""
        return self.stories.setdefault((account, pool), Story(f"{account}/{pool or 'cross'}"))

    def hear(self, judgement: Judgement, state: AccountState, policy: Policy) -> None:
        """Take the verdicts that a judgement of `state` says."""
        for pool, events in self._breaths(judgement).items():
            self._breath(self.story(state.account, pool), events, state, policy)
        self.agrees(judgement.risk)

    def hear_reasons(self, judgement: Judgement, state: AccountState, policy: Policy) -> None:
        """Take what is said behind verdicts on `state`."""
        assert judgement.events, "taken though nothing was due"
        for pool, events in self._breaths(judgement).items():
            types = [event.type for event in events]
            assert types == [it for it in REASONS if it in types]
            for event in events:
                self._reason(self.story(state.account, pool), event, state, policy)
        self.agrees(judgement.risk)

    def _breaths(self, judgement: Judgement) -> dict[str, list[RiskEvent]]:
        breaths: dict[str, list[RiskEvent]] = {}
        for event in judgement.events:
            self._number(event)
            breaths.setdefault(event.position or CROSS, []).append(event)
        return breaths

    def agrees(self, risk: AccountRisk) -> None:
        """The record of an account says what was said."""
        for (account, pool), story in self.stories.items():
            if account == risk.account:
                kept = risk.pools.get(pool, _WELL)
                running = kept.request.liquidation_id if kept.request else None
                told = (story.band, story.degraded, story.episode_id, story.running)
                assert (kept.band, kept.degraded, kept.episode_id, running) == told
                assert (kept.verdict_id, kept.detail_due) == (story.verdict, story.detail_due)
                # that a plan is out of date is found without a word
                assert kept.plan_due or not (story.plan_due or story.outdated)
                assert story.running is not None or kept.plan_due is story.plan_due
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
            assert (event.plan, event.detail, event.verdict, event.replaces) == (None,) * 4
        found = transitions_of(first.previous_band, first.band, [event.type for event in events])
        self._episode(story, events)
        self._trust(story, found, first)
        self._in_time(story, found, first, policy)
        for event in events:
            if event.stream is Stream.LIQUIDATIONS:
                self._liquidation(story, event, state, policy)
        self._verdict(story, events, found)
        if first.band is not first.previous_band:
            story.band, story.changed_ns = first.band, first.time_ns
        assert story.entered is (first.band in LIQUIDATING)
        if first.band not in LIQUIDATING:
            assert story.running is None
        story.said_ns = first.time_ns

    def _verdict(self, story: Story, events: Sequence[RiskEvent], found: Sequence[Trigger]) -> None:
        """Who enters a worse band says so once in each stream, and what is due behind it is told with it."""
        first, last = events[0], events[-1]
        worse = TRANSITIONS[first.previous_band, Trigger.WORSE, first.band] if Trigger.WORSE in found else ()
        for event in events:
            fell_through = event.type is EventType.LIQUIDATION_ENTERED and first.band is Band.BANKRUPT
            assert event.entered is (first.band if event.type in worse and not fell_through else None)
        if worse:
            assert last.entered is first.band
            assert last.id not in self._verdicts
            self._verdicts[last.id] = story.name
            story.verdict, story.detail_due = last.id, last.ladder.detail_due
        if Trigger.BETTER in found:
            story.detail_due = False
        if first.band is Band.HEALTHY:
            story.verdict = None
        if first.band not in LIQUIDATING:
            story.plan_due = story.outdated = False
        elif not {*_CHANGES, Trigger.STUCK}.isdisjoint(found):
            story.plan_due = True
        # a verdict that is already explained, or planned for, keeps its due as it was
        assert (last.ladder.verdict_id, last.ladder.detail_due) == (story.verdict, story.detail_due)

    def _reason(self, story: Story, event: RiskEvent, state: AccountState, policy: Policy) -> None:
        """What is said behind a verdict: once, of the pool where it stands, naming what was said before."""
        assert event.inputs == InputOffsets(state.fills.offset, state.ledger.offset)
        assert (event.previous_band, event.band, event.degraded) == (story.band, story.band, story.degraded)
        assert story.episode_id is not None
        assert (event.episode_id, event.ladder.episode_id) == (story.episode_id, story.episode_id)
        assert (event.entered, event.cause_time_ns, event.executed) == (None, None, None)
        assert event.verdict == story.verdict
        assert self._verdicts[event.verdict] == story.name
        late = event.time_ns > story.said_ns
        if event.type is EventType.EXPLAINED:
            assert (event.plan, event.liquidation_id, event.replaces) == (None, None, None)
            assert event.detail is not None
            assert story.detail_due
            story.detail_due = False
            self.explained_late += late
            return
        assert (event.type, event.detail) == (EventType.LIQUIDATION_REQUESTED, None)
        assert event.plan is not None
        assert story.entered
        assert event.ladder.exit_since_ns is None
        assert event.breaker is None
        assert not (event.degraded and policy.ladder.withhold_liquidation_when_degraded)
        if not (story.plan_due or story.outdated):
            # nothing that was said asks for it: the running plan was found out of date, which is looked at so often
            assert story.running is not None
            wait = policy.liquidation.replan_seconds * story.patience * NANOSECONDS
            assert event.time_ns - story.said_ns >= wait
        self.planned_late += late and story.plan_due
        self._asking(story, event)
        story.plan_due, story.outdated, story.said_ns = False, False, event.time_ns

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
        told = story.plan_due or story.outdated or not {*_CHANGES, Trigger.STUCK}.isdisjoint(found)
        outdated = said.ladder.plan_due and not told
        story.outdated = story.outdated or outdated
        if outdated or not _TIMED.isdisjoint(found):
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
        if Trigger.STUCK in found or Trigger.EXECUTED in found:
            story.progress_ns = said.time_ns

    def _liquidation(self, story: Story, event: RiskEvent, state: AccountState, policy: Policy) -> None:
        """A liquidation is entered, asked for, and ends once: completed, or replaced by one that names it; it may have failed before."""
        pool, name = event.position or CROSS, event.liquidation_id
        assert event.type is not EventType.LIQUIDATION_REQUESTED, "a plan in one breath with its verdict"
        if event.type is EventType.LIQUIDATION_PROGRESSED:
            assert name is not None
            assert self._asked[name] == story.name
            assert event.executed == state.executions[pool]
            assert event.executed.liquidation_id == name
            story.executed = event.executed
            return
        assert event.executed is None
        assert name == story.running
        if event.type in {EventType.LIQUIDATION_ENTERED, EventType.ACCOUNT_BANKRUPT}:
            assert not (event.degraded and policy.ladder.withhold_liquidation_when_degraded)
            assert story.entered is (event.type is EventType.ACCOUNT_BANKRUPT)
            story.entered = True
        elif event.type is EventType.LIQUIDATION_FAILED:
            assert name is not None
            assert name not in self._failed | self._ended.keys()
            self._failed.add(name)
        else:
            assert (event.type, story.entered) == (EventType.LIQUIDATION_COMPLETED, True)
            story.entered = False
            self._completed(story)

    def _completed(self, story: Story) -> None:
        if story.running is None:
            assert story.plan_due, "entered and completed, and nobody was to plan anything"
            self.never_planned += 1
            return
        self._end(story.running, EventType.LIQUIDATION_COMPLETED)
        story.older.append(story.newest)
        story.running = story.newest = None

    def _asking(self, story: Story, event: RiskEvent) -> None:
        name = event.liquidation_id
        assert name == f"{story.name}/{event.sequence}"
        assert name not in self._asked
        assert event.replaces == story.running
        if story.running is None:
            story.progress_ns, story.executed = event.time_ns, event.ladder.request.execution
        else:
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
        if trigger not in _BEHIND
    }
    found, rest = [], tuple(types)
    while rest:
        fitting = [trigger for trigger, said in legal.items() if said and rest[: len(said)] == said]
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
    withheld = pool.degraded and ladder.withhold_liquidation_when_degraded
    if withheld:
        entered = min(entered, Band.REDUCE_ONLY, key=SEVERITY.__getitem__)
    held = pool.degraded_until_ns is not None and figures.doubted
    # a pool that has just moved to a better band is asked from there at its next touch
    moved = pool.said_ns is not None and pool.said_ns == pool.checked_ns
    assert pool.degraded is (figures.degraded or held) or (moved and not pool.degraded), (pool, figures)
    assert SEVERITY[pool.band] >= SEVERITY[entered]
    leaving = SEVERITY[left] < SEVERITY[pool.band] and not (withheld and left is Band.LIQUIDATION)
    assert (pool.exit_since_ns is not None) is leaving


def _kept(band: Band, pool: LadderState, ladder: Ladder) -> Band:
    """An expired call keeps a pool that is still called where the policy says."""
    if not pool.expired or ladder.expired_call == "notify" or SEVERITY[band] < SEVERITY[Band.MARGIN_CALL]:
        return band
    return max(band, Band(ladder.expired_call), key=SEVERITY.__getitem__)
