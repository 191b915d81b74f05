"""The servers of Kubernetes, etcd and KWOK, and the resources of the Prometheus operator: made once, into `.cache/kubernetes` of this checkout.

    python -m tests.support.kubernetes_binaries

makes them ahead of the tests. It compiles some 2,700 packages, twenty minutes on two busy cores: too long for CI. `kubernetes_servers/go.mod` pins what is
compiled; a change of it compiles anew. Go 1.21 or later fetches by itself the Go that it names.
"""

import fcntl
import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

from tests.support.commands import output_of

MODULE = Path(__file__).parent / "kubernetes_servers"
SERVERS = {
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
    "etcd": "go.etcd.io/etcd/server/v3",
    "kwok": "sigs.k8s.io/kwok/cmd/kwok",
}
OPERATOR = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
"""Not compiled: its module carries the definitions of its resources as files."""
OPERATOR_SUM = "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s="
DEFINITIONS = ("servicemonitors", "prometheusrules")
CACHE = Path(__file__).parents[2] / ".cache" / "kubernetes"
# Written last: says of which go.mod and go.sum all of it is made.
STAMP = "complete.sha256"
BUILD_TIMEOUT_S = 7200
DOWNLOAD_TIMEOUT_S = 300


class KubernetesBinariesError(RuntimeError):
    """They could not be built; the message carries what Go said."""


def kubernetes_binaries() -> Path:
    """The directory with a binary for each of `SERVERS` and `definitions/`, made first where it is not there. Safe to call from many processes."""
    wanted = hashlib.sha256(
        b"".join((MODULE / name).read_bytes() for name in ("go.mod", "go.sum")) + OPERATOR_SUM.encode()
    ).hexdigest()
    stamp = CACHE / STAMP
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != wanted:
            go = shutil.which("go")
            if go is None:
                raise KubernetesBinariesError("go is not on PATH: 1.21 or later is needed, 1.26 is used")
            _definitions(go)
            for name, package in SERVERS.items():
                _build(go, name, package)
            stamp.write_text(wanted)
    return CACHE


def _build(go: str, name: str, package: str) -> None:
    # Without it a server of Kubernetes calls itself v0.0.0-master, which kubectl cannot read.
    version = f"-X k8s.io/component-base/version.gitVersion={_version(go)}"
    output_of(
        [go, "build", "-buildvcs=false", f"-ldflags=-s -w {version}", "-o", str(CACHE / name), package],
        timeout_s=BUILD_TIMEOUT_S,
        failure=KubernetesBinariesError,
        env={**os.environ, "CGO_ENABLED": "0"},
        cwd=MODULE,
    )


def _version(go: str) -> str:
    said = output_of(
        [go, "list", "-m", "-f", "{{.Version}}", "k8s.io/kubernetes"],
        timeout_s=DOWNLOAD_TIMEOUT_S,
        failure=KubernetesBinariesError,
        cwd=MODULE,
    )
    return said.strip()


def _definitions(go: str) -> None:
    said = output_of(
        [go, "mod", "download", "-json", OPERATOR],
        timeout_s=DOWNLOAD_TIMEOUT_S,
        failure=KubernetesBinariesError,
        cwd=CACHE,
    )
    module = json.loads(said)
    if module["Sum"] != OPERATOR_SUM:
        raise KubernetesBinariesError(f"{OPERATOR} is {module['Sum']}, not {OPERATOR_SUM}")
    place = CACHE / "definitions"
    place.mkdir(exist_ok=True)
    for name in DEFINITIONS:
        source = f"example/prometheus-operator-crd/monitoring.coreos.com_{name}.yaml"
        shutil.copyfile(Path(module["Dir"]) / source, place / f"{name}.yaml")


if __name__ == "__main__":
    try:
        kubernetes_binaries()
    except KubernetesBinariesError as error:
        sys.exit(str(error))
