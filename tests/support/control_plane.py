"""A Kubernetes of real servers on loopback: API server, controllers, scheduler, etcd; KWOK in the place of kubelets, so that no container runs."""

import json
import secrets
import socket
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from streams.embedded.child import TetheredProcess
from streams.embedded.ports import LOOPBACK, free_port
from tests.support.certificates import Authority, Certificate
from tests.support.kubectl import Kubectl, KubectlError
from tests.support.kubernetes_binaries import MODULE, kubernetes_binaries
from tests.support.waiting import wait_for

START_S = 120.0
STOP_S = 20.0
HOST_SIZE = {"cpu": "4", "memory": "8Gi", "pods": "110"}
ROOT = Path(__file__).parents[2]


class ControlPlane:
    """Started on entry, ended on exit. `kubectl` may do everything, from the root of this checkout."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory, self._running = directory, ExitStack()
        self._kubelets: dict[str, TetheredProcess] = {}
        self._port = free_port()
        self.config = directory / "kubeconfig"
        self.kubectl = Kubectl(self.config, cwd=ROOT)
        self.definitions = kubernetes_binaries() / "definitions"

    def add_hosts(self, *names: str) -> None:
        """Hosts that are ready, each with a KWOK of its own for a kubelet."""
        for name in names:
            host = {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
                "status": {"capacity": HOST_SIZE, "allocatable": HOST_SIZE},
            }
            self.kubectl("create", "--filename=-", given=json.dumps(host))
            self._kubelets[name] = self._kubelet(name)
        # The controllers taint a host until they have seen that it is ready, and pods avoid it meanwhile.
        wait_for("all hosts are ready", self._hosts_ready)

    def _hosts_ready(self) -> bool:
        hosts = self.kubectl.resource("nodes")
        ready = {"type": "Ready", "status": "True"}
        return not any("taints" in it["spec"] for it in hosts) and all(
            any(ready.items() <= condition.items() for condition in it["status"].get("conditions", ()))
            for it in hosts
        )

    def kill_host(self, name: str) -> None:
        """It says nothing more, and does nothing that it is told."""
        self._kubelets[name].kill()

    def remove_hosts(self) -> None:
        """All of them."""
        self.kubectl("delete", "node", "--all")
        for kubelet in self._kubelets.values():
            kubelet.stop(STOP_S)
        self._kubelets.clear()

    def __enter__(self) -> Self:
        try:
            self._start_all()
        except BaseException:
            self._running.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()

    def _start_all(self) -> None:
        authority = Authority(self._directory / "certificates")
        service_accounts = authority.issue("service-accounts")
        token = secrets.token_hex()
        self._write_config(authority.ca, token)
        etcd_url = self._start_etcd()
        self._start_api_server(etcd_url, authority.issue("api-server"), service_accounts, token)
        self._start_client(
            "kube-controller-manager",
            *("--kubeconfig", str(self.config), "--leader-elect=false"),
            *("--service-account-private-key-file", str(service_accounts.key)),
            *("--root-ca-file", str(authority.ca)),
        )
        self._start_client("kube-scheduler", "--config", str(self._scheduler_config()))

    def _kubelet(self, host: str) -> TetheredProcess:
        port = free_port()
        return self._start(
            *("kwok", port, "--kubeconfig", str(self.config), "--manage-single-node", host),
            *("--config", str(MODULE / "stages.yaml"), "--server-address", f"{LOOPBACK}:{port}"),
            # As a kubelet; without it nothing says that the host lives.
            *("--node-lease-duration-seconds=40",),
        )

    def _start_etcd(self) -> str:
        port, peer_url = free_port(), f"http://{LOOPBACK}:{free_port()}"
        url = f"http://{LOOPBACK}:{port}"
        self._start(
            *("etcd", port, "--data-dir", str(self._directory / "etcd"), "--unsafe-no-fsync"),
            *("--listen-client-urls", url, "--advertise-client-urls", url),
            *("--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url),
            *("--initial-cluster", f"default={peer_url}"),
        )
        return url

    def _start_api_server(
        self, etcd_url: str, own: Certificate, service_accounts: Certificate, token: str
    ) -> None:
        tokens = self._directory / "tokens.csv"
        tokens.write_text(f"{token},operator,operator,system:masters\n")
        started = self._start(
            *("kube-apiserver", self._port, "--etcd-servers", etcd_url, "--secure-port", str(self._port)),
            *("--bind-address", LOOPBACK, "--advertise-address", LOOPBACK, "--endpoint-reconciler-type=none"),
            *("--tls-cert-file", str(own.certificate), "--tls-private-key-file", str(own.key)),
            *("--token-auth-file", str(tokens), "--authorization-mode=RBAC"),
            *("--service-account-issuer=https://kubernetes.default.svc",),
            *("--service-account-key-file", str(service_accounts.certificate)),
            *("--service-account-signing-key-file", str(service_accounts.key)),
            *("--service-cluster-ip-range=10.96.0.0/16",),
            # 300 unless told otherwise: how long pods stay on a host that says nothing.
            *("--default-unreachable-toleration-seconds=10",),
        )

        def problem() -> str | None:
            try:
                self.kubectl("get", "--raw=/readyz")
            except KubectlError as error:
                return str(error)
            return None

        started.wait_ready(problem, START_S)

    def _start_client(self, name: str, *words: str) -> None:
        port = free_port()
        self._start(name, port, "--bind-address", LOOPBACK, "--secure-port", str(port), *words)

    def _start(self, name: str, port: int, *words: str) -> TetheredProcess:
        """Returns once it listens on its port."""
        process = TetheredProcess(
            name, [str(kubernetes_binaries() / name), *words], log=self._directory / f"{name}.log"
        )
        self._running.callback(process.stop, STOP_S)
        process.start()

        def problem() -> str | None:
            try:
                socket.create_connection((LOOPBACK, port), timeout=1).close()
            except OSError as error:
                return str(error)
            return None

        process.wait_ready(problem, START_S)
        return process

    def _write_config(self, ca: Path, token: str) -> None:
        named = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "own",
                    "cluster": {
                        "server": f"https://{LOOPBACK}:{self._port}",
                        "certificate-authority": str(ca),
                    },
                }
            ],
            "users": [{"name": "operator", "user": {"token": token}}],
            "contexts": [{"name": "own", "context": {"cluster": "own", "user": "operator"}}],
            "current-context": "own",
        }
        self.config.write_text(json.dumps(named))

    def _scheduler_config(self) -> Path:
        """The scheduler as it is by default, but for where it finds the API server."""
        written = self._directory / "scheduler.json"
        written.write_text(
            json.dumps(
                {
                    "apiVersion": "kubescheduler.config.k8s.io/v1",
                    "kind": "KubeSchedulerConfiguration",
                    "clientConnection": {"kubeconfig": str(self.config)},
                    "leaderElection": {"leaderElect": False},
                }
            )
        )
        return written
