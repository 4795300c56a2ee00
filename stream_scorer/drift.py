"""How far what streams by has moved from what the model was trained on."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from stream_scorer.model import Counts, Histogram, Model
from stream_scorer.records import Matrix, Outcome, Vector

# A population stability index above this is a shift to look at; from 0.1 it is worth a glance
# (Siddiqi, Credit Risk Scorecards, 2006).
ALERT_LEVEL = 0.25
# Rows a second that are looked at, at most: a window of minutes has enough, and it costs little.
ROWS_A_SECOND = 256
# Fewer rows give no figure: with 20 bins chance alone makes an index of 0.01 of this many.
FEWEST_ROWS = 2000
# The window moves on by a part of itself.
SLICES = 24
# Added to each bin, or an empty one would make the index infinite.
SMOOTHING = 0.5


@dataclass(slots=True)
class Slice:
    """What was seen in one part of the window."""

    began: float  # seconds, by the clock
    bins: list[Counts]  # for each histogram that is watched
    outside: Counts  # (features watched,) rows beyond the smallest or largest value of training
    rows: int = 0
    records: int = 0
    missing: int = 0  # records dead-lettered because a feature was not there


@dataclass(frozen=True, slots=True)
class Window:
    """The slices that count now, added up."""

    seconds: float
    rows: int
    records: int
    missing: int
    bins: list[Counts]
    outside: Counts


class Drift(Collector):
    """Compares a sample of a sliding window's rows with the model's training histograms.

    Who scores calls `observe`, the metrics server's thread `collect`.
    """

    def __init__(self, window_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Look at the last `window_s` seconds; nothing is watched yet."""
        self._window_s = window_s
        self._clock = clock
        self._lock = threading.Lock()
        self._second = clock()
        self._looked_at = 0  # rows, in this second
        self._begin(features=[], columns=[], histograms=[])

    def watch(self, model: Model) -> None:
        """Begin anew with the histograms of this model."""
        names = [name for name in model.feature_names if name in model.histograms]
        histograms = [model.histograms[name] for name in names]
        if model.score_histogram:
            histograms.append(model.score_histogram)
        columns = [model.feature_names.index(name) for name in names]
        with self._lock:
            self._begin(features=names, columns=columns, histograms=histograms)

    def observe(self, records: int, outcome: Outcome) -> None:
        """Take note of a batch: of so many `records` read, and of some of its rows."""
        now = self._clock()
        if now - self._second >= 1:
            self._second, self._looked_at = now, 0
        take = min(len(outcome.logit), ROWS_A_SECOND - self._looked_at)
        with self._lock:
            current = self._current(now)
            current.records += records
            current.missing += sum(each.reject.code == "MISSING" for each in outcome.dead_letters)
            if take > 0:
                self._looked_at += take
                self._waiting.append((outcome.matrix[:take], outcome.logit[:take]))
                if sum(len(logit) for _, logit in self._waiting) >= ROWS_A_SECOND:
                    self._count(current)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Give Prometheus the figures of the window as it is now."""
        psi = GaugeMetricFamily(
            "scorer_drift_psi", "Population stability index of a feature.", labels=["feature"]
        )
        outside = GaugeMetricFamily(
            "scorer_drift_out_of_range_ratio",
            "Share of rows beyond the smallest or largest value of training.",
            labels=["feature"],
        )
        score = GaugeMetricFamily(
            "scorer_drift_score_psi", "Population stability index of the score."
        )
        missing = GaugeMetricFamily(
            "scorer_drift_missing_ratio", "Share of records that lack a feature."
        )
        rows = GaugeMetricFamily("scorer_drift_rows", "Rows that the drift figures are of.")
        seconds = GaugeMetricFamily(
            "scorer_drift_window_seconds", "Seconds of traffic that the drift figures cover."
        )
        ratio = GaugeMetricFamily(
            "scorer_drift_window_ratio", "Share of SCORER_DRIFT_WINDOW_S that they cover."
        )
        with self._lock:
            window = self._window(self._clock())
            features, histograms = self._features, self._histograms
        rows.add_metric([], window.rows)
        seconds.add_metric([], window.seconds)
        ratio.add_metric([], window.seconds / self._window_s)
        if window.records:
            missing.add_metric([], window.missing / window.records)
        if window.rows >= FEWEST_ROWS:
            found = [*map(stability_index, histograms, window.bins)]
            for name, each, beyond in zip(features, found, window.outside.tolist(), strict=False):
                psi.add_metric([name], each)
                outside.add_metric([name], beyond / window.rows)
            for each in found[len(features) :]:
                score.add_metric([], each)
        yield from (psi, score, outside, missing, rows, seconds, ratio)

    def counts(self) -> bytes:
        """Return what the window's rows are in each bin, as JSON: by feature, and of the score."""
        with self._lock:
            window = self._window(self._clock())
            features = self._features
        bins = [each.tolist() for each in window.bins]
        found = {
            "rows": window.rows,
            "features": dict(zip(features, bins, strict=False)),
            "score": bins[len(features)] if len(bins) > len(features) else [],
        }
        return msgspec.json.encode(found)

    def _begin(
        self, *, features: list[str], columns: list[int], histograms: list[Histogram]
    ) -> None:
        """Forget what was seen; the score's histogram is the last, behind the features'."""
        self._features = features
        self._columns = columns
        self._histograms = histograms
        self._lowest = np.array([each.edges[0] for each in histograms[: len(features)]])
        self._highest = np.array([each.edges[-1] for each in histograms[: len(features)]])
        self._slices: deque[Slice] = deque(maxlen=SLICES + 2)
        self._waiting: list[tuple[Matrix, Vector]] = []

    def _current(self, now: float) -> Slice:
        """Return the slice that is being filled."""
        if not self._slices or now - self._slices[-1].began >= self._window_s / SLICES:
            if self._slices:
                self._count(self._slices[-1])
            empty = [np.zeros_like(each.counts) for each in self._histograms]
            outside = np.zeros(len(self._features), dtype=np.int64)
            self._slices.append(Slice(now, empty, outside))
        return self._slices[-1]

    def _count(self, current: Slice) -> None:
        """Put the rows that wait into the bins of a slice."""
        if not self._waiting or not self._histograms:
            self._waiting.clear()
            return
        matrices, logits = zip(*self._waiting, strict=True)
        self._waiting.clear()
        matrix, logit = np.concatenate(matrices)[:, self._columns], np.concatenate(logits)
        current.rows += len(matrix)
        columns = [*matrix.T, logit]  # the score's histogram, if there is one, is the last
        for i, histogram in enumerate(self._histograms):
            current.bins[i] += histogram.count(columns[i])
        current.outside += ((matrix < self._lowest) | (matrix > self._highest)).sum(axis=0)

    def _window(self, now: float) -> Window:
        """Add up the slices that are not wholly older than the window."""
        if self._slices:
            self._count(self._slices[-1])
        oldest = now - self._window_s * (1 + 1 / SLICES)
        slices = [each for each in self._slices if each.began > oldest]
        return Window(
            seconds=min(self._window_s, now - slices[0].began) if slices else 0.0,
            rows=sum(each.rows for each in slices),
            records=sum(each.records for each in slices),
            missing=sum(each.missing for each in slices),
            bins=[np.sum(counts, axis=0) for counts in zip(*(s.bins for s in slices), strict=True)],
            outside=np.sum([each.outside for each in slices], axis=0),
        )


def stability_index(expected: Histogram, seen: NDArray[np.int64]) -> float:
    """Return the population stability index of counts (bins,) against a histogram's.

    The sum over the bins of (q - p) ln(q / p), with p and q the shares of both (Siddiqi 2006).
    """
    p, q = ((counts + SMOOTHING) / (counts + SMOOTHING).sum() for counts in (expected.counts, seen))
    return float(((q - p) * np.log(q / p)).sum())
