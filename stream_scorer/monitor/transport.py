"""faust's way into Kafka, with what it lacks: it would read what was aborted, too."""

from typing import Any

from faust.transport.drivers import aiokafka as driver


class ReadCommittedThread(driver.AIOKafkaConsumerThread):
    """The thread that reads."""

    def _create_worker_consumer(self, transport: driver.Transport) -> Any:  # noqa: ANN401 - aiokafka's
        """Make the client; faust sets this for applications that write transactions only."""
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"  # noqa: SLF001 - there is no other way in
        return consumer


class ReadCommittedConsumer(driver.Consumer):
    """A consumer with that thread."""

    def _new_consumer_thread(self) -> ReadCommittedThread:
        return ReadCommittedThread(self, loop=self.loop, beacon=self.beacon)


class Transport(driver.Transport):
    """A transport with that consumer."""

    Consumer = ReadCommittedConsumer
