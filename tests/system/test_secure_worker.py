"""Workers and commands on a Kafka that asks for TLS, passwords and certificates; somebody listens on the wire."""

import json
import secrets
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from streams.embedded.ports import LOOPBACK
from tests.support.api_process import ApiProcess
from tests.support.certificates import Authority
from tests.support.cli import Said, unimargin
from tests.support.cluster import PARTITIONS, POLICY_FILE, Cluster
from tests.support.hook_receiver import HookReceiver
from tests.support.inputs import deposit, fill
from tests.support.kafka_log import read_topic
from tests.support.notify_process import NotifyProcess
from tests.support.relay import Relay
from tests.support.repeater import Repeater
from tests.support.secure_kafka import SecureKafka, token_of
from tests.support.secure_redis import SecureRedis
from tests.support.sender import Sender
from tests.support.waiting import wait_for
from tests.support.workers import Worker
from tests.system.conftest import EVERY_TOPIC

pytestmark = pytest.mark.system

PROBLEM, MISTAKE = 1, 2
KEY_PASSWORD = f"c4nary-key-{secrets.token_hex(8)}"


@pytest.fixture
def cluster(secure_kafka: SecureKafka, tmp_path: Path) -> Iterator[Cluster]:
    with SecureRedis(tmp_path / "redis") as server, Cluster(secure_kafka, server, tmp_path) as fresh:
        yield fresh


def variables(settings: Mapping[str, str]) -> dict[str, str]:
    return {f"UNIMARGIN_{name}": value for name, value in settings.items()}


def without(settings: Mapping[str, str], *words: str) -> dict[str, str]:
    return {name: value for name, value in settings.items() if not any(word in name for word in words)}


def listed(settings: Mapping[str, str]) -> Said:
    return unimargin("topics", "list", "--json", env=variables(settings))


def test_workers_when_one_shows_a_password_and_one_a_certificate_then_both_publish_and_nothing_is_in_clear(
    secure_kafka: SecureKafka, cluster: Cluster
) -> None:
    secure_kafka.relay.forget()
    names = (f"account-{number}" for number in range(10_000))
    account_of = {cluster.partition_of(name.encode()): name for name in names}
    switched = {
        "GROUP": "unimargin",
        "OPERATOR_TOPIC_ENABLED": "true",
        "FUND_TOPIC_ENABLED": "true",
        "LOG_LEVEL": "DEBUG",
    }
    switched |= cluster.redis.settings("worker")
    by_password = cluster.worker("by-password", **secure_kafka.scram("worker"), **switched)
    by_certificate = cluster.worker(
        "by-certificate", **secure_kafka.mutual("worker", KEY_PASSWORD), **switched
    )
    sender = Sender(cluster.bootstrap)
    with Repeater(sender):
        for worker in (by_password, by_certificate):
            wait_for(
                f"{worker.name} has shards",
                lambda it=worker: 0 < it.metric("margin_shards", condition="running") < PARTITIONS,
            )
        for account in account_of.values():
            sender.inputs(deposit(account, "200"), fill(account, "0.1"))

        def published() -> bool:
            told = read_topic(cluster.bootstrap, "margin-events")
            return {it.key for it in told} >= {it.encode() for it in account_of.values()}

        wait_for("every shard has published", published)
        _look_and_speak(secure_kafka, cluster, next(iter(account_of.values())))
        assert cluster.redis.refused() == []
        told = [text for worker in (by_password, by_certificate) for text in _told(worker)]
        cluster.redis.__exit__(None, None, None)
        for worker in (by_password, by_certificate):
            wait_for("it misses Redis", lambda it=worker: it.events("redis_call_repeated"))
        cluster.redis.__enter__()
    assert by_password.statuses == by_certificate.statuses == []
    told += [worker.log.read_text() for worker in (by_password, by_certificate)]
    by_password.close()
    by_certificate.close()
    for secret in (secure_kafka.passwords["worker"], KEY_PASSWORD, cluster.redis.password("worker")):
        assert [text[:200] for text in told if secret in text] == []
    for words in (["backup", "verify"], ["backup", "restore", "--replace"]):
        said = run_as("restore", secure_kafka, cluster, *words, str(cluster.directory / "of.backup"))
        assert said.code == 0, said.err
    assert cluster.redis.refused() == []
    _put_in_force(secure_kafka, cluster)
    passed = secure_kafka.relay.seen
    assert len(passed) > 100_000
    for secret in (
        secure_kafka.passwords["worker"],
        KEY_PASSWORD,
        *account_of.values(),
        "BTC-PERP",
        "margin-events",
    ):
        assert secret.encode() not in passed


def _told(worker: Worker) -> list[str]:
    """Whatever a process shows of itself to others."""
    shown = Path(f"/proc/{worker.pid}/cmdline").read_text()
    assert "worker" in shown
    return [shown, *(worker.get(path).body for path in ("/metrics", "/readyz", "/livez"))]


def run_as(role: str, secure_kafka: SecureKafka, cluster: Cluster, *words: str) -> Said:
    """A command, as that user of Redis and that principal of Kafka (who restores is an operator there)."""
    principal = "operator" if role == "restore" else role
    settings = {
        **secure_kafka.scram(principal),
        **cluster.redis.settings(role),
        "POLICY_FILE": str(POLICY_FILE),
    }
    return unimargin(*words, env={**variables(settings), **EVERY_TOPIC})


def _look_and_speak(secure_kafka: SecureKafka, cluster: Cluster, account: str) -> None:
    """What the other roles do, each as itself."""
    settings = {**secure_kafka.scram("api"), **cluster.redis.settings("api"), "POLICY_FILE": str(POLICY_FILE)}
    with ApiProcess({**variables(settings), **EVERY_TOPIC}, cluster.directory) as api:
        api.wait_ready()
        wait_for("the API has it", lambda: api.ask(f"/accounts/{account}").status == 200)
    rules = cluster.directory / "notify.toml"
    rules.write_text(
        '[targets.desk]\nkind = "webhook"\nurl = { env = "HOOK_URL" }\nsecret = { env = "HOOK_SECRET" }\n'
        '[rules.all]\ntypes = ["*"]\ntargets = ["desk"]\n'
    )
    settings = {**secure_kafka.scram("notifier"), **cluster.redis.settings("notifier")}
    with (
        HookReceiver() as hook,
        NotifyProcess(variables(settings), rules, hook.url, cluster.directory / "notify.log"),
    ):
        wait_for("somebody is told", lambda: hook.got)
    for words in (
        ("account", "show", account),
        ("liquidations",),
        ("topics", "list"),
        ("quarantine", "list"),
        ("backup", "create", str(cluster.directory / "of.backup")),
    ):
        said = run_as("operator", secure_kafka, cluster, *words)
        assert said.code == 0, (words, said.err)
    said = run_as("operator", secure_kafka, cluster, "doctor", "--json")
    assert {
        it["status"] for it in said.json if it["check"] in {"broker", "redis", "topics", "appendonly"}
    } == {"ok"}


def _put_in_force(secure_kafka: SecureKafka, cluster: Cluster) -> None:
    """A policy, which an operator may and the API's user may not."""
    changed = cluster.directory / "changed.toml"
    changed.write_text(POLICY_FILE.read_text().replace("warning = 1.5", "warning = 1.4"))
    words = ("policy", "publish", str(changed), "--why", "tried out")
    said = run_as("api", secure_kafka, cluster, *words)
    assert (said.code, "redis_not_allowed: " in said.err) == (PROBLEM, True), said.err
    refused = cluster.redis.refused()
    assert refused
    assert all(it.startswith("api: command ") for it in refused)
    said = run_as("operator", secure_kafka, cluster, *words)
    assert said.code == 0, said.err


def test_relay_when_something_passes_in_clear_then_it_is_seen() -> None:
    with (
        socket.create_server((LOOPBACK, 0)) as server,
        Relay(server.getsockname()[1]) as relay,
        socket.create_connection((LOOPBACK, relay.port)) as client,
    ):
        client.sendall(b"hunter2")
        wait_for("it is seen", lambda: b"hunter2" in relay.seen)


def shown(
    secure_kafka: SecureKafka, principal: str, mechanism: str, directory: Path
) -> tuple[dict[str, str], str]:
    """The settings of a principal that shows itself in this way, its secret in a file, and the secret."""
    if mechanism == "certificate":
        return secure_kafka.mutual(principal, KEY_PASSWORD), KEY_PASSWORD
    settings = {
        **without(secure_kafka.scram(principal), "KAFKA_SASL_PASSWORD"),
        "KAFKA_SASL_MECHANISM": mechanism,
    }
    secret, name = secure_kafka.passwords[principal], "PASSWORD"
    if mechanism == "OAUTHBEARER":
        settings, secret, name = without(settings, "USERNAME"), token_of(principal), "TOKEN"
    file = directory / "secret"
    file.write_text(f"{secret}\n" if name == "PASSWORD" else secret)
    return {**settings, f"KAFKA_SASL_{name}_FILE": str(file)}, secret


@pytest.mark.parametrize(
    "mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "certificate"]
)
def test_command_when_it_shows_what_the_listener_asks_for_then_let_in_and_nothing_is_in_clear(
    secure_kafka: SecureKafka, tmp_path: Path, mechanism: str
) -> None:
    secure_kafka.relay.forget()
    settings, secret = shown(secure_kafka, "admin", mechanism, tmp_path)
    said = listed(settings)
    assert said.code == 0, said.err
    assert json.loads(said.out)
    assert secret.encode() not in secure_kafka.relay.seen


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "OAUTHBEARER"])
def test_worker_when_it_shows_what_the_listener_asks_for_then_it_publishes_and_nothing_is_in_clear(
    secure_kafka: SecureKafka, cluster: Cluster, tmp_path: Path, mechanism: str
) -> None:
    """SCRAM-SHA-512 and a certificate: the workers above."""
    secure_kafka.relay.forget()
    settings, secret = shown(secure_kafka, "worker", mechanism, tmp_path)
    worker = cluster.worker(**settings, **cluster.redis.settings("worker"), GROUP="unimargin")
    sender, account = Sender(cluster.bootstrap), "alice"
    with Repeater(sender):
        worker.wait_ready()
        sender.inputs(deposit(account, "200"), fill(account, "0.1"))
        wait_for(
            "something is said of it",
            lambda: account.encode() in {it.key for it in read_topic(cluster.bootstrap, "margin-events")},
        )
    assert worker.terminate() == 0
    passed = secure_kafka.relay.seen
    assert passed
    for word in (secret, account, "BTC-PERP"):
        assert word.encode() not in passed
    assert secret not in worker.log.read_text()


def test_worker_when_the_broker_is_vouched_for_by_another_authority_then_it_ends_at_once_and_says_so(
    secure_kafka: SecureKafka, cluster: Cluster, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other")
    worker = cluster.worker(
        **{
            **secure_kafka.scram("worker"),
            **cluster.redis.settings("worker"),
            "KAFKA_TLS_CA_FILE": str(other.ca),
            "PROVE_SECONDS": "300",
        }
    )
    assert worker.wait_end(1) == PROBLEM
    said = worker.log.read_text()
    assert f"error: Kafka at {secure_kafka.sasl_address}: kafka_certificate_refused: " in said
    assert "UNIMARGIN_KAFKA_TLS_CA_FILE" in said
    assert "Traceback" not in said
    assert secure_kafka.passwords["worker"] not in said


@pytest.mark.parametrize(("role", "words"), [("worker", "elsewhere"), ("notifier", "prices")])
def test_worker_when_it_may_not_join_the_group_or_see_a_topic_then_it_ends_at_once_and_says_which(
    secure_kafka: SecureKafka, cluster: Cluster, role: str, words: str
) -> None:
    redis = cluster.redis.settings("worker")
    worker = cluster.worker(**secure_kafka.scram(role), **redis, GROUP="elsewhere", PROVE_SECONDS="300")
    assert worker.wait_end(1) == PROBLEM
    said = worker.last_words()
    assert "kafka_not_allowed: " in said
    assert words in said


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("kafka_certificate_refused", PROBLEM),
        ("kafka_authentication_failed", PROBLEM),
        ("kafka_authentication_failed by token", PROBLEM),
        ("kafka_token", PROBLEM),
        ("kafka_tls_failed", PROBLEM),
        ("kafka_tls_failed by another authority", PROBLEM),
        ("kafka_closed_the_connection", PROBLEM),
        ("kafka_closed_the_connection by a listener with TLS", PROBLEM),
        ("kafka_closed_the_connection by a listener without TLS", PROBLEM),
        ("tls_file_unusable", MISTAKE),
        ("tls_file_unusable for its password", MISTAKE),
    ],
)
def test_command_when_it_is_not_let_in_then_a_code_says_why(
    secure_kafka: SecureKafka, tmp_path: Path, code: str, status: int
) -> None:
    scram, mutual = secure_kafka.scram("admin"), secure_kafka.mutual("admin", KEY_PASSWORD)
    other = Authority(tmp_path / "other")
    foreign, token = other.issue("admin"), tmp_path / "token"
    bearer = {
        **without(scram, "USERNAME", "PASSWORD"),
        "KAFKA_SASL_MECHANISM": "OAUTHBEARER",
        "KAFKA_SASL_TOKEN_FILE": str(token),
    }
    settings = {
        "kafka_certificate_refused": {**scram, "KAFKA_TLS_CA_FILE": str(other.ca)},
        "kafka_authentication_failed": {**scram, "KAFKA_SASL_PASSWORD": "hunter2"},
        "kafka_authentication_failed by token": bearer,
        "kafka_token": bearer,
        "kafka_tls_failed": without(mutual, "CERTIFICATE", "KEY"),
        "kafka_tls_failed by another authority": {
            **without(mutual, "PASSWORD"),
            "KAFKA_TLS_CERTIFICATE_FILE": str(foreign.certificate),
            "KAFKA_TLS_KEY_FILE": str(foreign.key),
        },
        "kafka_closed_the_connection": {**without(scram, "SASL"), "KAFKA_SECURITY_PROTOCOL": "SSL"},
        "kafka_closed_the_connection by a listener with TLS": {
            "KAFKA_BOOTSTRAP_SERVERS": secure_kafka.sasl_address
        },
        "kafka_closed_the_connection by a listener without TLS": {
            **scram,
            "KAFKA_BOOTSTRAP_SERVERS": secure_kafka.bootstrap_servers,
        },
        "tls_file_unusable": {**scram, "KAFKA_TLS_CA_FILE": str(tmp_path / "no.pem")},
        "tls_file_unusable for its password": {**mutual, "KAFKA_TLS_KEY_PASSWORD": "hunter2"},
    }[code]
    if code.endswith("by token"):
        token.write_text("not.a.token")
    said = listed(settings)
    assert said.code == status, said.err
    words = f"token file {token}: No such file" if code == "kafka_token" else f"{code.partition(' ')[0]}: "
    assert words in said.err
    assert "Traceback" not in said.err
    for secret in ("hunter2", "not.a.token", KEY_PASSWORD, secure_kafka.passwords["admin"]):
        assert secret not in said.err + said.out


def test_doctor_when_the_broker_does_not_know_us_then_told_as_that_and_not_as_away(
    secure_kafka: SecureKafka, cluster: Cluster
) -> None:
    settings = {
        **secure_kafka.scram("admin"),
        "KAFKA_SASL_PASSWORD": "hunter2",
        **cluster.redis.settings("operator"),
    }
    said = unimargin("doctor", "--json", env=variables(settings))
    assert said.code == PROBLEM
    (broker,) = [it for it in said.json if it["check"] == "broker"]
    assert "kafka_authentication_failed: " in broker["found"]
    assert broker["action"] == "correct the settings that it names: deploy/kafka/README.md"
