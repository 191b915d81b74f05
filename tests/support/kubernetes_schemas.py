"""What an API server would say to resources: schemas of Kubernetes itself, and of the Prometheus operator.

    python -m tests.support.kubernetes_schemas

installs the second ahead of the tests; the first come with a package of the development group.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

from tests.support.npm_project import NpmProject, NpmProjectError

OPERATOR = NpmProject(Path(__file__).parent / "kubernetes_crds")
OPERATOR_API = "monitoring.coreos.com/"
VERSIONS = ("1.30", "1.37")
"""The oldest that has all that is used, and the newest that is known."""


def built(overlay: Path) -> list[dict[str, Any]]:
    """The resources that `kubectl apply --kustomize` would send."""
    kubectl = Path(sys.executable).with_name("kubectl")
    done = subprocess.run(
        [kubectl, "kustomize", overlay], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def complaints(resources: list[dict[str, Any]]) -> list[str]:
    """What is wrong with them, each with the resource's kind and name: unknown fields as well."""
    found = []
    for resource in resources:
        if not resource["apiVersion"].startswith(OPERATOR_API):
            for version in VERSIONS:
                try:
                    kubernetes_validate.validate(resource, version, strict=True)
                except (
                    kubernetes_validate.ValidationError,
                    kubernetes_validate.SchemaNotFoundError,
                ) as error:
                    found.append(f"{_name(resource)}, {version}: {error.message}")
    custom = [it for it in resources if it["apiVersion"].startswith(OPERATOR_API)]
    verdicts = json.loads(OPERATOR.validate(json.dumps(custom)))
    found += [f"{_name(it)}: {said}" for it, said in zip(custom, verdicts, strict=True) if said]
    return found


def _name(resource: dict[str, Any]) -> str:
    return f"{resource['kind']} {resource['metadata']['name']}"


if __name__ == "__main__":
    try:
        OPERATOR.install()
    except NpmProjectError as error:
        sys.exit(str(error))
