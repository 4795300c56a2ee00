"""Tracing on a real Kafka: an alert carries its transaction's trace, and a collector gets spans."""

import http.server
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Producer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.integration.stream import fresh_stream, wait_for
from tests.records import FRAUD

pytestmark = pytest.mark.integration
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@contextmanager
def collector() -> Iterator[tuple[str, list[str]]]:
    """Give the address of something that takes spans, and their names as they come."""
    names: list[str] = []

    class Take(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    names.extend(span.name for span in scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Take) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", names
        server.shutdown()


def test_alert_carries_the_trace_and_the_collector_gets_spans(
    kafka: str, tiny_path: Path, tmp_path: Path
) -> None:
    with collector() as (address, names), fresh_stream(kafka, tmp_path) as stream:
        scorer = stream.start(
            SCORER_TRACING="otlp",
            SCORER_MODEL=str(tiny_path),
            OTEL_EXPORTER_OTLP_ENDPOINT=address,
        )
        scorer.wait_assigned()
        producer = Producer({"bootstrap.servers": kafka})
        headers: list[tuple[str, str | bytes | None]] = [
            ("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01".encode())
        ]
        producer.produce(stream.settings.transactions_topic, FRAUD, "t1", headers=headers)
        producer.flush(30)
        stream.wait_committed(1)
        assert scorer.stop() == 0
        (alert,) = stream.alerts()
        told = dict(alert.headers() or ())["traceparent"]
        assert told is not None
        assert TRACE.encode() in (told if isinstance(told, bytes) else told.encode())
        wait_for("spans", lambda: {"score batch", "alert"} <= set(names))


@contextmanager
def silent_collector() -> Iterator[str]:
    """Give the address of a collector that takes connections and answers nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def no_collector() -> Iterator[str]:
    """Give an address where nobody listens."""
    yield "http://127.0.0.1:9"


@pytest.mark.parametrize("away", [no_collector, silent_collector])
def test_collector_that_is_away_costs_no_transaction_and_no_time_of_a_stop(
    kafka: str,
    tiny_path: Path,
    tmp_path: Path,
    away: Callable[[], AbstractContextManager[str]],
) -> None:
    with fresh_stream(kafka, tmp_path) as stream, away() as address:
        scorer = stream.start(
            SCORER_TRACING="otlp",
            SCORER_MODEL=str(tiny_path),
            OTEL_EXPORTER_OTLP_ENDPOINT=address,
        )
        scorer.wait_assigned()
        stream.send((f"t{i}", FRAUD) for i in range(500))
        stream.wait_committed(500)
        assert scorer.stop() == 0
        assert "Stopped; all that was scored is committed" in scorer.text()
        assert len(stream.alerts()) == 500
