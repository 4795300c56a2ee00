"""Real brokers behind the proxy, and what can be done to each of their processes."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from stream_scorer.kafka_jars import KAFKA_VERSION
from stream_scorer.local_kafka import (
    Listener,
    LocalKafka,
    free_ports,
    local_kafka,
    wait_until_ready,
)
from tests.faults.disk import Disk, mounted
from tests.faults.proxy import Proxy
from tests.integration.stream import wait_for


@dataclass
class Cluster:
    """Brokers, numbered from 0; scorers come through the proxy, the harness goes around it."""

    kafka: LocalKafka
    proxy: Proxy
    proxied: str  # host:port, comma between brokers
    disk: Disk | None = None  # on which the brokers keep their records, if it has an end

    @property
    def bootstrap(self) -> str:
        """The address that goes around the proxy."""
        return self.kafka.bootstrap

    @property
    def size(self) -> int:
        """How many brokers there are."""
        return len(self.kafka.brokers)

    def send(self, number: int, broker: int = 0) -> None:
        """Send a signal to the Java of a broker, which its guardian started."""
        guardian = self.kafka.brokers[broker].guardian.pid
        children = Path(f"/proc/{guardian}/task/{guardian}/children").read_text().split()
        for child in children:
            os.kill(int(child), number)

    def end(self, number: int, broker: int = 0) -> None:
        """Send a signal that ends a broker; return when it is gone."""
        self.send(number, broker)
        self.kafka.brokers[broker].guardian.wait()
        self.kafka.brokers[broker].stop()  # its pipe is closed: another broker takes its place

    def start(self, broker: int = 0) -> None:
        """Start a broker that has ended; return when the whole cluster answers."""
        self.kafka.brokers[broker] = self.kafka.brokers[broker].again()
        self.wait_ready()

    def wait_ready(self) -> None:
        """Return when every broker answers."""
        wait_until_ready(self.kafka)

    def mend(self) -> None:
        """Make good whatever a row that broke off has left behind."""
        self.proxy.heal()
        if self.disk is not None:
            self.disk.widen()
        for number, broker in enumerate(self.kafka.brokers):
            if broker.guardian.poll() is None:
                self.send(signal.SIGCONT, number)
            else:
                self.kafka.brokers[number] = broker.again()
        self.wait_ready()
        wait_for("no connection through the proxy", lambda: not self.proxy.connections())


@contextmanager
def cluster(*, brokers: int = 1, small_disk: bool = False) -> Iterator[Cluster]:
    """Run brokers behind a proxy for the length of the `with` block, of TEST_KAFKA_VERSION if set.

    Raises CannotMountError where a small disk is asked for and we may not mount one.
    """
    ports = free_ports(2 * brokers)
    routes = list(zip(ports[:brokers], ports[brokers:], strict=True))
    with ExitStack() as stack:
        disk = stack.enter_context(mounted()) if small_disk else None
        proxy = stack.enter_context(Proxy(routes).running())
        detours = [
            [Listener("DETOUR", "PLAINTEXT", target, announced)] for announced, target in routes
        ]
        kafka = stack.enter_context(
            local_kafka(
                brokers=brokers,
                data=disk.folder if disk else None,
                listeners=detours,
                version=os.environ.get("TEST_KAFKA_VERSION", KAFKA_VERSION),
            )
        )
        yield Cluster(kafka, proxy, ",".join(f"127.0.0.1:{port}" for port, _ in routes), disk)
