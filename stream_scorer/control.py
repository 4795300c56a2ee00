"""The control topic, read outside any group: which model to run, as its newest record says."""

from stream_scorer.config import Settings
from stream_scorer.topics import TopicReader

# The key of the record that says which model to run; all others are ours to write.
MODEL_KEY = b"model"


class ControlTopic:
    """Reads the control topic from its beginning, then what comes."""

    def __init__(self, settings: Settings) -> None:
        """Open the topic of the settings; raise KafkaTrouble if it is not to be had."""
        self._reader = TopicReader(settings, settings.control_topic)
        self._begun = False

    def newest(self) -> tuple[bool, bytes | None]:
        """Return whether there is a request that was not seen, and the newest one's value."""
        messages = self._reader.arriving(0) if self._begun else self._reader.held()
        self._begun = True
        values = [message.value() for message in messages if message.key() == MODEL_KEY]
        return (True, values[-1]) if values else (False, None)

    def close(self) -> None:
        """Let the connection go."""
        self._reader.close()
