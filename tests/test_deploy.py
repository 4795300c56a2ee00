"""What deploy/ says fits the service: its rules name metrics that there are, and each is tested."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from prometheus_client import CollectorRegistry

from stream_scorer import __version__, certificates
from stream_scorer.config import Settings
from stream_scorer.metrics import Metrics
from stream_scorer.model import Model
from stream_scorer.monitor.board import Board
from tests.compose import DEPLOY, command_of, compose, our_services

KUBERNETES = DEPLOY / "kubernetes"
RULES = (DEPLOY / "prometheus/rules.yml").read_text()
KUBERNETES_VERSION = "1.33"
SUFFIXES = {
    "counter": ("_total",),
    "info": ("_info",),
    "histogram": ("_bucket", "_count", "_sum"),
    "gauge": ("",),
}


def rules(text: str = RULES) -> Iterator[dict[str, Any]]:
    """Yield each recording and each alerting rule."""
    for group in yaml.safe_load(text)["groups"]:
        yield from group["rules"]


def alerts(text: str = RULES) -> list[dict[str, Any]]:
    return [rule for rule in rules(text) if "alert" in rule]


@pytest.fixture(scope="module")
def exported(tiny: Model) -> set[str]:
    """Return the names that scorer and monitor export."""
    registry = CollectorRegistry()
    Metrics(registry, tiny)
    Board(registry, top_k=1)
    certificates.gauge(registry)
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


def dashboard() -> dict[str, Any]:
    """Return the dashboard as Grafana reads it."""
    found: dict[str, Any] = json.loads(
        (DEPLOY / "grafana/dashboards/stream-scorer.json").read_text()
    )
    return found


def expressions() -> Iterator[str]:
    """Yield each query of the dashboard."""
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]


def test_every_metric_on_the_dashboard_is_exported_or_recorded(exported: set[str]) -> None:
    known = exported | {rule["record"] for rule in rules() if "record" in rule}
    for expression in expressions():
        named = set(re.findall(r"\b(?:scorer|monitor)[_:][a-z0-9_:]+", expression))
        assert named <= known, expression


def test_every_panel_says_what_it_is_for() -> None:
    board = dashboard()
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    assert all(panel["description"] for panel in panels)
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def manifests() -> Iterator[dict[str, Any]]:
    """Yield each Kubernetes object of the base and the overlays."""
    for file in sorted(KUBERNETES.glob("*/*.yaml")):
        if file.name != "kustomization.yaml":
            yield from (each for each in yaml.safe_load_all(file.read_text()) if each)


def own(manifest: dict[str, Any]) -> bool:
    """Tell an object of Kubernetes itself from those of operators, which bring their schemas."""
    domain = manifest["apiVersion"].rpartition("/")[0]
    return "." not in domain or domain.endswith(".k8s.io")


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each pod's specification with the name of what makes it."""
    for each in manifests():
        if "template" in each.get("spec", {}):
            yield each["metadata"]["name"], each["spec"]["template"]["spec"]


def test_manifests_are_as_kubernetes_wants_them() -> None:
    checked = [each for each in manifests() if own(each)]
    assert len(checked) > 10
    for each in checked:
        kubernetes_validate.validate(each, KUBERNETES_VERSION, strict=True)


def test_every_resource_of_a_kustomization_is_there_and_every_file_is_a_resource() -> None:
    for file in KUBERNETES.glob("*/kustomization.yaml"):
        named = set(yaml.safe_load(file.read_text()).get("resources", ()))
        there = {each.name for each in file.parent.glob("*.yaml")} - {"kustomization.yaml"}
        assert named == there


@pytest.mark.parametrize(("name", "pod"), [*pods()], ids=[name for name, _ in pods()])
def test_pod_may_do_nothing_that_it_need_not(name: str, pod: dict[str, Any]) -> None:
    del name
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        rights = container["securityContext"]
        assert rights["capabilities"] == {"drop": ["ALL"]}
        assert rights["readOnlyRootFilesystem"]
        assert not rights["allowPrivilegeEscalation"]
        assert container["resources"]["limits"]["memory"]
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}


def test_services_of_the_composition_may_do_nothing_that_they_need_not() -> None:
    for service in our_services().values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_nothing_is_reached_from_other_machines() -> None:
    for service in compose()["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def of_kubernetes() -> Iterator[dict[str, str]]:
    """Yield the SCORER_ variables of each pod of ours."""
    base = yaml.safe_load((KUBERNETES / "base/kustomization.yaml").read_text())
    literals = next(each for each in base["configMapGenerator"] if each["name"] == "scorer")
    common = dict(line.split("=", 1) for line in literals["literals"])
    for _, pod in pods():
        for container in pod["containers"]:
            if container["image"].startswith("stream-scorer"):
                env = container.get("env", ())
                assert container["envFrom"] == [{"configMapRef": {"name": "scorer"}}]
                yield common | {each["name"]: each.get("value", "pod-0") for each in env}


def test_every_variable_is_a_setting_with_a_value_that_is_taken(tmp_path: Path) -> None:
    environs = [*of_kubernetes(), *(each["environment"] for each in our_services().values())]
    assert len(environs) >= 7
    secret = tmp_path / "secret"
    secret.write_text("sqlite:///x.db")
    for environ in environs:
        here = {
            key: str(secret) if key.endswith("_FILE") else str(value)
            for key, value in environ.items()
        }
        Settings.load(environ=here)


def test_topics_are_those_of_the_settings() -> None:
    made = re.findall(r"^create (\S+)", (KUBERNETES / "base/topics.sh").read_text(), re.MULTILINE)
    environ = our_services()["scorer-1"]["environment"]
    settings = Settings.load(environ={key: str(value) for key, value in environ.items()})
    wanted = {settings.transactions_topic, *settings.outputs, settings.labels_topic}
    assert set(made) >= wanted | {settings.quality_topic, settings.parking_topic}


def test_rules_for_prometheus_operator_are_those_they_are_a_copy_of() -> None:
    wrapped = yaml.safe_load((KUBERNETES / "prometheus/rules.yaml").read_text())["spec"]
    assert wrapped == yaml.safe_load(RULES)


def test_commands_of_services_are_commands() -> None:
    commands = {command_of(each)[0] for each in our_services().values()}
    assert commands == {"run", "monitor", "console", "replay"}


def test_containerfile_is_without_a_finding() -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    assert hadolint, "hadolint is missing: make .venv/dev.ok"
    done = subprocess.run(
        [hadolint, DEPLOY / "Containerfile"], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_images_have_the_version_that_this_is() -> None:
    base = yaml.safe_load((KUBERNETES / "base/kustomization.yaml").read_text())
    assert {each["newTag"] for each in base["images"]} == {__version__}


def test_no_two_pods_have_the_same_secret() -> None:
    secrets = [
        volume["secret"]["secretName"]
        for _, pod in pods()
        for volume in pod["volumes"]
        if "secret" in volume
    ]
    assert len(secrets) == len(set(secrets))


def test_model_of_ones_own_is_put_where_the_scorer_looks_for_it() -> None:
    patched = yaml.safe_load((KUBERNETES / "model/kustomization.yaml").read_text())["patches"]
    added = {each["path"]: each["value"] for each in yaml.safe_load(patched[0]["patch"])}
    place = "/spec/template/spec/containers/0"
    folder = added[f"{place}/volumeMounts/-"]["mountPath"]
    assert added[f"{place}/env/-"] == {"name": "SCORER_MODEL", "value": f"{folder}/fraud.onnx"}
    (scorer,) = [pod for name, pod in pods() if name == "scorer"]
    assert scorer["containers"][0]["env"], "there is a list to add to"


def test_scorers_have_partitions_enough() -> None:
    (scaled,) = [each for each in manifests() if each["kind"] == "ScaledObject"]
    (topics,) = [pod for name, pod in pods() if name == "topics"]
    environ = {each["name"]: each.get("value") for each in topics["containers"][0]["env"]}
    assert scaled["spec"]["maxReplicaCount"] == int(str(environ["PARTITIONS"]))
