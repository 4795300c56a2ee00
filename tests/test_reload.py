"""A new model is found, checked and offered; a bad one is refused, and the loop does not wait."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from stream_scorer.errors import BadInput, KafkaTrouble
from stream_scorer.model import Model
from stream_scorer.reload import Reloader, signature
from tests.bundles import metadata, write_bundle


@dataclass
class Requests:
    """A control topic in memory."""

    waiting: list[bytes | None] = field(default_factory=list)
    closed: bool = False

    def newest(self) -> tuple[bool, bytes | None]:
        return (True, self.waiting.pop(0)) if self.waiting else (False, None)

    def close(self) -> None:
        self.closed = True


class Bench:
    """A reloader that watches a bundle of version 1."""

    def __init__(self, folder: Path, *, pin: str = "") -> None:
        self.path = write(folder / "fraud.onnx", "1")
        self.offered: list[str] = []
        self.refused: list[str] = []
        self.requests = Requests()
        self.reloader = Reloader(
            self.path,
            pin=pin,
            seen=signature(self.path),
            offer=self.offer,
            refuse=self.refused.append,
            control=self.requests,
        )

    def offer(self, model: Model) -> None:
        if model.version == "unfit":
            raise BadInput("the challenger does not fit")
        self.offered.append(model.version)

    def look(self, times: int = 1) -> None:
        for _ in range(times):
            self.reloader.look()

    def ask_for(self, file: str, sha256: str) -> None:
        self.requests.waiting.append(json.dumps({"file": file, "sha256": sha256}).encode())


def write(path: Path, version: str) -> Path:
    """Put a bundle at `path` as people should: beside it, then renamed."""
    beside = write_bundle(path.with_suffix(".new"), metadata(version=version))
    beside.replace(path)
    return path


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_file_that_does_not_change_is_not_loaded(bench: Bench) -> None:
    bench.look(5)
    assert bench.offered == bench.refused == []


def test_new_file_is_offered_once_and_only_when_it_looks_the_same_twice(bench: Bench) -> None:
    write(bench.path, "2")
    bench.look()
    assert bench.offered == []
    bench.look(5)
    assert bench.offered == ["2"]


def test_file_that_is_still_being_written_is_left_alone(bench: Bench) -> None:
    whole = write_bundle(bench.path.with_name("2"), metadata(version="2")).read_bytes()
    with bench.path.open("wb") as file:
        for part in (whole[:100], whole[100:200], whole[200:]):
            file.write(part)
            file.flush()
            bench.look()
            assert bench.offered == bench.refused == []
    bench.look(2)
    assert bench.offered == ["2"]


def test_file_that_is_no_bundle_is_refused_once(bench: Bench) -> None:
    bench.path.write_bytes(b"no model")
    bench.look(5)
    (text,) = bench.refused
    assert "cannot be opened" in text
    write(bench.path, "3")
    bench.look(2)
    assert bench.offered == ["3"]


def test_file_whose_golden_rows_fail_is_refused(bench: Bench) -> None:
    wrong = json.dumps({"features": [[0, 0, 0]], "probability": [0.5]})
    write_bundle(bench.path, metadata(golden=wrong))
    bench.look(2)
    (text,) = bench.refused
    assert "golden row 0" in text


def test_file_that_is_gone_is_waited_for(bench: Bench) -> None:
    bench.path.unlink()
    bench.look(3)
    write(bench.path, "2")
    bench.look(2)
    assert (bench.offered, bench.refused) == (["2"], [])


def test_asking_loads_the_file_though_it_did_not_change(bench: Bench) -> None:
    bench.reloader.ask()
    bench.look(3)
    assert bench.offered == ["1"]


def test_pin_refuses_any_other_file(tmp_path: Path) -> None:
    pin = Model.load(write(tmp_path / "fraud.onnx", "1")).sha256
    bench = Bench(tmp_path, pin=pin)
    write(bench.path, "2")
    bench.look(2)
    other = write(tmp_path / "other.onnx", "3")
    bench.ask_for("other.onnx", Model.load(other).sha256)
    bench.look()
    assert bench.offered == []
    assert "pinned" in bench.refused[0]
    assert "SCORER_MODEL_SHA256 pins" in bench.refused[1]


def test_request_loads_the_named_file_beside_the_model(bench: Bench) -> None:
    other = write(bench.path.with_name("other.onnx"), "5")
    bench.ask_for("other.onnx", Model.load(other).sha256)
    bench.look()
    assert bench.offered == ["5"]


def test_request_taken_back_returns_to_the_file_of_the_settings(bench: Bench) -> None:
    bench.requests.waiting.append(None)
    bench.look()
    assert bench.offered == ["1"]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"not JSON", "the control record is not"),
        (b'{"file":"\xed\xa0\xbd","sha256":"0"}', "the control record is not"),
        (b"[" * 200_000, "the control record is not"),
        (b'{"file": "x.onnx"}', "sha256"),
        (b'{"file": 5, "sha256": "00"}', "Expected `str`"),
        (b'{"file": "x.onnx", "sha256": "00", "more": 1}', "more"),
        (b'{"file": "x.onnx", "sha256": "00"}', "want 64 hex digits"),
        (b'{"file": "x.onnx", "sha256": ""}', "want 64 hex digits"),
    ],
)
def test_request_of_another_shape_is_refused(bench: Bench, value: bytes, reason: str) -> None:
    bench.requests.waiting.append(value)
    bench.look()
    (text,) = bench.refused
    assert reason in text


def test_file_does_not_count_while_there_is_a_request(bench: Bench) -> None:
    other = write(bench.path.with_name("other.onnx"), "5")
    bench.ask_for("other.onnx", Model.load(other).sha256)
    bench.look()
    write(bench.path, "6")
    bench.look(5)
    assert bench.offered == ["5"]
    (text,) = bench.refused
    assert "model switch --back" in text
    bench.reloader.ask()
    bench.look()
    assert bench.offered == ["5", "5"], "a SIGHUP reads what is requested again"
    bench.requests.waiting.append(None)
    bench.look()
    assert bench.offered == ["5", "5", "6"]


@pytest.mark.parametrize("name", ["../x.onnx", "/etc/passwd", "a/b", "", ".", "..", "a\\b\0"])
def test_request_cannot_name_a_file_elsewhere(bench: Bench, name: str) -> None:
    bench.ask_for(name, "0" * 64)
    bench.look()
    (text,) = bench.refused
    assert "want the name of a file beside" in text


def test_request_for_a_file_of_another_sha256_is_refused(bench: Bench) -> None:
    write(bench.path.with_name("other.onnx"), "5")
    bench.ask_for("other.onnx", "0" * 64)
    bench.look()
    (text,) = bench.refused
    assert "has sha256" in text


def test_model_that_does_not_fit_is_refused(bench: Bench) -> None:
    write(bench.path, "unfit")
    bench.look(2)
    assert bench.refused == ["the challenger does not fit"]


def run_until(bench: Bench, done: Callable[[], bool]) -> list[Exception]:
    failed: list[Exception] = []
    with bench.reloader.looking(failed.append):
        for _ in range(200):
            if done() or failed:
                break
            threading.Event().wait(0.05)
    return failed


def test_it_looks_from_a_thread_of_its_own_and_closes_the_topic(bench: Bench) -> None:
    write(bench.path, "2")
    assert run_until(bench, lambda: bool(bench.offered)) == []
    assert bench.offered == ["2"]
    assert bench.requests.closed


def test_trouble_with_the_control_topic_ends_the_process_and_is_not_swallowed(
    bench: Bench,
) -> None:
    def newest() -> tuple[bool, bytes | None]:
        raise KafkaTrouble("the topic is gone")

    bench.requests.newest = newest  # type: ignore[method-assign]
    (failure,) = run_until(bench, lambda: False)
    assert isinstance(failure, KafkaTrouble)


def test_link_that_points_elsewhere_is_a_new_file(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one", "1"), write(tmp_path / "two", "2")
    link = tmp_path / "fraud.onnx"
    link.symlink_to(one)
    before = signature(link)
    replacement = tmp_path / "link"
    replacement.symlink_to(two)
    replacement.replace(link)
    assert signature(link) != before
