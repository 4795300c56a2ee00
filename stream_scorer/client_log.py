"""Takes the log of a Kafka client: counts connections that broke, shows what a person asked for.

Without it the client writes to standard error by itself, and waits there while nobody reads.
"""

import logging
import re

from stream_scorer.logs import event

logger = logging.getLogger(__name__)

# librdkafka's name for the log line of a connection that failed. It writes the line before it
# repeats what was under way on that connection (rdkafka_broker.c, rd_kafka_broker_fail).
FAILED = "FAIL"
# The group of debug lines that holds every FAIL; above debug level, equal ones are left out for
# 30 s. The error callback hears of none that the other side closed.
DEBUG_GROUP = "broker"
DEBUG_LEVEL = "7"  # syslog's number, as librdkafka's `log_level` has it
# What such a line says where nothing of ours can have been under way: of a connection that was not
# up yet, and of one to a bootstrap address that ends as the broker behind it is known by now.
NOT_UP = re.compile(
    r"in state (INIT|DOWN|TRY_CONNECT|CONNECT|SSL_HANDSHAKE|AUTH\w*|APIVERSION_QUERY)\b"
    r"|/bootstrap: Decommissioning this broker"
)


class ClientLog:
    """Give it to a client as its `logger`; `broken` is up to date after the client's `poll`."""

    def __init__(self, *, shown: int = logging.CRITICAL) -> None:
        """Pass log lines of level `shown` and above on to the log of the process."""
        self.broken = 0  # connections
        self._shown = shown
        if shown < logging.INFO:
            logger.setLevel(shown)

    def log(self, level: int, text: str, *args: object) -> None:
        """Take a line from the client: `args` are its kind, the client's name and the line."""
        if args and args[0] == FAILED and not NOT_UP.search(str(args[-1])):
            self.broken += 1
        if level >= self._shown:
            logger.log(level, text, *args, extra=event("kafka_client"))
