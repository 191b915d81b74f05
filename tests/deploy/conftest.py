"""Control planes for the long tests of Kubernetes: started for those that ask, and only then."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.control_plane import ControlPlane
from tests.support.kubernetes_cluster import OverlayOnHosts

Deploy = Callable[[str, int], OverlayOnHosts]
"""By the name of the overlay, and how many hosts there are."""


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """One for all, which knows the Prometheus operator's resources."""
    with ControlPlane(tmp_path_factory.mktemp("control-plane")) as started:
        started.kubectl("apply", "--server-side", f"--filename={started.definitions}")
        started.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        yield started


@pytest.fixture
def prepared(plane: ControlPlane, tmp_path: Path) -> Iterator[Deploy]:
    """Hosts, namespace and secrets for an overlay."""
    made: list[OverlayOnHosts] = []

    def prepare(overlay: str, hosts: int) -> OverlayOnHosts:
        made.append(OverlayOnHosts(plane, overlay, hosts, tmp_path / overlay))
        made[-1].prepare()
        return made[-1]

    yield prepare
    for it in made:
        it.remove()


@pytest.fixture
def deployed(prepared: Deploy) -> Deploy:
    """An overlay, all of it ready."""

    def deploy(overlay: str, hosts: int) -> OverlayOnHosts:
        made = prepared(overlay, hosts)
        made.apply()
        made.wait_ready()
        return made

    return deploy
