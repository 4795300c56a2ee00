"""Kafka out: alerts, dead letters and what else is asked for; knows what is acknowledged."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from stream_scorer import __version__
from stream_scorer.clients import PURGED, error_of
from stream_scorer.codecs import alerts
from stream_scorer.config import Settings
from stream_scorer.dead_letters import letters
from stream_scorer.errors import DeliveryError
from stream_scorer.metrics import Metrics
from stream_scorer.records import Outcome, Record
from stream_scorer.registry import connect
from stream_scorer.tracing import Traces

# Seconds. With a batch's own time well below max.poll.interval.ms (120 s), or the group evicts us.
FLUSH_TIMEOUT_S = 30.0
# A broker that refuses a record says no more than that it failed to validate it.
COMPACTED = (
    "; a topic with cleanup.policy=compact takes no record without a key: want delete, and "
    "`stream-scorer check` shows which topic it is"
)


Begin = Callable[[], Producer]


class KafkaSink:
    """Writes to the topics of the settings with the producer that the guarantee gives."""

    def __init__(self, settings: Settings, begin: Begin, metrics: Metrics, traces: Traces) -> None:
        """Write with what `begin` returns; the metrics get each acknowledged alert's latency.

        `traces` gives the alerts their headers.
        Raises RegistryTrouble where alerts are to be Avro and the registry does not take that.
        """
        self._settings = settings
        self._begin = begin
        self._metrics = metrics
        self._traces = traces
        self._producer: Producer | None = None  # that wrote last
        self._failed: DeliveryError | None = None
        self._alert_value: Callable[[bytes], bytes] = bytes
        if settings.alerts_format == "avro":
            subject = f"{settings.alerts_topic}-value"
            schema_id = connect(settings).register(subject, alerts.ALERT)
            self._alert_value = partial(alerts.to_avro, schema_id=schema_id)

    def write(self, outcome: Outcome) -> None:
        """Hand all parts of an outcome to the producer, which sends them at once."""
        settings = self._settings
        now_ms = int(time.time() * 1000)
        for alert in outcome.alerts:
            self._produce(
                settings.alerts_topic,
                self._alert_value(alert.value),
                key=alert.key,
                headers=self._traces.headers(alert),
                on_delivery=partial(self._alert_acked, alert.record, now_ms),
            )
        largest = settings.largest_record_bytes if settings.oversize == "truncate" else None
        for letter in outcome.dead_letters:
            written = letters.written(
                letter,
                group=settings.group_id,
                app=f"stream-scorer/{__version__}",
                sha256=outcome.model_sha256,
                now_ms=now_ms,
                largest=largest,
            )
            self._produce(
                settings.dead_letters_topic,
                written.value,
                key=written.key,
                headers=written.headers,
                timestamp=letters.timestamp(letter.record.timestamp()[1], now_ms=now_ms),
                on_delivery=partial(self._acked, place(letter.record)),
            )
        disagreements = outcome.comparison.disagreements if outcome.comparison else ()
        for topic, outputs in (
            (settings.scores_topic, outcome.scores),
            (settings.disagreements_topic, disagreements),
            (settings.control_topic, outcome.handovers),
        ):
            if topic:
                for each in outputs:
                    self._produce(topic, each.value, key=each.key, on_delivery=self._output_acked)
        if self._producer is not None:
            serve(partial(self._producer.poll, 0))

    def flush(self) -> None:
        """Return when every record written is acknowledged; raise DeliveryError if one is not."""
        waiting = 0
        if self._producer is not None:
            waiting = serve(partial(self._producer.flush, FLUSH_TIMEOUT_S))
        failed, self._failed = self._failed, None
        if failed is not None:
            raise failed
        if waiting:
            raise DeliveryError(
                f"{waiting} records are not acknowledged after {FLUSH_TIMEOUT_S:.0f} s"
            )

    def forget(self) -> None:
        """Wait for nothing that was written by now: its producer may be done for."""
        self._producer = self._failed = None

    def _produce(self, topic: str, value: bytes | None, **rest: Any) -> None:  # noqa: ANN401
        """Hand over one record; a full queue is waited for, which holds the source back."""
        producer = self._producer = self._begin()
        deadline = time.monotonic() + FLUSH_TIMEOUT_S
        while True:
            try:
                producer.produce(topic, value, **rest)
            except BufferError:
                if time.monotonic() > deadline:
                    raise DeliveryError(
                        f"the producer's queue is full since {FLUSH_TIMEOUT_S:.0f} s"
                    ) from None
                serve(partial(producer.poll, 0.05))
            except KafkaException as exc:
                raise DeliveryError(f"topic {topic!r} cannot take a record: {exc}") from exc
            else:
                return

    def _acked(self, what: str, error: KafkaError | None, message: Message) -> None:
        """Note a failure for `flush`; a callback must not raise."""
        if error is not None and error.code() not in PURGED:
            hint = COMPACTED if error.code() == KafkaError.INVALID_RECORD else ""
            text = f"{message.topic()} did not take {what}: {error.str()}{hint}"
            self._failed = DeliveryError(text)
            self._failed.__cause__ = KafkaException(error)

    def _output_acked(self, error: KafkaError | None, message: Message) -> None:
        """Note a failure; which score it was is not kept, there are too many."""
        self._acked("a record", error, message)

    def _alert_acked(
        self, record: Record, written_ms: int, error: KafkaError | None, message: Message
    ) -> None:
        """Note an alert's latency: from its event's timestamp to the broker's acknowledgement."""
        self._acked(place(record), error, message)
        latency = message.latency()
        known = record.timestamp()[1] > 0  # -1: the record has no time
        if error is None and latency is not None and known:
            self._metrics.alert_acked((written_ms - record.timestamp()[1]) / 1000 + latency)


def serve(call: Callable[[], int]) -> int:
    """Let delivery callbacks run; raise DeliveryError if the producer is done for."""
    try:
        return call()
    except (KafkaException, SystemError) as exc:
        raise DeliveryError(f"the producer is done for: {error_of(exc).str()}") from exc


def place(record: Record) -> str:
    """Return where a record stands, for a person who has to find it."""
    return f"the outcome of {record.topic()}[{record.partition()}]@{record.offset()}"
