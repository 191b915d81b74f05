"""A cascade on real servers: the simulated exchange as a process that can be killed, and what its executions must keep to.

known        a message that executes a liquidation names one that was requested, of its account and pool
once         no id is executed by two lives of the exchange
at most      of each symbol, leg and side no more is closed than the plan says, each step rounded up to the market's lot
fence        between the inputs that a plan was computed from and what executes it, no other plan of the pool was executed
ended        each id was either completed or replaced, once, or has failed; no other id is said to have ended
asked        who enters liquidation is asked for a plan, unless it is over before: then its end names none
"""

import json
import os
import signal
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from engine.events.effects import EventType, RiskEvent
from engine.inputs import AccountInput, Fill, MarginMode, Mark, Topic
from engine.liquidation.plan import NetStep, ReduceStep, TakeOverStep
from engine.numbers import ZERO, to_step
from engine.position_keys import position_key
from streams.contract.codec import decode_account_input
from streams.embedded.supervisor import unimargin
from streams.exchange.clearing.input_desk import tag_in, tag_of
from tests.support.cluster import Cluster
from tests.support.kafka_log import read_topic
from tests.support.sender import Sender

Leg = tuple[str, str | None, str]
"""Symbol, leg and side of the trade."""


class ExchangeProcess:
    """`unimargin simulate`, which tells its state once a second. A context manager: it ends on exit."""

    def __init__(self, cluster: Cluster, arguments: Iterable[str], log: Path) -> None:
        self._command = (
            *unimargin("simulate", "--bootstrap-servers", cluster.bootstrap, "--json"),
            *arguments,
        )
        self._environment = {"UNIMARGIN_GROUP": cluster.group}
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, env=os.environ | self._environment
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def kill(self) -> int:
        """SIGKILL; its exit status, which is another one if it had ended by itself."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        return self._process.wait()

    def ended(self) -> bool:
        """Whether it ended by itself, or was killed."""
        return self._process is None or self._process.poll() is not None

    def executed(self) -> int:
        """Liquidations that it has executed, as it says. Raises `AssertionError` when it has ended."""
        text = self._log.read_text()
        assert not self.ended(), f"the exchange ended\n{text[-2000:]}"
        lines = [line for line in text.splitlines() if line.startswith("{") and line.endswith("}")]
        return int(json.loads(lines[-1])["liquidations_executed"]) if lines else 0


def mark_again(sender: Sender, prices: Mapping[str, Decimal]) -> dict[str, Mark]:
    """Mark every symbol at this price, above all marks before."""
    now_ns = time.time_ns()
    marks = {symbol: Mark(symbol, price, now_ns // 1_000, now_ns) for symbol, price in prices.items()}
    for symbol, mark in marks.items():
        sender.prices(mark, key=symbol)
    sender.flush()
    return marks


class Execution(NamedTuple):
    """A message that executes a liquidation, and where it lies."""

    topic: Topic
    partition: int
    offset: int
    message: AccountInput
    tag: str


def executions(cluster: Cluster) -> list[Execution]:
    """All of them; fails if an id of a message comes twice."""
    found = []
    ids: Counter[tuple[str, str]] = Counter()
    for topic in Topic:
        for record in read_topic(cluster.bootstrap, topic):
            message = decode_account_input(topic, record.key, record.value)
            assert isinstance(message, AccountInput), message
            ids[message.account, message.input_id] += 1
            tag = tag_in(message)
            named = getattr(message, "liquidation_id", None)
            if tag is not None:
                found.append(Execution(topic, record.partition, record.offset, message, tag))
            assert named is None or tag == tag_of(named), message
    twice = [it for it, count in ids.items() if count > 1]
    assert not twice, f"sent twice: {twice[:5]}"
    return found


class Liquidated(NamedTuple):
    """What the check saw, for assertions that it saw enough."""

    requested: int
    executed: int
    """Liquidations with at least one message."""
    replaced: int
    ended: Counter[EventType]


def check_liquidations(
    cluster: Cluster,
    events: Sequence[RiskEvent],
    lots: Mapping[str, Decimal],
    killed_at: Mapping[Topic, Mapping[int, int]],
) -> Liquidated:
    """Check everything; `killed_at` are the ends of the topics at which one life of the exchange ended."""
    plans = _plans(events)
    by_tag = {tag_of(liquidation_id): liquidation_id for liquidation_id in plans}
    done: defaultdict[str, list[Execution]] = defaultdict(list)
    for execution in executions(cluster):
        assert execution.tag in by_tag, f"nobody asked for {execution}"
        done[by_tag[execution.tag]].append(execution)
    for liquidation_id, its in done.items():
        _check_known(plans[liquidation_id], its)
        lives = {it.offset < killed_at[it.topic][it.partition] for it in its}
        assert len(lives) == 1, f"{liquidation_id} was executed before the kill and after it: {its}"
    _check_at_most(plans, done, lots)
    _check_fence(plans, done)
    replaced, ended = _check_ended(plans, events)
    return Liquidated(len(plans), len(done), replaced, ended)


def _plans(events: Sequence[RiskEvent]) -> dict[str, RiskEvent]:
    """By liquidation id the event that asks for it: one, of the number that the id ends with."""
    plans: dict[str, RiskEvent] = {}
    verdicts = {event.id for event in events if event.entered is not None}
    for event in events:
        if event.type is not EventType.LIQUIDATION_REQUESTED:
            assert event.plan is None, f"a plan that nobody asks for: {event}"
            continue
        wanted = f"{event.account}/{event.position or 'cross'}/{event.sequence}"
        assert event.liquidation_id == wanted, event
        assert event.plan is not None, event
        assert event.verdict in verdicts, f"{event.id}: its verdict {event.verdict} was never said"
        assert wanted not in plans, f"two plans under one id:\n{plans[wanted]}\n{event}"
        plans[wanted] = event
    return plans


def _check_known(asked: RiskEvent, its: list[Execution]) -> None:
    for execution in its:
        message = execution.message
        assert message.account == asked.account, execution
        if isinstance(message, Fill):
            shared = message.margin_mode is MarginMode.CROSS
            pool = None if shared else position_key(message.symbol, message.leg)
            assert pool == asked.position, f"{execution} is not of {asked.liquidation_id}"


def _check_at_most(
    plans: dict[str, RiskEvent], done: dict[str, list[Execution]], lots: Mapping[str, Decimal]
) -> None:
    for liquidation_id, its in done.items():
        closed: defaultdict[Leg, Decimal] = defaultdict(Decimal)
        for fill in (it.message for it in its if isinstance(it.message, Fill)):
            closed[fill.symbol, fill.leg, fill.side] += fill.quantity
        allowed = _allowed(plans[liquidation_id], lots)
        for leg, quantity in closed.items():
            assert quantity <= allowed.get(leg, ZERO), f"{liquidation_id}: {leg} {quantity} of {allowed}"


def _allowed(asked: RiskEvent, lots: Mapping[str, Decimal]) -> dict[Leg, Decimal]:
    assert asked.plan is not None
    allowed: defaultdict[Leg, Decimal] = defaultdict(Decimal)
    for step in asked.plan.steps:
        match step:
            case ReduceStep() | TakeOverStep():
                rounded = to_step(step.quantity, lots[step.symbol], "up")
                allowed[step.symbol, step.leg, step.side] += rounded
            case NetStep():
                for leg, side in (("long", "sell"), ("short", "buy")):
                    allowed[step.symbol, leg, side] += step.quantity
    return allowed


def _check_fence(plans: dict[str, RiskEvent], done: dict[str, list[Execution]]) -> None:
    """Plans of one pool were executed one after the other, each knowing what the one before had done."""
    of_pool: defaultdict[tuple[str, str | None], list[str]] = defaultdict(list)
    for liquidation_id in done:
        asked = plans[liquidation_id]
        of_pool[asked.account, asked.position].append(liquidation_id)
    for pool, names in of_pool.items():
        names.sort(key=lambda name: plans[name].sequence)
        for older, newer in pairwise(names):
            known = {Topic.FILLS: plans[newer].inputs.fills, Topic.LEDGER: plans[newer].inputs.ledger}
            unknown = [it for it in done[older] if it.offset > known[it.topic]]
            assert not unknown, f"{pool}: {newer} was executed though it did not know of {unknown}"


def _check_ended(plans: dict[str, RiskEvent], events: Sequence[RiskEvent]) -> tuple[int, Counter[EventType]]:
    replaced = Counter(asked.replaces for asked in plans.values() if asked.replaces)
    _check_asked(events)
    ended = {
        kind: Counter(event.liquidation_id for event in events if event.type is kind and event.liquidation_id)
        for kind in (EventType.LIQUIDATION_COMPLETED, EventType.LIQUIDATION_FAILED)
    }
    gone = replaced + ended[EventType.LIQUIDATION_COMPLETED]
    assert set(gone) | set(ended[EventType.LIQUIDATION_FAILED]) <= set(plans), (
        "an end of what nobody asked for"
    )
    assert all(count == 1 for count in gone.values()), f"ended twice: {gone.most_common(3)}"
    running = sorted(set(plans) - set(gone) - set(ended[EventType.LIQUIDATION_FAILED]))
    told = "\n".join(_told(plans[name], events) for name in running[:2])
    assert not running, f"{len(running)} of {len(plans)} liquidations never ended: {running[:5]}\n{told}"
    return len(replaced), Counter({kind: its.total() for kind, its in ended.items()})


def _told(asked: RiskEvent, events: Sequence[RiskEvent]) -> str:
    """What was said of this liquidation's pool, a line each."""
    its = [it for it in events if (it.account, it.position) == (asked.account, asked.position)]
    return "\n".join(
        f"{it.sequence} {it.type} {it.band} at {it.instant} of {it.inputs}: {it.liquidation_id} "
        f"replaces {it.replaces}; ratio {it.ratio}, executed {it.executed}"
        for it in sorted(its, key=lambda it: it.sequence)
    )


def _check_asked(events: Sequence[RiskEvent]) -> None:
    waiting: dict[tuple[str, str | None], RiskEvent] = {}
    for event in sorted(events, key=lambda it: it.sequence):
        pool = event.account, event.position
        if event.type in {EventType.LIQUIDATION_ENTERED, EventType.ACCOUNT_BANKRUPT}:
            waiting[pool] = event
        elif event.type is EventType.LIQUIDATION_REQUESTED:
            waiting.pop(pool, None)
        elif event.type is EventType.LIQUIDATION_COMPLETED:
            unasked = waiting.pop(pool, None)
            running = event.ladder_before.request
            assert event.liquidation_id == (running.liquidation_id if running else None), event
            assert event.liquidation_id or unasked, (
                f"completed without a plan, and none was waited for: {event}"
            )
    assert not waiting, f"{len(waiting)} verdicts without a plan or an end: {list(waiting.values())[:3]}"
