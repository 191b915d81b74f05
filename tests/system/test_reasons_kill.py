"""kill -9 between a verdict and its plan: no plan is missing, none comes twice under two identities.

make test ARGS="tests/system/test_reasons_kill.py --kills 50"
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
import redis
from confluent_kafka import Consumer, TopicPartition

from engine.events.effects import AccountRisk, EventType, RiskEvent, Stream
from engine.inputs import Deposit, Fill
from engine.ladder.table import LIQUIDATING
from engine.policy import parse
from streams.contract.cloudevents import read_event
from streams.store.store_keys import ShardKeys
from tests.support.audit import audit
from tests.support.cli import unimargin
from tests.support.cluster import PARTITIONS, POLICY_FILE, Cluster
from tests.support.inputs import MARKS, deposit, fill, mark
from tests.support.kafka_log import read_topic
from tests.support.redis_view import read_all
from tests.support.sender import Sender, topic_of
from tests.support.settling import SETTLE_S, behind
from tests.support.waiting import wait_for, wait_until_none
from tests.support.workers import KILLED, START_S, Worker

pytestmark = pytest.mark.system

KILLS_FEW = 4
CROWD = 40
SPARE_CROWDS = 10
"""More than kills are asked for: until one of them fell between a verdict and its plan."""
FALL = Decimal(1500)
"""Of the price over all crowds: too little for anybody to go bankrupt, who would be planned for anew."""
QUOTES = {**MARKS, "SOL-PERP": "150", "USD-PERP": "50000", "ADA-PERP": "1"}
"""Every price symbol, so that the feed is never out."""
SLOWER = {
    "replan_seconds = 1\n": "replan_seconds = 3600\n",
    "update_check_seconds = 1\n": "update_check_seconds = 3600\n",
}
"""Than the policy of the system tests: nobody speaks but to enter a band, or behind that."""
BREAKER = """
[breaker]
accounts_min = 2
accounts_share_max = 0.45
open_interest_share_max = 0.45
equity_share_max = 0.45
"""
CROWDS_OF_BREAKER, TRIES = 10, 3
"""A tenth of the accounts each: so many enter liquidation before the rest, who are too many at once."""
QUANTITY, ENTRY = Decimal("0.1"), Decimal(50_000)
MAINTENANCE_RATE = Decimal("0.05")
_risks = msgspec.json.Decoder(AccountRisk)


class Crowds:
    """Accounts of one position each; those of a crowd have the same leverage, so that one step of the price liquidates them all."""

    def __init__(self, cluster: Cluster, count: int) -> None:
        self.cluster, self.sender = cluster, Sender(cluster.bootstrap)
        self.members = [[f"c{crowd:03}-{it:02}" for it in range(CROWD)] for crowd in range(count)]
        self._step = FALL // count
        self._price = ENTRY

    def open(self) -> None:
        """Send the deposits, then the fills, then prices."""
        deposits: list[Deposit] = []
        fills: list[Fill] = []
        for crowd, members in enumerate(self.members):
            # deposit + quantity * (line - entry) = rate * quantity * line
            line = ENTRY - (crowd + 1) * self._step
            amount = QUANTITY * ENTRY - QUANTITY * line * (1 - MAINTENANCE_RATE)
            deposits += [deposit(name, str(amount)) for name in members]
            fills += [fill(name, str(QUANTITY), price=str(ENTRY)) for name in members]
        for batch in (deposits, fills):
            for message in batch:
                self.sender.send(topic_of(message), message.account.encode(), msgspec.json.encode(message))
            self.sender.flush()
        self.quote()

    @property
    def prices(self) -> dict[str, str]:
        """Of every symbol, as they stand."""
        return {**QUOTES, "BTC-PERP": str(self._price)}

    def quote(self) -> None:
        """Send every price again."""
        for symbol, price in self.prices.items():
            self.sender.prices(mark(symbol, price), symbol)
        self.sender.flush()

    def ruin(self, crowd: int) -> None:
        """Half a step below the line of this crowd, half a step above that of the next."""
        self._price = ENTRY - (crowd + 1) * self._step - self._step / 2
        self.quote()

    def until(self, what: str, done: Callable[[], bool]) -> None:
        """Send prices until it is so."""

        def attempt() -> bool:
            self.quote()
            return done()

        wait_for(what, attempt, START_S)

    def ready(self, worker: Worker) -> None:
        """Wait for the worker while prices go on."""
        self.until(f"{worker.name} is ready", lambda: worker.ready() is None)

    def said(self) -> list[RiskEvent]:
        """Every event of an account, each once."""
        records = [it for topic in Stream for it in read_topic(self.cluster.bootstrap, topic)]
        events = {it.headers["ce_id"]: read_event(it.value or b"") for it in records}.values()
        return [it for it in events if isinstance(it, RiskEvent)]

    def count(self, kind: EventType) -> int:
        """How many events of a type there are."""
        return sum(event.type is kind for event in self.said())

    def durable(self, client: redis.Redis, crowd: int) -> None:
        """Wait for the first verdict on the crowd in Redis: looked for without a pause, for a plan follows within milliseconds."""
        deadline = time.monotonic() + SETTLE_S
        while not any(
            pool.band in LIQUIDATING for it in self.risks(client, crowd) for pool in it.pools.values()
        ):
            assert time.monotonic() < deadline, f"no verdict on crowd {crowd} became durable"

    def awaiting(self, client: redis.Redis, crowd: int) -> set[str]:
        """Members whose plan is due and not made, by what is durable."""
        return {
            it.account for it in self.risks(client, crowd) if any(pool.plan_due for pool in it.pools.values())
        }

    def risks(self, client: redis.Redis, crowd: int) -> list[AccountRisk]:
        """What Redis says of the members."""
        pipeline = client.pipeline(transaction=False)
        for shard in range(PARTITIONS):
            own = [it for it in self.members[crowd] if self.cluster.partition_of(it.encode()) == shard]
            pipeline.hmget(ShardKeys("unimargin", shard).risks, ["nobody", *own])
        return [_risks.decode(it) for values in pipeline.execute() for it in values if it is not None]


@contextmanager
def verdicts(bootstrap: str) -> Iterator[Callable[[list[str]], None]]:
    """Wait for the first `liquidation.entered` of these accounts, as a consumer receives it."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "reads-verdicts",
            "fetch.wait.max.ms": 10,
            "log_level": 0,
        }
    )
    consumer.assign([TopicPartition(Stream.LIQUIDATIONS, it, 0) for it in range(PARTITIONS)])

    def first(members: list[str]) -> None:
        keys, deadline = {it.encode() for it in members}, time.monotonic() + SETTLE_S
        while time.monotonic() < deadline:
            message = consumer.poll(1.0)
            if message is None or message.error() is not None or message.key() not in keys:
                continue
            if dict(message.headers())["ce_type"] == EventType.LIQUIDATION_ENTERED.encode():
                return
        raise AssertionError(f"no verdict on {members[0]} and the others came to the topic")

    try:
        yield first
    finally:
        consumer.close()


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    """How many times to kill the worker."""
    return int(request.config.getoption("--kills", None) or KILLS_FEW)


def policy_file(directory: Path, more: str = "") -> Path:
    """The policy of the system tests without reminders and new plans."""
    text = POLICY_FILE.read_text()
    for before, after in SLOWER.items():
        assert before in text
        text = text.replace(before, after)
    path = directory / "slower.toml"
    path.write_text(text + more)
    return path


@pytest.mark.timeout(3600)
def test_plans_when_killed_behind_the_verdict_then_each_comes_once_under_one_identity(
    cluster: Cluster, kills: int, tmp_path: Path, say: Callable[[str], None]
) -> None:
    rules = policy_file(tmp_path)
    cluster.policy = parse(rules.read_text())
    crowds = Crowds(cluster, kills + SPARE_CROWDS)
    crowds.open()
    worker = cluster.worker(POLICY_FILE=str(rules))
    between: list[int] = []
    """Of each kill: whose plans were due in Redis while nobody ran."""
    with verdicts(cluster.bootstrap) as first_verdict, cluster.client() as client:
        while len(between) < kills or not any(between):
            crowd = len(between)
            assert crowd < len(crowds.members), "no kill fell between a verdict and its plan"
            crowds.ready(worker)
            crowds.ruin(crowd)
            if crowd % 2:
                first_verdict(crowds.members[crowd])
            else:
                crowds.durable(client, crowd)
            worker.kill(hold_down=True)
            between.append(len(crowds.awaiting(client, crowd)))
            worker.release()
    crowds.ready(worker)
    ruined = {it for members in crowds.members[: len(between)] for it in members}
    crowds.until("all are requested", lambda: crowds.count(EventType.LIQUIDATION_REQUESTED) >= len(ruined))
    settle(cluster)

    assert worker.statuses == [KILLED] * len(between), worker.last_words()
    audited = audit(cluster)
    check_each_once(audited.events, ruined)
    hits = sum(map(bool, between))
    say(
        f"{len(between)} kills, {hits} between a verdict and its plan ({sum(between)} plans due), "
        f"{len(audited.events)} events, {audited.repeats} of them repeated"
    )


def settle(cluster: Cluster) -> None:
    """Wait until everything is applied, nothing is due behind a verdict, and all of it is published."""
    wait_until_none("every input is applied", lambda: behind(cluster), SETTLE_S)
    wait_until_none("nothing is due", lambda: unfinished(cluster), SETTLE_S)


def unfinished(cluster: Cluster) -> str | None:
    """None once nothing waits in Redis to be said."""
    stored = read_all(cluster.redis.url)
    if stored.outbox_entries:
        return f"{stored.outbox_entries} entries wait in the outbox"
    for risk in stored.risks.values():
        if any(it.plan_due or it.detail_due for it in risk.pools.values()):
            return f"a plan or a detail is due of {risk}"
    return None


def check_each_once(events: list[RiskEvent], ruined: set[str]) -> None:
    """One verdict and one request for everybody, the second behind the first."""
    entered = [it for it in events if it.type is EventType.LIQUIDATION_ENTERED]
    requested = [it for it in events if it.type is EventType.LIQUIDATION_REQUESTED]
    assert Counter(it.account for it in entered) == Counter(ruined)
    assert Counter(it.account for it in requested) == Counter(ruined)
    assert {it.account: it.verdict for it in requested} == {it.account: it.id for it in entered}
    assert [it.id for it in requested if it.replaces is not None] == []
    bands = Counter((it.account, it.stream, it.entered) for it in events if it.entered is not None)
    assert [it for it, count in bands.items() if count > 1] == [], "a band that was entered twice"


def test_plans_when_killed_while_the_breaker_is_open_then_none_until_released(
    cluster: Cluster, tmp_path: Path
) -> None:
    rules = policy_file(tmp_path, BREAKER)
    cluster.policy = parse(rules.read_text())
    crowds = Crowds(cluster, CROWDS_OF_BREAKER)
    crowds.open()
    settings = {"POLICY_FILE": str(rules), "OPERATOR_TOPIC_ENABLED": "true"}
    worker = cluster.worker(**settings)
    due, crowd = set[str](), -1
    with cluster.client() as client:
        while not due:
            crowd += 1
            assert crowd < TRIES, "no kill fell between a verdict and its plan"
            worker.release()
            crowds.ready(worker)
            crowds.ruin(crowd)
            crowds.durable(client, crowd)
            worker.kill(hold_down=True)
            due = crowds.awaiting(client, crowd)
        crowds.ruin(CROWDS_OF_BREAKER - 1)
        worker.release()
        crowds.ready(worker)
        crowds.until("every breaker is open", lambda: open_breakers(worker) == PARTITIONS)
        crowds.until("all is published", lambda: not worker.metric("margin_outbox_pending"))
        assert crowds.awaiting(client, crowd) == due
    crowds.until("the metrics say so", lambda: worker.metric("margin_reasons_due", due="plan") == len(due))
    planned = {it.account for it in crowds.said() if it.type is EventType.LIQUIDATION_REQUESTED}
    assert not planned & due

    release(cluster, settings)
    everybody = {it for members in crowds.members for it in members}
    crowds.until("all are requested", lambda: crowds.count(EventType.LIQUIDATION_REQUESTED) >= len(everybody))
    settle(cluster)
    check_each_once(audit(cluster).events, everybody)
    crowds.until("nothing is due", lambda: not worker.metric("margin_reasons_due"))


def release(cluster: Cluster, settings: dict[str, str]) -> None:
    """As an operator does."""
    environment = {f"UNIMARGIN_{name}": value for name, value in settings.items()}
    environment |= {
        "UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS": cluster.bootstrap,
        "UNIMARGIN_REDIS_URL": cluster.redis.url,
    }
    why = "the market is right"
    decided = unimargin("breaker", "release", "--who", "desk", "--why", why, env=environment)
    assert decided.code == 0, decided.err


def open_breakers(worker: Worker) -> float:
    """How many shards hold liquidations."""
    return worker.metric("margin_breaker_open")
