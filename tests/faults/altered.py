"""The scorer out of its own parts, with some of them replaced by what is handed in."""

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from confluent_kafka import Producer
from prometheus_client import CollectorRegistry

from stream_scorer import clients
from stream_scorer.client_log import ClientLog
from stream_scorer.codecs import decoder_maker
from stream_scorer.config import Settings
from stream_scorer.fuse import Fuse
from stream_scorer.guarantee import AtLeastOnce, Guarantee
from stream_scorer.health import Health, Server
from stream_scorer.live import LiveScorer
from stream_scorer.metrics import Metrics
from stream_scorer.model import Model
from stream_scorer.run import check_cluster
from stream_scorer.scorer import Scorer
from stream_scorer.service import Pace, Service
from stream_scorer.signals import Signals
from stream_scorer.sinks.kafka import Begin, KafkaSink
from stream_scorer.source import KafkaSource
from stream_scorer.tracing import UNTRACED
from stream_scorer.transaction import ExactlyOnce


def of_guarantee(settings: Settings, guarantee: Guarantee) -> Begin:  # noqa: ARG001
    """Give the sink the producer that it is to have."""
    return guarantee.begin


@dataclass(frozen=True)
class Parts:
    """What a scorer is made of; each may be another that has the same methods."""

    scorer: type[Scorer] = Scorer
    source: type[KafkaSource] = KafkaSource
    sink: type[KafkaSink] = KafkaSink
    service: type[Service] = Service
    exactly_once: type[ExactlyOnce] = ExactlyOnce
    begin: Callable[[Settings, Guarantee], Begin] = of_guarantee
    make: Callable[[Settings, ClientLog], Producer] = clients.output_producer


def build(settings: Settings, parts: Parts, registry: CollectorRegistry, health: Health) -> Service:
    """Wire the parts as `stream-scorer run` does, without what looks for new models."""
    model = Model.load(settings.model)
    scorer = parts.scorer(
        model=model,
        decoder=decoder_maker(settings)(model.feature_names),
        threshold=settings.threshold,
        cluster_id=check_cluster(settings),
        every_score=True,
    )
    metrics = Metrics(registry, model, drift_window_s=settings.drift_window_s)
    consumer = clients.consumer(settings, {"auto.offset.reset": "error"})
    source = parts.source(consumer, settings.transactions_topic)
    client_log = clients.client_log(clients.producer_config(settings))
    make: Callable[[], Producer] = partial(parts.make, settings, client_log)
    guarantee: Guarantee = (
        parts.exactly_once(make(), make, source, client_log)
        if settings.guarantee == "exactly-once"
        else AtLeastOnce(make(), source.commit)
    )
    return parts.service(
        source=source,
        scorer=LiveScorer(scorer, metrics, group=settings.group_id, shadow_rows=0),
        sinks=[parts.sink(settings, parts.begin(settings, guarantee), metrics, UNTRACED)],
        guarantee=guarantee,
        fuse=Fuse(in_a_row=settings.dead_letters_in_a_row, ratio=settings.dead_letters_ratio),
        metrics=metrics,
        health=health,
        pace=Pace(settings.max_batch_rows, settings.commit_interval_ms / 1000),
    )


def run(settings: Settings, parts: Parts) -> None:
    """Score until a signal, as `stream-scorer run` does."""
    signals = Signals()
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )
    registry, health = CollectorRegistry(), Health()
    service = build(settings, parts, registry, health)
    signals.drain(stop=service.stop, reload=lambda: None)
    with Server(health, registry).serving(settings.http_host, settings.http_port):
        service.run()
