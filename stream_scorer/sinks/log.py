"""A line in the log for each alert and each dead letter; coordinates only, never the payload."""

import logging

from stream_scorer.records import Outcome

logger = logging.getLogger(__name__)


class LogSink:
    """Writes lines; a line is safe once it is written."""

    @classmethod
    def open(cls, _: object, __: object, ___: object) -> "LogSink":
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
            )

    def flush(self) -> None:
        """Do nothing: lines are not held back."""
