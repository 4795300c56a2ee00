"""Where outcomes go. To add a sink: one module with a class, one line in `SINKS`."""

from collections.abc import Callable
from typing import Protocol

from stream_scorer.config import Settings
from stream_scorer.metrics import Metrics
from stream_scorer.records import Outcome
from stream_scorer.sinks.kafka import Begin, KafkaSink
from stream_scorer.sinks.log import LogSink
from stream_scorer.tracing import Traces


class Sink(Protocol):
    """Takes outcomes, and says when they are safe."""

    def write(self, outcome: Outcome) -> None:
        """Send an outcome on its way at once."""
        ...

    def flush(self) -> None:
        """Return when all that was written is safe; raise DeliveryError if it is not."""
        ...

    def forget(self) -> None:
        """Wait for nothing that was written by now: it was taken back."""
        ...


# Made of the settings, what gives the producer to write with, the metrics, and the traces.
SINKS: dict[str, Callable[[Settings, Begin, Metrics, Traces], Sink]] = {
    "kafka": KafkaSink,
    "log": LogSink.open,
}
