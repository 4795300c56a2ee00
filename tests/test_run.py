"""With which model a replica begins, when the control topic asks for one."""

import json
from functools import partial
from pathlib import Path

import pytest

from stream_scorer.config import Settings
from stream_scorer.model import Model
from stream_scorer.run import build_requested, build_scorer
from stream_scorer.scorer import Scorer
from tests.bundles import metadata, write_bundle

OTHER_NAMES = json.dumps(("Time", "V9", "Amount"))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    write_bundle(tmp_path / "fraud.onnx")
    return Settings(model=tmp_path / "fraud.onnx")


def ask(settings: Settings, name: str, second: Model | None = None) -> Scorer | None:
    sha256 = Model.load(settings.model.with_name(name)).sha256
    request = json.dumps({"file": name, "sha256": sha256}).encode()
    build = partial(build_scorer, settings, cluster_id="", second=second)
    return build_requested(settings, request, build)


def test_replica_begins_with_the_model_that_is_asked_for(settings: Settings) -> None:
    write_bundle(settings.model.with_name("two.onnx"), metadata(version="8"))
    scorer = ask(settings, "two.onnx")
    assert scorer is not None
    assert scorer.model.version == "8"


def test_without_a_request_its_own_model_scores(settings: Settings) -> None:
    build = partial(build_scorer, settings, cluster_id="", second=None)
    assert build_requested(settings, None, build) is None


def test_request_that_does_not_fit_beside_the_challenger_keeps_no_replica_from_starting(
    settings: Settings, tiny: Model, caplog: pytest.LogCaptureFixture
) -> None:
    write_bundle(settings.model.with_name("two.onnx"), metadata(feature_names=OTHER_NAMES))
    assert ask(settings, "two.onnx", second=tiny) is None
    assert "SCORER_MODEL scores: challenger tiny 7 wants V1" in caplog.text
