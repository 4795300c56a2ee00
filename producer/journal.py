"""A replay that can be interrupted: it stands where its file and the ends of its topics say."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from producer import resume, tail
from producer.deliveries import Deliveries, Position
from producer.sender import Route


@dataclass(slots=True)
class Journal:
    """The resume file of one run, and the deliveries it tells of."""

    path: Path
    state: resume.State  # as it is in the file
    events: Deliveries
    labels: Deliveries
    labelled: bool  # labels are sent too

    @property
    def first(self) -> int:
        """Return the first row that still has something to send."""
        if not self.labelled:
            return self.events.next_number
        return min(self.events.next_number, self.labels.next_number)

    def save(self) -> None:
        """Write how far Kafka has confirmed."""
        self.write(finished=False)

    def write(self, *, finished: bool) -> None:
        """Write how far Kafka has confirmed, and whether nothing is left."""
        events, labels = self.events.position(), self.labels.position()
        state = resume.State(self.state.about, self.state.run, events, labels, finished)
        if state != self.state:
            resume.save(self.path, state)
            self.state = state


def open_journal(
    path: Path,
    about: Mapping[str, str],
    *,
    consumer: tail.Reader,
    route: Route,
    partitions: Mapping[str, int],
    sleep: Callable[[float], None] = time.sleep,
) -> Journal:
    """Begin a resume file, or go on from it.

    Rows that a dead run put into the topics without hearing so are found there by the run's mark,
    and are not sent again.
    """
    labels_topic, labelled = route.labels_topic, route.labels_topic is not None
    state = resume.load(path, about)
    if state is None:
        state = resume.begin(
            about,
            events=tail.ends(consumer, route.topic, partitions=partitions[route.topic]),
            labels=tail.ends(consumer, labels_topic, partitions=partitions[labels_topic])
            if labels_topic
            else {},
        )
        resume.save(path, state)
        return Journal(path, state, deliveries(state.events), deliveries(state.labels), labelled)
    run = state.run
    if not state.finished:
        sleep(tail.SETTLE_S)

    def there(topic: str | None, position: Position) -> set[int]:
        if topic is None or state.finished:
            return set()
        starts, count = position.next_offsets, partitions[topic]
        return tail.rows_there(consumer, topic, next_offsets=starts, partitions=count, run=run)

    events = deliveries(state.events, there(route.topic, state.events))
    labels = deliveries(state.labels, there(labels_topic, state.labels))
    return Journal(path, state, events, labels, labelled)


def deliveries(position: Position, there: set[int] | None = None) -> Deliveries:
    """Return the counts of a topic that stands at `position`."""
    return Deliveries(position.next_number, dict(position.next_offsets), there or frozenset())
