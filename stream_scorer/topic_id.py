"""Notices that a topic was deleted and made anew: the old one's offsets mean nothing in it."""

import time
from collections.abc import Callable, Collection
from concurrent.futures import Future

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, TopicDescription

from stream_scorer.clients import reset_command
from stream_scorer.errors import KafkaTrouble

# Seconds between two looks: what a new topic gets meanwhile is read from the old one's offsets on.
LOOK_S = 1.0
ANSWER_S = 10.0
NOTE = "topic-id="


class TopicId:
    """The id that a topic had when its reader began; kept as a note with each commit.

    The client goes on at its old offsets in a topic of the same name, and the committed offsets of
    the old topic come back with its next commit. Brokers before Kafka 2.8 give no ids (all zeros).
    """

    def __init__(
        self,
        topic: str,
        describe: Callable[[], "Future[TopicDescription]"],
        *,
        group: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Ask for the id; raise KafkaTrouble if it is not to be had. `group` reads the topic."""
        self._topic = topic
        self._group = group
        self._describe = describe
        self._clock = clock
        self._asked: Future[TopicDescription] | None = None
        self._asked_at = clock()
        try:
            self.id = str(describe().result().topic_id)
        except KafkaException as exc:
            raise KafkaTrouble(f"topic {topic!r} cannot be described: {exc.args[0].str()}") from exc

    @property
    def note(self) -> str:
        """Return what is kept with a commit."""
        return NOTE + self.id

    def compare(self, partition: int, offset: int, note: str | None) -> None:
        """Raise KafkaTrouble if an offset was committed of another topic of this name.

        What carries no note of ours was set by a person's intent, or by an earlier release.
        """
        if note and note.startswith(NOTE) and note != self.note:
            raise KafkaTrouble(
                f"{self._topic}[{partition}]: the group's offset {offset} is of a topic that was "
                "deleted; the new one's records before it are not scored, some behind it are; to "
                "go on by intent, once no member is left: "
                f"{reset_command(self._group, self._topic, '--to-earliest')}"
            )

    def look(self) -> None:
        """Raise KafkaTrouble if the topic is another one by now; never waits for the answer."""
        if self._asked is None:
            if self._clock() - self._asked_at >= LOOK_S:
                self._asked, self._asked_at = self._describe(), self._clock()
            return
        if not self._asked.done():
            return
        answer, self._asked = self._asked, None
        if answer.exception():
            return  # of a topic or a broker that is away the consumer tells; asked again later
        found = str(answer.result().topic_id)
        if found != self.id:
            raise KafkaTrouble(
                f"topic {self._topic!r} was deleted and made anew (id {found}, it was {self.id}), "
                "and was read on at the old offsets for a moment: a new start says where it begins"
            )


def describe(client: AdminClient, topic: str) -> "Future[TopicDescription]":
    """Ask the cluster for one topic."""
    client.poll(0)  # hands over its log, if a person asked for one
    answer: Future[TopicDescription] = client.describe_topics(
        TopicCollection([topic]), request_timeout=ANSWER_S
    )[topic]
    return answer


def topic_ids(client: AdminClient, topics: Collection[str]) -> dict[str, str]:
    """Return the id of each topic, by name; raise KafkaException if the cluster does not say."""
    if not topics:
        return {}
    answers = client.describe_topics(TopicCollection(list(topics)), request_timeout=ANSWER_S)
    return {topic: str(answer.result().topic_id) for topic, answer in answers.items()}
