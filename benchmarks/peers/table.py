"""Who is measured, and what each needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version

COMMON = tuple(f"{name}=={version(name)}" for name in ("onnxruntime", "numpy", "orjson"))
KAFKA = f"confluent-kafka=={version('confluent-kafka')}"
ORT_JAVA = "com.microsoft.onnxruntime:onnxruntime:1.22.0"
JACKSON = "com.fasterxml.jackson.core:jackson-databind:2.19.2"
ONCE = {"PEER_EXACTLY_ONCE": "1"}


@dataclass(frozen=True)
class Peer:
    """One way to do the job."""

    name: str
    script: str  # in jobs/; "" is stream-scorer itself
    needs: tuple[str, ...] = ()  # requirements of pip, or coordinates of Maven
    environ: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    @property
    def java(self) -> bool:
        """Whether it is a Java class."""
        return self.script.endswith(".java")


QUIX = ("quixstreams==3.28.1", *COMMON)
FAUST = ("faust-streaming==0.15.3", *COMMON)
JAVA = ("org.apache.kafka:kafka-clients:4.1.0", ORT_JAVA, JACKSON)
STREAMS = ("org.apache.kafka:kafka-streams:4.1.0", ORT_JAVA, JACKSON)
EACH = "each event by itself through the model"
BATCHES = "up to 512 events through the model at once"

PEERS = (
    Peer("stream-scorer", "", note="every check, ids, reasons, dead letters, metrics"),
    Peer(
        "stream-scorer, exactly once",
        "",
        environ={"SCORER_GUARANTEE": "exactly-once"},
        note="the same",
    ),
    Peer("json.loads loop", "plain_loop.py", (KAFKA, *COMMON), note="500 at once, nothing else"),
    Peer("Quix Streams", "on_quix.py", QUIX, note=EACH),
    Peer("Quix Streams, exactly once", "on_quix.py", QUIX, ONCE, note=EACH),
    Peer(
        "Bytewax",
        "on_bytewax.py",
        ("bytewax[kafka]==0.21.1", *COMMON),
        note=f"{BATCHES}; commits nothing",
    ),
    Peer("Arroyo", "on_arroyo.py", ("sentry-arroyo==2.48.0", *COMMON), note=BATCHES),
    Peer("faust-streaming", "on_faust.py", FAUST, {"PEER_AT_ONCE": "1"}, note=EACH),
    Peer("faust-streaming, take", "on_faust.py", FAUST, {"PEER_AT_ONCE": "512"}, note=BATCHES),
    Peer("Java loop", "JavaLoop.java", JAVA, note="2,048 at once, nothing else"),
    Peer("Kafka Streams", "OnKafkaStreams.java", STREAMS, note=EACH),
    Peer("Kafka Streams, exactly once", "OnKafkaStreams.java", STREAMS, ONCE, note=EACH),
)
