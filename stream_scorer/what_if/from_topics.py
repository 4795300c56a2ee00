"""Published scores and labels -> each model's scores, joined by transaction id."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, TypeVar

import msgspec
import numpy as np
from confluent_kafka import Message
from numpy.typing import NDArray

from stream_scorer.codecs import MakeDecoder
from stream_scorer.codecs.json import JsonDecoder
from stream_scorer.errors import BadInput
from stream_scorer.places import Fetch
from stream_scorer.records import Place, place_text
from stream_scorer.what_if.figures import Floats
from stream_scorer.what_if.sides import (
    FRAUD,
    UNKNOWN,
    Columns,
    Ids,
    Labels,
    LeftOut,
    Side,
    check_labels,
    fingerprint,
    id_number,
    known,
    labels_of,
    latest_of_each,
    to_scored,
)

T = TypeVar("T")
Natural = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class ScoreSource(msgspec.Struct, gc=False):
    """Where a score's transaction stands."""

    topic: str
    partition: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
    offset: Natural
    timestamp_ms: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class ScoreModel(msgspec.Struct, gc=False):
    """Who scored it."""

    version: str
    sha256: str


class ScoreValue(msgspec.Struct, gc=False):
    """A score as `run` publishes it."""

    transaction_id: str
    probability: Annotated[float, msgspec.Meta(ge=0, le=1)]
    model: ScoreModel
    source: ScoreSource


class LabelValue(msgspec.Struct, gc=False):
    """A label as `replay --labels` publishes it; people may withdraw theirs."""

    transaction_id: str
    label: Annotated[int, msgspec.Meta(ge=0, le=1)] | None  # None: withdrawn


class ScoreReader:
    """Keeps 60 bytes of each score, so that a topic of millions fits."""

    def __init__(self, make_decoder: MakeDecoder = JsonDecoder) -> None:
        """Read amounts, which scores lack, by the decoder of the transactions' format."""
        self._decode_amounts = make_decoder(("Amount",))
        self.bad = LeftOut()
        self.models: list[tuple[str, str]] = []  # version and sha256; `_model` is a place in it
        self.topics: list[str] = []
        self._ids, self._probability = array("Q"), array("f")
        self._model, self._topic, self._partition = array("i"), array("i"), array("i")
        self._offset, self._time_ms = array("q"), array("q")
        self._order = (array("q"), array("q"), array("q"))  # time, partition, offset of the score

    def read(self, messages: Iterable[Message]) -> None:
        """Take the scores in; what is none is left out."""
        for message, score in decoded(messages, ScoreValue, self.bad):
            self._ids.append(id_number(score.transaction_id))
            source = score.source
            self._probability.append(score.probability)
            self._model.append(place_in(self.models, (score.model.version, score.model.sha256)))
            self._topic.append(place_in(self.topics, source.topic))
            self._partition.append(source.partition)
            self._offset.append(source.offset)
            self._time_ms.append(source.timestamp_ms)
            note_order(self._order, message)

    def __len__(self) -> int:
        """Count the scores."""
        return len(self._ids)

    def counts(self) -> dict[str, int]:
        """Return how many scores each model gave, by sha256, the most first."""
        found = np.bincount(np.array(self._model), minlength=len(self.models))
        by_sha256: dict[str, int] = {}
        for (_, sha256), count in zip(self.models, found.tolist(), strict=True):
            by_sha256[sha256] = by_sha256.get(sha256, 0) + count
        return dict(sorted(by_sha256.items(), key=lambda item: -item[1]))

    def side(
        self, sha256: str, labels: "LabelReader", fetch: Fetch, *, genuine_weight: float
    ) -> Side:
        """Return one model's side; raise BadInput if its labels leave nothing to compare.

        A transaction counts with its latest score and its latest label. A score holds no amount: it
        is fetched from the source records, of frauds only, as nothing else needs it.
        """
        versions = [version for version, each in self.models if each == sha256]
        named = f"{versions[0]} ({sha256[:12]})"
        of_model = [i for i, (_, each) in enumerate(self.models) if each == sha256]
        rows = np.flatnonzero(np.isin(np.array(self._model), of_model))
        ids = np.array(self._ids)[rows]
        keys = (np.array(key)[rows] for key in self._order)
        scored, latest = len(rows), latest_of_each(ids, *keys)
        rows, ids = rows[latest], ids[latest]
        label = labels.of(ids)
        time_ms = np.array(self._time_ms)[rows]
        columns = Columns(
            probability=np.array(self._probability)[rows],
            label=label,
            amount=self._amounts(rows, label, fetch),
            time_s=np.where(time_ms > 0, time_ms / 1000, np.nan),
        )
        check_labels(columns, named)
        return Side(
            model=named,
            sha256=sha256,
            transactions=fingerprint(ids),
            scored=to_scored(columns, genuine_weight=genuine_weight),
            repeated=scored - len(rows),
            bad=self.bad,
        )

    def _amounts(self, rows: NDArray[np.int64], label: Labels, fetch: Fetch) -> Floats:
        """Return float64 (rows,): the amount of each fraud, NaN of others and where it is gone."""
        amounts = np.full(len(rows), np.nan)
        wanted: dict[Place, list[int]] = {}
        for i in np.flatnonzero(label == FRAUD).tolist():
            row = rows[i]
            topic = self.topics[self._topic[row]]
            wanted.setdefault((topic, self._partition[row], self._offset[row]), []).append(i)
        for place, record in fetch(wanted.keys()):
            if isinstance(record, str):
                continue
            matrix, kept, _ = self._decode_amounts([record.value()])
            if not kept:
                continue
            amount = matrix.item(0)
            for i in wanted[place]:
                # Another time is another record: the topic was made anew.
                if record.timestamp()[1] == self._time_ms[rows[i]]:
                    amounts[i] = known(amount)
        return amounts


class LabelReader:
    """The latest label of each transaction."""

    def __init__(self) -> None:
        self.bad = LeftOut()
        self._ids, self._label = array("Q"), array("b")
        self._order = (array("q"), array("q"), array("q"))
        self._known: tuple[Ids, Labels] | None = None

    def read(self, messages: Iterable[Message]) -> None:
        """Take the labels in; what is none is left out."""
        for message, label in decoded(messages, LabelValue, self.bad):
            self._ids.append(id_number(label.transaction_id))
            self._label.append(UNKNOWN if label.label is None else label.label)
            note_order(self._order, message)

    def __len__(self) -> int:
        """Count the labels, earlier ones of a transaction too."""
        return len(self._ids)

    def of(self, ids: Ids) -> Labels:
        """Return the label of each id (n,)."""
        if self._known is None:
            all_ids = np.array(self._ids, dtype=np.uint64)
            rows = latest_of_each(all_ids, *(np.array(key) for key in self._order))
            self._known = (all_ids[rows], np.array(self._label, dtype=np.int8)[rows])
        return labels_of(ids, *self._known)


def choose(counts: dict[str, int], first: str, second: str | None) -> list[str]:
    """Return the sha256 of the one or two models to look at.

    `counts` are the scores by sha256. `first` is what SCORER_MODEL_SHA256 pins, or "". `second` is
    the beginning of another one. Raises BadInput, with what there is, if that does not settle it.
    """
    there = ", ".join(f"{each[:12]} ({count:,} scores)" for each, count in counts.items())
    if first and first not in counts:
        raise BadInput(
            f"no score is of model {first[:12]} (SCORER_MODEL_SHA256); there are {there}"
        )
    others = [each for each in counts if each != first]
    if second is None:
        if first or len(counts) <= 2:  # noqa: PLR2004 - side by side
            return [first] if first else list(counts)
        raise BadInput(
            f"the scores are of {len(counts)} models: {there}; choose two by --model-sha256 and "
            "--against"
        )
    found = [each for each in others if each.startswith(second)] if second else []
    if len(found) != 1:
        raise BadInput(f"--against {second!r} is the beginning of {len(found)} of {there}: want 1")
    rest = [each for each in others if each != found[0]]
    if not first and len(rest) != 1:
        raise BadInput(f"--against wants a model beside it: choose by --model-sha256 from {there}")
    return [first or rest[0], found[0]]


def place_in(found: list[T], one: T) -> int:
    """Return the place of `one` in a short list, at whose end it is put if it is new."""
    try:
        return found.index(one)
    except ValueError:
        found.append(one)
        return len(found) - 1


def note_order(order: Sequence["array[int]"], message: Message) -> None:
    """Note what tells which of two records of a topic is the later one."""
    place = (message.timestamp()[1], message.partition() or 0, message.offset() or 0)
    for key, value in zip(order, place, strict=True):
        key.append(value)


def decoded(
    messages: Iterable[Message], kind: type[T], bad: LeftOut
) -> Iterator[tuple[Message, T]]:
    """Yield each record with its value as JSON of this kind; note those that are none."""
    decode = msgspec.json.Decoder(kind).decode
    for message in messages:
        try:
            value = decode(message.value() or b"")
        except (msgspec.MsgspecError, ValueError, RecursionError) as exc:
            bad.add(f"{place_text(message)}: {one_line(exc)}")
        else:
            yield message, value


def one_line(exc: Exception) -> str:
    """Return an error's text in one line."""
    return " ".join(str(exc).split())[:200]
