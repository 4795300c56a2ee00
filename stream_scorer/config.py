"""The settings: environment, then a TOML file, then flags; the later wins."""

import difflib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from stream_scorer.errors import BadInput
from stream_scorer.lint import insecure, is_loopback, told_in_the_clear

PREFIX = "SCORER_"
SHIPPED_MODEL = Path(__file__).resolve().parent.parent / "models" / "fraud.onnx"
SECRET = re.compile(
    r"passw|passphrase|secret|token|jaas|\.key$|oauthbearer\.config|\.pem$", re.IGNORECASE
)
# Of a URL: who signs in, up to the last @ (a password may hold anything), and what it is asked.
URL_USER = re.compile(r"//.*@")
URL_ASKED = re.compile(r"([?&][^=&]*=)[^&'\"]*")
NO_SECRET = (".file", ".location", ".url")  # they name a place
# Keys of librdkafka that our way of writing them would miss.
UNDERSCORED = {"log.level": "log_level"}
ENDING_IN_FILE = (
    "sasl.oauthbearer.assertion.file",
    "sasl.oauthbearer.assertion.jwt.template.file",
    "sasl.oauthbearer.assertion.private.key.file",
)
# Those that people write most, to name the nearest one and to show; librdkafka has 150 more.
KNOWN_KEYS = (
    "acks",
    "allow.auto.create.topics",
    "auto.offset.reset",
    "bootstrap.servers",
    "check.crcs",
    "client.id",
    "compression.type",
    "debug",
    "delivery.timeout.ms",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "fetch.max.bytes",
    "fetch.queue.backoff.ms",
    "group.instance.id",
    "group.protocol",
    "heartbeat.interval.ms",
    "isolation.level",
    "linger.ms",
    "log_level",
    "max.poll.interval.ms",
    "message.max.bytes",
    "message.timeout.ms",
    "partition.assignment.strategy",
    "queue.buffering.max.kbytes",
    "queued.max.messages.kbytes",
    "sasl.mechanism",
    "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.method",
    "sasl.password",
    "sasl.username",
    "security.protocol",
    "session.timeout.ms",
    "socket.timeout.ms",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.endpoint.identification.algorithm",
    "ssl.key.location",
    "ssl.key.password",
    "statistics.interval.ms",
)
# librdkafka's other names for a key: ours is looked at, shown and handed on.
ALIASES = {
    "metadata.broker.list": "bootstrap.servers",
    "sasl.mechanisms": "sasl.mechanism",
}
# The guarantee rests on these; another value would lose records without a word.
OURS = {
    "enable.auto.commit": {"false"},
    "enable.auto.offset.store": {"false"},
    "enable.idempotence": {"true"},
    "acks": {"all", "-1"},
    "request.required.acks": {"all", "-1"},
    "isolation.level": {"read_committed"},
}
# Bytes of key, value and headers. Kafka's default topic takes it as a dead letter, too.
LARGEST_RECORD_BYTES = 1_000_000
# Half of a transaction's time-out.
LONGEST_TRANSACTION_MS = 5_000

Topic = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,249}$")]
OptionalTopic = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{0,249}$")]


class Settings(BaseModel):
    """All that a person may set; README.md's table is held to this list by a test."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", protected_namespaces=(), ser_json_inf_nan="constants"
    )

    model: Path = Field(SHIPPED_MODEL, description="The model bundle, an ONNX file.")
    model_sha256: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{64})?$")] = Field(
        "", description="Refuse any model file but the one with this sha256."
    )
    challenger: Path | None = Field(
        None, description="A second bundle that scores the same records and never alerts."
    )
    disagreements_sample: float = Field(
        0.1, ge=0, le=1, description="Share of the challenger's disagreements that is published."
    )
    shadow_rows: int = Field(
        1000,
        ge=0,
        le=10_000_000,
        description="Rows that a new model scores unseen, then it decides.",
    )
    drift_window_s: int = Field(
        86_400, ge=60, le=2_592_000, description="Seconds of traffic that drift is measured on."
    )
    threshold: float = Field(
        0.8, ge=0, le=1, description="Alert if and only if the probability is at least this."
    )
    guarantee: Literal["at-least-once", "exactly-once"] = Field(
        "at-least-once", description="What a crash may do: repeat, or not even that; never lose."
    )
    workers: int = Field(
        1, ge=1, le=64, description="Processes that score, under one that watches them."
    )
    replica: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{0,103}$")] = Field(
        "", description="This scorer's name in its group, for exactly-once; empty: the host's name."
    )
    group_id: str = Field("stream-scorer", min_length=1, description="Kafka consumer group.")
    transactions_topic: Topic = Field("transactions", description="Where transactions come from.")
    alerts_topic: Topic = Field("fraud-alerts", description="Where alerts go.")
    scores_topic: OptionalTopic = Field(
        "", description="Where every score goes; empty: scores are not published."
    )
    dead_letters_topic: Topic = Field(
        "transactions-dlq", description="Where records go that cannot be scored."
    )
    parking_topic: OptionalTopic = Field(
        "", description="Where redriving puts what has failed too often; empty: nowhere."
    )
    disagreements_topic: OptionalTopic = Field(
        "", description="Where a sample of the challenger's disagreements goes; empty: nowhere."
    )
    control_topic: OptionalTopic = Field(
        "", description="Says which model to run, and takes who scored what; empty: none."
    )
    labels_topic: Topic = Field("fraud-labels", description="Where the truth goes (`replay`).")
    quality_topic: Topic = Field(
        "fraud-quality", description="Where `monitor` says how good it is."
    )
    monitor_keep: int = Field(
        100_000, ge=1_000, le=10_000_000, description="Transactions that wait for their label."
    )
    monitor_port: int = Field(
        9109, ge=0, le=65_535, description="The monitor's metrics and health; 0 takes any free one."
    )
    console_host: str = Field("127.0.0.1", description="Address of the console.")
    console_port: int = Field(9110, ge=0, le=65_535, description="Its port; 0 takes any free one.")
    console_origin: Annotated[str, StringConstraints(pattern=r"^(https?://[^/?#@]+)?$")] = Field(
        "", description="What browsers reach it by, if a proxy stands before it: https://NAME."
    )
    console_certificate: Path | None = Field(
        None, description="PEM file of its key and certificates; empty: it answers in the clear."
    )
    console_database: str = Field(
        "sqlite:///console.db", repr=False, description="Its database, SQLite or PostgreSQL."
    )
    console_oidc_issuer: Annotated[str, StringConstraints(pattern=r"^(https?://[^?#]+)?$")] = Field(
        "", description="OpenID Connect provider to sign in by; empty: none."
    )
    console_oidc_client_id: str = Field("", description="The console's name at that provider.")
    console_oidc_client_secret: str = Field(
        "", repr=False, description="Its secret there; by a file where that can be."
    )
    console_metrics: Annotated[str, StringConstraints(pattern=r"^(https?://.+)?$")] = Field(
        "", description="The scorer's metrics, as http://127.0.0.1:9108/metrics; empty: none."
    )
    console_uploads: Path = Field(
        Path("console-uploads"), description="Folder for files that are being scored."
    )
    console_keep_days: int = Field(
        90, ge=1, le=3650, description="Days that alerts without a label are kept in it."
    )
    format: Literal["json", "avro"] = Field(
        "json", description="Wire format of the transactions; avro: by a schema registry."
    )
    alerts_format: Literal["json", "avro"] = Field("json", description="Wire format of the alerts.")
    registry_url: Annotated[str, StringConstraints(pattern=r"^(https?://[^@?#]+)?$")] = Field(
        "", description="The schema registry, for avro: https://NAME."
    )
    registry_user: str = Field(
        "", repr=False, description="Who asks it, as NAME:PASSWORD; empty: nobody in particular."
    )
    registry_ca: Path | None = Field(
        None, description="PEM file of who signs its certificate; empty: the system's."
    )
    registry_certificate: Path | None = Field(
        None, description="PEM file of our key and certificate for it; empty: none."
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="Log lines for people, or JSON for machines."
    )
    tracing: Literal["off", "otlp"] = Field(
        "off", description="Spans of OpenTelemetry, to where OTEL_ variables say."
    )
    sinks: tuple[Literal["kafka", "log"], ...] = Field(
        ("kafka",), description="Where outcomes go; `log` prints each alert as a line as well."
    )
    tombstones: Literal["dead-letter", "skip"] = Field(
        "dead-letter", description="What is done with a record without a value."
    )
    duplicate_keys: Literal["last", "count", "reject"] = Field(
        "last", description="A key that stands twice: the last counts, the same counted, or refuse."
    )
    limits: dict[str, tuple[float, float]] = Field(
        {}, description="Dead-letter what is beyond, as Amount=0..25000,Time=0.. ; empty: nothing."
    )
    largest_record_bytes: int = Field(
        LARGEST_RECORD_BYTES,
        ge=1_000,
        le=100_000_000,
        description="A larger value is dead-lettered without being read.",
    )
    oversize: Literal["truncate", "whole"] = Field(
        "truncate", description="How the dead letter of a larger record is kept."
    )
    unreadable: Literal["stop", "dead-letter"] = Field(
        "stop", description="What is done at a compressed batch that cannot be unpacked."
    )
    dead_letters_in_a_row: int = Field(
        1000, ge=0, description="Stop if more records in a row cannot be scored; 0: never."
    )
    dead_letters_ratio: float = Field(
        0.5, ge=0, le=1, description="Stop above this share of the last 10,000 records; 1: never."
    )
    max_batch_rows: int = Field(1024, ge=1, le=10_000, description="Records in one batch, at most.")
    commit_interval_ms: int = Field(
        100, ge=0, le=60_000, description="Longest time between commits under load."
    )
    http_host: str = Field("127.0.0.1", description="Address of the metrics and health server.")
    http_port: int = Field(9108, ge=0, le=65_535, description="Its port; 0 takes any free one.")
    http_certificate: Path | None = Field(
        None, description="PEM file of its key and certificates; empty: it answers in the clear."
    )
    allow_insecure: bool = Field(
        default=False, description="Let secrets go in the clear, or trust any broker, by intent."
    )
    kafka: dict[str, str] = Field(
        {}, repr=False, description="librdkafka keys; `consumer.` or `producer.` before one side's."
    )

    @field_validator(
        "challenger",
        "http_certificate",
        "console_certificate",
        "registry_ca",
        "registry_certificate",
        mode="before",
    )
    @classmethod
    def name_none(cls, value: object) -> object:
        """Read an empty text as no file: a variable may be set to nothing."""
        return value or None

    @field_validator("sinks", mode="before")
    @classmethod
    def split(cls, value: object) -> object:
        """Read `kafka,log` from the environment or a flag; a TOML file has a list."""
        return value.split(",") if isinstance(value, str) else value

    @field_validator("limits", mode="before")
    @classmethod
    def read_limits(cls, value: object) -> object:
        """Read `Amount=0..25000,Time=0..` from the environment or a flag; TOML has a table."""
        return parse_limits(value) if isinstance(value, str) else value

    @field_validator("limits")
    @classmethod
    def check_limits(cls, limits: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
        """Refuse limits that hold no value."""
        for name, (low, high) in limits.items():
            if not low <= high:  # written so that NaN fails
                raise ValueError(f"{name} {low:g}..{high:g} holds no value: want the lower first")
        return limits

    @model_validator(mode="after")
    def agree(self) -> Self:
        """Refuse settings that contradict each other."""
        if "kafka" not in self.sinks:
            raise ValueError("SCORER_SINKS must hold kafka: no other sink keeps dead letters")
        if len(set(self.sinks)) < len(self.sinks):
            raise ValueError(f"SCORER_SINKS is {','.join(self.sinks)}: want each sink once")
        if self.guarantee == "exactly-once" and self.commit_interval_ms > LONGEST_TRANSACTION_MS:
            raise ValueError(
                f"SCORER_COMMIT_INTERVAL_MS is {self.commit_interval_ms}: exactly-once wants at "
                f"most {LONGEST_TRANSACTION_MS}, or the broker aborts the transaction"
            )
        topics = [self.transactions_topic, *self.outputs, self.labels_topic, self.quality_topic]
        topics += filter(None, [self.parking_topic])
        if len(set(topics)) < len(topics):
            raise ValueError(f"want different topics for each purpose, not {', '.join(topics)}")
        return self

    @model_validator(mode="after")
    def guard_the_console(self) -> Self:
        """Refuse a console that others reach in the clear."""
        tls = self.console_certificate or self.console_origin.startswith("https://")
        if not is_loopback(self.console_host) and not tls:
            raise ValueError(
                f"SCORER_CONSOLE_HOST is {self.console_host!r}, which others reach: want "
                "SCORER_CONSOLE_CERTIFICATE, or SCORER_CONSOLE_ORIGIN=https://NAME of a proxy"
            )
        return self

    @model_validator(mode="after")
    def complete_the_provider(self) -> Self:
        """Refuse half a provider, or one that is reached in the clear."""
        issuer = self.console_oidc_issuer
        given = (issuer, self.console_oidc_client_id, self.console_oidc_client_secret)
        if any(given) and not all(given):
            raise ValueError(
                "want SCORER_CONSOLE_OIDC_ISSUER, _CLIENT_ID and _CLIENT_SECRET, or none of them"
            )
        if told_in_the_clear(issuer):
            raise ValueError(f"SCORER_CONSOLE_OIDC_ISSUER is {hidden(issuer)!r}: want https://")
        return self

    @model_validator(mode="after")
    def complete_the_registry(self) -> Self:
        """Refuse Avro without a registry, and a password that it would be told in the clear."""
        if "avro" in {self.format, self.alerts_format} and not self.registry_url:
            raise ValueError("avro wants SCORER_REGISTRY_URL, the schema registry")
        clear = told_in_the_clear(self.registry_url)
        if self.registry_user and clear and not self.allow_insecure:
            raise ValueError(
                f"SCORER_REGISTRY_URL is {self.registry_url!r} and SCORER_REGISTRY_USER is set: "
                "want https://; SCORER_ALLOW_INSECURE=true takes it all the same"
            )
        return self

    @model_validator(mode="after")
    def keep_the_promise(self) -> Self:
        """Refuse librdkafka keys that would break the guarantee or tell a secret."""
        for key, value in self.kafka.items():
            name = key.removeprefix("consumer.").removeprefix("producer.")
            if value.lower() not in OURS.get(name, {value.lower()}):
                want = " or ".join(sorted(OURS[name]))
                raise ValueError(f"{variable(key)} is {value!r}: want {want}, or records are lost")
            if name == "group.id":
                raise ValueError(f"{variable(key)} is not taken: use SCORER_GROUP_ID")
            if name == "transactional.id":
                raise ValueError(f"{variable(key)} is not taken: use SCORER_REPLICA")
        both, consumer, producer = self.sides
        for side in ({}, consumer, producer):  # those of both sides alone are the admin client's
            wrong = insecure({**both, **side})
            if wrong and not self.allow_insecure:
                raise ValueError(f"{wrong}; SCORER_ALLOW_INSECURE=true takes it all the same")
        return self

    @property
    def outputs(self) -> list[str]:
        """The topics that `run` writes to."""
        optional = (self.scores_topic, self.disagreements_topic, self.control_topic)
        return [self.alerts_topic, self.dead_letters_topic, *filter(None, optional)]

    @classmethod
    def load(
        cls,
        *,
        environ: Mapping[str, str],
        toml: Path | None = None,
        flags: Mapping[str, object] | None = None,
    ) -> Self:
        """Merge the three sources; raise BadInput with one line for each thing that is wrong."""
        from_environ = read_environ(environ, known=cls.model_fields)
        from_toml = read_toml(toml, known=cls.model_fields) if toml else {}
        merged: dict[str, Any] = {**from_environ, **from_toml, **(flags or {})}
        sources = (from_environ, from_toml, flags or {})
        merged["kafka"] = {k: v for source in sources for k, v in kafka_keys(source).items()}
        try:
            return cls.model_validate(merged)
        except ValidationError as exc:
            raise BadInput("; ".join(explain(error) for error in exc.errors())) from None

    @property
    def sides(self) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
        """The librdkafka keys for both sides, for the consumer only, for the producer only."""
        both: dict[str, str] = {}
        consumer: dict[str, str] = {}
        producer: dict[str, str] = {}
        for key, value in self.kafka.items():
            if key.startswith("consumer."):
                consumer[key.removeprefix("consumer.")] = value
            elif key.startswith("producer."):
                producer[key.removeprefix("producer.")] = value
            else:
                both[key] = value
        return both, consumer, producer

    def shown(self) -> dict[str, object]:
        """Return the settings for a person's eyes: secrets are masked."""
        shown: dict[str, object] = self.model_dump(mode="json", exclude={"kafka"})
        shown |= {k: hidden(v) for k, v in shown.items() if isinstance(v, str)}
        shown["registry_user"] = "***" if self.registry_user else ""
        shown["console_oidc_client_secret"] = "***" if self.console_oidc_client_secret else ""
        for key, value in sorted(self.kafka.items()):
            plain = key.removeprefix("consumer.").removeprefix("producer.") in KNOWN_KEYS
            # A key that nobody knows may be a secret's, mistyped.
            shown[f"kafka.{key}"] = value if plain and not is_secret(key) else "***"
        return shown


def hidden(text: str) -> str:
    """Return a text without the secrets that a URL in it may hold."""
    return URL_ASKED.sub(r"\1***", URL_USER.sub("//***@", text)) if "://" in text else text


def parse_limits(text: str) -> dict[str, tuple[float, float]]:
    """Return the limits that a text gives by feature; an open side is infinite."""
    limits: dict[str, tuple[float, float]] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, equals, span = part.rpartition("=")
        low, dots, high = span.partition("..")
        try:
            limits[name] = (float(low or "-inf"), float(high or "inf"))
        except ValueError:
            equals = ""
        if not (name and equals and dots):
            raise ValueError(f"{part!r} is not NAME=LOW..HIGH, as in Amount=0..25000,Time=0..")
    return limits


def is_secret(key: str) -> bool:
    """Tell whether a librdkafka key's value must not be shown."""
    return bool(SECRET.search(key)) and not key.endswith(NO_SECRET)


def variable(key: str) -> str:
    """Return the environment variable of a librdkafka key."""
    return f"{PREFIX}KAFKA_{key.replace('.', '_').upper()}"


def kafka_key(name: str) -> str:
    """Return the librdkafka key of what follows `SCORER_KAFKA_`, in small letters."""
    key = name.replace("_", ".")
    return UNDERSCORED.get(key, key)


def read_environ(environ: Mapping[str, str], known: Mapping[str, object]) -> dict[str, Any]:
    """Return the settings among `environ`; a `SCORER_` name that is none is an error."""
    found: dict[str, Any] = {}
    for full, text in environ.items():
        if not full.startswith(PREFIX):
            continue
        name, value = full.removeprefix(PREFIX).lower(), text
        if name.endswith("_file") and not name.replace("_", ".").endswith(ENDING_IN_FILE):
            name, value = name.removesuffix("_file"), read_secret(full, Path(text))
            if f"{PREFIX}{name.upper()}" in environ:
                raise BadInput(f"{full} and {PREFIX}{name.upper()} are both set: want one")
        if name.startswith("kafka_"):
            found.setdefault("kafka", {})[kafka_key(name.removeprefix("kafka_"))] = value
        elif name == "kafka":
            raise BadInput("SCORER_KAFKA is not a setting: want SCORER_KAFKA_<KEY>")
        elif name in known:
            found[name] = value
        else:
            kafka = map(variable, KNOWN_KEYS)
            raise BadInput(unknown(full, [*(PREFIX + each.upper() for each in known), *kafka]))
    return found


def read_secret(full: str, path: Path) -> str:
    """Return the text of a file named by a `..._FILE` variable, without its last newline."""
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as exc:
        raise BadInput(f"{full} names {str(path)!r}: {exc.strerror}") from exc
    except UnicodeDecodeError:
        raise BadInput(f"{full} names {str(path)!r}: want a file of UTF-8 text") from None


def read_toml(path: Path, known: Mapping[str, object]) -> dict[str, Any]:
    """Return the settings in a TOML file; an unknown name is an error."""
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise BadInput(f"--config names {str(path)!r}: {exc.strerror}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise BadInput(f"{path} is not TOML: {exc}") from exc
    for name in found:
        if name not in known:
            raise BadInput(f"{path}: {unknown(name, list(known))}")
    return found


def kafka_keys(source: Mapping[str, Any]) -> dict[str, str]:
    """Return a source's librdkafka keys, flat: TOML reads `a.b = 1` as a table in a table."""
    flat: dict[str, str] = {}

    def walk(prefix: str, value: object) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(f"{prefix}.{key}" if prefix else str(key), inner)
        elif isinstance(value, list):
            flat[prefix] = ",".join(map(str, value))
        else:
            flat[prefix] = str(value).lower() if isinstance(value, bool) else str(value)

    if not isinstance(source.get("kafka", {}), dict):
        raise BadInput(f"kafka is {source['kafka']!r}: want a table of librdkafka keys")
    walk("", source.get("kafka", {}))
    return one_name(flat)


def one_name(keys: Mapping[str, str]) -> dict[str, str]:
    """Return librdkafka keys without its aliases; raise BadInput for a key by two names."""
    named: dict[str, str] = {}
    for key, value in keys.items():
        side = next((each for each in ("consumer.", "producer.") if key.startswith(each)), "")
        name = side + ALIASES.get(key.removeprefix(side), key.removeprefix(side))
        if name in named:
            raise BadInput(f"{variable(key)} is another name of {variable(name)}: want one of both")
        named[name] = value
    return named


def unknown(name: str, known: list[str]) -> str:
    """Say that `name` is no setting, and which known one is nearest."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
    return f"{name} is not a setting; did you mean {near[0]}?"


def explain(error: Any) -> str:  # noqa: ANN401 - pydantic's ErrorDetails
    """Return one line for one of pydantic's errors: the setting, the value, what was wanted."""
    if not error["loc"]:  # settings that contradict each other
        return str(error["ctx"]["error"])
    name = PREFIX + "_".join(str(part) for part in error["loc"] if isinstance(part, str)).upper()
    want = error["msg"][:1].lower() + error["msg"][1:]
    want = want.removeprefix("input ").removeprefix("value error, ")
    return f"{name} is {hidden(repr(error['input']))}: {want}"
