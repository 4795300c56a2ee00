"""Sees from outside whether the monitor gets on: faust may stand still without a word."""

import threading
import time
from collections.abc import Callable, Collection
from functools import partial

from confluent_kafka import KafkaException, TopicPartition

from stream_scorer import clients
from stream_scorer.config import Settings
from stream_scorer.errors import Unfit
from stream_scorer.health import Health
from stream_scorer.monitor.places import group
from stream_scorer.records import Partition
from stream_scorer.stall import PROBE_S, STALL_S, Stalls, has_records

# Seconds between two looks.
LOOK_S = 1.0


class Watchdog:
    """Looks in a thread of its own at what the group has committed, with a client of its own."""

    def __init__(
        self,
        settings: Settings,
        owned: Callable[[], Collection[Partition]],
        health: Health,
        fail: Callable[[BaseException], None],
        stall_s: float = STALL_S,
    ) -> None:
        """Look at what is `owned` here, and at the `health` of the event loop.

        `fail` is told of a partition that stands for `stall_s`, and of a loop that does not turn.
        """
        self._owned = owned
        self._health = health
        self._fail = fail
        self._stalls = Stalls(partial(has_records, settings), stall_s=stall_s)
        # Never subscribes, so it is no member: it only asks for the group's offsets.
        self._reader = clients.consumer(settings, {"group.id": group(settings)})
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def _watch(self) -> None:
        try:
            while self._health.live()[0]:
                self._stalls.look(self._committed())
                time.sleep(LOOK_S)
            self._fail(Unfit(f"hangs: {self._health.live()[1]}"))
        except BaseException as exc:  # noqa: BLE001 - a watchdog that dies must not die alone
            self._fail(exc)

    def _committed(self) -> dict[Partition, int]:
        """Return the committed offset of what is owned; nothing while the broker is away."""
        places = [TopicPartition(*each) for each in self._owned()]
        if not places:
            return {}
        try:
            found = self._reader.committed(places, timeout=PROBE_S)
        except KafkaException:
            return {}
        return {(each.topic, each.partition): max(0, each.offset) for each in found}
