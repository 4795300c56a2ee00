"""What a scorer says that it has counted."""

import urllib.request
from collections import Counter

from prometheus_client.parser import text_string_to_metric_families

from tests.integration.stream import Scorer

RECORDS = "scorer_records_total"
SCORED = "scorer_scored_total"
ALERTS = "scorer_alerts_total"
LETTERS = "scorer_dead_letters_total"
SKIPPED = "scorer_skipped_total"


def counted(scorer: Scorer) -> Counter[str]:
    """Return its counts so far, by metric, over all labels; one that is 0 is not there."""
    with urllib.request.urlopen(scorer.metrics_url(), timeout=5) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    found: Counter[str] = Counter()
    for each in (sample for family in families for sample in family.samples):
        if each.name in {RECORDS, SCORED, ALERTS, LETTERS, SKIPPED}:
            found[each.name] += int(each.value)
    return +found
