"""Rows that held are not run again; those that did not, or are of another scale, are."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from stream_scorer.errors import BadInput
from tests.faults.kept import Kept
from tests.faults.ordinary import Ordinary, Shown
from tests.faults.registry import Row, all_rows
from tests.faults.runner import Scale
from tests.faults.table import Finished
from tests.faults.verifier import Result

SCALE = Scale(records=1000, seed=1)
ROWS = [(all_rows()[name], "exactly-once") for name in ("R02", "R03")]
OTHERS = [Ordinary("R36", "one"), Ordinary("R37", "another")]


class Runs:
    """Runs rows, of which some do not hold."""

    def __init__(self, *broken: str) -> None:
        self.broken = broken
        self.ran: list[str] = []

    def rows(self, chosen: Sequence[tuple[Row, str]]) -> Iterable[Finished]:
        for row, guarantee in chosen:
            self.ran.append(row.id)
            wrong = {"lost": "t1"} if row.id in self.broken else {}
            result = Result(row.id, guarantee, 1000, 0, 0, 0, wrong, 1, 2.5, {"restarts": 1})
            yield Finished(row, guarantee, 1.0, result)

    def ordinary(self, chosen: Sequence[Ordinary]) -> Iterable[Shown]:
        for row in chosen:
            self.ran.append(row.id)
            yield Shown(row, "`tests`", 1.0, "passed", "no" if row.id in self.broken else "")


def run(kept: Kept, runs: Runs) -> list[bool]:
    done = [each.holds for each in kept.finish(ROWS, runs.rows)]
    return done + [each.holds for each in kept.finish_ordinary(OTHERS, runs.ordinary)]


def test_interrupted_run_goes_on_with_the_rows_that_have_not_held(tmp_path: Path) -> None:
    path, first, second = tmp_path / "kept", Runs("R03", "R37"), Runs()
    assert run(Kept(path, SCALE, "aaa"), first) == [True, False, True, False]
    kept = Kept(path, SCALE, "bbb")
    assert run(kept, second) == [True] * 4
    assert (first.ran, second.ran) == (["R02", "R03", "R36", "R37"], ["R03", "R37"])
    assert kept.made().endswith("commit aaa and bbb")
    (again, *_) = Kept(path, SCALE, "ccc").finish(ROWS, Runs().rows)
    assert again.result is not None
    assert (again.result.recover_p95_s, again.result.figures) == (2.5, {"restarts": 1})


def test_another_scale_runs_all_anew(tmp_path: Path) -> None:
    path, runs = tmp_path / "kept", Runs()
    run(Kept(path, SCALE, "a"), Runs())
    run(Kept(path, Scale(records=1000, seed=2), "a"), runs)
    assert runs.ran == ["R02", "R03", "R36", "R37"]


def test_file_that_is_none_of_ours_is_named(tmp_path: Path) -> None:
    path = tmp_path / "other"
    path.write_text("{}\n")
    with pytest.raises(BadInput, match="--keep names"):
        Kept(path, SCALE, "a")
