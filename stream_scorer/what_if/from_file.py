"""A labelled file -> each model's scores, by the stream's own core."""

from array import array
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from stream_scorer.codecs.json import JsonDecoder
from stream_scorer.errors import BadInput
from stream_scorer.events import ID, LABEL, Event, to_event
from stream_scorer.model import Model
from stream_scorer.offline import FileRecord, require_columns
from stream_scorer.records import Vector
from stream_scorer.scorer import Scorer
from stream_scorer.tables import Malformed, Row, Table
from stream_scorer.what_if.sides import (
    UNKNOWN,
    Columns,
    LeftOut,
    Side,
    check_labels,
    fingerprint,
    id_number,
    known,
    latest_of_each,
    to_scored,
)

TIME, AMOUNT = "Time", "Amount"


class FileReader:
    """Scores a table with each model and keeps a few numbers of a row."""

    def __init__(self, table: Table, models: Sequence[Model]) -> None:
        """Raise BadInput if the table lacks a column."""
        for model in models:
            require_columns(table, model)
        if LABEL not in table.columns:
            raise BadInput(f"{table.name} lacks {LABEL}: 1 for a fraud, 0 for a genuine one")
        self._table = table
        self._has_ids = ID in table.columns
        self._label = array("b")
        self._amount, self._time_s = array("d"), array("d")
        self._ids = array("Q")
        self._runs = [Run(model) for model in models]

    def read(self, size: int, tell: Callable[[int], object]) -> None:
        """Read and score `size` rows at a time; `tell` is given the place in the file."""
        remaining = iter(self._table)
        while rows := list(islice(remaining, size)):
            records = [each for row in rows if (each := self._take(row)) is not None]
            for run in self._runs if records else ():
                run.score(records)
            tell(self._table.records.position())

    def sides(self, genuine_weight: float) -> list[Side]:
        """Return a side for each model; raise BadInput if there is nothing to compare."""
        return [self._side(run, genuine_weight) for run in self._runs]

    def _take(self, row: Row | Malformed) -> FileRecord | None:
        """Note what is known of a row; return it as a record to score, None if it is malformed."""
        name = self._table.name
        event = row if isinstance(row, Malformed) else to_event(row, stem=Path(name).stem)
        if isinstance(row, Malformed) or not isinstance(event, Event):
            reason = event.reason if isinstance(event, Malformed) else ""
            for run in self._runs:
                run.bad.add(f"line {row.line}: {reason}")
            return None
        self._label.append(UNKNOWN if event.label is None else event.label)
        self._amount.append(known(row.cells.get(AMOUNT)))
        self._time_s.append(known(row.cells.get(TIME)))
        if self._has_ids:
            self._ids.append(id_number(event.transaction_id))
        return FileRecord(name, row.line, event)

    def _side(self, run: "Run", genuine_weight: float) -> Side:
        """Return a model's side: the rows that it could score, each transaction once."""
        probability, named = run.probability(), f"{run.model.name} {run.model.version}"
        rows = np.flatnonzero(np.isfinite(probability))
        if not len(rows):
            first = f", such as {run.bad.example}" if run.bad.example else ""
            raise BadInput(f"{self._table.name}: {named} could score no row{first}")
        scored = len(rows)
        if self._has_ids:
            rows = rows[latest_of_each(np.array(self._ids)[rows], rows)]
        columns = Columns(
            probability[rows],
            np.array(self._label)[rows],
            np.array(self._amount)[rows],
            np.array(self._time_s)[rows],
        )
        check_labels(columns, named)
        return Side(
            model=named,
            sha256=run.model.sha256,
            transactions=fingerprint(rows),
            scored=to_scored(columns, genuine_weight=genuine_weight),
            repeated=scored - len(rows),
            bad=run.bad,
        )


class Run:
    """One model over the file."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.bad = LeftOut()
        # A threshold of 1: there is no use here for the reasons of alerts.
        self._scorer = Scorer(model, JsonDecoder(model.feature_names), 1.0, "")
        self._found: list[Vector] = [np.empty(0, dtype=np.float32)]

    def score(self, records: Sequence[FileRecord]) -> None:
        """Score a batch; what cannot be scored is left out."""
        outcome = self._scorer(records)
        refused = {letter.record.offset() for letter in outcome.dead_letters}
        for letter in outcome.dead_letters:
            reason = f"{letter.reject.code}: {letter.reject.reason}"
            self.bad.add(f"line {letter.record.offset()}: {reason}")
        found = np.full(len(records), np.nan, dtype=np.float32)
        found[[record.line not in refused for record in records]] = outcome.probability
        self._found.append(found)

    def probability(self) -> Vector:
        """Return float32 (rows read,): NaN where there is none."""
        return np.concatenate(self._found)
