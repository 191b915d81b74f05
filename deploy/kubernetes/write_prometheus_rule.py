"""Write the rules of Prometheus as the operator of a cluster reads them: `make kubernetes`.

    python -m deploy.kubernetes.write_prometheus_rule [--runbooks https://.../runbooks]

What is checked in under `base/` is what this writes; a test compares. Prometheus itself hands the runbooks out where we start it; in a
cluster it does not, so `--runbooks` says where alerts link to.
"""

import argparse
from pathlib import Path

import yaml

RULES = Path(__file__).parents[1] / "prometheus" / "rules" / "margin.yml"
RULE_FILE = Path(__file__).parent / "base" / "prometheus-rule.yaml"
SERVED_BY_PROMETHEUS = "{{ $externalURL }}/user"


def prometheus_rule(runbooks: str = SERVED_BY_PROMETHEUS) -> str:
    """The resource as text."""
    groups = yaml.safe_load(RULES.read_text().replace(SERVED_BY_PROMETHEUS, runbooks))["groups"]
    resource = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "unimargin"},
        "spec": {"groups": groups},
    }
    head = "# Written by `make kubernetes` from ../../prometheus/rules/margin.yml: change that.\n"
    return head + yaml.safe_dump(resource, sort_keys=False, allow_unicode=True, width=140)


def main() -> None:
    """Write it."""
    parser = argparse.ArgumentParser(description="Write base/prometheus-rule.yaml.")
    parser.add_argument(
        "--runbooks", default=SERVED_BY_PROMETHEUS, help="where alerts link to, without the page"
    )
    RULE_FILE.write_text(prometheus_rule(parser.parse_args().runbooks))


if __name__ == "__main__":
    main()
