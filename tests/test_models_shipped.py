"""Rules of the model file and the card that are checked in."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import models
from models import bundle, model_card
from models.recipe import THRESHOLD
from models.transactions import FEATURES

MODEL = Path(models.__file__).with_name("fraud.onnx")
CARD = MODEL.with_suffix(".md")


@pytest.fixture(scope="module")
def session() -> onnxruntime.InferenceSession:
    """Return the file as it is served."""
    return onnxruntime.InferenceSession(MODEL, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def texts(session: onnxruntime.InferenceSession) -> dict[str, str]:
    """Return the metadata as it is served."""
    entries: dict[str, str] = session.get_modelmeta().custom_metadata_map
    return entries


def test_it_is_sound_and_of_opset_18() -> None:
    model = onnx.load(MODEL)
    onnx.checker.check_model(model, full_check=True)
    assert {each.domain: each.version for each in model.opset_import}[""] == 18


def test_it_takes_raw_float64_and_gives_logit_and_probability(
    session: onnxruntime.InferenceSession,
) -> None:
    def described(values: list[Any]) -> list[tuple[str, str, list[object]]]:
        return [(value.name, value.type, value.shape) for value in values]

    assert described(session.get_inputs()) == [("features", "tensor(double)", ["batch", 30])]
    assert described(session.get_outputs()) == [
        ("logit", "tensor(float)", ["batch"]),
        ("probability", "tensor(float)", ["batch"]),
    ]


def test_its_metadata_are_those_of_the_contract(texts: dict[str, str]) -> None:
    plain = {"bundle_schema": "1", "name": "fraud", "version": "1.1.0"}
    assert {key: texts[key] for key in plain} == plain
    assert len(bytes.fromhex(texts["training_data_sha256"])) == 32
    names = json.loads(texts["feature_names"])
    assert names == list(FEATURES) == list(json.loads(texts["histograms"]))
    assert len(json.loads(texts["baseline"])) == len(names)
    assert "Open Database Licence" in json.loads(texts["trained_on"])["source"]
    assert json.loads(texts["tools"])["keras"]


def test_its_golden_rows_have_the_scores_that_keras_gave(
    session: onnxruntime.InferenceSession, texts: dict[str, str]
) -> None:
    golden = json.loads(texts["golden"])
    wanted = np.array(golden["probability"])
    features = np.array(golden["features"])
    (found,) = session.run(["probability"], {"features": features})
    assert np.abs(found - wanted).max() <= 1e-6
    assert len(wanted) >= 32
    assert (wanted >= THRESHOLD).sum() >= 8


def test_a_feature_in_the_place_of_another_is_noticed_by_the_golden_rows(
    session: onnxruntime.InferenceSession, texts: dict[str, str]
) -> None:
    golden = json.loads(texts["golden"])
    # Time last, as the origin served a model that was trained with Time first.
    features = np.roll(np.array(golden["features"]), -1, axis=1)
    (found,) = session.run(["probability"], {"features": features})
    assert np.abs(found - np.array(golden["probability"])).max() > 0.5


def test_its_figures_are_in_line_with_what_the_recipe_was_chosen_for(
    texts: dict[str, str],
) -> None:
    evaluation = json.loads(texts["evaluation"])
    assert evaluation["average_precision"]["value"] > 0.75
    assert evaluation["precision"]["value"] > 0.85
    assert evaluation["recall"]["value"] > 0.65
    assert all(row["largest_logit_change"] == 0 for row in evaluation["time_effect"])


def test_its_card_says_what_the_file_says() -> None:
    content = MODEL.read_bytes()
    assert CARD.read_text(encoding="utf-8") == model_card.render(
        bundle.metadata_texts(content), sha256=bundle.sha256(content), size=len(content)
    )
    assert hashlib.sha256(content).hexdigest() in CARD.read_text(encoding="utf-8")


def test_neither_file_names_a_directory_of_the_machine_that_made_it() -> None:
    for content in (MODEL.read_bytes(), CARD.read_bytes()):
        folders = ("home", "root", "tmp", "Users")
        assert not any(f"/{name}/".encode() in content for name in folders)


@pytest.mark.parametrize(
    ("recall", "precision", "says"),
    [
        (0.7, 0.9, "42 of 60 frauds found: reached on this test."),
        (0.683, 1.0, "falls short of it with recall 0.683."),
        (0.5, 0.8, "with recall 0.500 and precision 0.800."),
        (0.0, None, "with recall 0.000 and no precision."),
    ],
)
def test_its_card_says_where_it_falls_short(
    recall: float, precision: float | None, says: str
) -> None:
    evaluation = {"frauds": 60, "recall": {"value": recall}, "precision": {"value": precision}}
    assert says in model_card.against_the_aim(evaluation)
