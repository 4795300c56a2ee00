"""Models by the sha256 of their files, each loaded when an alert first asks for it."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from stream_scorer.errors import BadInput
from stream_scorer.model import Model


class Shelf:
    """The models at hand."""

    def __init__(self, places: Iterable[Path]) -> None:
        """Take model files, and folders of them (`*.onnx`, at any depth).

        Raises BadInput for a place that cannot be read and for a folder without a model.
        """
        self._files = {sha256(path): path for place in places for path in files(place)}
        self._loaded: dict[str, Model | str] = {}

    def find(self, wanted: str) -> Model | str:
        """Return the model of that sha256, or why there is none."""
        if wanted not in self._files:
            return "no such model was given"
        if wanted not in self._loaded:
            try:
                self._loaded[wanted] = Model.load(self._files[wanted], sha256=wanted)
            except BadInput as exc:
                self._loaded[wanted] = str(exc)
        return self._loaded[wanted]


def files(place: Path) -> list[Path]:
    """Return the model files at a place."""
    if not place.is_dir():
        return [place]
    found = sorted(each for each in place.rglob("*.onnx") if each.is_file())
    if not found:
        raise BadInput(f"--model {place} is a folder without an .onnx file")
    return found


def sha256(path: Path) -> str:
    """Return the hex digest of a file, read piece by piece."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as exc:
        raise BadInput(f"model {str(path)!r}: {exc.strerror}") from exc
