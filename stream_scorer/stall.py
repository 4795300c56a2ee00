"""Notices a partition that has records and hands out none, which the client does not tell of."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from stream_scorer import clients
from stream_scorer.config import Settings
from stream_scorer.errors import KafkaTrouble
from stream_scorer.records import Partition

# Seconds. Longer than a broker's restart and the election of a leader.
STALL_S = 120.0
# Seconds that another reader is given to find a record, and that we are given to read it, too.
PROBE_S, CONFIRM_S = 5.0, 10.0


@dataclass(frozen=True, slots=True)
class Suspect:
    """A partition that stands though another reader has found a record there."""

    partition: Partition
    position: int
    at: float  # seconds, when it was found
    drains: int  # by then


class Stalls:
    """Remembers since when each partition stands at its position."""

    def __init__(
        self,
        has_records: Callable[[Partition, int], bool | None],
        clock: Callable[[], float] = time.monotonic,
        stall_s: float = STALL_S,
    ) -> None:
        """Ask `has_records`, of a partition and a position, before anything is said.

        None stands for: cannot be told now.
        """
        self._has_records = has_records
        self._clock = clock
        self._stall_s = stall_s
        self._since: dict[Partition, tuple[int, float]] = {}  # position, and since when
        self._ends: dict[Partition, int] = {}  # positions behind which there was no record
        self._suspect: Suspect | None = None

    def at_end(self, partition: Partition, position: int) -> bool:
        """Tell whether no record was found from this position on, when it was looked for.

        Offsets behind it are then the ends of transactions, and what was aborted.
        """
        return self._ends.get(partition) == position

    def look(self, positions: Mapping[Partition, int], *, drains: int = 0) -> None:
        """Raise KafkaTrouble if one has stood for `stall_s` though there are records behind it.

        `positions` are of all that are owned: what is not among them is forgotten. `drains` counts
        how often all that the client held was handed out (0: nobody counts): records that wait
        behind others, in the client's own queue, are no stall. One that came while we looked is
        none either.
        """
        now = self._clock()
        self._since = {
            partition: known
            if (known := self._since.get(partition)) and known[0] == position
            else (position, now)
            for partition, position in positions.items()
        }
        suspect = self._suspect
        if suspect is not None:
            known = self._since.get(suspect.partition)
            if known is None or known[0] != suspect.position:
                self._suspect = None
            elif now - suspect.at >= CONFIRM_S and (not drains or drains > suspect.drains):
                raise KafkaTrouble(
                    f"{suspect.partition[0]}[{suspect.partition[1]}] has records from offset "
                    f"{suspect.position} on and has given none for {now - known[1]:.0f} s: the "
                    "client hangs, a new start reads on"
                )
            return
        partition = min(self._since, key=lambda each: self._since[each][1], default=None)
        if partition is None or now - self._since[partition][1] < self._stall_s:
            return  # one at a time, the longest: asking holds up the loop
        position = self._since[partition][0]
        found = self._has_records(partition, position)
        self._ends.pop(partition, None)
        if found:
            self._suspect = Suspect(partition, position, now, drains)
            return
        self._since[partition] = (position, now)
        if found is False:
            self._ends[partition] = position


def has_records(settings: Settings, partition: Partition, position: int) -> bool | None:
    """Tell whether another reader finds a committed record; None if the broker does not say.

    The end of a partition alone does not tell: ends of transactions and what was aborted take
    offsets, too.
    """
    quick = {"enable.partition.eof": "true", "auto.offset.reset": "error", "fetch.wait.max.ms": 10}
    reader = clients.consumer(settings, quick)
    place = TopicPartition(*partition, position)
    try:
        if reader.get_watermark_offsets(place, PROBE_S)[1] <= position:
            return False
        reader.assign([place])
        found = reader.poll(PROBE_S)
    except KafkaException:
        return None
    finally:
        reader.close()
    if found is None:
        return None
    error = found.error()
    if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001
        return None
    return error is None
