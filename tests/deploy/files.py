"""Where the files under test are, read once the way their consumers read them."""

import json
import tomllib
from functools import cache
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
DASHBOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
RULES = DEPLOY / "prometheus" / "rules" / "margin.yml"
RUNBOOKS = DEPLOY / "runbooks"


def compose():
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


@cache
def rules():
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def alerts():
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def recorded():
    return {rule["record"] for rule in rules() if "record" in rule}


def dashboards():
    """By file name without its ending."""
    return {path.stem: json.loads(path.read_text()) for path in DASHBOARDS}


def topics():
    return tomllib.loads((DEPLOY / "kafka" / "topics.toml").read_text())["topics"]
