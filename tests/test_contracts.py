"""What others build on: every record that is written is as its schema in docs/schemas says.

The schemas allow no field that they do not name, so a new one must be written there; one that goes,
or changes its type, breaks a test.
"""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from producer.sender import Label
from stream_scorer import values
from stream_scorer.codecs.alerts import ALERT
from stream_scorer.console.labels import LABEL_OF
from stream_scorer.control import Wanted
from stream_scorer.model import Model
from stream_scorer.monitor.board import record as quality
from stream_scorer.monitor.figures import figures
from tests.records import FRAUD, GOOD, P0, record
from tests.test_scorer import make_scorer

SCHEMAS = Path(__file__).parents[1] / "docs" / "schemas"


def schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    return found


def check(name: str, value: bytes) -> None:
    jsonschema.Draft202012Validator(schema(name)).validate(json.loads(value))


@pytest.mark.parametrize("file", sorted(SCHEMAS.glob("*.schema.json")), ids=lambda file: file.name)
def test_schema_is_one_and_says_where_its_records_are(file: Path) -> None:
    found = json.loads(file.read_text())
    jsonschema.Draft202012Validator.check_schema(found)
    assert found["description"]


def test_scores_and_alerts_are_as_their_schemas_say(tiny: Model) -> None:
    outcome = make_scorer(tiny, every_score=True)([record(0, GOOD), record(1, FRAUD)])
    (alert,) = outcome.alerts
    check("alert", alert.value)
    assert json.loads(alert.value)["reasons"]
    for score in outcome.scores:
        check("score", score.value)


def test_disagreement_is_as_its_schema_says(tiny: Model) -> None:
    value = values.disagreement(
        record(1, FRAUD),
        transaction_id="t",
        threshold=0.8,
        champion=(tiny, 0.9),
        challenger=(tiny, 0.7),
    )
    check("disagreement", value)


def test_handover_and_request_are_as_their_schemas_say(tiny: Model) -> None:
    check("handover", values.handover(tiny, group="g", partition=P0, first_offset=7))
    check("model-request", json.dumps({"file": "fraud-2.onnx", "sha256": "0" * 64}).encode())
    assert set(schema("model-request")["properties"]) == set(Wanted.__struct_fields__)


def test_labels_are_as_their_schema_says() -> None:
    check("label", Label(0.0, 1, "t1", 1, 5).value())
    for verdict, label in LABEL_OF.items():
        said = {"transaction_id": "t", "label": label, "verdict": verdict, "label_id": "x"}
        check("label", json.dumps(said).encode())
    assert set(schema("label")["properties"]["verdict"]["enum"]) == set(LABEL_OF)


@pytest.mark.parametrize("top_k", [None, 100])
def test_quality_is_as_its_schema_says(top_k: int | None) -> None:
    _, value = quality(("day", 1_700_006_400_000, "a" * 64), figures({}, top_k=top_k))
    check("quality", value)


def test_transaction_may_hold_anything_beside_the_features() -> None:
    check("transaction", FRAUD)
    check("transaction", b'{"transaction_id": 7, "merchant": {"name": "x"}}')


def test_avro_of_an_alert_is_what_is_registered() -> None:
    assert json.loads((SCHEMAS / "alert.avsc").read_text()) == json.loads(ALERT)


def test_avro_and_json_of_an_alert_have_the_same_fields() -> None:
    avro = {field["name"] for field in json.loads(ALERT)["fields"]}
    assert avro == set(schema("alert")["properties"])
