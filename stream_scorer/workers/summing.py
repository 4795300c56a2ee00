"""The metrics, probes and drift of several workers as those of one scorer."""

import json
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

# Seconds for a worker's answer: all of them are asked while Prometheus waits.
ANSWER_S = 2.0
ADDED = {"counter", "histogram", "summary"}
# Gives a worker's page: its status, and its text; None: it does not answer.
Fetch = Callable[[int, str], "tuple[int, str] | None"]


def fetch(port: int, path: str) -> tuple[int, str] | None:
    """Ask a worker on this machine for a page."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=ANSWER_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code, exc.read().decode(errors="replace")
    except (urllib.error.URLError, OSError, UnicodeDecodeError):
        return None


@dataclass(frozen=True, slots=True)
class Together(Collector):
    """All workers that answer, as one."""

    ports: Callable[[], Mapping[int, int]]  # of each worker by its number; those that listen
    wanted: int  # workers
    fetch: Fetch = fetch

    def collect(self) -> Iterator[Metric]:
        """Give counters and histograms added up, and gauges by worker."""
        pages = {}
        for number, port in self.ports().items():
            answer = self.fetch(port, "/metrics")
            if answer is not None and answer[0] == 200:  # noqa: PLR2004 - HTTP's
                pages[number] = answer[1]
        up = Metric("scorer_workers", "Workers that answer.", "gauge")
        up.add_sample("scorer_workers", {}, len(pages))
        yield up
        yield from added(pages)

    def live(self) -> tuple[bool, str]:
        """Tell whether no worker that listens is dead; one that starts anew is not dead."""
        dead = [number for number, answer in self._ask("/healthz") if not answer]
        return not dead, f"{len(dead)} of {self.wanted} workers are dead"

    def ready(self) -> tuple[bool, str]:
        """Tell whether any worker scores: with fewer partitions than workers some never do."""
        count = sum(answer for _, answer in self._ask("/readyz"))
        return count > 0, f"{count} of {self.wanted} workers score"

    def drift(self) -> bytes:
        """Return the rows of all windows, by the bins of training."""
        rows, features, score = 0, defaultdict[str, list[int]](list), list[int]()
        for port in self.ports().values():
            answer = self.fetch(port, "/drift")
            if answer is None:
                continue
            page = json.loads(answer[1])
            rows += page["rows"]
            score = plus(score, page["score"])
            for name, counts in page["features"].items():
                features[name] = plus(features[name], counts)
        return json.dumps({"rows": rows, "features": features, "score": score}).encode()

    def _ask(self, path: str) -> Iterator[tuple[int, bool]]:
        """Yield each worker that listens, and whether its answer is good."""
        for number, port in self.ports().items():
            answer = self.fetch(port, path)
            yield number, answer is not None and answer[0] == 200  # noqa: PLR2004 - HTTP's


def plus(one: list[int], other: list[int]) -> list[int]:
    """Return the sum of counts by bin; of another model's bins the later counts alone."""
    if len(one) != len(other):
        return other
    return [a + b for a, b in zip(one, other, strict=True)]


def added(pages: Mapping[int, str]) -> Iterator[Metric]:
    """Yield the families of several pages of metrics as one page's."""
    sums: dict[tuple[str, frozenset[tuple[str, str]]], float] = defaultdict(float)
    families: dict[str, Metric] = {}
    order: dict[str, list[tuple[str, dict[str, str]]]] = defaultdict(list)
    for number, page in sorted(pages.items()):
        for family in text_string_to_metric_families(page):
            into = families.setdefault(
                family.name, Metric(family.name, family.documentation, family.type)
            )
            for sample in family.samples:
                if into.type not in ADDED:
                    labels = {**sample.labels, "worker": str(number)}
                    into.add_sample(sample.name, labels, sample.value)
                    continue
                key = sample.name, frozenset(sample.labels.items())
                if key not in sums:
                    order[family.name].append((sample.name, dict(sample.labels)))
                sums[key] += sample.value
    for name, family in families.items():
        for sample_name, labels in order[name]:
            family.add_sample(sample_name, labels, sums[sample_name, frozenset(labels.items())])
        yield family


def numbers(ports: Iterable[tuple[int, int | None]]) -> dict[int, int]:
    """Return the workers that listen, with their ports."""
    return {number: port for number, port in ports if port is not None}
