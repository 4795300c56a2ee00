"""The schema registry: schemas by their id, and the id of a schema."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from stream_scorer.config import Settings
from stream_scorer.errors import BadInput, RegistryTrouble
from stream_scorer.records import Reject

if TYPE_CHECKING:
    from confluent_kafka.schema_registry import Schema

T = TypeVar("T")

# Seconds for one answer, in all, and between two tries; max.poll.interval.ms is 120 s.
TIMEOUT_S, PATIENCE_S, AGAIN_S = 3.0, 10.0, 0.5
# Seconds after which an id that the registry did not know is asked for again.
UNKNOWN_S = 10.0
MOST_UNKNOWN = 1000
AVRO = "AVRO"
# The registry's own codes for a subject, a version or a schema that it has not.
NOT_THERE = {40401, 40402, 40403}
OVERLOADED, SERVER_ERROR = 429, 500
DEEPEST = 20  # references of references: they may stand in a circle
MISSING_EXTRA = "Avro needs the extra: pip install 'stream-scorer[avro]'"


class Asks(Protocol):
    """What is needed of confluent-kafka's `SchemaRegistryClient`."""

    def get_schema(self, schema_id: int) -> "Schema": ...
    def get_version(self, subject_name: str, version: int) -> Any: ...  # noqa: ANN401 - its schema
    def register_schema(self, subject_name: str, schema: "Schema") -> int: ...
    def close(self) -> None: ...


class Registry:
    """Asks the registry; what it says of an id never changes, so the decoder keeps it."""

    def __init__(
        self,
        url: str,
        asks: Asks,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Ask by `asks`; `url` names the registry to people."""
        self._sleep = sleep
        self._url = url
        self._asks = asks
        self._clock = clock
        self._unknown: dict[int, tuple[float, Reject]] = {}

    def schema(self, schema_id: int) -> Sequence[str] | Reject:
        """Return an Avro schema's text behind those that it refers to, or why there is none for us.

        Raises RegistryTrouble if the registry does not answer, or refuses us.
        """
        known = self._unknown.get(schema_id)
        if known is not None and self._clock() < known[0]:
            return known[1]
        found = self._ask(lambda: self._asks.get_schema(schema_id))
        if found is None:
            why = Reject("SCHEMA", f"the registry knows no schema {schema_id}")
        elif (found.schema_type or AVRO) != AVRO:
            why = Reject("SCHEMA", f"schema {schema_id} is {found.schema_type}: want {AVRO}")
        else:
            texts = self._with_references(found, {})
            if texts is not None:
                return texts
            why = Reject("SCHEMA", f"schema {schema_id} refers to one that the registry lacks")
        if len(self._unknown) >= MOST_UNKNOWN:
            self._unknown.clear()
        self._unknown[schema_id] = (self._clock() + UNKNOWN_S, why)
        return why

    def close(self) -> None:
        """Let the connection go."""
        self._asks.close()

    def register(self, subject: str, text: str) -> int:
        """Return the id of an Avro schema under a subject, which is registered if it is new.

        Raises RegistryTrouble if the registry does not answer, or refuses it.
        """
        from confluent_kafka.schema_registry import Schema

        found = self._ask(lambda: self._asks.register_schema(subject, Schema(text, AVRO)))
        if found is None:
            raise RegistryTrouble(f"{self._url} has no place for subject {subject!r}")
        return found

    def _with_references(
        self, schema: "Schema", seen: dict[tuple[str, int], list[str] | None], depth: int = 0
    ) -> list[str] | None:
        """Return a schema's text behind those that it refers to, None if one is not there.

        `seen` has what was asked for already, of each subject and version.
        Raises RegistryTrouble for an answer without a text: that is no record's fault.
        """
        if not schema.schema_str:
            raise RegistryTrouble(f"the schema registry {self._url} answers without a schema")
        texts: list[str] = []
        for each in schema.references or []:
            subject, version = str(each.subject), int(each.version or 1)
            if (subject, version) not in seen:
                found = self._ask(lambda: self._asks.get_version(subject, version))  # noqa: B023
                seen[subject, version] = None  # one that refers to itself has no end
                if found is not None and depth < DEEPEST:
                    below = self._with_references(found.schema, seen, depth + 1)
                    seen[subject, version] = below
            below = seen[subject, version]
            if below is None:
                return None
            texts += below
        return [*dict.fromkeys(texts), schema.schema_str]

    def _ask(self, ask: Callable[[], T]) -> T | None:
        """Return an answer, None for what is not there; ask again for PATIENCE_S."""
        begun = self._clock()
        while True:
            try:
                return self._answer(ask)
            except RegistryTrouble as exc:
                if not exc.may_pass or self._clock() - begun > PATIENCE_S:
                    raise
                self._sleep(AGAIN_S)

    def _answer(self, ask: Callable[[], T]) -> T | None:
        from confluent_kafka.schema_registry import SchemaRegistryError

        try:
            return ask()
        except SchemaRegistryError as exc:
            if exc.error_code in NOT_THERE:
                return None
            said = str(exc.error_message).splitlines()[:1]
            status = exc.http_status_code
            trouble = RegistryTrouble(
                f"the schema registry {self._url} refuses: {''.join(said)[:200]} (status {status})"
            )
            trouble.may_pass = status >= SERVER_ERROR or status == OVERLOADED
            raise trouble from exc
        except Exception as exc:  # its errors are those of whichever HTTP client it came with
            trouble = RegistryTrouble(
                f"the schema registry {self._url} does not answer: {type(exc).__name__}"
            )
            trouble.may_pass = True
            raise trouble from exc


def connect(settings: Settings) -> Registry:
    """Return the registry of the settings; raise BadInput where there is none, or no client."""
    if not settings.registry_url:
        raise BadInput("SCORER_FORMAT is avro: want SCORER_REGISTRY_URL, the schema registry")
    try:
        from confluent_kafka.schema_registry import SchemaRegistryClient
    except ImportError as exc:
        raise BadInput(MISSING_EXTRA) from exc
    config: dict[str, object] = {
        "url": settings.registry_url,
        "timeout": TIMEOUT_S,
        "max.retries": 0,  # ours know an end
    }
    if settings.registry_user:
        config["basic.auth.user.info"] = settings.registry_user
    if settings.registry_ca:
        config["ssl.ca.location"] = str(settings.registry_ca)
    if settings.registry_certificate:
        config["ssl.certificate.location"] = str(settings.registry_certificate)
        config["ssl.key.location"] = str(settings.registry_certificate)
    try:
        return Registry(settings.registry_url, SchemaRegistryClient(config))
    except (ValueError, TypeError, OSError) as exc:
        raise BadInput(f"SCORER_REGISTRY_URL is {settings.registry_url!r}: {exc}") from exc
