"""A scaler's pickle is read for its numbers; nothing in it is run, whoever wrote it."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.preprocessing import RobustScaler, StandardScaler

from models.pickled import PickledScaler, read_scaler
from stream_scorer.errors import BadInput

pytestmark = pytest.mark.train

AMOUNTS = np.random.default_rng(0).lognormal(3, 1, (500, 1))


def fitted(values: Any = AMOUNTS) -> Any:
    return RobustScaler().fit(values)


def contents(**changes: object) -> dict[str, object]:
    return {"robust_scaler": fitted(), "time_min": 0.0, "time_max": 172792.0, **changes}


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    def write(value: object, protocol: int | None = None) -> Path:
        path = tmp_path / "vectorize.pkl"
        path.write_bytes(pickle.dumps(value, protocol=protocol))
        return path

    return write


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("number", [172792, 172792.0, np.float64(172792), np.int64(172792)])
def test_the_numbers_are_those_of_the_scaler_in_every_protocol(
    written: Callable[..., Path], protocol: int, number: object
) -> None:
    scaler = fitted()
    found = read_scaler(written(contents(time_max=number), protocol))
    assert found == PickledScaler(scaler.center_[0], scaler.scale_[0], 0.0, 172792.0)


class Evil:
    """Runs a command when it is loaded by anybody but us."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_would_run_code_is_refused_by_name_and_does_not_run(
    written: Callable[..., Path], tmp_path: Path, protocol: int
) -> None:
    target = tmp_path / "ran"
    path = written(contents(robust_scaler=Evil(target)), protocol)
    with pytest.raises(BadInput, match=r"vectorize.pkl: it names \S+\.system, which a scaler"):
        read_scaler(path)
    assert not target.exists()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1, 2], "it holds a list: want a dictionary"),
        (contents(more=1), "see 'more'"),
        ({"robust_scaler": None}, "see 'time_max', 'time_min'"),
        (contents(robust_scaler=StandardScaler().fit(AMOUNTS)), "names .*StandardScaler"),
        (contents(robust_scaler=RobustScaler()), "robust_scaler has no center_"),
        (contents(robust_scaler=5), "robust_scaler is no fitted RobustScaler"),
        (contents(robust_scaler=fitted(np.hstack([AMOUNTS, AMOUNTS]))), "want one finite number"),
        (contents(time_max="late"), "time_max is a str: want a number"),
        (contents(time_max=float("nan")), "want one finite number"),
        (contents(time_max=10**400), "time_max"),
        (contents(time_max=np.array([[1], "x"], dtype=object)), "time_max is an array of"),
        (contents(time_max=np.datetime64("2020-01-01")), "time_max"),
    ],
)
def test_what_is_not_wanted_is_named(
    written: Callable[..., Path], value: object, message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        read_scaler(written(value))


@pytest.mark.parametrize("content", [b"", b"no pickle", b"\x80\x05", b"(lp0\nI1\n"])
def test_what_is_no_pickle_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "vectorize.pkl"
    path.write_bytes(content)
    with pytest.raises(BadInput, match="no pickle of a scaler"):
        read_scaler(path)


def test_a_file_that_is_not_there_or_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nowhere.pkl: No such file"):
        read_scaler(tmp_path / "nowhere.pkl")
    path = tmp_path / "vectorize.pkl"
    path.write_bytes(bytes(1_000_001))
    with pytest.raises(BadInput, match="no scaler is so large"):
        read_scaler(path)
