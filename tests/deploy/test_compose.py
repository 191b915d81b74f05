import copy
import json
import os
import re
import shutil
import subprocess

import pytest

from engine.edition import ENGINE_VERSION
from streams.config.settings import Settings, load_policy, load_settings
from streams.config.tls_context import tls_context
from streams.desk.api_keys import load_keys
from streams.desk.notify.rules_file import load_rules
from tests.deploy.commands import assert_command_exists
from tests.deploy.files import ROOT, compose
from tests.support.secure_redis import make_secrets

SERVICES = compose()["services"]
OWN = {name: service for name, service in SERVICES.items() if service["image"].startswith("unimargin:")}
WORKERS = {name: service for name, service in OWN.items() if service["command"][0] == "worker"}
PUBLISHED = {"api", "grafana", "prometheus"}


@pytest.fixture(scope="module")
def secrets(tmp_path_factory):
    """What deploy/make-secrets makes."""
    return make_secrets(tmp_path_factory.mktemp("made") / "secrets")


def named_volumes(service):
    return {volume.split(":")[0] for volume in service.get("volumes", []) if volume[0] not in "./$"}


@pytest.mark.parametrize("name", SERVICES)
def test_image_of_a_service_is_pinned_to_a_full_version(name):
    tag = SERVICES[name]["image"].rpartition(":")[2]
    assert re.fullmatch(r"v?\d+\.\d+\.\d+(-alpine)?", tag), tag


@pytest.mark.parametrize("name", OWN)
def test_command_of_a_container_is_one_the_program_has(name):
    assert_command_exists(SERVICES[name]["command"])


def test_own_image_carries_the_version_of_the_package():
    assert {service["image"] for service in OWN.values()} == {f"unimargin:{ENGINE_VERSION}"}


def test_every_service_that_stays_is_restarted_and_what_comes_to_an_end_is_not():
    policies = {name: service["restart"] for name, service in SERVICES.items()}
    assert policies.pop("topics") == "no"
    assert policies.pop("feed") == "no"
    assert policies.pop("rights") == "no"
    assert policies.pop("operator") == "no"
    assert set(policies.values()) == {"unless-stopped"}


def test_only_grafana_prometheus_and_the_api_are_published_and_only_on_loopback():
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(published) == PUBLISHED
    for ports in published.values():
        assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in ports)


def test_broker_and_state_sit_on_internal_networks_only():
    networks = compose()["networks"]
    internal = {name for name, network in networks.items() if network.get("internal")}
    for name, service in SERVICES.items():
        if name not in PUBLISHED | {"alertmanager", "notify"}:
            assert set(service["networks"]) <= internal, name


def test_every_mounted_file_exists_and_is_mounted_read_only():
    mounts = [
        re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", volume).split(":")
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
        if volume[0] in "./$"
    ]
    assert len(mounts) > 8
    for source, _, mode in mounts:
        assert (ROOT / source).exists(), source
        assert mode == "ro", source


def test_every_named_volume_is_declared_and_every_declared_one_is_used():
    used = set().union(*(named_volumes(service) for service in SERVICES.values()))
    assert used == set(compose()["volumes"])
    assert {"kafka-data", "redis-data"} <= used


def test_workers_and_their_standby_differ_in_nothing_but_their_task_their_identity_and_their_cache():
    assert set(WORKERS) == {"worker-1", "worker-2", "standby"}
    workers = copy.deepcopy(WORKERS)
    assert workers["standby"].pop("command") == ["worker", "--standby"]
    assert [workers[name].pop("command") for name in ("worker-1", "worker-2")] == [["worker"], ["worker"]]
    for name, worker in workers.items():
        assert worker["environment"].pop("UNIMARGIN_WORKER_ID") == name
        worker["volumes"] = [volume for volume in worker["volumes"] if not volume.startswith("numba-cache-")]
    first, second, third = workers.values()
    assert first == second == third


def test_settings_of_our_own_containers_carry_the_prefix():
    names = {key for service in OWN.values() for key in service["environment"]}
    assert names
    assert all(name.startswith("UNIMARGIN_") for name in names), names


@pytest.mark.parametrize("name", OWN)
def test_settings_of_a_container_are_ones_the_program_accepts(name, monkeypatch, secrets):
    for variable in [key for key in os.environ if key.startswith("UNIMARGIN_")]:
        monkeypatch.delenv(variable)
    fields = {f"UNIMARGIN_{field.upper()}" for field in Settings.model_fields}
    for variable, value in OWN[name]["environment"].items():
        assert variable in fields
        monkeypatch.setenv(variable, value.replace("/run/secrets", str(secrets)))
    settings = load_settings()
    tls_context(settings, "kafka")
    assert not settings.kafka_plaintext_allowed
    assert not settings.redis_plaintext_allowed


def test_secrets_that_a_container_is_given_are_those_it_names_and_none_of_another_role(secrets):
    for name, service in SERVICES.items():
        given = set(service.get("secrets", ()))
        places = ("environment", "healthcheck", "command", "entrypoint")
        text = json.dumps([service.get(place, "") for place in places])
        named = set(re.findall(r"/run/secrets/([\w.]+)", text))
        # start.sh of Redis names its own
        assert given == named or (name == "redis" and named < given), name
        roles = {it.partition(".")[0] for it in given if it.endswith((".pem", ".key")) and it != "ca.pem"}
        assert len(roles) <= 1, name
    assert {name for name, service in SERVICES.items() if "admin.key" in service.get("secrets", ())} == {
        "topics",
        "rights",
    }
    declared = {name: it["file"] for name, it in compose()["secrets"].items()}
    assert all(file == f"${{SECRETS_DIR:-./secrets}}/{name}" for name, file in declared.items())
    assert set(declared) == {it for service in SERVICES.values() for it in service.get("secrets", ())}
    assert all((secrets / name).is_file() for name in declared)
    assert "ca.key" not in declared
    assert (secrets / "ca.key").stat().st_mode & 0o077 == 0
    assert secrets.stat().st_mode & 0o077 == 0


def test_redis_gets_the_secrets_of_every_user_that_its_table_has():
    users = re.findall(
        r"^user (\w+) PASSWORD", (ROOT / "deploy" / "redis" / "users.acl").read_text(), re.MULTILINE
    )
    assert {f"redis_{user}" for user in users} - set(SERVICES["redis"]["secrets"]) == {"redis_restore"}


def test_container_is_given_longer_to_stop_than_the_worker_takes():
    for worker in WORKERS.values():
        assert int(worker["stop_grace_period"].removesuffix("s")) > Settings().shutdown_seconds


@pytest.mark.parametrize("name", WORKERS)
def test_policy_a_worker_is_given_is_a_policy(name):
    target = WORKERS[name]["environment"]["UNIMARGIN_POLICY_FILE"]
    source = next(volume.split(":")[0] for volume in WORKERS[name]["volumes"] if f":{target}:" in volume)
    assert load_policy(ROOT / source).name


def test_worker_listens_where_its_healthcheck_and_prometheus_look():
    prometheus = (ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text()
    for name, worker in WORKERS.items():
        environment = worker["environment"]
        assert environment["UNIMARGIN_METRICS_HOST"] == "0.0.0.0"
        port = environment["UNIMARGIN_METRICS_PORT"]
        assert f"{name}:{port}" in prometheus
        check = worker["healthcheck"]["test"]
        assert check[:3] == ["CMD", "python", "-c"]
        assert f"http://127.0.0.1:{port}/livez" in check[3]
        compile(check[3], "healthcheck", "exec")


def test_every_service_has_a_limit_and_a_healthcheck_or_says_that_it_has_none():
    for name, service in SERVICES.items():
        assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}, name
        assert "test" in service["healthcheck"] or service["healthcheck"] == {"disable": True}, name


def test_api_is_only_started_on_request_and_listens_where_its_healthcheck_and_prometheus_look():
    api = SERVICES["api"]
    assert api["profiles"] == ["api"]
    port = api["environment"]["UNIMARGIN_API_PORT"]
    assert api["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert f"http://127.0.0.1:{port}/livez" in api["healthcheck"]["test"][3]
    assert f"api:{port}" in (ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text()


def test_notifier_is_only_started_on_request_and_listens_where_its_healthcheck_and_prometheus_look():
    notify = SERVICES["notify"]
    assert notify["profiles"] == ["notify"]
    port = notify["environment"]["UNIMARGIN_NOTIFY_PORT"]
    assert "ports" not in notify
    assert f"http://127.0.0.1:{port}/livez" in notify["healthcheck"]["test"][3]
    assert f"notify:{port}" in (ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text()


def test_rules_of_the_notifier_that_are_committed_are_rules():
    assert load_rules(ROOT / "deploy" / "notify" / "notify.toml").rules


def test_keys_that_are_committed_let_nobody_in():
    assert len(load_keys(ROOT / "deploy" / "api" / "keys.toml")) == 0


def test_startup_waits_for_health_and_for_the_topics():
    for name in (*WORKERS, "api", "notify", "feed"):
        conditions = {other: needs["condition"] for other, needs in SERVICES[name]["depends_on"].items()}
        assert conditions["kafka"] == "service_healthy"
        assert conditions["rights"] == "service_completed_successfully"
    assert SERVICES["topics"]["depends_on"] == {"kafka": {"condition": "service_healthy"}}
    assert SERVICES["rights"]["depends_on"] == {"topics": {"condition": "service_completed_successfully"}}
    for name in WORKERS:
        assert SERVICES[name]["depends_on"]["redis"] == {"condition": "service_healthy"}


@pytest.mark.parametrize("name", SERVICES)
def test_container_runs_with_the_least_it_needs(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert 0 < service["pids_limit"] <= 512
    assert not {"privileged", "cap_add", "devices", "pid", "ipc", "network_mode", "userns_mode"} & set(
        service
    )
    assert "docker.sock" not in json.dumps(service)
    assert not str(service.get("user", "1")).startswith(("0", "root"))


def test_our_own_containers_need_no_scratch_space_but_tmp():
    for service in OWN.values():
        assert service["tmpfs"] == ["/tmp"]


def test_no_password_is_written_down():
    value = SERVICES["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD"]
    assert value.startswith("${GRAFANA_ADMIN_PASSWORD:?")


def test_broker_keeps_its_log_on_the_volume_and_makes_no_topics_by_itself():
    environment = SERVICES["kafka"]["environment"]
    assert f"kafka-data:{environment['KAFKA_LOG_DIRS']}" in SERVICES["kafka"]["volumes"]
    assert environment["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


@pytest.mark.parametrize(("password", "accepted"), [("x", True), (None, False)])
def test_compose_itself_reads_the_file_and_insists_on_a_password(password, accepted):
    assert shutil.which("docker-compose"), "docker-compose is not installed (Debian package: docker-compose)"
    environment = {key: value for key, value in os.environ.items() if key != "GRAFANA_ADMIN_PASSWORD"}
    if password:
        environment["GRAFANA_ADMIN_PASSWORD"] = password
    command = ["docker-compose", "--project-directory", str(ROOT), "config", "--quiet"]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (result.returncode == 0) is accepted, result.stderr
    if not accepted:
        assert "GRAFANA_ADMIN_PASSWORD" in result.stderr
