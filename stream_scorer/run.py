"""`stream-scorer run`: the settings become objects, and the objects run until a signal."""

import gc
import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import click
from prometheus_client import CollectorRegistry

from stream_scorer import clients, logs, standard_error
from stream_scorer.certificates import expose as expose_certificates
from stream_scorer.challenger import Challenger
from stream_scorer.codecs import decoder_maker
from stream_scorer.config import Settings
from stream_scorer.control import ControlTopic, find
from stream_scorer.drift import Drift
from stream_scorer.errors import BadInput
from stream_scorer.flags import RUN_SETTINGS, settings_options
from stream_scorer.fuse import Fuse
from stream_scorer.guarantee import AtLeastOnce, Guarantee
from stream_scorer.health import Health, Server
from stream_scorer.live import LiveScorer
from stream_scorer.logs import event
from stream_scorer.metrics import Metrics
from stream_scorer.model import Model, warm_up
from stream_scorer.policy import Policy
from stream_scorer.reload import Reloader, signature
from stream_scorer.scorer import Scorer
from stream_scorer.service import Pace, Service
from stream_scorer.signals import Signals, end
from stream_scorer.sinks import SINKS
from stream_scorer.source import KafkaSource
from stream_scorer.stall import Stalls, has_records
from stream_scorer.topic_id import TopicId, describe
from stream_scorer.tracing import UNTRACED, Traces, open_traces
from stream_scorer.transaction import ExactlyOnce
from stream_scorer.unreadable import end_of_batch

logger = logging.getLogger(__name__)

# Objects. A batch makes hundreds that go by themselves; at the default of 700 each is searched.
GC_THRESHOLD = 50_000


@click.command()
@settings_options(*RUN_SETTINGS)
def run(settings: Settings) -> int:
    """Consume transactions, publish alerts, until SIGTERM or Ctrl-C.

    \b
    Example: SCORER_KAFKA_BOOTSTRAP_SERVERS=broker:9092 stream-scorer run --threshold 0.9

    Exits 0 after a signal, once all that was scored is committed. Every flag is also a SCORER_
    variable and a line of the TOML file.
    """
    if settings.workers > 1:
        from stream_scorer.workers.supervising import supervise

        return supervise(settings)
    work(settings)
    return 0


def work(
    settings: Settings,
    *,
    listening: Callable[[int], None] = lambda _: None,
    worker: int | None = None,
) -> None:
    """Score until a signal; `listening` is told the port of the metrics, `worker` is its number.

    Raises one of ScorerError where it cannot go on.
    """
    signals = Signals()
    logs.begin(settings.log_format, worker=worker)
    registry, health = CollectorRegistry(), Health()
    traces = open_traces(settings)
    service, reloader, model, drift = assemble(settings, registry, health, traces)
    if worker is None:  # a supervisor tells of them for its workers
        expose_certificates(registry, settings)
    signals.drain(stop=service.stop, reload=reloader.ask)
    threading.Thread(target=watch, args=(health,), name="watchdog", daemon=True).start()
    settle_memory()
    with ExitStack() as stack:
        stack.callback(traces.close)
        stack.enter_context(reloader.looking(service.fail))
        server = Server(health, registry, {"/drift": drift.counts})
        certificate = settings.http_certificate
        port = stack.enter_context(
            server.serving(settings.http_host, settings.http_port, certificate=certificate)
        )
        logger.info(
            "Scoring %s with model %s %s (%s); alerts at %g to %s; metrics on %s://%s:%d/metrics",
            settings.transactions_topic,
            model.name,
            model.version,
            model.sha256[:12],
            settings.threshold,
            settings.alerts_topic,
            "https" if certificate else "http",
            settings.http_host,
            port,
            extra=event("started", sha256=model.sha256, threshold=settings.threshold, port=port),
        )
        listening(port)
        service.run(drained=signals.committed)
    logger.info("Stopped; all that was scored is committed", extra=event("stopped"))


def assemble(
    settings: Settings, registry: CollectorRegistry, health: Health, traces: Traces = UNTRACED
) -> tuple[Service, Reloader, Model, Drift]:
    """Wire the parts together, with the model to begin with.

    Raises BadInput if the model is not sound, KafkaTrouble if the cluster or a topic is not to be
    had.
    """
    seen = signature(settings.model)
    model = Model.load(settings.model, sha256=settings.model_sha256, setting="SCORER_MODEL")
    cluster_id = check_cluster(settings)
    control = ControlTopic(settings) if settings.control_topic else None
    request = control.newest()[1] if control else None
    second = None
    if settings.challenger:
        second = Model.load(settings.challenger, setting="SCORER_CHALLENGER")
        warm_up(second, settings.max_batch_rows)
    build = partial(build_scorer, settings, cluster_id=cluster_id, second=second)
    scorer = build_requested(settings, request, build) or build(model)
    metrics = Metrics(registry, scorer.model, drift_window_s=settings.drift_window_s)
    live = LiveScorer(scorer, metrics, group=settings.group_id, shadow_rows=settings.shadow_rows)
    consumer = clients.consumer(settings, {"auto.offset.reset": "error"})  # the source decides
    clients.reach(consumer, settings.transactions_topic, "consumer")
    first = clients.consumer_config(settings)["auto.offset.reset"]
    stalls = Stalls(partial(has_records, settings))
    topic = settings.transactions_topic
    group = settings.group_id
    topic_id = TopicId(topic, partial(describe, clients.admin(settings), topic), group=group)
    source = KafkaSource(
        consumer,
        topic,
        group=group,
        first=first,
        stalls=stalls,
        topic_id=topic_id,
        end_of_batch=partial(end_of_batch, settings) if settings.unreadable != "stop" else None,
    )
    client_log = clients.client_log(clients.producer_config(settings))
    make = partial(clients.output_producer, settings, client_log)
    producer = make()
    for output in settings.outputs:  # known from now on: the first alert need not wait
        clients.reach(producer, output, "producer")
    guarantee: Guarantee = (
        ExactlyOnce(producer, make, source, client_log, note=topic_id.note)
        if settings.guarantee == "exactly-once"
        else AtLeastOnce(producer, source.commit)
    )
    service = Service(
        source=source,
        scorer=live,
        sinks=[SINKS[name](settings, guarantee.begin, metrics, traces) for name in settings.sinks],
        guarantee=guarantee,
        fuse=Fuse(in_a_row=settings.dead_letters_in_a_row, ratio=settings.dead_letters_ratio),
        metrics=metrics,
        health=health,
        pace=Pace(settings.max_batch_rows, settings.commit_interval_ms / 1000),
        traces=traces,
    )
    reloader = Reloader(
        settings.model,
        pin=settings.model_sha256,
        seen=seen,
        offer=lambda model: live.offer(build(model)),
        refuse=live.refuse,
        control=control,
        request=request,
    )
    return service, reloader, scorer.model, metrics.drift


def build_requested(
    settings: Settings, request: bytes | None, build: Callable[[Model], Scorer]
) -> Scorer | None:
    """Return the scorer of the model that the control topic asks for; None if it is not to be had.

    A bad request must not keep all replicas from starting.
    """
    if request is None:
        return None
    try:
        path, sha256 = find(request, path=settings.model, pin=settings.model_sha256)
        return build(Model.load(path, sha256=sha256))
    except BadInput as exc:
        about = event("request_refused", why=str(exc))
        logger.warning(
            "The control topic's request is refused, SCORER_MODEL scores: %s", exc, extra=about
        )
        return None


def build_scorer(
    settings: Settings, model: Model, *, cluster_id: str, second: Model | None
) -> Scorer:
    """Make the scorer of a model; raise BadInput if the challenger or the limits do not fit it."""
    challenger = None
    if second:
        sample = settings.disagreements_sample if settings.disagreements_topic else 0
        challenger = Challenger.beside(model, second, sample=sample)
    warm_up(model, settings.max_batch_rows)
    return Scorer(
        model=model,
        decoder=decoder_maker(settings)(model.feature_names),
        threshold=settings.threshold,
        cluster_id=cluster_id,
        every_score=bool(settings.scores_topic),
        challenger=challenger,
        policy=Policy.of(settings, model.feature_names),
    )


def check_cluster(settings: Settings) -> str:
    """Return the cluster's id once the topics are known to be there."""
    metadata = clients.describe_cluster(settings)
    for name in [settings.transactions_topic, *settings.outputs]:
        clients.count_partitions(metadata, name, settings)
    return str(metadata.cluster_id)


def settle_memory() -> None:
    """Spare the garbage collector what will stay, and most of what goes by itself: 10 % of CPU."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)


def watch(health: Health) -> None:
    """End the process if the loop hangs, in a call of the client that never returns."""
    while health.live()[0]:
        time.sleep(1)
    standard_error.write_stacks()
    end(f"hangs: {health.live()[1]}")
