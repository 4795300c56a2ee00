"""An alert belongs to its transaction's trace; a batch has a span with links to its alerts."""

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from stream_scorer.records import Alert
from stream_scorer.tracing import UNTRACED, Traced
from tests.records import FRAUD, record

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01".encode()


class Collected:
    """Traces, and the spans that came of them."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.traces = Traced(provider)

    def spans(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self.exporter.get_finished_spans()}


@pytest.fixture
def collected() -> Collected:
    return Collected()


def alert(headers: list[tuple[str, bytes | None]] | None = None) -> Alert:
    return Alert(record(7, FRAUD, headers=headers), b"t7", b"{}", 0.96)


def traceparent(collected: Collected, one: Alert) -> list[str]:
    """Return trace and span of the header that an alert gets within a batch."""
    with collected.traces.batch(5):
        headers = dict(collected.traces.headers(one))
    return (headers["traceparent"] or b"").decode().split("-")[1:3]


def test_alert_is_in_the_trace_of_its_transaction(collected: Collected) -> None:
    trace, span = traceparent(collected, alert([("traceparent", PARENT), ("x", None)]))
    assert trace == TRACE
    assert span != SPAN
    told = collected.spans()["alert"]
    assert told.context is not None
    assert f"{told.context.span_id:016x}" == span
    assert told.parent is not None
    assert f"{told.parent.span_id:016x}" == SPAN
    assert told.attributes is not None
    assert told.attributes["messaging.kafka.offset"] == 7


def test_batch_has_a_span_of_its_own_and_both_point_at_each_other(collected: Collected) -> None:
    traceparent(collected, alert([("traceparent", PARENT)]))
    batch, told = collected.spans()["score batch"], collected.spans()["alert"]
    assert batch.context is not None
    assert batch.parent is None
    assert batch.context.trace_id != int(TRACE, 16)
    assert [link.context for link in told.links] == [batch.context]
    assert [link.context for link in batch.links] == [told.context]
    assert batch.attributes is not None
    assert batch.attributes["messaging.batch.message_count"] == 5


@pytest.mark.parametrize(
    "headers",
    [
        None,
        [("traceparent", None)],
        [("traceparent", b"\xff\xfe")],
        [("traceparent", b"00-zz-zz-01")],
        [("traceparent", b"0" * 10_000)],
    ],
)
def test_alert_of_a_transaction_without_a_trace_begins_one(
    collected: Collected, headers: list[tuple[str, bytes | None]] | None
) -> None:
    trace, span = traceparent(collected, alert(headers))
    assert int(trace, 16)
    assert int(span, 16)
    assert collected.spans()["alert"].parent is None


def test_tracestate_is_carried_on(collected: Collected) -> None:
    one = alert([("traceparent", PARENT), ("tracestate", b"vendor=1")])
    with collected.traces.batch(1):
        assert dict(collected.traces.headers(one))["tracestate"] == b"vendor=1"


def test_untraced_writes_no_headers() -> None:
    with UNTRACED.batch(5):
        assert UNTRACED.headers(alert([("traceparent", PARENT)])) is None
