"""Scores uploads one after the other, each in a process of its own, and stores what comes out."""

import json
import queue
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from stream_scorer.config import Settings
from stream_scorer.console import lease, uploads
from stream_scorer.console.database import Database
from stream_scorer.console.uploads import ScoredRow

Job = tuple[str, Path, str]  # upload's id, the file, its name


class Jobs:
    """The files that wait to be scored, and the one that is."""

    def __init__(
        self, settings: Settings, database: Database, clock: Callable[[], int], folder: Path
    ) -> None:
        """Score with the model and the threshold of the settings; files wait in `folder`."""
        self.folder = folder
        self.holder = f"{uploads.HOLDER}{uuid.uuid4().hex}"  # of this run of the console
        self._settings = settings
        self._database = database
        self._clock = clock
        self._waiting: queue.Queue[Job] = queue.Queue()
        self._process: subprocess.Popen[str] | None = None
        self._scoring = ""
        self._lock = threading.Lock()
        self.live()

    def live(self) -> None:
        """Give a sign of life, and give up what a console was scoring that gives none any more."""
        with self._database.writing() as connection:
            now = self._clock()
            lease.hold(connection, self.holder, self.holder, now)
            uploads.interrupted(connection, now)

    def add(self, upload_id: str, path: Path, name: str) -> None:
        """Put a file behind those that wait; it is deleted once it is scored."""
        self._waiting.put((upload_id, path, name))

    def cancel(self, upload_id: str) -> None:
        """Stop scoring a file, or never begin."""
        with self._database.writing() as connection:
            uploads.move(connection, upload_id, state=uploads.CANCELLED)
        with self._lock:
            if self._process is not None and self._scoring == upload_id:
                self._process.kill()

    def turn(self) -> None:
        """Score the next file, if one comes within a second."""
        try:
            upload_id, path, name = self._waiting.get(timeout=1)
        except queue.Empty:
            return
        output = path.with_suffix(".rows")
        try:
            self._score(upload_id, path, name, output)
        finally:
            path.unlink(missing_ok=True)
            output.unlink(missing_ok=True)

    def stop(self) -> None:
        """Kill the process that scores, if there is one."""
        with self._lock:
            if self._process is not None:
                self._process.kill()

    def _score(self, upload_id: str, path: Path, name: str, output: Path) -> None:
        with self._database.writing() as connection:
            if not uploads.move(connection, upload_id, state=uploads.SCORING):
                return  # cancelled or deleted meanwhile
        settings = self._settings
        command = ["-m", "stream_scorer.console.scoring", str(path), name, str(output)]
        with self._lock:
            self._process = subprocess.Popen(  # noqa: S603 - ours; what it says of itself goes to our log
                [sys.executable, *command, str(settings.model), str(settings.threshold)],
                stdout=subprocess.PIPE,
                text=True,
            )
            self._scoring = upload_id
        summary, problem = self._listen(self._process, upload_id)
        code = self._process.wait()
        with self._lock:
            self._process = None
        if not summary:
            problem = problem or f"it could not be scored (exit code {code}): see the console's log"
            with self._database.writing() as connection:
                uploads.move(connection, upload_id, state=uploads.FAILED, problem=problem[:1000])
            return
        for rows in batches(output):  # others write between the batches
            with self._database.writing() as connection:
                if not uploads.move(connection, upload_id, progress=1.0):
                    return
                uploads.store(connection, upload_id, rows)
        with self._database.writing() as connection:
            done = {"state": uploads.DONE, "summary": json.dumps(summary)}
            uploads.move(connection, upload_id, **done)

    def _listen(
        self, process: "subprocess.Popen[str]", upload_id: str
    ) -> tuple[dict[str, object], str]:
        """Note how far it is until it ends; return the summary, or what was wrong."""
        summary: dict[str, object] = {}
        problem, told_at = "", 0
        for line in process.stdout or ():
            said = json.loads(line)
            summary, problem = said.get("summary", summary), said.get("problem", problem)
            now = self._clock()
            if "progress" in said and now - told_at >= 500:  # noqa: PLR2004 - ms: twice a second
                told_at = now
                with self._database.writing() as connection:
                    uploads.move(connection, upload_id, progress=said["progress"])
        return summary, problem


def batches(output: Path) -> Iterator[list[ScoredRow]]:
    """Yield the rows that the process has written."""
    with output.open(encoding="utf-8") as lines:
        while batch := [ScoredRow(*json.loads(line)) for line in islice(lines, uploads.CHUNK)]:
            yield batch
