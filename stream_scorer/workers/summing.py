"""The metrics, probes and drift of several workers as those of one scorer."""

import json
import time
import urllib.error
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from stream_scorer.health import DEAD_AFTER_S
from stream_scorer.loopback import open_url

# Seconds for a worker's answer: Prometheus and Kubernetes wait meanwhile.
ANSWER_S = 0.8
OK = 200
ADDED = {"counter", "histogram", "summary"}
# A worker's run: its number, and the port of its metrics; a new start has another.
Run = tuple[int, int]
Sample = tuple[str, frozenset[tuple[str, str]]]  # its name and its labels
# Gives a worker's page: its status, and its text; None: it does not answer.
Fetch = Callable[[int, str], "tuple[int, str] | None"]


def fetch(port: int, path: str) -> tuple[int, str] | None:
    """Ask a worker on this machine for a page."""
    try:
        with open_url(f"http://127.0.0.1:{port}{path}", timeout=ANSWER_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code, exc.read().decode(errors="replace")
    except (urllib.error.URLError, OSError, UnicodeDecodeError):
        return None


@dataclass(eq=False)  # a collector is itself
class Together(Collector):
    """All workers as one; used by one thread."""

    ports: Callable[[], Mapping[int, int]]  # of each worker by its number; those that listen
    wanted: int  # workers
    fetch: Fetch = fetch
    clock: Callable[[], float] = time.monotonic
    _pages: dict[Run, str] = field(default_factory=dict)  # the last of each run
    _ended: dict[str, dict[Sample, float]] = field(default_factory=dict)  # by family
    _answered: dict[Run, float] = field(default_factory=dict)

    def collect(self) -> Iterator[Metric]:
        """Give counters and histograms added up, and gauges by worker.

        What a worker has counted stays in the sums when it does not answer, or has ended: a sum
        that falls is a start from nought to Prometheus.
        """
        answers = self._ask("/metrics")
        good = {run: page[1] for run, page in answers.items() if page and page[0] == OK}
        self._pages |= good
        for run in [run for run in self._pages if run not in answers]:
            for family, sample, value in counted(self._pages.pop(run)):
                sums = self._ended.setdefault(family, defaultdict(float))
                sums[sample] += value
        up = Metric("scorer_workers", "Workers that answer.", "gauge")
        up.add_sample("scorer_workers", {}, len(good))
        yield up
        gauges = {number for number, _ in good}
        yield from added(
            {number: page for (number, _), page in self._pages.items()}, self._ended, gauges
        )

    def live(self) -> tuple[bool, str]:
        """Tell whether no worker says that it is dead, or is silent for as long as that takes."""
        now, dead = self.clock(), 0
        answers = self._ask("/healthz")
        for run, page in answers.items():
            last = self._answered.setdefault(run, now)
            if page is not None:
                self._answered[run] = last = now
            dead += now - last > DEAD_AFTER_S or (page is not None and page[0] != OK)
        self._answered = {run: at for run, at in self._answered.items() if run in answers}
        return not dead, f"{dead} of {self.wanted} workers are dead"

    def ready(self) -> tuple[bool, str]:
        """Tell whether any worker scores: with fewer partitions than workers some never do."""
        count = sum(page is not None and page[0] == OK for page in self._ask("/readyz").values())
        return count > 0, f"{count} of {self.wanted} workers score"

    def drift(self) -> bytes:
        """Return the rows of all windows, by the bins of training."""
        rows, features, score = 0, defaultdict[str, list[int]](list), list[int]()
        for answer in self._ask("/drift").values():
            if answer is None or answer[0] != OK:
                continue
            page = json.loads(answer[1])
            rows += page["rows"]
            score = plus(score, page["score"])
            for name, counts in page["features"].items():
                features[name] = plus(features[name], counts)
        return json.dumps({"rows": rows, "features": features, "score": score}).encode()

    def _ask(self, path: str) -> dict[Run, tuple[int, str] | None]:
        """Return each worker's answer; all are asked at once."""
        runs = list(self.ports().items())
        if not runs:
            return {}
        with ThreadPoolExecutor(len(runs)) as pool:
            answers = pool.map(lambda run: self.fetch(run[1], path), runs)
            return dict(zip(runs, answers, strict=True))


def plus(one: list[int], other: list[int]) -> list[int]:
    """Return the sum of counts by bin; of another model's bins the later counts alone."""
    if len(one) != len(other):
        return other
    return [a + b for a, b in zip(one, other, strict=True)]


def counted(page: str) -> Iterator[tuple[str, Sample, float]]:
    """Yield what a page has counted, with its family."""
    for family in text_string_to_metric_families(page):
        if family.type in ADDED:
            for sample in family.samples:
                key = sample.name, frozenset(sample.labels.items())
                yield family.name, key, sample.value


def added(
    pages: Mapping[int, str], ended: Mapping[str, Mapping[Sample, float]], gauges: "set[int]"
) -> Iterator[Metric]:
    """Yield the families of several pages, and of what has ended, as one page's.

    `gauges` are the workers whose gauges are of now.
    """
    sums: dict[Sample, float] = defaultdict(float)
    families: dict[str, Metric] = {}
    order: dict[str, dict[Sample, None]] = defaultdict(dict)
    for number, page in sorted(pages.items()):
        for family in text_string_to_metric_families(page):
            into = families.setdefault(
                family.name, Metric(family.name, family.documentation, family.type)
            )
            for sample in family.samples:
                if into.type in ADDED:
                    key = sample.name, frozenset(sample.labels.items())
                    order[family.name][key] = None
                    sums[key] += sample.value
                elif number in gauges:
                    labels = {**sample.labels, "worker": str(number)}
                    into.add_sample(sample.name, labels, sample.value)
    for name, family in families.items():
        before = ended.get(name, {})
        for key in {**order[name], **dict.fromkeys(before)}:
            family.add_sample(key[0], dict(key[1]), sums[key] + before.get(key, 0.0))
        yield family
