"""The model file as the console has it: checked by its golden rows, with what it says of itself."""

import json
import logging
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models import model_card
from models.card_figures import figure
from stream_scorer.errors import BadInput
from stream_scorer.logs import event
from stream_scorer.model import Model

logger = logging.getLogger(__name__)

UNUSABLE = "The model file cannot be used: the console's log says why (SCORER_MODEL)."


@dataclass(frozen=True, slots=True)
class Card:
    """One model with its facts, by name, and the whole card, Markdown; empty: there is none."""

    model: Model
    facts: dict[str, str]
    text: str


@dataclass
class Shelf:
    """Keeps the model that is in a file, and loads it anew when the file changes."""

    path: Path
    sha256: str = ""  # that it must have; empty: any
    _held: Card | None = None
    _state: tuple[int, ...] = ()
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def card(self) -> Card:
        """Return the model in the file; raise BadInput, without a path, where it is of no use."""
        with self._lock:
            try:
                status = self.path.stat()
                state = (status.st_ino, status.st_mtime_ns, status.st_size)
                if self._held is None or state != self._state:
                    self._held = describe(Model.load(self.path, sha256=self.sha256), status.st_size)
                    self._state = state
            except (BadInput, OSError) as exc:
                logger.warning("The page Model: %s", exc, extra=event("model_unusable"))
                raise BadInput(UNUSABLE) from exc
            return self._held


def describe(model: Model, size: int) -> Card:
    """Return a model with what its metadata say; what they do not say is left out."""
    texts = model.session.get_modelmeta().custom_metadata_map
    facts = {
        "Model": f"{model.name} {model.version}",
        "sha256": model.sha256,
        "Size": f"{size:,} bytes, {len(model.feature_names)} features",
    }
    try:
        facts |= told(texts)
        text = model_card.render(texts, sha256=model.sha256, size=size)
    except (AttributeError, KeyError, TypeError, ValueError, IndexError):
        text = ""  # of another kind than ours: it can score all the same
    return Card(model, facts, text)


def told(texts: dict[str, str]) -> dict[str, str]:
    """Return what a bundle's metadata say of its making and its test."""
    golden = json.loads(texts["golden"])["probability"]
    found = {"Golden rows": f"{len(golden)} held when it was loaded here"}
    trained_on: dict[str, Any] = json.loads(texts.get("trained_on", "{}"))
    evaluation: dict[str, Any] = json.loads(texts.get("evaluation", "{}"))
    if "rows" in trained_on:
        found["Trained on"] = (
            f"{trained_on['file']}: {trained_on['rows']:,} rows, {trained_on['frauds']:,} frauds"
        )
    elif "converted_from" in trained_on:
        found["Converted from"] = str(trained_on["converted_from"])
    if evaluation:
        found["Tested on"] = (
            f"{evaluation['rows']:,} later rows, {evaluation['frauds']:,} frauds; in brackets "
            f"{evaluation['confidence']:.0%} intervals"
        )
        caught, alerts = evaluation["true_alerts"], evaluation["alerts"]
        at = evaluation["threshold"]
        found["Average precision"] = figure(evaluation["average_precision"])
        found[f"Precision at {at}"] = (
            f"{figure(evaluation['precision'])}, {caught:,} of {alerts:,} alerts"
        )
        found[f"Recall at {at}"] = (
            f"{figure(evaluation['recall'])}, {caught:,} of {evaluation['frauds']:,} frauds"
        )
    return found
