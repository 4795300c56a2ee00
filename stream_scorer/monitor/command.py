"""`stream-scorer monitor`: joins scores, alerts and labels until a signal."""

import asyncio
import logging

import click
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from stream_scorer import certificates, logs
from stream_scorer.codecs.alerts import require_reader
from stream_scorer.config import Settings
from stream_scorer.extras import extra
from stream_scorer.flags import settings_options
from stream_scorer.health import Health, Server
from stream_scorer.logs import event
from stream_scorer.monitor import places
from stream_scorer.monitor.board import Board

logger = logging.getLogger(__name__)

EXTRA = {"faust", "mode", "aiokafka"}


@click.command()
@click.option(
    "--alerts-a-day",
    type=click.IntRange(1),
    default=100,
    metavar="N",
    help="How many of a day's highest scores people look at: their precision is told, too.",
)
@settings_options(
    "scores_topic",
    "alerts_topic",
    "labels_topic",
    "quality_topic",
    "group_id",
    "monitor_keep",
    "http_host",
    "monitor_port",
    "http_certificate",
)
def monitor(*, alerts_a_day: int, settings: Settings) -> None:
    """Tell how good the model is, as labels come, until SIGTERM or Ctrl-C.

    \b
    Example: SCORER_SCORES_TOPIC=fraud-scores stream-scorer monitor --alerts-a-day 200

    Joins SCORER_SCORES_TOPIC, SCORER_ALERTS_TOPIC and SCORER_LABELS_TOPIC by transaction id;
    precision, recall and more, by hour, day and of all time and by model, go to
    SCORER_QUALITY_TOPIC and to /metrics. It stands beside the scorer, never in its way, and needs
    the extra `monitor`. Exits 0 after a signal.
    """
    logs.begin(settings.log_format, level=logging.WARNING)
    logger.setLevel(logging.INFO)
    # It warns of each pack of more than 100 writes, which are waited for all the same.
    logging.getLogger("faust.transport.producer").setLevel(logging.ERROR)
    topics = places.topics(settings)
    with extra("monitor", EXTRA, what="the monitor"):
        from stream_scorer.monitor import faust_settings
        from stream_scorer.monitor.running import run
    faust_settings.credentials(settings)  # what is refused is refused before anything is made
    topics = places.prepare(settings, topics)
    require_reader(settings)
    registry, health = CollectorRegistry(), Health()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    certificates.expose(registry, settings)
    board = Board(registry, top_k=alerts_a_day)
    certificate = settings.http_certificate
    with Server(health, registry).serving(
        settings.http_host,
        settings.monitor_port,
        certificate=certificate,
        port_setting="SCORER_MONITOR_PORT",
    ) as port:
        logger.info(
            "Joining %s, %s and %s; figures to %s and on %s://%s:%d/metrics",
            *topics.sources,
            topics.quality,
            "https" if certificate else "http",
            settings.http_host,
            port,
            extra=event("started", port=port),
        )
        asyncio.run(run(settings, topics, board, health))
    logger.info("Stopped; a new start goes on from here", extra=event("stopped"))
