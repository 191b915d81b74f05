"""The audit: everything the promise says of the event topics, the quarantine and Redis, checked from outside.

identity     one ce_id, one value, one key, one set of headers
numbering    per account and stream the ids are 1..n, first seen in that order
recompute    figures, plan, detail and marks of each event follow from the inputs and marks it names
cause        its band is what the ladder says for its figures, and a band that is entered is named
behind       each plan and detail names the verdict that it comes behind, which was published; each verdict on liquidation
             has its plan, or was over before
story        per pool the events of both streams chain from healthy to what Redis says now; one episode at a time
quarantine   exactly the records that the replay refuses, with their bytes and reasons
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from engine.events.contents import detail_of
from engine.events.dependencies import price_symbols_of
from engine.events.effects import AccountRisk, EventType, RiskEvent, Stream
from engine.events.pools import pool_figures
from engine.events.reasons import reasons_due
from engine.inputs import Mark, Topic
from engine.ladder import SEVERITY, Band, LadderState, advance, band_at, exit_line
from engine.ladder.episode import Facts, due_ns, triggers
from engine.ladder.table import TRANSITIONS, Trigger
from engine.ledger.accounts import AccountState, encode
from engine.ledger.executions import execution_of
from engine.liquidation.planner import liquidation_plan
from engine.margin.dust import without_dust
from engine.margin.figures import Figures
from engine.margin.isolated_pool import judged_isolated
from engine.marks.fact_checks import KEPT
from engine.marks.mark_book import Prices
from engine.numbers import canonical, exact
from engine.policy import Policy
from engine.rejections import Rejection
from streams.contract.cloudevents import read_risk_event
from streams.contract.codec import decode_prices
from tests.support.cluster import Cluster
from tests.support.kafka_log import LogRecord
from tests.support.redis_view import Stored, read_all
from tests.support.replay import ClusterScene, Replay, Scene

QUARANTINE_BYTES_MAX = 1_000_000
"""Key and value of a quarantined record; what is longer is cut there."""
_BEHIND = {EventType.LIQUIDATION_REQUESTED, EventType.EXPLAINED}
_ASKS_FOR_A_PLAN = {EventType.LIQUIDATION_ENTERED, EventType.ACCOUNT_BANKRUPT, EventType.LIQUIDATION_FAILED}


class Audited(NamedTuple):
    """What the audit saw, for assertions that it saw enough."""

    replay: Replay
    stored: Stored
    events: list[RiskEvent]
    """Each once, in order of first appearance within its partition."""
    repeats: int
    """Publications beyond the first."""


def audit(cluster: Cluster, *, untrusted: Iterable[tuple[str, int]] = ()) -> Audited:
    """Check everything; `untrusted` (symbol, sequence) are marks that no event may name."""
    return audit_of(ClusterScene(cluster), read_all(cluster.redis.url), untrusted)


def audit_of(scene: Scene, stored: Stored, untrusted: Iterable[tuple[str, int]] = ()) -> Audited:
    """`audit` of any scene and what its Redis holds."""
    replay = Replay(scene)
    _check_states(replay, stored)
    marks = sent_marks(scene, set(untrusted))
    events: list[RiskEvent] = []
    repeats = 0
    for stream in Stream:
        # what is said of prices, or of a breaker, recomputes from no account
        records = [it for it in scene.read_topic(stream) if read_risk_event(it.value or b"")]
        firsts = _firsts(records)
        said = [read_event(record, scene) for record in firsts]
        _check_numbering(said)
        repeats += len(records) - len(firsts)
        events += said
    for event in events:
        check_recomputes(event, replay, marks)
    check_behind(events)
    _check_stories(events, stored)
    check_quarantine(scene, replay)
    return Audited(replay, stored, events, repeats)


def _check_states(replay: Replay, stored: Stored) -> None:
    wanted = {account: encode(state) for account, state in replay.states.items()}
    found = {account: encode(state) for account, state in stored.states.items()}
    different = sorted(account for account in wanted | found if wanted.get(account) != found.get(account))
    if different:
        account = different[0]
        raise AssertionError(
            f"{len(different)} of {len(wanted)} accounts differ: {different[:5]}\n"
            f"replay: {replay.states.get(account)}\nRedis:  {stored.states.get(account)}"
        )
    assert stored.shard_of == replay.partitions


def sent_marks(scene: Scene, untrusted: set[tuple[str, int]]) -> dict[tuple[str, int], Mark]:
    """Every mark that was sent and may be believed, by symbol and sequence."""
    marks: dict[tuple[str, int], Mark] = {}
    for record in scene.read_topic("prices"):
        decoded = decode_prices(record.value)
        if not isinstance(decoded, Rejection):
            for mark in decoded:
                if (mark.symbol, mark.sequence) not in untrusted:
                    marks.setdefault((mark.symbol, mark.sequence), mark)
    return marks


def _firsts(records: list[LogRecord]) -> list[LogRecord]:
    firsts: dict[str, LogRecord] = {}
    for record in records:
        first = firsts.setdefault(record.headers["ce_id"], record)
        assert (first.key, first.value, first.partition) == (record.key, record.value, record.partition), (
            f"two meanings of one id:\n{first}\n{record}"
        )
        assert first.headers == record.headers, f"{first.headers} became {record.headers}"
    return list(firsts.values())


def read_event(record: LogRecord, scene: Scene) -> RiskEvent:
    """The event of a record, which lies where it belongs and says who it is."""
    event = read_risk_event(record.value or b"")
    assert event is not None
    said = record.headers
    assert (said["ce_id"], said["ce_type"], said["ce_subject"]) == (event.id, event.type, event.account)
    assert event.id == f"{event.account}/{record.topic}/{event.sequence}"
    assert record.key == event.account.encode()
    assert record.partition == scene.partition_of(record.key), f"{event.id} is in a wrong partition"
    assert event.policy_digest == scene.policy.digest
    return event


def _check_numbering(events: list[RiskEvent]) -> None:
    numbers: defaultdict[str, list[int]] = defaultdict(list)
    for event in events:
        numbers[event.account].append(event.sequence)
    for account, found in numbers.items():
        assert found == list(range(1, len(found) + 1)), f"{account}: sequences {found}"


def check_recomputes(event: RiskEvent, replay: Replay, marks: dict[tuple[str, int], Mark]) -> None:
    """All that it says follows from the inputs and marks that it names."""
    used: dict[str, Mark] = {}
    for symbol, mark in event.marks.items():
        sent = marks.get((symbol, mark.sequence))
        assert sent is not None, (
            f"{event.id}: {symbol} {mark.sequence} was never sent, or must not be believed"
        )
        assert (sent.price, sent.time_ns) == (mark.price, mark.time_ns), f"{event.id}: {sent} became {mark}"
        # what is said of the whole exchange holds until it is said anew
        stated = {name: getattr(mark, name) for name in KEPT}
        assert all(getattr(sent, name) in {None, value} for name, value in stated.items()), (sent, mark)
        used[symbol] = msgspec.structs.replace(sent, **stated)
    state = replay.prefix(event.account, event.inputs)
    assert (state.fills.offset, state.ledger.offset) == (event.inputs.fills, event.inputs.ledger)
    pool = event.position or ""
    needed = price_symbols_of(state, pool, replay.policy)
    stale = {symbol for symbol in needed if symbol not in used or event.marks[symbol].stale}
    doubts = {symbol: it.doubt for symbol, it in event.marks.items() if it.doubt is not None}
    prices = Prices(used, frozenset(stale), aged=doubts)
    figures = pool_figures(state, pool, prices, replay.policy, event.ladder_before)
    _check_figures(event, figures, replay)
    state = without_dust(state, replay.policy)
    _check_plan(event, state, prices, replay)
    _check_detail(event, state, prices, figures, replay)
    _check_cause(event, figures, replay)


def _check_figures(event: RiskEvent, figures: Figures, replay: Replay) -> None:
    ladder = replay.policy.ladder
    wanted = {
        "ratio": None if figures.ratio is None else canonical(figures.ratio),
        "equity": canonical(figures.equity),
        "collateral_value": canonical(figures.collateral_value),
        "initial_margin": canonical(figures.initial_margin),
        "maintenance_margin": canonical(figures.maintenance_margin),
        "shortfall_to_call": canonical(figures.shortfall(ladder.margin_call)),
        "shortfall_to_liquidation": canonical(figures.shortfall(ladder.liquidation)),
    }
    for name, value in wanted.items():
        assert str(getattr(event, name)) == str(value), (
            f"{event.id}: {name} {getattr(event, name)} is {value}"
        )


def _check_plan(event: RiskEvent, state: AccountState, prices: Prices, replay: Replay) -> None:
    """The plan is the one that these inputs and marks give, digit for digit, under the id of its request."""
    pool, running = event.position or "", event.ladder_before.request
    if event.type is not EventType.LIQUIDATION_REQUESTED:
        assert (event.plan, event.replaces) == (None, None), f"{event.id}: a plan that nobody requests"
        about = running if event.stream is Stream.LIQUIDATIONS else None
        if event.type is EventType.LIQUIDATION_PROGRESSED:
            # an older plan may still run when its replacement has been asked for
            about = execution_of(state, pool)
            assert event.executed == about, f"{event.id}: the fills did {about}"
        wanted_id = about.liquidation_id if about else None
        assert event.liquidation_id == wanted_id, f"{event.id}: it is about {wanted_id}"
        return
    with exact():
        line = exit_line(event.ladder, replay.policy.ladder)
    wanted = liquidation_plan(state, pool, prices, replay.policy, exit_line=line)
    assert msgspec.json.encode(event.plan) == msgspec.json.encode(wanted), (
        f"{event.id}: {event.plan} is {wanted}"
    )
    assert event.liquidation_id == f"{event.account}/{pool or 'cross'}/{event.sequence}", (
        f"{event.id}: its plan's id"
    )
    replaced = running.liquidation_id if running else None
    assert event.replaces == replaced, f"{event.id}: it replaces {replaced}"
    withheld = event.degraded and replay.policy.ladder.withhold_liquidation_when_degraded
    due = event.ladder_before.plan_due and event.ladder_before.exit_since_ns is None
    assert due, f"{event.id}: no plan was due of {event.ladder_before}"
    assert (withheld, event.breaker) == (False, None), f"{event.id}: planned though it was to wait"
    assert not event.ladder.plan_due, f"{event.id}: still due"


def _check_detail(
    event: RiskEvent, state: AccountState, prices: Prices, figures: Figures, replay: Replay
) -> None:
    """What explains a verdict is what these inputs and marks give, digit for digit; nothing else carries it."""
    if event.type is not EventType.EXPLAINED:
        assert event.detail is None, f"{event.id}: a detail beside its verdict"
        return
    pool, policy = event.position or "", replay.policy
    wanted = detail_of(state, pool, prices, policy, figures, lambda at: pool_figures(state, pool, at, policy))
    assert msgspec.json.encode(event.detail) == msgspec.json.encode(wanted), (
        f"{event.id}: {event.detail} is {wanted}"
    )
    was, now = event.ladder_before.detail_due, event.ladder.detail_due
    assert (was, now) == (True, False), f"{event.id}: nothing was to be explained"


def check_behind(events: list[RiskEvent]) -> None:
    """What comes behind a verdict names it: an event of its pool that was published, by which a worse band was entered."""
    verdicts = {event.id: event for event in events if event.entered is not None}
    explained = Counter(event.verdict for event in events if event.type is EventType.EXPLAINED)
    assert all(count == 1 for count in explained.values()), f"explained twice: {explained.most_common(3)}"
    for event in events:
        if event.type not in _BEHIND:
            assert event.verdict is None, f"{event.id} comes behind {event.verdict}"
            continue
        verdict = verdicts.get(event.verdict or "")
        assert verdict is not None, f"{event.id}: its verdict {event.verdict} was never said"
        assert (verdict.account, verdict.position, verdict.episode_id) == (
            event.account,
            event.position,
            event.episode_id,
        ), f"{event.id} names a verdict of another story: {verdict.id}"
        assert verdict.time_ns <= event.time_ns, f"{event.id} comes before its verdict"
        assert event.ladder.verdict_id == event.verdict, f"{event.id}: not the last verdict"
        # the pool may have got better since, never worse
        assert SEVERITY[event.band] <= SEVERITY[verdict.entered or event.band], event.id
        assert event.previous_band is event.band, f"{event.id} changes the band"


def _check_cause(event: RiskEvent, figures: Figures, replay: Replay) -> None:
    ladder = replay.policy.ladder
    if event.degraded != figures.degraded:
        assert event.degraded, f"{event.id}: a price it needs was stale, it says nothing of that"
        held = figures.doubted and event.ladder.degraded_until_ns is not None
        stopped = held or replay.was_refused_after(event.account, event.inputs)
        assert stopped, f"{event.id}: degraded without a doubted price or a refused input"
    entered = band_at(figures, ladder)
    doubted = event.degraded and ladder.withhold_liquidation_when_degraded
    withheld = doubted or event.ladder.held_by is not None
    if withheld:
        entered = min(entered, Band.REDUCE_ONLY, key=SEVERITY.__getitem__)
    now, before = SEVERITY[event.band], SEVERITY[event.previous_band]
    worse = TRANSITIONS.get((event.previous_band, Trigger.WORSE, event.band), ())
    fell_through = event.type is EventType.LIQUIDATION_ENTERED and event.band is Band.BANKRUPT
    named = event.band if event.type in worse and not fell_through else None
    assert event.entered is named, f"{event.id}: {event.entered} entered, it says {named}"
    if now > before:
        assert event.band is entered, f"{event.id}: {event.band} entered, figures say {entered}"
    elif now < before:
        leaving_to = band_at(figures, ladder, exiting=True)
        assert event.band is leaving_to, f"{event.id}: left to {event.band}, figures say {leaving_to}"
        assert not (withheld and leaving_to is Band.LIQUIDATION), f"{event.id}: was to be withheld"
    else:
        assert SEVERITY[entered] <= before, f"{event.id}: stays at {event.band}, figures say {entered}"
        said = [types for (band, _, to), types in TRANSITIONS.items() if band is to is event.band]
        assert any(event.type in types for types in said), f"{event.id} says no change"


def _check_stories(events: list[RiskEvent], stored: Stored) -> None:
    counts: defaultdict[str, dict[Stream, int]] = defaultdict(dict)
    for event in events:
        counts[event.account][event.stream] = event.sequence
    told = told_by_pool(events)
    for account, risk in stored.risks.items():
        assert risk.sequences == counts[account], (
            f"{account}: Redis counts {risk.sequences}, said {counts[account]}"
        )
        for pool in risk.pools:
            assert (account, pool) in told, f"{account}/{pool} stands at {risk.pools[pool]}, nothing was said"
    for (account, pool), streams in told.items():
        check_story(account, pool, streams, stored)


def told_by_pool(events: list[RiskEvent]) -> dict[tuple[str, str], dict[Stream, list[RiskEvent]]]:
    """By account and pool what was said of it."""
    told: defaultdict[tuple[str, str], dict[Stream, list[RiskEvent]]] = defaultdict(
        lambda: {stream: [] for stream in Stream}
    )
    for event in events:
        told[event.account, event.position or ""][event.stream].append(event)
    return told


def check_story(account: str, pool: str, streams: dict[Stream, list[RiskEvent]], stored: Stored) -> None:
    """The two streams merge into one chain of transitions, each starting where the one before ended, up to what Redis says."""
    what = f"{account}/{pool or 'cross'}"
    now = stored.risks.get(account, AccountRisk(account)).pools.get(pool, LadderState())
    margin, liquidations = streams[Stream.MARGIN_EVENTS], streams[Stream.LIQUIDATIONS]
    _check_answered(what, liquidations, now)
    start = (Band.HEALTHY, False, None)
    frontier = {(0, 0, start, start)}
    for _ in range(len(margin) + len(liquidations)):
        following = set()
        for i, j, was, at in frontier:
            for event, place in (
                *((event, (i + 1, j)) for event in margin[i : i + 1]),
                *((event, (i, j + 1)) for event in liquidations[j : j + 1]),
            ):
                after = (event.band, event.degraded, event.ladder.episode_id)
                if after == at and event.previous_band is was[0]:
                    following.add((*place, was, at))  # says the same transition as the event before
                if after == at and event.previous_band is event.band:
                    following.add((*place, was, at))  # a word inside the band
                if event.previous_band is at[0] and after != at and _episode_goes_on(event, at[2]):
                    following.add((*place, at, after))
        if not following:
            break
        frontier = following
    ends = {at for i, j, _, at in frontier if i == len(margin) and j == len(liquidations)}
    wanted = (now.band, now.degraded, now.episode_id)
    if wanted not in ends:
        tale = "\n".join(
            f"  {event.time_ns} {event.id} {event.type} {event.previous_band}->{event.band} {event.episode_id}"
            for event in sorted((*margin, *liquidations), key=lambda event: event.time_ns)
        )
        raise AssertionError(f"{what}: the events do not lead to {wanted}, but to {ends}\n{tale}")


def _check_answered(what: str, liquidations: list[RiskEvent], now: LadderState) -> None:
    """Who enters liquidation gets a plan, or leaves it before; nothing is completed that was not entered."""
    entered, open_since = False, None
    for event in liquidations:
        if event.type is EventType.LIQUIDATION_ENTERED:
            assert not entered, f"{what}: {event.id} enters again"
            entered = True
        elif event.type is not EventType.LIQUIDATION_PROGRESSED:
            assert entered, f"{what}: {event.id} without having entered"
        if event.type in _ASKS_FOR_A_PLAN:
            open_since = event.id
        elif event.type is EventType.LIQUIDATION_REQUESTED:
            assert open_since or event.replaces, f"{what}: {event.id} asks for what nothing is due of"
            open_since = None
        elif event.type is EventType.LIQUIDATION_COMPLETED:
            entered, open_since = False, None
    assert open_since is None or now.plan_due, f"{what}: no plan was ever made for {open_since}"


def _episode_goes_on(event: RiskEvent, episode_id: str | None) -> bool:
    if event.previous_band is Band.HEALTHY:
        return episode_id is None and (event.episode_id is not None) == (event.band is not Band.HEALTHY)
    return event.episode_id == episode_id


def check_quarantine(scene: Scene, replay: Replay) -> None:
    """What was refused lies there, unchanged, and nothing else of the inputs."""
    found = {}
    for record in scene.read_topic("quarantine"):
        said = record.headers
        place = (said["topic"], int(said["partition"]), int(said["offset"]))
        assert found.setdefault(place, said["reason"]) == said["reason"], f"two reasons for {place}"
        original = replay.records.get(place)
        if original is not None:
            value = original.value or b""
            key = None if original.key is None else original.key[:QUARANTINE_BYTES_MAX]
            wanted = value[: QUARANTINE_BYTES_MAX - len(key or b"")]
            assert (record.key, record.value) == (key, wanted), f"{place} was changed"
            cut = str(len(value)) if len(wanted) < len(value) else None
            assert said.get("cut_from_bytes") == cut
    inputs = {place: reason for place, reason in found.items() if place[0] in set(Topic)}
    assert inputs == {place: code.value for place, code in replay.refused.items()}


def unsettled(cluster: Cluster, prices: dict[str, Mark]) -> str | None:
    """None once nothing is under way: all read, all published, and no pool about to change at these fresh prices."""
    return unsettled_of(cluster.policy, read_all(cluster.redis.url), prices)


def unsettled_of(policy: Policy, stored: Stored, prices: dict[str, Mark]) -> str | None:
    """`unsettled` of what any Redis holds."""
    if stored.outbox_entries:
        return f"{stored.outbox_entries} entries wait in the outbox"
    view = Prices(prices, frozenset())
    for account, state in stored.states.items():
        pools = stored.risks.get(account, AccountRisk(account)).pools
        for pool in {"", *judged_isolated(state), *pools}:
            ladder = pools.get(pool, LadderState())
            figures = pool_figures(state, pool, view, policy)
            settled = LadderState(ladder.band, ladder.episode_id, ladder.degraded)
            if advance(settled, figures, 0, policy.ladder) != settled:
                return f"{account}/{pool or 'cross'} stands at {ladder}, its figures: {figures}"
            if due := reasons_due(ladder, policy):
                return f"{account}/{pool or 'cross'} is about to say {due}: {ladder}"
            if pending := _pending(ladder, figures, state, pool, policy):
                return (
                    f"{account}/{pool or 'cross'} is about to say {pending}: {ladder}, its figures: {figures}"
                )
    return None


def _pending(
    ladder: LadderState, figures: Figures, state: AccountState, pool: str, policy: Policy
) -> list[Trigger]:
    """What the next comparison of what is missing, or of the running plan, will find."""
    with exact():
        shortfall = figures.shortfall(exit_line(ladder, policy.ladder))
    due = (due_ns(msgspec.structs.replace(ladder, exit_since_ns=None, deadline_ns=None), policy)) or 0
    facts = Facts(due, shortfall, state.fills.offset, state.ledger.offset, execution_of(state, pool))
    return triggers(ladder, msgspec.structs.replace(ladder, exit_since_ns=None), facts, policy)
