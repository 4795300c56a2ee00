"""Rows in which topics or offsets are taken away, on a stream beside the one that is verified."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests.faults.oracle import ALERT, number_of
from tests.faults.processes import SLOW
from tests.faults.registry import row
from tests.faults.trial import DEFAULTS, Kept, Trial
from tests.integration.stream import Scorer, Stream, fresh_stream, wait_for

# Records that are done before something is taken away, and that come after it.
BEFORE, AFTER = 3000, 4000


@contextmanager
def aside(trial: Trial) -> Iterator[Stream]:
    """Give a stream beside the verified one, on which a scorer works meanwhile.

    What is taken away there is not lost by the scorer.
    """
    folder = trial.stream.folder / "aside"
    folder.mkdir()
    environ = {**DEFAULTS, **SLOW, "SCORER_GUARANTEE": trial.guarantee}
    trial.keep("a", **SLOW).scorer.wait_assigned()
    for _ in trial.pieces(1):
        with fresh_stream(trial.cluster.bootstrap, folder, partitions=4, **environ) as stream:
            yield stream


def send(trial: Trial, stream: Stream, start: int, stop: int) -> None:
    """Send a part of the workload to a stream beside."""
    stream.send(trial.workload.events(start, stop))


def done_before(trial: Trial, stream: Stream) -> None:
    """Let a scorer do the first records of a stream, and stop it."""
    scorer = stream.start()
    send(trial, stream, 0, BEFORE)
    stream.wait_committed(BEFORE)
    trial.demand(scorer.stop() == 0, scorer.text())


def recreate(stream: Stream, topic: str, *, between: Iterator[None] | None = None) -> None:
    """Delete a topic; do what is to be done between; make it again."""
    client = AdminClient({"bootstrap.servers": stream.bootstrap, "log_level": 0})
    client.delete_topics([topic])[topic].result(30)
    for _ in between or ():
        pass

    def made() -> bool:
        try:
            client.create_topics([NewTopic(topic, stream.partitions, 1)])[topic].result(30)
        except KafkaException:  # it is not gone yet
            return False
        return True

    wait_for(f"{topic} anew", made)


def set_offsets(stream: Stream, offsets: list[TopicPartition]) -> None:
    """Say where the group goes on, as a person does."""
    client = AdminClient({"bootstrap.servers": stream.bootstrap, "log_level": 0})
    asked = ConsumerGroupTopicPartitions(stream.settings.group_id, offsets)

    def altered() -> bool:
        try:
            (answer,) = client.alter_consumer_group_offsets([asked]).values()
            answer.result(30)
        except KafkaException:  # the group still has a member
            return False
        now = stream.group.committed(offsets, timeout=30)
        return [at.offset for at in now] == [at.offset for at in offsets]

    wait_for("other offsets", altered)


def refused(trial: Trial, scorer: Scorer, what: str) -> None:
    """Demand that a scorer ends with 1 and says what."""
    code = scorer.process.wait(60)
    trial.demand(code == 1 and what in scorer.text(), f"code {code}: {scorer.text()}")


@row("R21", "alerts' topic deleted and made anew")
def alerts_deleted(trial: Trial) -> None:
    """Delete the alerts' topic under load: whatever alerts afterwards must arrive."""
    with aside(trial) as stream:
        kept = Kept(stream.start)
        send(trial, stream, 0, BEFORE)
        stream.wait_committed(BEFORE)

        def between() -> Iterator[None]:
            send(trial, stream, BEFORE, BEFORE + AFTER)
            wait_for("a scorer that ends", lambda: bool(kept.codes))
            yield

        recreate(stream, stream.settings.alerts_topic, between=between())
        stream.wait_committed(BEFORE + AFTER)
        kept.end()
        seen = Counter(number_of(message.key()) for message in stream.alerts())
        later = range(BEFORE, BEFORE + AFTER)
        wanted = {n for n in later if ALERT in trial.workload.expected(n)}
        trial.demand(wanted <= set(seen), f"alerts lost: {sorted(wanted - set(seen))[:5]}")
        trial.repeated = seen.total() - len(seen)
        repeats = trial.repeated == 0 or trial.guarantee == "at-least-once"
        trial.demand(repeats, f"{trial.repeated} alerts are there twice")
        trial.figures["codes"] = sorted(set(kept.codes))


@row("R26", "input topic deleted and made anew; then a person sets the offsets back")
def input_deleted(trial: Trial) -> None:
    """Delete the input and make it anew: it must not go on at the old offsets in silence.

    It stops by itself. Where its offsets of the old topic came back by a commit, a new start stops
    as well, until a person says where to begin; then every record of the new one must be done.
    """
    with aside(trial) as stream:
        first = stream.start()
        send(trial, stream, 0, BEFORE)
        stream.wait_committed(BEFORE)
        recreate(stream, stream.settings.transactions_topic)
        send(trial, stream, BEFORE, BEFORE + AFTER)
        code = first.process.wait(60)
        trial.demand(code == 1, f"code {code}: {first.text()}")
        held = [at.offset for at in stream.group.committed(stream.places(), timeout=30)]
        if max(held) >= 0:
            refused(trial, stream.start(), "is of a topic that was deleted")
            set_offsets(
                stream, [TopicPartition(at.topic, at.partition, 0) for at in stream.places()]
            )
        kept = Kept(stream.start)

        def seen() -> Counter[int | None]:
            outcomes = [*stream.scores(), *stream.dead_letters()]
            return Counter(number_of(message.key()) for message in outcomes)

        wanted = set(range(BEFORE, BEFORE + AFTER))
        wait_for("all of the new topic", lambda: wanted <= set(seen()))
        kept.end()
        # Read on at the old offsets until it was noticed, and again from where a person says.
        trial.repeated = sum(count > 1 for count in seen().values())


@row("R27", "records deleted below, and offsets set beyond the end")
def offsets_gone(trial: Trial) -> None:
    """Let the next record be gone, then let the offset lie beyond the end: it must not jump."""
    with aside(trial) as stream:
        done_before(trial, stream)
        send(trial, stream, BEFORE, BEFORE + AFTER)
        written = len(stream.scores())
        client = AdminClient({"bootstrap.servers": stream.bootstrap, "log_level": 0})
        places = stream.places()
        held = stream.group.committed(places, timeout=30)
        gone = [TopicPartition(at.topic, at.partition, at.offset + 100) for at in held]
        for each in client.delete_records(gone).values():
            each.result(30)
        refused(trial, stream.start(), "100 records are gone")
        set_offsets(stream, [TopicPartition(at.topic, at.partition, 1_000_000) for at in held])
        refused(trial, stream.start(), "it ends at")
        trial.demand(len(stream.scores()) == written, "it has scored all the same")
