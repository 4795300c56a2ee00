"""What a scorer says that it has counted."""

import urllib.request
from collections import Counter
from collections.abc import Iterator

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.integration.stream import Scorer

RECORDS = "scorer_records_total"
SCORED = "scorer_scored_total"
ALERTS = "scorer_alerts_total"
LETTERS = "scorer_dead_letters_total"
SKIPPED = "scorer_skipped_total"


def samples(scorer: Scorer) -> Iterator[Sample]:
    """Yield all that it says."""
    with urllib.request.urlopen(scorer.metrics_url(), timeout=5) as answer:
        text = answer.read().decode()
    for family in text_string_to_metric_families(text):
        yield from family.samples


def latency(scorer: Scorer) -> dict[float, float]:
    """Return how many alerts so far took at most so many seconds, by that bound."""
    name = "scorer_event_to_alert_seconds_bucket"
    return {float(each.labels["le"]): each.value for each in samples(scorer) if each.name == name}


def counted(scorer: Scorer) -> Counter[str]:
    """Return its counts so far, by metric, over all labels; one that is 0 is not there."""
    found: Counter[str] = Counter()
    for each in samples(scorer):
        if each.name in {RECORDS, SCORED, ALERTS, LETTERS, SKIPPED}:
            found[each.name] += int(each.value)
    return +found
