"""What deploy/ says fits the service: its rules name metrics that there are, and each is tested."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from stream_scorer.certificates import Certificates
from stream_scorer.metrics import Metrics
from stream_scorer.model import Model
from stream_scorer.monitor.board import Board

DEPLOY = Path(__file__).parents[1] / "deploy"
SUFFIXES = {
    "counter": ("_total",),
    "info": ("_info",),
    "histogram": ("_bucket", "_count", "_sum"),
    "gauge": ("",),
}


def rules() -> Iterator[dict[str, Any]]:
    """Yield each recording and each alerting rule."""
    for group in yaml.safe_load((DEPLOY / "prometheus/rules.yml").read_text())["groups"]:
        yield from group["rules"]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


@pytest.fixture(scope="module")
def exported(tiny: Model) -> set[str]:
    """Return the names that scorer and monitor export."""
    registry = CollectorRegistry()
    Metrics(registry, tiny)
    Board(registry, top_k=1)
    registry.register(Certificates([]))
    return {
        family.name + suffix
        for family in registry.collect()
        for suffix in SUFFIXES.get(family.type, ("",))
    }


def test_every_metric_in_a_rule_is_exported(exported: set[str]) -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    for rule in rules():
        named = set(re.findall(r"\b(?:scorer|monitor)[_:][a-z0-9_:]+", rule["expr"]))
        assert named - recorded <= exported, rule


def test_every_alert_says_how_urgent_it_is_and_has_its_heading_in_the_runbook() -> None:
    headings = re.findall(r"^### (\w+)$", (DEPLOY / "README.md").read_text(), re.MULTILINE)
    assert headings == [rule["alert"] for rule in alerts()]
    for rule in alerts():
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["runbook"] == f"deploy/README.md#{rule['alert'].lower()}"


def test_every_alert_is_seen_to_fire_and_not_to_fire() -> None:
    tests = yaml.safe_load((DEPLOY / "prometheus/rules_test.yml").read_text())["tests"]
    seen: dict[bool, set[str]] = {True: set(), False: set()}
    for each in (one for test in tests for one in test["alert_rule_test"]):
        seen[bool(each["exp_alerts"])].add(each["alertname"])
    names = {rule["alert"] for rule in alerts()}
    assert seen == {True: names, False: names}


@pytest.mark.integration
def test_rules_do_what_their_own_tests_say() -> None:
    promtool = shutil.which("promtool")
    assert promtool, "promtool is missing: Debian's package prometheus has it"
    done = subprocess.run(
        [promtool, "test", "rules", "rules_test.yml"],
        cwd=DEPLOY / "prometheus",
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
