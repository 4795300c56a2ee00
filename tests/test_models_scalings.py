"""Where a brought model's scaling comes from, and what is refused."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.preprocessing import RobustScaler

from models.scalings import Affine, from_pickle, from_toml, to_scaling
from stream_scorer.errors import BadInput

pytestmark = pytest.mark.train

AMOUNTS = np.random.default_rng(0).lognormal(3, 1, (500, 1))


def write_pickle(path: Path, amounts: Any) -> Path:
    scaler = RobustScaler().fit(amounts)
    path.write_bytes(pickle.dumps({"robust_scaler": scaler, "time_min": 0.0, "time_max": 172792.0}))
    return path


def test_a_scaler_of_raw_amounts_is_taken_as_it_is(tmp_path: Path) -> None:
    path = write_pickle(tmp_path / "vectorize.pkl", AMOUNTS)
    scaler = RobustScaler().fit(AMOUNTS)
    assert from_pickle(path, amount_center=None, amount_scale=None) == {
        "Time": Affine(0.0, 172792.0),
        "Amount": Affine(scaler.center_[0], scaler.scale_[0]),
    }


def test_the_origins_identity_scaler_is_refused_and_the_right_values_are_offered(
    tmp_path: Path,
) -> None:
    scaled = RobustScaler().fit_transform(AMOUNTS)
    path = write_pickle(tmp_path / "vectorize.pkl", scaled)
    with pytest.raises(BadInput, match=r"does nothing .* --amount-center 22 --amount-scale 71.565"):
        from_pickle(path, amount_center=None, amount_scale=None)
    found = from_pickle(path, amount_center=22.0, amount_scale=71.565)
    assert found["Amount"] == Affine(22.0, 71.565)


def test_a_scaler_that_scales_and_values_on_top_contradict_each_other(tmp_path: Path) -> None:
    path = write_pickle(tmp_path / "vectorize.pkl", AMOUNTS)
    with pytest.raises(BadInput, match="not both"):
        from_pickle(path, amount_center=22.0, amount_scale=71.565)


def test_a_toml_file_names_each_feature(tmp_path: Path) -> None:
    path = tmp_path / "scaling.toml"
    path.write_text("[Amount]\ncenter = 22\nscale = 71.565\n[Time]\nmin = 10\nmax = 110\n")
    scaling = to_scaling(from_toml(path), ("Time", "V1", "Amount"))
    scaled = scaling(np.array([[60.0, 3.0, 22.0 + 71.565]]))
    np.testing.assert_allclose(scaled, [[0.5, 3.0, 1.0]], rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[Amount]\ncenter = 22\n", "want numbers, center and scale or min and max"),
        ("[Amount]\ncenter = 22\nscale = 'x'\n", "want numbers"),
        ("[Amount]\ncenter = 22\nscale = true\n", "want numbers"),
        ("[Amount]\ncenter = 22\nscale = 0\n", "a scale above 0"),
        ("[Amount]\nmin = 5\nmax = 5\n", "a scale above 0"),
        ("[Amount]\ncenter = nan\nscale = 1\n", "want finite numbers"),
        ("Amount = 3\n", "Amount is 3: want numbers"),
        ("[Amount", "is not TOML"),
    ],
)
def test_a_toml_file_that_says_nothing_useful_is_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "scaling.toml"
    path.write_text(text)
    with pytest.raises(BadInput, match=message):
        from_toml(path)


def test_a_feature_that_is_none_is_named_with_the_nearest() -> None:
    with pytest.raises(BadInput, match="'amount', which is no feature; did you mean 'Amount'"):
        to_scaling({"amount": Affine(0, 1)}, ("Time", "Amount"))
