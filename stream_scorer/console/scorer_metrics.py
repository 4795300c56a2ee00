"""What the scorer's own metrics say of drift and of its challenger."""

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated
from urllib.parse import urljoin

import msgspec
import requests
from prometheus_client.parser import text_string_to_metric_families

from stream_scorer.drift import ALERT_LEVEL, FEWEST_ROWS
from stream_scorer.logs import event

logger = logging.getLogger(__name__)

GLANCE_LEVEL = 0.1  # Siddiqi's, as ALERT_LEVEL is
# Seconds for an answer, and between two questions, for all who watch.
ANSWER_S, LOOK_S = 2.0, 5.0
# Bytes; a scorer's metrics have about 50,000.
LARGEST_BYTES = 5_000_000
MOST_FEATURES = 1000


@dataclass(frozen=True, slots=True)
class Scorer:
    """What one scorer says; None and empty: it does not say."""

    name: str = ""
    version: str = ""
    sha256: str = ""
    rows: int | None = None  # that the drift figures are of
    seconds: float | None = None  # of traffic that they cover
    psi: Mapping[str, float] = field(default_factory=dict)  # by feature
    outside: Mapping[str, float] = field(default_factory=dict)  # share of rows, by feature
    score_psi: float | None = None
    missing: float | None = None  # share of records that lack a feature
    champion_only: int | None = None  # records on which only the champion alerts
    challenger_only: int | None = None
    not_finite: int | None = None
    scores: tuple[tuple[float, int], ...] = ()  # upper bound of a bin, and how many are in it
    seen: Mapping[str, Sequence[int]] = field(default_factory=dict)  # rows in each bin, by feature

    @property
    def judged(self) -> bool:
        """Whether there are enough rows to tell drift from chance."""
        return self.rows is not None and self.rows >= FEWEST_ROWS

    @property
    def challenged(self) -> bool:
        """Whether a challenger has disagreed, or failed; else nobody can tell if there is one."""
        return bool(self.champion_only or self.challenger_only or self.not_finite)


def parse(text: str) -> Scorer:
    """Return what a page of metrics says; raise ValueError if it is none."""
    found: dict[str, dict[str, float]] = {}
    named: Mapping[str, str] = {}
    families = list(text_string_to_metric_families(text))
    # Of several workers the figures of the one that has seen most: each has a window of its own.
    rows = {
        sample.labels.get("worker", ""): sample.value
        for family in families
        for sample in family.samples
        if sample.name == "scorer_drift_rows"
    }
    most = max(rows, key=lambda worker: rows[worker], default="")
    for family in families:
        for sample in family.samples:
            if sample.labels.get("worker", most) != most:
                continue
            label = sample.labels.get("feature") or sample.labels.get("alerts") or ""
            if sample.name == "scorer_probability_bucket":
                label = sample.labels["le"]
            known = found.setdefault(sample.name, {})
            if math.isfinite(sample.value) and len(known) < MOST_FEATURES:
                known[label] = sample.value
            if sample.name == "scorer_model_info":
                named = sample.labels

    def figure(name: str, label: str = "") -> float | None:
        return found.get(name, {}).get(label)

    def count(name: str, label: str = "") -> int | None:
        value = figure(name, label)
        return None if value is None else int(value)

    return Scorer(
        name=named.get("name", ""),
        version=named.get("version", ""),
        sha256=named.get("sha256", ""),
        rows=count("scorer_drift_rows"),
        seconds=figure("scorer_drift_window_seconds"),
        psi=found.get("scorer_drift_psi", {}),
        outside=found.get("scorer_drift_out_of_range_ratio", {}),
        score_psi=figure("scorer_drift_score_psi"),
        missing=figure("scorer_drift_missing_ratio"),
        champion_only=count("scorer_challenger_disagreements_total", "champion"),
        challenger_only=count("scorer_challenger_disagreements_total", "challenger"),
        not_finite=count("scorer_challenger_not_finite_total"),
        scores=bins(found.get("scorer_probability_bucket", {})),
    )


def bins(cumulative: Mapping[str, float]) -> tuple[tuple[float, int], ...]:
    """Return a Prometheus histogram's bins: the upper bound of each, and its own count."""
    sums = sorted((float(le), count) for le, count in cumulative.items() if le != "+Inf")
    below = [0.0, *(count for _, count in sums)]
    return tuple(
        (bound, max(0, int(count - before)))
        for (bound, count), before in zip(sums, below, strict=False)
    )


class Seen(msgspec.Struct):
    """What the scorer's page /drift says: the rows of its window, by the bins of training."""

    features: dict[str, list[Annotated[int, msgspec.Meta(ge=0)]]]


def judgement(psi: float) -> str:
    """Return what an index says, in words."""
    if psi > ALERT_LEVEL:
        return "shifted: look at its producer"
    return "worth a glance" if psi > GLANCE_LEVEL else "steady"


def fetch(url: str) -> str:
    """Return a page of metrics; raise RequestException or ValueError where there is none."""
    deadline = time.monotonic() + ANSWER_S
    content = b""
    with requests.get(url, timeout=ANSWER_S, stream=True, allow_redirects=False) as answer:
        if answer.status_code != requests.codes.ok:
            raise ValueError(f"the answer is {answer.status_code}")
        for part in answer.iter_content(65_536):
            content += part
            if len(content) > LARGEST_BYTES or time.monotonic() > deadline:
                raise ValueError("the answer is too long, or too slow")
    return content.decode()


@dataclass
class Asking:
    """Asks the scorer once for all who watch."""

    url: str  # empty: none is set
    fetch: Callable[[str], str] = fetch
    clock: Callable[[], float] = time.monotonic
    _latest: "Scorer | str" = ""
    _asked_at: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def latest(self) -> Scorer | str:
        """Return what the scorer says, or why that is not known."""
        if not self.url:
            return "Not known: set SCORER_CONSOLE_METRICS to the scorer's metrics."
        with self._lock:
            now = self.clock()
            if self._asked_at is None or now - self._asked_at >= LOOK_S:
                self._latest = self._ask()
                self._asked_at = now
            return self._latest

    def _ask(self) -> Scorer | str:
        try:
            found = parse(self.fetch(self.url))
        except (requests.RequestException, ValueError, KeyError, IndexError) as exc:
            logger.warning(
                "SCORER_CONSOLE_METRICS gives no metrics: %s",
                type(exc).__name__,
                extra=event("metrics_unread"),
            )
            return "Not known: SCORER_CONSOLE_METRICS gives no metrics now. Is the scorer running?"
        return replace(found, seen=self._seen()) if found.judged else found

    def _seen(self) -> Mapping[str, Sequence[int]]:
        """Return the rows in each bin by feature; none of a scorer of an earlier release."""
        try:
            page = self.fetch(urljoin(self.url, "drift"))
            return msgspec.json.decode(page, type=Seen).features
        except (requests.RequestException, ValueError, msgspec.DecodeError) as exc:
            logger.warning(
                "The scorer's page /drift cannot be read: %s",
                type(exc).__name__,
                extra=event("metrics_unread"),
            )
            return {}
