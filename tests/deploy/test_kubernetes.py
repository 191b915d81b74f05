"""The resources of `deploy/kubernetes` as an API server gets them: built, checked by its schemas, and by what we ask of them."""

import copy
import os
import re
from functools import cache

import pytest
import yaml

from deploy.kubernetes.write_prometheus_rule import RULE_FILE, prometheus_rule
from engine.edition import ENGINE_VERSION
from streams.config.settings import Settings, load_settings
from streams.desk.notify.rules_file import load_rules
from tests.deploy.commands import assert_command_exists
from tests.deploy.files import DEPLOY
from tests.support.kubernetes_schemas import built, complaints

PLACE = DEPLOY / "kubernetes"
OVERLAYS = ["staging", "production"]
PODS = [
    (overlay, name)
    for overlay in OVERLAYS
    for name in ("worker", "standby", "api", "notifier", "operator", "topics", "policy")
]
CALLED = [pod for pod in PODS if pod[1] != "operator"]
"""Those that run a command by themselves."""
ROLES = {
    "worker": "worker",
    "standby": "worker",
    "api": "api",
    "notifier": "notifier",
    "operator": "operator",
    "policy": "operator",
    "topics": "admin",
}
"""By pod, whom broker and Redis are to take it for."""
README = (PLACE / "README.md").read_text()
SETTINGS = {f"UNIMARGIN_{field.upper()}" for field in Settings.model_fields}


@cache
def resources(overlay):
    return {(it["kind"], it["metadata"]["name"]): it for it in built(PLACE / overlay)}


def owner(overlay, name):
    (found,) = (
        it
        for (kind, its_name), it in resources(overlay).items()
        if its_name == name and "template" in it.get("spec", {})
    )
    return found


def pod(overlay, name):
    return owner(overlay, name)["spec"]["template"]["spec"]


def container(overlay, name):
    (found,) = pod(overlay, name)["containers"]
    return found


def labelled(overlay, labels):
    """Names of those whose pods have these labels."""
    return {
        name
        for its_overlay, name in PODS
        if its_overlay == overlay
        and labels.items() <= owner(overlay, name)["spec"]["template"]["metadata"]["labels"].items()
    }


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_overlay_when_built_then_the_schemas_of_kubernetes_and_of_the_operator_take_all_of_it(overlay):
    assert complaints(list(resources(overlay).values())) == []
    assert {
        it["metadata"].get("namespace") for it in resources(overlay).values() if it["kind"] != "Namespace"
    } == {
        resources(overlay)[next(key for key in resources(overlay) if key[0] == "Namespace")]["metadata"][
            "name"
        ]
    }


@pytest.mark.parametrize(
    ("kind", "name", "path", "value"),
    [
        ("StatefulSet", "worker", "replica", 2),
        ("StatefulSet", "worker", "replicas", "two"),
        ("NetworkPolicy", "nothing-else", "podSelectors", {}),
        ("ServiceMonitor", "unimargin", "endpoints", [{"port": 9108}]),
        ("PrometheusRule", "unimargin", "groups", [{"rules": []}]),
    ],
)
def test_schemas_when_a_resource_is_wrong_then_they_name_it(kind, name, path, value):
    wrong = copy.deepcopy(resources("staging")[kind, name])
    wrong["spec"][path] = value
    assert all(said.startswith(f"{kind} {name}") for said in complaints([wrong]))
    assert complaints([wrong])


def test_rules_of_prometheus_are_those_that_every_other_platform_has():
    assert RULE_FILE.read_text() == prometheus_rule(), "run `make kubernetes`"
    elsewhere = yaml.safe_load(prometheus_rule("https://books.example/x"))
    links = [
        rule["annotations"]["runbook_url"]
        for group in elsewhere["spec"]["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]
    assert all(re.fullmatch(r"https://books\.example/x/Margin\w+\.md", link) for link in links)


@pytest.mark.parametrize(("overlay", "name"), PODS)
def test_pod_runs_with_the_least_it_needs(overlay, name):
    spec, own = pod(overlay, name), container(overlay, name)
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert own["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert set(own["resources"]) == {"requests", "limits"}
    writable = {volume["name"] for volume in spec["volumes"] if "emptyDir" in volume}
    for mount in own["volumeMounts"]:
        assert mount.get("readOnly", False) is (mount["name"] not in writable)


@pytest.mark.parametrize(("overlay", "name"), CALLED)
def test_pod_runs_a_command_that_exists_with_settings_that_exist_from_the_image_of_this_edition(
    overlay, name
):
    own = container(overlay, name)
    assert_command_exists(own["args"])
    (source,) = own["envFrom"]
    told = resources(overlay)["ConfigMap", source["configMapRef"]["name"]]["data"]
    assert set(told) | {it["name"] for it in own.get("env", [])} <= SETTINGS
    assert own["image"].endswith(f"/unimargin:{ENGINE_VERSION}")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_secrets_are_files_that_others_put_there_and_never_variables(overlay):
    assert [key for key in resources(overlay) if key[0] == "Secret"] == []
    for its_overlay, name in PODS:
        if its_overlay == overlay:
            assert "secretKeyRef" not in str(container(overlay, name))
            assert "secretRef" not in str(container(overlay, name))
            for secret in secrets_of(overlay, name):
                assert f"kubectl create secret generic {secret} --namespace unimargin " in README
    for its_overlay, name in CALLED:
        if its_overlay == overlay:
            assert container(overlay, name)["args"][-2:] == ["--config", "/etc/unimargin/settings.env"]


@pytest.mark.parametrize(("overlay", "name"), PODS)
def test_pod_has_the_login_of_its_role_and_of_no_other(overlay, name):
    logins = {f"unimargin-{role}" for role in ROLES.values()}
    assert secrets_of(overlay, name) & logins == {f"unimargin-{ROLES[name]}"}


def secrets_of(overlay, name):
    return {it["secret"]["secretName"] for it in pod(overlay, name)["volumes"] if "secret" in it}


@pytest.mark.parametrize(("overlay", "name"), CALLED)
def test_readme_when_its_example_is_a_roles_login_then_it_and_the_overlay_are_settings(
    overlay, name, tmp_path, monkeypatch
):
    for variable in [key for key in os.environ if key.startswith("UNIMARGIN_")]:
        monkeypatch.delenv(variable)
    own = container(overlay, name)
    (source,) = own["envFrom"]
    told = resources(overlay)["ConfigMap", source["configMapRef"]["name"]]["data"]
    for variable, value in {
        **told,
        **{it["name"]: it.get("value", name) for it in own.get("env", [])},
    }.items():
        monkeypatch.setenv(variable, value)
    (example,) = re.findall(r"```\n(UNIMARGIN_.*?)```", README, re.DOTALL)
    role = ROLES[name]
    lines = example.replace("=worker\n", f"={role}\n").splitlines()
    file = tmp_path / "settings.env"
    # the super user of the broker is nobody to Redis
    file.write_text("\n".join(it for it in lines if role != "admin" or "REDIS" not in it))
    settings = load_settings(file)
    assert (settings.kafka_security_protocol, settings.kafka_sasl_username) == ("SASL_SSL", role)
    assert settings.redis_username == ("" if role == "admin" else role)
    assert not settings.kafka_plaintext_allowed
    assert not settings.redis_plaintext_allowed
    assert settings.redis_url.get_secret_value().startswith("rediss://")
    mounts = {it["mountPath"] for it in own["volumeMounts"]}
    authorities = {settings.kafka_tls_ca_file, settings.redis_tls_ca_file}
    assert {str(it.parent) for it in authorities} <= mounts
    assert all(f"--from-file={it.name}" in README for it in authorities)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_readme_when_it_says_how_many_there_are_then_so_many_there_are(overlay):
    found = {
        name: it["spec"]["replicas"]
        for (kind, name), it in resources(overlay).items()
        if kind in {"StatefulSet", "Deployment"}
    }
    rows = re.findall(
        r"^\| (?:StatefulSet|Deployment) `(\w+)` \| (\d)(?:, in (\w+) (\d))?", README, re.MULTILINE
    )
    assert found == {
        name: int(other) if place == overlay else int(usual) for name, usual, place, other in rows
    }


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("name", ["worker", "standby"])
def test_worker_has_a_name_that_stays_time_to_end_and_is_asked_where_it_listens(overlay, name):
    own, (port,) = container(overlay, name), container(overlay, name)["ports"]
    assert owner(overlay, name)["kind"] == "StatefulSet"
    assert {"name": "UNIMARGIN_WORKER_ID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}} in own[
        "env"
    ]
    assert pod(overlay, name)["terminationGracePeriodSeconds"] > Settings().shutdown_seconds
    (source,) = own["envFrom"]
    told = resources(overlay)["ConfigMap", source["configMapRef"]["name"]]["data"]
    assert int(told["UNIMARGIN_METRICS_PORT"]) == port["containerPort"]
    assert told["UNIMARGIN_METRICS_HOST"] == "0.0.0.0"
    probes = {kind: own[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
    assert {kind: probe["path"] for kind, probe in probes.items()} == {
        "startup": "/livez",
        "liveness": "/livez",
        "readiness": "/readyz",
    }
    assert {probe["port"] for probe in probes.values()} == {port["name"]}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_at_most_one_worker_and_one_api_is_taken_away_at_a_time(overlay):
    budgets = [it for (kind, _), it in resources(overlay).items() if kind == "PodDisruptionBudget"]
    covered = [labelled(overlay, it["spec"]["selector"]["matchLabels"]) for it in budgets]
    assert sorted(covered, key=sorted) == [{"api"}, {"worker"}]
    assert {it["spec"]["maxUnavailable"] for it in budgets} == {1}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_rollout_leaves_as_many_of_a_deployment_as_there_were(overlay):
    strategies = [
        it["spec"]["strategy"] for (kind, _), it in resources(overlay).items() if kind == "Deployment"
    ]
    assert (
        strategies == [{"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}] * 3
    )


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_worker_of_a_drained_host_finds_another_though_all_have_one(overlay):
    (spread,) = pod(overlay, "worker")["topologySpreadConstraints"]
    assert spread["nodeTaintsPolicy"] == "Honor"
    assert (
        spread["whenUnsatisfiable"] == {"staging": "ScheduleAnyway", "production": "DoNotSchedule"}[overlay]
    )


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_prometheus_finds_every_process_under_the_job_that_rules_and_dashboards_know(overlay):
    jobs = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    monitor = resources(overlay)["ServiceMonitor", "unimargin"]["spec"]
    (endpoint,) = monitor["endpoints"]
    found = {}
    for (kind, _), service in resources(overlay).items():
        if kind == "Service":
            (name,) = labelled(overlay, service["spec"]["selector"])
            (port,) = service["spec"]["ports"]
            assert port["name"] == endpoint["port"]
            assert port["targetPort"] in {it["name"] for it in container(overlay, name)["ports"]}
            found[name] = service["metadata"]["labels"][monitor["jobLabel"]]
    assert found == {
        "worker": "unimargin-worker",
        "standby": "unimargin-worker",
        "api": "unimargin-api",
        "notifier": "unimargin-notify",
    }
    assert set(found.values()) <= {job["job_name"] for job in jobs}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_network_when_nothing_allows_it_then_nothing_comes_in_or_goes_out(overlay):
    policies = {
        name: it["spec"] for (kind, name), it in resources(overlay).items() if kind == "NetworkPolicy"
    }
    assert policies["nothing-else"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    (rule,) = policies["from-prometheus"]["ingress"]
    ports = {
        it["containerPort"]
        for name in ("worker", "standby", "api", "notifier")
        for it in container(overlay, name)["ports"]
    }
    assert {it["port"] for it in rule["ports"]} == ports
    for spec in policies.values():
        for rule in spec.get("ingress", []):
            assert rule["from"]


def let_out(overlay, name):
    """Ports by which a pod reaches others."""
    labels = owner(overlay, name)["spec"]["template"]["metadata"]["labels"]
    return {
        port["port"]
        for (kind, _), it in resources(overlay).items()
        if kind == "NetworkPolicy" and selects(it["spec"]["podSelector"], labels)
        for rule in it["spec"].get("egress", [])
        for port in rule["ports"]
    }


def selects(selector, labels):
    ways = [
        labels.get(it["key"]) in it["values"]
        for it in selector.get("matchExpressions", [])
        if it["operator"] == "In"
    ]
    return selector.get("matchLabels", {}).items() <= labels.items() and all(ways)


@pytest.mark.parametrize(
    ("page", "pattern", "names"),
    [
        (
            "redis/failover.md",
            r"host\d?:(\d+)",
            ["worker", "standby", "api", "notifier", "operator", "policy"],
        ),
        ("kubernetes/base/kustomization.yaml", r"(?:kafka-bootstrap|redis):(\d+)", list(ROLES)),
        ("traces.md", r"UNIMARGIN_TRACES_ENDPOINT=https?://[^:/\s]+:(\d+)", ["worker", "standby"]),
        ("notify/README.md", r"://alertmanager:(\d+)", ["notifier"]),
    ],
)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_network_when_a_page_names_a_port_then_whom_it_concerns_gets_there(overlay, page, pattern, names):
    named = {int(port) for port in re.findall(pattern, (DEPLOY / page).read_text())}
    assert named
    for name in names:
        assert named <= let_out(overlay, name), name


def test_rules_of_the_notifier_are_rules():
    assert load_rules(PLACE / "base" / "notify-rules.toml").rules
