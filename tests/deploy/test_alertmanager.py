import http.server
import json
import shutil
import subprocess
import threading
import time
from urllib.request import Request, urlopen

import pytest
import yaml

from tests.deploy.files import DEPLOY, alerts
from tests.support.prometheus_server import free_port

CONFIG = DEPLOY / "alertmanager" / "alertmanager.yml"


def amtool(*arguments):
    binary = shutil.which("amtool")
    assert binary, "amtool is not installed (Debian package: prometheus-alertmanager)"
    return subprocess.run([binary, *arguments], capture_output=True, text=True, check=False)


def test_alertmanager_accepts_its_configuration():
    result = amtool("check-config", str(CONFIG))
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(("severity", "receiver"), [("critical", "page"), ("warning", "ticket")])
def test_severity_decides_who_is_told(severity, receiver):
    result = amtool("config", "routes", "test", f"--config.file={CONFIG}", f"severity={severity}")
    assert result.stdout.strip() == receiver, result.stderr


def test_inhibitions_name_alerts_that_exist():
    for rule in yaml.safe_load(CONFIG.read_text())["inhibit_rules"]:
        for matcher in rule["source_matchers"] + rule["target_matchers"]:
            names = matcher.partition('"')[2].rstrip('"').split("|")
            assert set(names) <= set(alerts()), matcher


def test_webhook_files_are_where_compose_mounts_them_and_lead_nowhere():
    receivers = yaml.safe_load(CONFIG.read_text())["receivers"]
    for receiver in receivers:
        path = receiver["slack_configs"][0]["api_url_file"]
        assert path == f"/etc/alertmanager/webhooks/{receiver['name']}.url"
        placeholder = (DEPLOY / "alertmanager" / "webhooks" / f"{receiver['name']}.url").read_text()
        assert placeholder.startswith("http://127.0.0.1:9/")
        assert placeholder == placeholder.strip(), "a line end would become part of the address"


@pytest.fixture
def webhook():
    """A web server that keeps what is posted to it: (port, [(path, body)])."""
    received = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((self.path, json.loads(body)))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port, received
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def alertmanager(webhook, tmp_path):
    """A real Alertmanager with our configuration, its webhooks leading to `webhook`."""
    port = free_port()
    for name in ("page", "ticket"):
        (tmp_path / f"{name}.url").write_text(f"http://127.0.0.1:{webhook[0]}/{name}")
    config = tmp_path / "alertmanager.yml"
    config.write_text(CONFIG.read_text().replace("/etc/alertmanager/webhooks", str(tmp_path)))
    binary = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    assert binary, "alertmanager is not installed (Debian package: prometheus-alertmanager)"
    command = [binary, f"--config.file={config}", f"--storage.path={tmp_path / 'data'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 15
        while True:
            try:
                urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=1).close()
                break
            except OSError:
                running = process.poll() is None and time.monotonic() < deadline
                assert running, (tmp_path / "log").read_text()
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=10)


def send(url, *batch):
    body = json.dumps(
        [
            {
                "labels": {"alertname": name, "severity": severity},
                "annotations": {
                    "summary": f"S {name}",
                    "description": "D",
                    "runbook_url": f"http://x/{name}.md",
                },
            }
            for name, severity in batch
        ]
    ).encode()
    request = Request(f"{url}/api/v2/alerts", data=body, headers={"Content-Type": "application/json"})
    urlopen(request, timeout=5).close()


def test_critical_alert_reaches_the_page_webhook_with_its_runbook_and_silences_its_consequence(
    alertmanager, webhook
):
    received = webhook[1]
    send(alertmanager, ("MarginNoWorker", "critical"), ("MarginShardsMissing", "critical"))
    deadline = time.monotonic() + 15
    while not received and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(1)
    assert [path for path, _ in received] == ["/page"]
    (message,) = received[0][1]["attachments"]
    assert message["title"] == "[FIRING] MarginNoWorker (1)"
    assert "S MarginNoWorker" in message["text"]
    assert "Runbook: http://x/MarginNoWorker.md" in message["text"]
