"""The overlays of `deploy/kubernetes` on a real API server, with the real controllers and scheduler; KWOK plays kubelets, so no container runs.

Not collected by itself, and so not in CI: what it starts takes twenty minutes to compile the first time.

make test ARGS="tests/deploy/long_kubernetes.py"
"""

import copy
import json
import threading
from collections import Counter
from pathlib import Path

import pytest

from tests.deploy.conftest import Deploy
from tests.support.kubectl import KubectlError
from tests.support.kubernetes_cluster import NEVER_READY, OTHER_RELEASE, PLACE, documented
from tests.support.kubernetes_schemas import built
from tests.support.waiting import wait_for

pytestmark = pytest.mark.timeout(3600)

OVERLAYS = ["staging", "production"]
HELD_S = 10
"""Longer than a pod of a good release takes from its start until it is ready, and its predecessor to end."""

MISSED_S = 120
"""Longer than the controllers wait for a host that says nothing: 50 s."""
REFUSED = "violate the pod's disruption budget"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_overlay_when_applied_then_the_api_server_takes_all_of_it_and_sees_no_difference_after(
    prepared: Deploy, overlay: str
) -> None:
    it = prepared(overlay, 1)
    words, resources = it.apply_words(), built(PLACE / overlay)

    tried = it.kubectl(*words, "--dry-run=server", "--validate=strict")
    it.apply()

    assert tried.count("serverside-applied (server dry run)") == len(resources) > 20
    assert it.kubectl("diff", "--server-side", "--kustomize", str(PLACE / overlay)) == ""


@pytest.mark.parametrize(
    ("kind", "name", "path", "value", "said"),
    [
        ("StatefulSet", "worker", "replica", 2, "replica"),
        ("StatefulSet", "worker", "replicas", "two", "replicas"),
        ("StatefulSet", "worker", "podManagementPolicy", "Any", "podManagementPolicy"),
        (
            "PodDisruptionBudget",
            "worker",
            "unhealthyPodEvictionPolicy",
            "Always",
            "unhealthyPodEvictionPolicy",
        ),
        ("NetworkPolicy", "nothing-else", "policyTypes", ["Inward"], "policyTypes"),
        ("ServiceMonitor", "unimargin", "endpoints", [{"port": 9108}], "port"),
        ("PrometheusRule", "unimargin", "groups", [{"rules": []}], "name"),
    ],
)
def test_api_server_when_a_field_is_wrong_then_it_refuses_the_resource_and_names_the_field(
    prepared: Deploy, kind: str, name: str, path: str, value: object, said: str
) -> None:
    it = prepared("production", 1)
    (right,) = (r for r in built(PLACE / "production") if (r["kind"], r["metadata"]["name"]) == (kind, name))
    wrong = copy.deepcopy(right)
    wrong["spec"][path] = value
    words = ("apply", "--server-side", "--dry-run=server", "--validate=strict", "--filename=-")

    it.kubectl(*words, given=json.dumps(right))
    assert said in it.kubectl.refusal(*words, given=json.dumps(wrong))


def test_namespace_when_a_pod_asks_for_more_than_the_strictest_standard_then_it_is_not_admitted(
    deployed: Deploy,
) -> None:
    it = deployed("staging", 3)
    (pod, *_) = it.pods("worker").values()
    spec = {key: value for key, value in pod["spec"].items() if key not in {"nodeName", "hostname"}}
    own = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "own", "namespace": it.namespace}}
    words = ("create", "--dry-run=server", "--filename=-")

    it.kubectl(*words, given=json.dumps({**own, "spec": spec}))
    asks = {**spec, "hostNetwork": True}
    assert "violates PodSecurity" in it.kubectl.refusal(*words, given=json.dumps({**own, "spec": asks}))


@pytest.mark.parametrize(("overlay", "hosts"), [("staging", 3), ("production", 4)])
def test_overlay_when_applied_then_all_is_ready_and_workers_and_standby_have_hosts_of_their_own(
    deployed: Deploy, overlay: str, hosts: int
) -> None:
    it = deployed(overlay, hosts)

    workers, standby = it.hosts_of("worker"), it.hosts_of("standby")

    assert sorted(workers) == [f"worker-{number}" for number in range(it.workers)]
    assert len({*workers.values(), *standby.values()}) == it.workers + 1
    assert len(it.hosts_of("api")) == {"staging": 1, "production": 2}[overlay]
    assert len(it.hosts_of("notifier")) == {"staging": 1, "production": 2}[overlay]
    for job in ("topics", "policy"):
        (pod,) = it.pods(job).values()
        assert pod["status"]["phase"] == "Succeeded"
    addresses = Counter(
        slice_["metadata"]["labels"]["kubernetes.io/service-name"]
        for slice_ in it.kubectl.resource("endpointslices", f"--namespace={it.namespace}")
        for end in slice_["endpoints"] or ()
        if end["conditions"]["ready"]
    )
    assert addresses == {
        component: len(it.pods(component)) for component in ("worker", "standby", "api", "notifier")
    }


def test_hosts_when_no_more_than_workers_then_the_standby_shares_one_and_a_drain_takes_both(
    deployed: Deploy,
) -> None:
    it = deployed("production", 3)
    workers, (host,) = it.hosts_of("worker"), it.hosts_of("standby").values()
    assert len(set(workers.values())) == it.workers
    with it.watch("worker") as seen, it.watch("standby") as standby:
        it.kubectl(*it.drain_words(host))
        it.wait_ready()
    assert seen.made() == [name for name, its_host in workers.items() if its_host == host]
    assert standby.made() == ["standby-0"]
    # What the README warns of; every worker has a host again, two of them the same one.
    assert sorted(Counter(it.hosts_of("worker").values()).values()) == [1, 2]


def test_restart_when_rolled_out_then_one_worker_at_a_time_under_its_own_name(deployed: Deploy) -> None:
    it = deployed("production", 4)
    with it.watch("worker") as seen:
        it.kubectl("rollout", "restart", "statefulset/worker", f"--namespace={it.namespace}")
        it.rollout_status("statefulset/worker")
    assert seen.made() == ["worker-2", "worker-1", "worker-0"]
    assert min(seen.ready_counts()) == it.workers - 1
    assert seen.ready_counts()[-1] == it.workers


def test_release_when_jobs_of_the_last_one_are_there_then_it_is_refused_until_they_are_deleted(
    deployed: Deploy,
) -> None:
    it = deployed("production", 4)
    assert "field is immutable" in it.kubectl.refusal(*it.apply_words(OTHER_RELEASE))
    it.delete_jobs()
    it.apply(OTHER_RELEASE)
    it.wait_ready()
    for component in ("worker", "standby", "api", "notifier", "topics", "policy"):
        images = {pod["spec"]["containers"][0]["image"] for pod in it.pods(component).values()}
        assert images == {f"registry.example.com/unimargin:{OTHER_RELEASE}"}


def test_release_when_jobs_of_the_last_one_are_gone_by_themselves_then_it_is_taken(deployed: Deploy) -> None:
    it = deployed("production", 4)
    for job in ("topics", "policy"):
        it.kubectl(
            *("patch", "job", job, f"--namespace={it.namespace}"),
            '--patch={"spec": {"ttlSecondsAfterFinished": 1}}',
        )
    wait_for("they are gone", lambda: not it.kubectl.resource("jobs", f"--namespace={it.namespace}"))
    it.apply(OTHER_RELEASE)
    it.wait_ready()
    assert len(it.pods("topics")) == len(it.pods("policy")) == 1


def test_release_when_rolled_out_then_no_more_than_one_worker_is_away_and_no_api(deployed: Deploy) -> None:
    it = deployed("production", 4)
    it.delete_jobs()
    with it.watch("worker") as worker, it.watch("api") as api, it.watch("notifier") as notifier:
        it.apply(OTHER_RELEASE)
        it.wait_ready()
    assert worker.made() == ["worker-2", "worker-1", "worker-0"]
    assert min(worker.ready_counts()) == it.workers - 1
    assert min(api.ready_counts()) == min(notifier.ready_counts()) == 2
    assert len(api.made()) == len(notifier.made()) == 2


def test_release_when_it_is_never_ready_then_one_worker_waits_and_the_release_before_brings_it_back(
    deployed: Deploy,
) -> None:
    it = deployed("production", 4)
    it.delete_jobs()
    with it.watch("worker") as worker, it.watch("api") as api:
        it.apply(NEVER_READY)
        wait_for("its first worker has come", lambda: "worker-2" in worker.made())
        with pytest.raises(KubectlError, match="timed out"):
            it.kubectl(
                *("rollout", "status", "statefulset/worker", f"--namespace={it.namespace}"),
                f"--timeout={HELD_S}s",
            )
        assert sorted(it.hosts_of("worker")) == ["worker-0", "worker-1"]
        assert worker.made() == ["worker-2"]
        it.delete_jobs()
        it.apply()
        it.wait_ready()
    assert worker.made() == ["worker-2", "worker-2"]
    assert min(worker.ready_counts()) == it.workers - 1
    assert min(api.ready_counts()) == 2


def test_drain_when_a_host_has_a_worker_then_it_is_ready_on_another_and_the_others_stay(
    deployed: Deploy,
) -> None:
    it = deployed("production", 4)
    host = it.hosts_of("worker")["worker-1"]
    with it.watch("worker") as seen:
        it.kubectl(*it.drain_words(host))
        it.wait_ready()
    assert seen.made() == ["worker-1"]
    assert min(seen.ready_counts()) == it.workers - 1
    assert len({*it.hosts_of("worker").values()} - {host}) == it.workers


def test_host_when_it_is_back_from_a_drain_then_a_restart_of_the_standby_gives_it_a_host_of_its_own(
    deployed: Deploy,
) -> None:
    it = deployed("production", 4)
    host = it.hosts_of("worker")["worker-1"]
    it.kubectl(*it.drain_words(host))
    it.wait_ready()
    it.kubectl("uncordon", host)
    assert it.hosts_of("standby")["standby-0"] in it.hosts_of("worker").values()
    (command,) = documented("rollout restart statefulset standby ")
    it.kubectl(*it.words(command))
    it.rollout_status("statefulset/standby")
    assert it.hosts_of("standby") == {"standby-0": host}


def test_host_when_it_dies_then_its_worker_waits_until_somebody_says_that_it_is_off(deployed: Deploy) -> None:
    it = deployed("production", 4)
    workers, apis = it.hosts_of("worker"), it.hosts_of("api")
    lost, host = next((name, host) for name, host in workers.items() if host in apis.values())
    others = {name: its_host for name, its_host in workers.items() if name != lost}
    other_host = next(iter(others.values()))
    it.plane.kill_host(host)
    wait_for("the host is missed", lambda: lost not in it.hosts_of("worker"), MISSED_S)
    wait_for("the budget knows", lambda: it.budget("worker")["status"]["disruptionsAllowed"] == 0)
    assert REFUSED in it.kubectl.refusal(*it.drain_words(other_host), f"--timeout={HELD_S}s")
    it.kubectl("uncordon", other_host)
    wait_for("it is told to go", lambda: "deletionTimestamp" in it.pods("worker")[lost]["metadata"])
    wait_for("an API stands in", lambda: len(it.hosts_of("api")) == len(apis))
    assert host not in it.hosts_of("api").values()
    threading.Event().wait(HELD_S)
    assert it.hosts_of("worker") == others
    assert it.pods("worker")[lost]["spec"]["nodeName"] == host
    (command,) = documented("taint nodes HOST ")
    it.kubectl(*it.words(command.replace("HOST", host)))
    it.wait_ready()
    assert {name: its_host for name, its_host in it.hosts_of("worker").items() if name != lost} == others
    assert host not in {*it.hosts_of("worker").values(), *it.hosts_of("standby").values()}


def test_drain_when_two_hosts_are_drained_at_once_then_their_workers_go_one_after_the_other(
    deployed: Deploy, tmp_path: Path
) -> None:
    it = deployed("production", 4)
    hosts = it.hosts_of("worker")
    with it.watch("worker") as seen:
        drains = [
            it.kubectl.start(*it.drain_words(hosts[name]), log=tmp_path / f"{name}.log")
            for name in ("worker-0", "worker-1")
        ]
        assert [drain.wait(120) for drain in drains] == [0, 0]
        it.wait_ready()
    assert sorted(seen.made()) == ["worker-0", "worker-1"]
    assert min(seen.ready_counts()) == it.workers - 1
    refused = [(tmp_path / f"{name}.log").read_text() for name in ("worker-0", "worker-1")]
    assert any(REFUSED in it for it in refused)


def test_budget_when_a_worker_is_not_ready_then_a_ready_one_is_not_evicted_and_that_one_is(
    deployed: Deploy,
) -> None:
    it = deployed("production", 4)
    hosts = it.hosts_of("worker")
    it.lose_readiness("worker-0")
    wait_for("the budget knows", lambda: it.budget("worker")["status"]["disruptionsAllowed"] == 0)
    refused = it.kubectl.refusal(*it.drain_words(hosts["worker-1"]), f"--timeout={HELD_S}s")
    assert REFUSED in refused
    assert "worker-1" in it.hosts_of("worker")
    with it.watch("worker") as seen:
        it.kubectl(*it.drain_words(hosts["worker-0"]))
        it.wait_ready()
    assert seen.made() == ["worker-0"]
    assert it.hosts_of("worker")["worker-0"] != hosts["worker-0"]


def test_budget_when_two_workers_are_not_ready_then_each_may_still_be_evicted(deployed: Deploy) -> None:
    it = deployed("production", 4)
    own = it.budget("worker")["spec"]["unhealthyPodEvictionPolicy"]
    it.lose_readiness("worker-0", "worker-1")
    wait_for("the budget knows", lambda: it.budget("worker")["status"]["currentHealthy"] == 1)
    with it.watch("worker") as seen:
        with pytest.raises(KubectlError, match=REFUSED):
            it.evict("worker-2")
        it.evict("worker-0", dry_run=True)
        # Kubernetes' own choice, which would ask for one healthy worker more.
        it.evict_unhealthy("IfHealthyBudget")
        with pytest.raises(KubectlError, match=REFUSED):
            it.evict("worker-0", dry_run=True)
        it.evict_unhealthy(own)
        it.evict("worker-0")
        it.evict("worker-1")
        it.wait_ready()
    assert sorted(seen.made()) == ["worker-0", "worker-1"]
