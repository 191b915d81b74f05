"""`unimargin shadow` beside a real worker: who would differ, and that nothing is written."""

from pathlib import Path

import pytest

from tests.support.cli import unimargin
from tests.support.cluster import POLICY_FILE, Cluster
from tests.support.inputs import MARKS, deposit, fill, mark
from tests.support.redis_view import read_account
from tests.support.sender import Sender
from tests.support.waiting import wait_for

pytestmark = pytest.mark.system


def stricter(path: Path) -> Path:
    text = POLICY_FILE.read_text()
    assert "margin_call = 1.2" in text
    path.write_text(
        text.replace("margin_call = 1.2", "margin_call = 1.45").replace('name = "', 'name = "strict-', 1)
    )
    return path


def dumped(cluster: Cluster) -> dict[bytes, bytes | None]:
    with cluster.client() as client:
        return {key: client.dump(key) for key in client.scan_iter()}


def test_shadow_when_a_stricter_policy_is_tried_then_who_would_be_called_and_nothing_is_written(
    cluster: Cluster, tmp_path: Path
) -> None:
    worker = cluster.worker()
    sender = Sender(cluster.bootstrap)
    worker.wait_ready()
    for symbol in MARKS:
        sender.prices(mark(symbol), symbol)
    # 340 against 5 % of 0.1 * 50,000: 1.36, a warning; under the other policy a call
    sender.inputs(deposit("near", "340"), fill("near"), deposit("far", "100000"), fill("far"))
    wait_for("the worker has taken both", lambda: read_account(cluster.redis.url, "far") is not None, 30)
    worker.close()
    before = dumped(cluster)
    # what no worker has taken yet: both policies see it
    sender.inputs(deposit("near", "1"))
    for symbol in MARKS:
        sender.prices(mark(symbol), symbol)
    sender.flush()
    env = {
        "UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS": cluster.bootstrap,
        "UNIMARGIN_REDIS_URL": cluster.redis.url,
        "UNIMARGIN_POLICY_FILE": str(POLICY_FILE),
    }
    said = unimargin(
        "shadow", "--policy", str(stricter(tmp_path / "strict.toml")), "--seconds", "4", "--json", env=env
    )
    assert said.code == 0, said.err
    started, *_, ended = said.json_lines
    assert started["started"]["accounts"] == 2
    (differs,) = ended["ended"]["differing"]
    assert (differs["account"], differs["band"], differs["shadow_band"]) == ("near", "warning", "margin_call")
    assert ended["ended"]["judged"]
    assert ended["ended"]["tally"]["called_only_shadow"] == 1
    assert dumped(cluster) == before
