"""Spans of OpenTelemetry: one for each batch, and one for each alert in its transaction's trace."""

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

from stream_scorer import __version__
from stream_scorer.config import Settings
from stream_scorer.deadline import HungError, within
from stream_scorer.extras import extra
from stream_scorer.records import Alert, Headers

# W3C trace context: what a transaction's headers may bring, and an alert's carry on.
CARRIED = ("traceparent", "tracestate")
NOTHING = contextlib.nullcontext()
# Seconds that the last spans may take after the last commit; a stop has 14 in all.
CLOSE_S = 2.0


class Traces(Protocol):
    """What is told of the work."""

    def batch(self, records: int) -> AbstractContextManager[object]:
        """Surround the scoring and writing of a batch."""
        ...

    def headers(self, alert: Alert) -> Headers | None:
        """Return the headers that an alert is written with, None for none."""
        ...

    def close(self) -> None:
        """Send what has not been sent."""
        ...


class Untraced:
    """Tells nobody, and costs nothing."""

    def batch(self, records: int) -> AbstractContextManager[object]:  # noqa: ARG002
        """Do nothing."""
        return NOTHING

    def headers(self, alert: Alert) -> Headers | None:  # noqa: ARG002
        """Return none."""
        return None

    def close(self) -> None:
        """Do nothing."""


UNTRACED = Untraced()


class Traced:
    """Gives spans to a provider of OpenTelemetry's SDK; used by one thread."""

    def __init__(self, provider: Any) -> None:  # noqa: ANN401 - an extra's
        """Trace with a `TracerProvider`, which is shut down by `close`."""
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._api = trace
        self._provider = provider
        self._tracer = provider.get_tracer("stream_scorer", __version__)
        self._propagator = TraceContextTextMapPropagator()
        self._batch = trace.INVALID_SPAN

    @contextlib.contextmanager
    def batch(self, records: int) -> Iterator[None]:
        """Give the batch a span of its own, with links to those of its alerts."""
        attributes = {"messaging.system": "kafka", "messaging.batch.message_count": records}
        with self._tracer.start_as_current_span("score batch", attributes=attributes) as span:
            self._batch = span
            try:
                yield
            finally:
                self._batch = self._api.INVALID_SPAN

    def headers(self, alert: Alert) -> Headers:
        """Return the context of a span in the transaction's trace, or in one that begins here."""
        parent = self._propagator.extract(carried(alert.record.headers() or ()))
        record = alert.record
        span = self._tracer.start_span(
            "alert",
            context=parent,
            links=[self._api.Link(self._batch.get_span_context())],
            attributes={
                "messaging.destination.name": record.topic() or "",
                "messaging.destination.partition.id": str(record.partition()),
                "messaging.kafka.offset": record.offset() or 0,
                "fraud.probability": alert.probability,
            },
        )
        self._batch.add_link(span.get_span_context())
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, self._api.set_span_in_context(span))
        span.end()
        return [(name, value.encode()) for name, value in carrier.items()]

    def close(self) -> None:
        """Send what has not been sent, for CLOSE_S at most: its retries are no reason to stay."""
        with contextlib.suppress(HungError):
            within(self._provider.shutdown, CLOSE_S)


def carried(headers: Any) -> dict[str, str]:  # noqa: ANN401 - the client's list of pairs
    """Return what a record's headers say of its trace; what is not ASCII says nothing."""
    found = {}
    for name, value in headers:
        if name in CARRIED and value:
            with contextlib.suppress(UnicodeDecodeError):
                found[name] = value.decode("ascii") if isinstance(value, bytes) else value
    return found


def open_traces(settings: Settings) -> Traces:
    """Return what the settings want; where spans go is said by OpenTelemetry's own variables.

    Raises ScorerError where the extra `otel` is not installed.
    """
    if settings.tracing == "off":
        return UNTRACED
    with extra("otel", {"opentelemetry"}, what="SCORER_TRACING"):
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    own = {"service.name": "stream-scorer", "service.version": __version__}
    # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win, as everywhere.
    # `close` ends it: at the interpreter's end it would wait for its retries once more.
    provider = TracerProvider(
        resource=Resource(own).merge(Resource.create()), shutdown_on_exit=False
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Traced(provider)
