"""The topics of the monitor: those that it reads and writes, and two of its own."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import (
    AdminClient,
    ConfigResource,
    NewTopic,
    ResourceType,
    TopicDescription,
)

from stream_scorer import clients
from stream_scorer.config import Settings
from stream_scorer.errors import BadInput, KafkaTrouble

TABLE = "joined"
TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Topics:
    """By what they hold."""

    scores: str
    alerts: str
    labels: str
    quality: str
    events: str  # our own: all three, in one partition, so that what belongs together meets
    changelog: str  # our own: the table
    identities: Mapping[str, str] = field(default_factory=dict)  # of the sources: name and id

    @property
    def sources(self) -> tuple[str, str, str]:
        """Where scores, alerts and labels come from."""
        return self.scores, self.alerts, self.labels


def group(settings: Settings) -> str:
    """Return the name of the monitor's group, and of its own topics' beginning."""
    return f"{settings.group_id}-monitor"


def topics(settings: Settings) -> Topics:
    """Return the topics; raise BadInput if scores are not published."""
    if not settings.scores_topic:
        raise BadInput(
            "SCORER_SCORES_TOPIC is empty: set it, for `run` too, to the topic that scores are "
            "published on; without them nobody knows what did not alert"
        )
    return Topics(
        scores=settings.scores_topic,
        alerts=settings.alerts_topic,
        labels=settings.labels_topic,
        quality=settings.quality_topic,
        events=f"{group(settings)}-events",
        changelog=f"{group(settings)}-{TABLE}-changelog",
    )


def prepare(settings: Settings, found: Topics) -> Topics:
    """Check the topics, and create our own two; return them with the sources' identities.

    Raises KafkaTrouble if one is not to be had.
    """
    clients.require_topics(settings, (*found.sources, found.quality))
    admin = clients.admin(settings)
    require_compaction(admin, found.quality)
    create(admin, found.events, {})
    create(admin, found.changelog, {"cleanup.policy": "compact"})
    for name in (found.events, found.changelog):
        if (count := len(described(admin, name).partitions)) != 1:
            raise KafkaTrouble(f"topic {name!r} has {count} partitions: want 1, delete it")
    identities = {name: f"{name}@{described(admin, name).topic_id}" for name in found.sources}
    return replace(found, identities=identities)


def described(admin: AdminClient, name: str) -> TopicDescription:
    """Return what the cluster tells of a topic that is there, or that was made just now.

    Raises KafkaTrouble.
    """

    def ask() -> TopicDescription:
        asked = admin.describe_topics(TopicCollection([name]), request_timeout=TIMEOUT_S)
        told: TopicDescription = asked[name].result()
        return told

    # A broker may hear of a new topic after the one that made it has answered.
    not_yet = clients.NOT_YET | {KafkaError.UNKNOWN_TOPIC_OR_PART}
    try:
        return clients.settled(ask, timeout_s=TIMEOUT_S, not_yet=not_yet)
    except KafkaException as exc:
        raise KafkaTrouble(
            f"topic {name!r} is not described by the cluster: {clients.first_line(exc.args[0])}"
        ) from exc


def create(admin: AdminClient, name: str, config: dict[str, str]) -> None:
    """Create a topic of one partition, with as many copies as the cluster's default, unless there.

    Raises KafkaTrouble.
    """
    try:
        admin.create_topics([NewTopic(name, 1, -1, config=config)])[name].result(TIMEOUT_S)
    except KafkaException as exc:
        if exc.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise KafkaTrouble(
                f"topic {name!r} cannot be created: {clients.first_line(exc.args[0])}"
            ) from exc


def require_compaction(admin: AdminClient, name: str) -> None:
    """Raise KafkaTrouble if the topic would forget its newest figures."""
    resource = ConfigResource(ResourceType.TOPIC, name)
    try:
        policy = admin.describe_configs([resource])[resource].result(TIMEOUT_S)["cleanup.policy"]
    except KafkaException as exc:
        raise KafkaTrouble(
            f"topic {name!r} does not show its settings: {clients.first_line(exc.args[0])}"
        ) from exc
    if "compact" not in policy.value.split(","):
        raise KafkaTrouble(
            f"topic {name!r} has cleanup.policy={policy.value}: want compact, it holds the newest "
            "figures of each window"
        )
