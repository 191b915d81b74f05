"""Where the files under test are, read once the way their consumers read them."""

import json
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
DASHBOARD = DEPLOY / "grafana" / "dashboards" / "overview.json"
RULES = DEPLOY / "prometheus" / "rules" / "margin.yml"
RUNBOOKS = DEPLOY / "runbooks"


def compose():
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def rules():
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def alerts():
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def recorded():
    return {rule["record"] for rule in rules() if "record" in rule}


def dashboard():
    return json.loads(DASHBOARD.read_text())


def topics():
    return tomllib.loads((DEPLOY / "kafka" / "topics.toml").read_text())["topics"]
