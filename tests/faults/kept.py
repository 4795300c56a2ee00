"""Rows that held, kept in a file: a run of hours that is interrupted goes on where it was."""

import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from stream_scorer.errors import BadInput
from tests.faults.ordinary import Ordinary, Shown
from tests.faults.registry import Row
from tests.faults.runner import Scale
from tests.faults.table import Finished
from tests.faults.verifier import Result


class Held(msgspec.Struct, frozen=True):
    """One row that held, and of what."""

    id: str
    guarantee: str  # empty: an ordinary row
    seconds: float
    day: str
    commit: str
    records: int
    seed: int
    quick: bool
    result: Result | None = None
    shown_by: str = ""
    found: str = ""


class Kept:
    """The file, or what is kept nowhere but here."""

    def __init__(self, path: Path | None, scale: Scale, commit: str) -> None:
        """Read what the file has; raise BadInput if it is none of ours."""
        self._path = path
        self._scale = scale
        self._commit = commit
        self._held: dict[tuple[str, str], Held] = {}
        try:
            lines = path.read_bytes().splitlines() if path and path.exists() else []
            for each in msgspec.json.decode(b"[" + b",".join(lines) + b"]", type=list[Held]):
                if (each.records, each.seed, each.quick) == self._as_now:
                    self._held[each.id, each.guarantee] = each
        except (OSError, msgspec.DecodeError) as exc:
            raise BadInput(f"--keep names {str(path)!r}: {exc}") from exc

    @property
    def _as_now(self) -> tuple[int, int, bool]:
        return self._scale.records, self._scale.seed, self._scale.quick

    def finish(
        self,
        chosen: Sequence[tuple[Row, str]],
        run: Callable[[Sequence[tuple[Row, str]]], Iterable[Finished]],
    ) -> Iterator[Finished]:
        """Yield what is kept, then what `run` makes of the rest."""
        left = []
        for row, guarantee in chosen:
            held = self._held.get((row.id, guarantee))
            if held is None:
                left.append((row, guarantee))
            else:
                yield Finished(row, guarantee, held.seconds, held.result)
        for each in run(left) if left else ():
            if each.holds:
                self._keep(each.row.id, each.guarantee, each.seconds, result=each.result)
            yield each

    def finish_ordinary(
        self,
        chosen: Sequence[Ordinary],
        run: Callable[[Sequence[Ordinary]], Iterable[Shown]],
    ) -> Iterator[Shown]:
        """Yield what is kept, then what `run` makes of the rest."""
        left = []
        for row in chosen:
            held = self._held.get((row.id, ""))
            if held is None:
                left.append(row)
            else:
                yield Shown(row, held.shown_by, held.seconds, held.found)
        for each in run(left) if left else ():
            if each.holds:
                self._keep(each.row.id, "", each.seconds, shown_by=each.shown_by, found=each.found)
            yield each

    def made(self) -> str:
        """Say on which days and of which commits the rows are."""
        days = sorted({each.day for each in self._held.values()} or {today()})
        commits = sorted({each.commit for each in self._held.values()} or {self._commit})
        return f"{' and '.join(days)}, commit {' and '.join(commits)}"

    def _keep(
        self,
        row_id: str,
        guarantee: str,
        seconds: float,
        **of: str | Result | None,
    ) -> None:
        held = Held(
            row_id,
            guarantee,
            seconds,
            today(),
            self._commit,
            *self._as_now,
            **of,  # type: ignore[arg-type]
        )
        self._held[row_id, guarantee] = held
        if self._path is not None:
            with self._path.open("ab") as file:
                file.write(msgspec.json.encode(held) + b"\n")


def today() -> str:
    """Return the day, in UTC."""
    return f"{datetime.now(UTC):%Y-%m-%d}"


def commit_here() -> str:
    """Return the commit that is checked out, and whether files differ from it."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude", "*"],  # noqa: S607 - as installed
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"
