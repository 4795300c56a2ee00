"""A real Apache Kafka on this machine, from pip alone: for the demo, tests and benchmarks."""

import base64
import contextlib
import fcntl
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from stream_scorer.errors import KafkaTrouble
from stream_scorer.kafka_jars import KAFKA_VERSION, find_java, kafka_jars

# Seconds. One broker answers after 2 to 3, three after 10; a busy machine takes longer.
START_TIMEOUT_S = 90.0
# Fast to start, slow under load: right for tests and the demo, wrong for a benchmark.
QUICK_JAVA = ("-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
STEADY_JAVA = ("-Xmx1g",)
LOCAL_SETTINGS = {
    "group.initial.rebalance.delay.ms": "0",
    "auto.create.topics.enable": "false",
    # By the records' own time: what is replayed from an old file would be deleted at once.
    "log.retention.ms": "-1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
}
NO_SETTINGS: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Listener:
    """One more way into a broker, beside the one in the clear."""

    name: str
    protocol: str  # PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL
    port: int
    announced: int = 0  # the port that it tells its clients, if they come through something else


@dataclass(frozen=True, slots=True)
class Broker:
    """One broker: its guardian process ends it when we end."""

    guardian: subprocess.Popen[bytes]
    command: Sequence[str]
    log: Path
    port: int
    remove: Path | None  # the folder that goes with the broker
    lock: int

    def again(self) -> "Broker":
        """Start a broker that has ended once more, on the same ports and records."""
        return start_broker(
            self.command, log=self.log, port=self.port, remove=self.remove, lock=self.lock
        )

    def stop(self) -> None:
        """Tell the broker to stop; `guardian.wait()` returns when it is gone."""
        if self.guardian.stdin is not None:
            self.guardian.stdin.close()


@dataclass(frozen=True, slots=True)
class LocalKafka:
    """A running cluster."""

    bootstrap: str  # host:port, comma between brokers
    brokers: list[Broker]

    def exited(self) -> Broker | None:
        """Return a broker that ended by itself, if one did."""
        return next((b for b in self.brokers if b.guardian.poll() is not None), None)


@contextlib.contextmanager
def local_kafka(  # noqa: PLR0913 - what a cluster is made of
    *,
    brokers: int = 1,
    data: Path | None = None,
    port: int | None = None,
    quick: bool = True,
    listeners: Sequence[Sequence[Listener]] = (),
    settings: Mapping[str, str] = NO_SETTINGS,
    version: str = KAFKA_VERSION,
) -> Iterator[LocalKafka]:
    """Run a cluster for the length of the `with` block.

    `data` keeps the records there; otherwise a temporary folder is used and removed. `port` is the
    first broker's (the others follow it); otherwise free ones are taken. `quick` starts faster and
    works slower. `listeners` has those of each broker, or nothing; `settings` are Kafka's,
    and win over ours; `version` is Kafka's.
    Raises KafkaTrouble if there is no Java, no network, or no answer in time.
    """
    jars, java = kafka_jars(version), find_java()
    ports = [port + i for i in range(brokers)] if port else free_ports(brokers)
    for each in ports:
        refuse_taken(each)
    controllers = free_ports(brokers)
    folder = data or Path(tempfile.mkdtemp(prefix="stream-scorer-kafka-"))
    lock = lock_folder(folder)
    cluster_id = keep_cluster_id(data) if data else new_cluster_id()
    started: list[Broker] = []
    try:
        for node in range(1, brokers + 1):
            home = folder / f"broker-{node}"
            home.mkdir(exist_ok=True)
            file = home / "server.properties"
            more = listeners[node - 1] if listeners else ()
            known = server_properties(node, ports, controllers, home / "log", more)
            file.write_text(known + as_lines(settings))
            temporary = f"-Djava.io.tmpdir={home}"  # native libraries are unpacked there
            command = [java, temporary, "-cp", os.pathsep.join(map(str, jars))]
            format_storage(command, cluster_id, file)
            options = QUICK_JAVA if quick else STEADY_JAVA
            started.append(
                start_broker(
                    [*command[:1], *options, *command[1:], "kafka.Kafka", str(file)],
                    log=home / "broker.log",
                    port=ports[node - 1],
                    remove=None if data else home,
                    lock=lock,
                )
            )
        cluster = LocalKafka(",".join(f"127.0.0.1:{p}" for p in ports), started)
        wait_until_ready(cluster)
        yield cluster
    finally:
        for broker in started:
            broker.stop()
        for broker in started:
            broker.guardian.wait()
        os.close(lock)
        if data is None:
            shutil.rmtree(folder, ignore_errors=True)


def lock_folder(folder: Path) -> int:
    """Make the folder and hold it for this cluster; return the lock, a file descriptor.

    The guardians inherit the lock: a folder is free when its last broker is gone.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()  # its name is gone: nothing to remove
        lock = os.open(folder, os.O_RDONLY)
    except OSError as exc:
        raise KafkaTrouble(f"{folder} cannot hold Kafka's data: {exc.strerror}") from exc
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise KafkaTrouble(
            f"{folder} is in use by another local Kafka: stop that one, or use another --data"
        ) from None
    return lock


def free_ports(count: int) -> list[int]:
    """Return ports that were free a moment ago."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def refuse_taken(port: int) -> None:
    """Raise KafkaTrouble if something listens on the port."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise KafkaTrouble(f"port {port} is taken: stop what listens there, or use --port")


def new_cluster_id() -> str:
    """Return 16 random bytes as Kafka writes them, without a dash in front: no option of a tool."""
    made = base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("=")
    return f"A{made[1:]}" if made.startswith("-") else made


def keep_cluster_id(folder: Path) -> str:
    """Return the cluster id of a data folder, made anew where there is none."""
    path = folder / "cluster-id"
    if not path.exists():
        path.write_text(new_cluster_id())
    return path.read_text()


def server_properties(
    node: int,
    ports: Sequence[int],
    controllers: Sequence[int],
    logs: Path,
    more: Sequence[Listener] = (),
) -> str:
    """Return the settings file of one broker that is controller too."""
    replicas = str(min(3, len(ports)))
    in_sync = str(min(2, len(ports)))
    port, controller = ports[node - 1], controllers[node - 1]
    ours = [Listener("PLAINTEXT", "PLAINTEXT", port), *more]
    inside = Listener("CONTROLLER", "PLAINTEXT", controller)
    voters = ",".join(f"{i}@127.0.0.1:{p}" for i, p in enumerate(controllers, start=1))
    settings = {
        "process.roles": "broker,controller",
        "node.id": str(node),
        "controller.quorum.voters": voters,
        "controller.listener.names": "CONTROLLER",
        "listeners": addresses({each.name: each.port for each in (*ours, inside)}),
        "advertised.listeners": addresses(
            {each.name: each.announced or each.port for each in ours}
        ),
        "listener.security.protocol.map": ",".join(
            f"{each.name}:{each.protocol}" for each in (*ours, inside)
        ),
        "log.dirs": logs.as_posix(),
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": replicas,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        **LOCAL_SETTINGS,
    }
    return as_lines(settings)


def addresses(ports: Mapping[str, int]) -> str:
    """Return listeners by name as Kafka writes them, on loopback."""
    return ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())


def as_lines(settings: Mapping[str, str]) -> str:
    """Return settings as lines of a properties file."""
    return "".join(f"{key}={value}\n" for key, value in settings.items())


def format_storage(command: Sequence[str], cluster_id: str, settings: Path) -> None:
    """Prepare a broker's folder; one that is prepared already is left as it is."""
    tool = ["kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", cluster_id]
    done = subprocess.run(  # noqa: S603 - our own command
        [*command, *tool, "-c", str(settings)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise KafkaTrouble(f"Kafka's storage tool failed: {' '.join(last)}")


def start_broker(
    command: Sequence[str], *, log: Path, port: int, remove: Path | None, lock: int
) -> Broker:
    """Start one broker under a guardian, in a session of its own so that Ctrl-C misses it."""
    removal = ["--remove", str(remove)] if remove else []
    with log.open("wb") as output:
        guardian = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "stream_scorer.guardian", *removal, "--", *command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=[lock],
        )
    return Broker(guardian, command, log, port, remove, lock)


def wait_until_ready(cluster: LocalKafka) -> None:
    """Return when a metadata request shows every broker; raise KafkaTrouble if it never does."""
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap, "log_level": 0})
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        ended = cluster.exited()
        if ended is not None:
            raise KafkaTrouble(f"the broker ended at once: {log_tail(ended.log)}")
        with contextlib.suppress(KafkaException):
            if len(admin.list_topics(timeout=1).brokers) == len(cluster.brokers):
                return
    raise KafkaTrouble(f"Kafka did not answer within {START_TIMEOUT_S:.0f} s")


def log_tail(log: Path) -> str:
    """Return the last line of a broker's log that tells something."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if "ERROR" in line]
    return lines[-1] if lines else "its log holds no error"
