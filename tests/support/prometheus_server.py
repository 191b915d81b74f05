"""A real Prometheus on loopback that scrapes real targets, with the rules and runbooks of `deploy/`."""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import yaml

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
START_SECONDS_MAX = 20.0
WORKER_JOB = "unimargin-worker"


class Sample(NamedTuple):
    """One series of an instant query."""

    labels: dict[str, str]
    value: float


class QueryFailedError(AssertionError):
    """Prometheus refused an expression; the message is its own."""


class RealPrometheus:
    """`prometheus` as a child process: every second it scrapes workers and `others` ("host:port") and evaluates the rules.

    The configuration is `deploy/prometheus/prometheus.yml` with the intervals shortened, the addresses of workers and, by job, of
    `others` replaced, jobs without one left out, and no Alertmanager. Use it as a context manager; `directory` takes its configuration,
    data and log.
    """

    def __init__(self, targets: Sequence[str], directory: Path, **others: str) -> None:
        self._targets = {WORKER_JOB: list(targets), **{job: [address] for job, address in others.items()}}
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        binary = shutil.which("prometheus")
        assert binary, "prometheus is not installed (Debian package: prometheus)"
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        config = self._directory / "prometheus.yml"
        config.write_text(yaml.safe_dump(self._config()))
        with (self._directory / "prometheus.log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    binary,
                    f"--config.file={config}",
                    f"--storage.tsdb.path={self._directory / 'data'}",
                    f"--web.listen-address=127.0.0.1:{port}",
                    f"--web.user-assets={DEPLOY / 'runbooks'}",
                    "--log.level=warn",
                ],
                stdout=log,
                stderr=log,
            )
        try:
            self.wait_until(self._ready, "prometheus is ready")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """End the child; a second call does nothing."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def query(self, expr: str) -> list[Sample]:
        """Run an instant query; a scalar comes back as one sample without labels."""
        data = self._get("/api/v1/query", {"query": expr})
        if data["resultType"] == "scalar":
            return [Sample({}, float(data["result"][1]))]
        return [Sample(series["metric"], float(series["value"][1])) for series in data["result"]]

    def rules(self) -> list[dict[str, Any]]:
        """All loaded rules with their health and last error."""
        return [rule for group in self._get("/api/v1/rules", {})["groups"] for rule in group["rules"]]

    def wait_until(
        self, condition: Callable[[], bool], what: str, seconds_max: float = START_SECONDS_MAX
    ) -> None:
        """Poll `condition`; fail with the server's log when it does not hold in time."""
        deadline = time.monotonic() + seconds_max
        while not condition():
            exited = self._process is not None and self._process.poll() is not None
            if exited or time.monotonic() > deadline:
                log = (self._directory / "prometheus.log").read_text()[-2000:]
                raise AssertionError(f"not in time: {what}\n{log}")
            time.sleep(0.1)

    def wait_for_rates(self) -> None:
        """Wait until every target has been scraped six times (a rate needs two) and every rule has run since."""
        scraped = "count_over_time(up[1m]) >= 6 and up == 1"
        targets = sum(map(len, self._targets.values()))
        self.wait_until(lambda: len(self.query(scraped)) == targets, "all targets scraped six times")
        since = datetime.now(tz=UTC)
        self.wait_until(
            lambda: all(datetime.fromisoformat(rule["lastEvaluation"]) > since for rule in self.rules()),
            "all rules evaluated",
        )

    def _ready(self) -> bool:
        try:
            with urlopen(f"{self.url}/-/ready", timeout=1) as response:
                return bool(response.status == 200)
        except (URLError, OSError):
            return False

    def _config(self) -> dict[str, Any]:
        text = (DEPLOY / "prometheus" / "prometheus.yml").read_text()
        config: dict[str, Any] = yaml.safe_load(text)
        config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
        config["rule_files"] = [str(DEPLOY / "prometheus" / path) for path in config["rule_files"]]
        del config["alerting"]
        jobs = {job["job_name"]: job for job in config["scrape_configs"]}
        assert set(self._targets) <= set(jobs), f"prometheus.yml has not all of {set(self._targets)}"
        config["scrape_configs"] = [
            {**jobs[job], "static_configs": [{"targets": targets}]} for job, targets in self._targets.items()
        ]
        return config

    def _get(self, path: str, parameters: dict[str, str]) -> Any:
        try:
            with urlopen(f"{self.url}{path}?{urlencode(parameters)}", timeout=10) as response:
                return json.load(response)["data"]
        except URLError as error:
            body = error.read().decode() if hasattr(error, "read") else str(error)
            raise QueryFailedError(f"{parameters}: {body}") from error


def dashboard_queries(dashboard_path: Path, rate_interval: str = "5s") -> list[tuple[str, str]]:
    """(panel title, expression) of every query, Grafana's variables replaced; fails on one it does not know."""
    dashboard = json.loads(dashboard_path.read_text())
    queries = [
        (panel["title"], target["expr"])
        for panel in dashboard["panels"]
        for target in panel.get("targets", [])
    ]
    queries += [(note["name"], note["expr"]) for note in dashboard["annotations"]["list"]]
    replaced = [(title, expr.replace("$__rate_interval", rate_interval)) for title, expr in queries]
    unknown = [expr for _, expr in replaced if "$" in expr]
    assert not unknown, f"variables without a value here: {unknown}"
    return replaced


def check_all_queries(
    prometheus: RealPrometheus, dashboards: Iterable[Path], may_be_empty: Collection[str] = ()
) -> dict[str, list[Sample]]:
    """Run every panel query and recorded series: each must parse, run and return at least one series.

    `may_be_empty` names panels and recorded series whose silence is right (nothing quarantined, no worker restarted).
    Returns the samples by expression. All failures are reported at once.
    """
    recorded = [(rule["name"], rule["name"]) for rule in prometheus.rules() if rule["type"] == "recording"]
    assert recorded, "no recording rules loaded"
    results: dict[str, list[Sample]] = {}
    failures = [
        f"{rule['name']}: {rule.get('lastError')}" for rule in prometheus.rules() if rule["health"] != "ok"
    ]
    shown = [query for path in dashboards for query in dashboard_queries(path)]
    for name, expr in [*shown, *recorded]:
        try:
            results[expr] = prometheus.query(expr)
        except QueryFailedError as error:
            failures.append(f"{name}: {error}")
            continue
        if not results[expr] and name not in may_be_empty:
            failures.append(f"{name}: no series for {expr}")
    assert not failures, "\n".join(failures)
    return results


def free_port() -> int:
    """Return a TCP port of loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
