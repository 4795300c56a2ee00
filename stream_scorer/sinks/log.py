"""A line in the log for each alert and each dead letter; coordinates only, never the payload."""

import logging

from stream_scorer.logs import event
from stream_scorer.records import Outcome, Record, place_of

logger = logging.getLogger(__name__)


class LogSink:
    """Writes lines; a line is safe once it is written."""

    @classmethod
    def open(cls, *_: object) -> "LogSink":
        """Need nothing."""
        return cls()

    def write(self, outcome: Outcome) -> None:
        """Log the alerts and the dead letters of one batch."""
        for alert in outcome.alerts:
            at = alert.record
            logger.info(
                "Alert %s[%s]@%s: probability %.4f",
                at.topic(),
                at.partition(),
                at.offset(),
                alert.probability,
                extra=event("alert", **where(at), probability=alert.probability),
            )
        for letter in outcome.dead_letters:
            at = letter.record
            logger.warning(
                "Dead letter %s[%s]@%s: %s, %s",
                at.topic(),
                at.partition(),
                at.offset(),
                letter.reject.code,
                letter.reject.reason,
                extra=event("dead_letter", **where(at), code=letter.reject.code),
            )

    def flush(self) -> None:
        """Do nothing: lines are not held back."""

    def forget(self) -> None:
        """Do nothing: a line stays."""


def where(record: Record) -> dict[str, object]:
    """Return where a record stands, as fields."""
    return dict(zip(("topic", "partition", "offset"), place_of(record), strict=True))
