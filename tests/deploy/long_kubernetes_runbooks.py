"""The words of the runbooks on a real API server: what is stopped, killed or restarted comes back, and the README's command still applies.

Not collected by itself, as `long_kubernetes.py`. No container runs, so nothing is asked, read or called inside of one.

make test ARGS="tests/deploy/long_kubernetes_runbooks.py"
"""

import pytest

from tests.deploy.conftest import Deploy
from tests.support.kubernetes_cluster import OverlayOnHosts

pytestmark = pytest.mark.timeout(3600)

COMPONENTS = {"worker-1": "worker", "standby": "standby", "api": "api", "notify": "notifier"}


def identities(it: OverlayOnHosts, component: str) -> dict[str, str]:
    return {name: pod["metadata"]["uid"] for name, pod in it.pods(component).items()}


@pytest.mark.parametrize("word", ["kill", "restart"])
def test_word_when_it_ends_pods_then_others_are_ready_in_their_place(deployed: Deploy, word: str) -> None:
    it = deployed("production", 4)
    for name, component in COMPONENTS.items():
        before = identities(it, component)
        it.say(f"on {word} {name} && on start {name}")
        it.wait_ready()
        after = identities(it, component)
        kept = {"worker-0", "worker-2"} if name == "worker-1" else set()
        assert {pod for pod, identity in before.items() if after.get(pod) == identity} == kept
        assert len(after) == len(before)
    it.apply()


@pytest.mark.parametrize("start", ["on start worker-1 worker-2 standby", "on start"])
def test_stop_when_said_then_no_worker_is_left_until_start_brings_as_many_back(
    deployed: Deploy, start: str
) -> None:
    it = deployed("production", 4)
    it.say("on stop worker-1 worker-2 standby")
    assert {**it.pods("worker"), **it.pods("standby")} == {}
    it.say("on restart api && on start api notify")
    assert {**it.pods("worker"), **it.pods("standby")} == {}, "started for an API"
    it.say(start)
    it.wait_ready()
    assert len(it.hosts_of("worker")) == it.workers
    it.apply()


def test_topics_when_made_then_by_the_job_of_a_rollout_anew(deployed: Deploy) -> None:
    it = deployed("staging", 3)
    before = identities(it, "topics")
    # no container runs that could have said anything
    it.say("on unimargin topics create || true")
    it.wait_ready()
    after = identities(it, "topics")
    assert after
    assert not set(after.values()) & set(before.values())
    assert it.hosts_of("operator")
    it.apply()


def test_states_when_said_then_every_pod_and_its_host_is_told(deployed: Deploy) -> None:
    it = deployed("staging", 3)
    said = it.say("on states")
    for component in (*COMPONENTS.values(), "operator", "topics", "policy"):
        for name, pod in it.pods(component).items():
            (line,) = (told for told in said.splitlines() if told.startswith(f"{name} "))
            assert pod["spec"]["nodeName"] in line.split()
