"""Alerts -> verdicts: each is scored again from its source record, by the scorer's own core."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Annotated, Literal

import msgspec

from stream_scorer.codecs import Decoder
from stream_scorer.codecs.alerts import as_json
from stream_scorer.model import Model
from stream_scorer.places import Fetch
from stream_scorer.records import Place, Record, place_of
from stream_scorer.scorer import Scorer
from stream_scorer.values import ALERT_SCHEMA
from stream_scorer.verify.comparing import Difference, compare

Kind = Literal[
    "identical", "within tolerance", "different", "source gone", "model unknown", "no alert"
]

# Alerts held at a time, about 2 kB each: their sources are fetched together, by partition.
CHUNK = 4096
# Sources held at a time; a record may have 1 MB.
BATCH = 256


class AlertSource(msgspec.Struct):
    """Where an alert's transaction stands."""

    topic: str
    partition: Annotated[int, msgspec.Meta(ge=0)]
    offset: Annotated[int, msgspec.Meta(ge=0)]
    timestamp_ms: int


class AlertModel(msgspec.Struct):
    """Who scored it."""

    sha256: str


class Published(msgspec.Struct):
    """What an alert must say to be scored again."""

    schema_version: int
    alert_id: str
    transaction_id: str
    threshold: Annotated[float, msgspec.Meta(ge=0, le=1)]
    model: AlertModel
    source: AlertSource

    @property
    def place(self) -> Place:
        """Where its source record stands."""
        return (self.source.topic, self.source.partition, self.source.offset)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one alert."""

    kind: Kind
    place: Place  # of the alert itself
    alert: Published | None  # None: it is no alert of ours
    differences: tuple[Difference, ...] = ()
    detail: str = ""  # why it is gone, unknown or no alert


@dataclass(frozen=True, slots=True)
class Known:
    """An alert whose model is at hand."""

    record: Record
    alert: Published
    model: Model


@dataclass(frozen=True, slots=True)
class Verifier:
    """All that is needed to score alerts again."""

    find_model: Callable[[str], Model | str]  # text: why there is none
    make_decoder: Callable[[Sequence[str]], Decoder]
    cluster_id: str
    fetch: Fetch

    def __call__(self, alerts: Iterable[Record]) -> Iterator[Verdict]:
        """Yield a verdict for each alert, those of CHUNK alerts in the order of their sources."""
        remaining = iter(alerts)
        while chunk := list(islice(remaining, CHUNK)):
            yield from self._verify(chunk)

    def _verify(self, chunk: Sequence[Record]) -> Iterator[Verdict]:
        by_source: dict[Place, list[Known]] = defaultdict(list)
        for record in chunk:
            alert = read(as_json(record.value()))
            if isinstance(alert, str):
                yield Verdict("no alert", place_of(record), None, detail=alert)
                continue
            model = self.find_model(alert.model.sha256)
            if isinstance(model, str):
                yield Verdict("model unknown", place_of(record), alert, detail=model)
                continue
            by_source[alert.place].append(Known(record, alert, model))
        sources: dict[Place, Record] = {}
        for place, source in self.fetch(by_source.keys()):
            if isinstance(source, str):
                for known in by_source[place]:
                    yield Verdict("source gone", place_of(known.record), known.alert, (), source)
            else:
                sources[place] = source
            if len(sources) == BATCH:
                yield from self._judge(by_source, sources)
                sources.clear()
        yield from self._judge(by_source, sources)

    def _judge(
        self, by_source: Mapping[Place, Sequence[Known]], sources: Mapping[Place, Record]
    ) -> Iterator[Verdict]:
        """Score sources again, those of one model and threshold together."""
        groups: dict[tuple[str, float], list[Known]] = defaultdict(list)
        for place in sources:
            for known in by_source[place]:
                groups[known.model.sha256, known.alert.threshold].append(known)
        for (_, threshold), group in groups.items():
            scorer = Scorer(
                model=group[0].model,
                decoder=self.make_decoder(group[0].model.feature_names),
                threshold=threshold,
                cluster_id=self.cluster_id,
            )
            made = score_again(scorer, [sources[p] for p in {each.alert.place for each in group}])
            for known in group:
                place = known.alert.place
                yield judge(known.record, known.alert, sources[place], made[place])


@dataclass(frozen=True, slots=True)
class Again:
    """A source scored again: an alert, one below the threshold, or nothing but a reason."""

    value: bytes = b""  # the alert, also where the threshold is not reached
    alerts: bool = False
    refused: str = ""  # why it cannot be scored


def score_again(scorer: Scorer, sources: Sequence[Record]) -> dict[Place, Again]:
    """Return what each source leads to, by its place."""
    outcome = scorer(sources)
    made = {place_of(a.record): Again(a.value, alerts=True) for a in outcome.alerts}
    for letter in outcome.dead_letters:
        refused = f"{letter.reject.code}: {letter.reject.reason}"
        made[place_of(letter.record)] = Again(refused=refused)
    rest = [source for source in sources if place_of(source) not in made]
    if rest:  # what they would have been: everything reaches a threshold of 0
        below = replace(scorer, threshold=0.0)(rest).alerts
        made |= {place_of(a.record): Again(a.value) for a in below}
    return made


def judge(record: Record, alert: Published, source: Record, again: Again) -> Verdict:
    """Return the verdict on one alert whose source was scored again.

    A record never changes its timestamp: where that differs and the features do too, or cannot be
    read, another record has the place, and the alert's source is gone.
    """
    published, place = as_json(record.value()) or b"", place_of(record)
    moved = source.timestamp()[1] != alert.source.timestamp_ms
    differences: tuple[Difference, ...]
    if again.refused:
        differences = (Difference("decision", "alert", f"dead letter, {again.refused}"),)
    else:
        comparison = compare(published, again.value)
        if again.alerts and not comparison.differences:
            return Verdict("identical", place, alert)
        if again.alerts and comparison.tolerated:
            return Verdict("within tolerance", place, alert, comparison.differences)
        differences = comparison.differences
        if not again.alerts:
            fields = [each for each in differences if each.field != "threshold"]
            differences = (Difference("decision", "alert", "below the threshold"), *fields)
    if moved and (again.refused or any(d.field.startswith("features") for d in differences)):
        detail = (
            f"another record is there, of {source.timestamp()[1]} ms and not of "
            f"{alert.source.timestamp_ms}: was the topic made anew?"
        )
        return Verdict("source gone", place, alert, detail=detail)
    return Verdict("different", place, alert, differences)


def read(value: bytes | None) -> Published | str:
    """Return an alert's value decoded, or why it is none of ours."""
    if value is None:
        return "it has no value"
    try:
        alert = msgspec.convert(msgspec.json.decode(value.decode()), Published)
    except RecursionError:
        return "it is nested too deeply"
    except (msgspec.MsgspecError, ValueError) as exc:  # ValueError: not UTF-8
        return " ".join(str(exc).split())[:200]
    if alert.schema_version != ALERT_SCHEMA:
        return f"its schema_version is {alert.schema_version}; this version knows {ALERT_SCHEMA}"
    return alert
