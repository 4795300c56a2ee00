"""A verdict as JSON, and verdicts as a table that cannot steer a terminal."""

import json
from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from stream_scorer.alerts import printable
from stream_scorer.verify.comparing import Difference
from stream_scorer.verify.rescoring import Verdict

LONGEST_VALUE = 60  # characters of a value that differs
PLACE = ("topic", "partition", "offset")


def as_object(verdict: Verdict) -> dict[str, object]:
    """Return a verdict as it is printed by --json."""
    alert = verdict.alert
    source = None if alert is None else dict(zip(PLACE, alert.place, strict=True))
    return {
        "verdict": verdict.kind,
        "alert_id": alert and alert.alert_id,
        "transaction_id": alert and alert.transaction_id,
        "alert": dict(zip(PLACE, verdict.place, strict=True)),
        "source": source,
        "model_sha256": alert and alert.model.sha256,
        "differences": [
            {"field": d.field, "published": d.published, "again": d.again}
            for d in verdict.differences
        ],
        "detail": verdict.detail,
    }


def as_table(verdicts: Iterable[Verdict]) -> Table:
    """Return verdicts as a table; nothing in it can steer a terminal."""
    table = Table("verdict", "alert", "transaction", "what", box=None)
    for verdict in verdicts:
        alert = verdict.alert
        name = alert.alert_id if alert else "/".join(map(str, verdict.place))
        what = "\n".join(map(in_words, verdict.differences)) or printable(verdict.detail)
        if verdict.kind == "model unknown" and alert:
            what = f"{printable(alert.model.sha256)[:64]}: {what}"
        transaction = printable(alert.transaction_id) if alert else ""
        table.add_row(*map(Text, (verdict.kind, printable(name), transaction, what)))
    return table


def in_words(difference: Difference) -> str:
    """Return a difference in one line: the field, what was published, what is found now."""
    old, new = (
        printable(text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}...")
        for text in (
            json.dumps(difference.published, ensure_ascii=False),
            json.dumps(difference.again, ensure_ascii=False),
        )
    )
    return f"{printable(difference.field)}: {old} published, {new} now"
