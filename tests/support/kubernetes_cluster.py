"""An overlay of `deploy/kubernetes` on a control plane, brought there by the commands of its README."""

import json
import os
import shlex
from functools import partial
from pathlib import Path
from typing import Any

from engine.edition import ENGINE_VERSION
from tests.support.commands import output_of
from tests.support.control_plane import ROOT, ControlPlane
from tests.support.kubectl import Kubectl, KubectlError
from tests.support.pod_watch import PodWatch, is_ready
from tests.support.waiting import wait_for

PLACE = ROOT / "deploy" / "kubernetes"
NAMESPACES = {"staging": "unimargin-staging", "production": "unimargin"}
WORKERS = {"staging": 2, "production": 3}
OTHER_RELEASE, NEVER_READY = "another", "never-ready"
"""Tags of the image: of a release beside that of this tree, and of one whose pods run and are never ready (`stages.yaml`)."""
ROLES = ("worker", "api", "notifier", "operator", "admin")
SECRET_FILES = (*(f"{it}.env" for it in ROLES), "ca.pem", "keys.toml", "desk-hook-url", "desk-hook-secret")
READY_S = 120
TIMEOUT = f"--timeout={READY_S}s"


def documented(start: str) -> list[str]:
    """The commands of the README that begin so, without the word `kubectl`."""
    lines = [it.strip() for it in (PLACE / "README.md").read_text().splitlines() if it.startswith("    ")]
    found = [it.removeprefix("kubectl ") for it in lines if it.startswith(f"kubectl {start}")]
    assert found, f"the README has no command `kubectl {start}`"
    return found


class OverlayOnHosts:
    """One overlay, applied and ready, on hosts `host-0`, `host-1` and so on."""

    def __init__(self, plane: ControlPlane, overlay: str, hosts: int, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.plane, self.kubectl, self.overlay = plane, plane.kubectl, overlay
        self.namespace, self.workers = NAMESPACES[overlay], WORKERS[overlay]
        self._hosts, self._directory, self._watches = [f"host-{it}" for it in range(hosts)], directory, 0

    def prepare(self) -> None:
        """What has to be there first: hosts, the namespace and its secrets."""
        self.plane.add_hosts(*self._hosts)
        for name in SECRET_FILES:
            (self._directory / name).write_text("made up")
        there = Kubectl(self.plane.config, cwd=self._directory)
        for command in documented("create "):
            there(*self.words(command))

    def apply(self, release: str = ENGINE_VERSION) -> None:
        """As the README says; another release is an overlay of the overlay."""
        self.kubectl(*self.apply_words(release))

    def apply_words(self, release: str = ENGINE_VERSION) -> list[str]:
        """The command that `apply` gives."""
        (command,) = documented("apply ")
        return self.words(command.replace("deploy/kubernetes/production", str(self._place(release))))

    def words(self, command: str) -> list[str]:
        """Of a command of the README, with this overlay's namespace."""
        return [self.namespace if it == "unimargin" else it for it in shlex.split(command)]

    def delete_jobs(self) -> None:
        """As the README says it, before a release."""
        (command,) = documented("delete job ")
        self.kubectl(*self.words(command))

    def drain_words(self, host: str) -> list[str]:
        """The README's command for a host."""
        (command,) = documented("drain ")
        return self.words(command.replace("HOST", host))

    def wait_ready(self) -> None:
        """Until every pod that has to be ready is, and the jobs are done."""
        for kind in ("statefulset", "deployment"):
            for it in self.kubectl.resource(kind, self._in()):
                name, replicas = it["metadata"]["name"], it["spec"]["replicas"]
                self.rollout_status(f"{kind}/{name}")
                # A pod that has just gone may still be counted there.
                wait_for(f"{replicas} of {name} are ready", partial(self._ready, name, replicas), READY_S)
        if self.kubectl.resource("jobs", self._in()):
            self.kubectl("wait", "--for=condition=Complete", "job", "--all", self._in(), TIMEOUT)

    def rollout_status(self, what: str) -> None:
        """Until the rollout is through."""
        self.kubectl("rollout", "status", what, self._in(), TIMEOUT)

    def pods(self, component: str) -> dict[str, dict[str, Any]]:
        """By name."""
        found = self.kubectl.resource(
            "pods", self._in(), f"--selector=app.kubernetes.io/component={component}"
        )
        return {it["metadata"]["name"]: it for it in found}

    def hosts_of(self, component: str) -> dict[str, str]:
        """The host of each pod that is ready."""
        return {name: it["spec"]["nodeName"] for name, it in self.pods(component).items() if is_ready(it)}

    def budget(self, name: str) -> Any:
        """A disruption budget as it stands."""
        return self.kubectl.resource("pdb", name, self._in())

    def evict_unhealthy(self, policy: str) -> None:
        """Another policy of the workers' budget."""
        patch = json.dumps({"spec": {"unhealthyPodEvictionPolicy": policy}})
        self.kubectl("patch", "pdb", "worker", self._in(), f"--patch={patch}")

    def evict(self, pod: str, *, dry_run: bool = False) -> None:
        """Ask once, as a drain does again and again. Raises KubectlError where a budget is against it."""
        asked = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod, "namespace": self.namespace},
            "deleteOptions": {"dryRun": ["All"] if dry_run else []},
        }
        place = f"/api/v1/namespaces/{self.namespace}/pods/{pod}/eviction"
        self.kubectl("create", f"--raw={place}", "--filename=-", given=json.dumps(asked))

    def watch(self, component: str) -> PodWatch:
        """Its pods from now on."""
        self._watches += 1
        return PodWatch(
            self.kubectl, self.namespace, component, self._directory / f"{component}-{self._watches}.log"
        )

    def lose_readiness(self, *pods: str) -> None:
        """As a kubelet that finds `/readyz` failing."""
        lost = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}
        for name in pods:
            self.kubectl(
                *("patch", "pod", name, self._in(), "--subresource=status", "--type=strategic"),
                f"--patch={json.dumps(lost)}",
            )

    def remove(self) -> None:
        """All of it; the plane is as it was."""
        self.kubectl("delete", "namespace", self.namespace, "--ignore-not-found", "--wait=false")
        # Nobody else ends those of a host that has died.
        self.kubectl("delete", "pods", "--all", self._in(), "--force", "--grace-period=0")
        self.kubectl("wait", "--for=delete", f"namespace/{self.namespace}", TIMEOUT)
        self.plane.remove_hosts()

    def say(self, words: str) -> str:
        """What the words of the runbooks say, for this overlay."""
        script = f". deploy/runbooks/on-kubernetes.sh; {words}"
        where = {"NAMESPACE": self.namespace, "OVERLAY": f"deploy/kubernetes/{self.overlay}"}
        return output_of(
            ["bash", "-euc", script],
            timeout_s=300,
            failure=KubectlError,
            env={**self.kubectl.env, **where},
            cwd=ROOT,
        )

    def _ready(self, component: str, replicas: int) -> bool:
        return len(self.hosts_of(component)) == len(self.pods(component)) == replicas

    def _in(self) -> str:
        return f"--namespace={self.namespace}"

    def _place(self, release: str) -> Path:
        if release == ENGINE_VERSION:
            return PLACE / self.overlay
        written = self._directory / f"release-{release}"
        written.mkdir(exist_ok=True)
        (written / "kustomization.yaml").write_text(
            json.dumps(
                {
                    "resources": [os.path.relpath(PLACE / self.overlay, written)],
                    "images": [{"name": "registry.example.com/unimargin", "newTag": release}],
                }
            )
        )
        return written
