"""The replay loop: each event when it is due, each label after its delay, all of them confirmed."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from producer.pacing import Pace, at_once
from producer.sender import Label, Sender
from producer.steps import Step
from producer.summary import Summary
from stream_scorer.tables import Malformed

# Seconds between two looks at delivery reports and at labels that are due.
SERVICE_S = 0.005
# Seconds between two words to the watcher; it draws a progress bar.
WATCH_S = 0.1
# Seconds. librdkafka waits in whole milliseconds: less would be a busy loop.
SHORTEST_WAIT_S = 0.001
# Seconds to wait for confirmations once we were told to stop, or once one has failed.
LAST_FLUSH_S = 10.0
NO_ANSWER = f"Kafka did not answer within {LAST_FLUSH_S:.0f} s"
# Labels that wait for their delay, about 250 bytes each. Beyond it events wait for labels.
MOST_WAITING_LABELS = 1_000_000


class Watcher(Protocol):
    """What the caller is told, and asked, while the loop runs."""

    def stopping(self) -> bool: ...
    def malformed(self, row: Malformed) -> None: ...
    def progress(self, summary: Summary) -> None: ...
    def waiting(self, labels: int, seconds: float) -> None: ...


class Silent:
    """A watcher for those who want the summary only."""

    def stopping(self) -> bool:
        """Never stop."""
        return False

    def malformed(self, row: Malformed) -> None:
        """Say nothing."""

    def progress(self, summary: Summary) -> None:
        """Say nothing."""

    def waiting(self, labels: int, seconds: float) -> None:
        """Say nothing."""


@dataclass(frozen=True, slots=True)
class Clock:
    """The two clocks: one that never jumps, for pacing, and the time of day, for timestamps."""

    monotonic: Callable[[], float] = time.monotonic  # seconds
    wall: Callable[[], float] = time.time  # seconds since 1970


def replay(
    steps: Iterable[Step | Malformed],
    *,
    sender: Sender,
    pace: Pace = at_once,
    skip_malformed: bool = False,
    watcher: Watcher | None = None,
    clock: Clock | None = None,
) -> Summary:
    """Send the steps, wait for every confirmation and return the counts.

    A malformed row ends it, unless skipped. So does a record that Kafka does not take; nothing is
    raised for it: the summary's `failed` is not 0, and `failure` says why.
    """
    loop = Loop(sender, pace=pace, watcher=watcher or Silent(), clock=clock or Clock())
    for step in steps:
        if isinstance(step, Malformed):
            if not loop.leave_out(step, skip=skip_malformed):
                break
        elif not loop.take(step):
            break
    loop.send_waiting_labels()
    loop.flush()
    return loop.summary()


class Loop:
    """One replay while it runs."""

    def __init__(self, sender: Sender, *, pace: Pace, watcher: Watcher, clock: Clock) -> None:
        self._sender = sender
        self._pace = pace
        self._watcher = watcher
        self._clock = clock.monotonic
        self._start_s = clock.monotonic()
        self._to_wall_s = clock.wall() - self._start_s
        self._labels: deque[Label] = (
            deque()
        )  # the delay is the same for all: the first is due first
        self._next_service_s = self._next_watch_s = 0.0
        self._rows = self._already_there = self._malformed = 0
        self._unanswered = 0
        self._refused: str | None = None

    def leave_out(self, row: Malformed, *, skip: bool) -> bool:
        """Report a malformed row; False: it ends the replay."""
        self._rows += 1
        self._malformed += 1
        self._watcher.malformed(row)
        if not skip:
            self._refused = f"line {row.line}: {row.reason}"
            return False
        self._sender.events.skip(row.number)
        self._sender.labels.skip(row.number)
        return not self._ending()

    def take(self, step: Step) -> bool:
        """Send one event at its moment and let its label wait; False: the replay is to end."""
        now_s = due_s = self._clock()
        if self._sender.events.wants(step.number):
            after_s = self._pace(step.time_s)
            if after_s is not None:
                due_s = self._start_s + after_s
                if due_s > now_s and not self._wait(due_s):
                    return False
            stamp_ms = step.timestamp_ms
            if stamp_ms is None:
                stamp_ms = int((due_s + self._to_wall_s) * 1000)
            while not self._sender.send_event(step, stamp_ms):
                self._service(SERVICE_S)  # the client's queue is full: Kafka is slower than we are
                if self._ending():
                    return False
        else:
            self._sender.events.skip(step.number)
            self._already_there += 1
        self._rows += 1
        self._queue_label(step, due_s)
        if now_s >= self._next_service_s:
            self._service(0)
            return not self._ending() and self._wait(
                math.inf, until=lambda: len(self._labels) < MOST_WAITING_LABELS
            )
        return True

    def send_waiting_labels(self) -> None:
        """Go on until every label's delay is over, unless the replay is to end."""
        if self._labels and not self._ending() and self._refused is None:
            left_s = self._labels[-1].due_s - self._clock()
            if left_s > 0:
                self._watcher.waiting(len(self._labels), left_s)
            self._wait(math.inf, until=lambda: not self._labels)

    def flush(self) -> None:
        """Wait until Kafka has answered for all that was handed over."""
        if self._sender.has_failed:
            self._sender.producer.purge(in_flight=False)  # nothing may follow what was lost
        deadline_s = math.inf
        while len(self._sender.producer) and self._clock() < deadline_s:
            if deadline_s == math.inf and self._ending():
                deadline_s = self._clock() + LAST_FLUSH_S
            self._sender.producer.poll(SERVICE_S)
            self._tell()
        self._unanswered = len(self._sender.producer)
        self._watcher.progress(self.summary())

    def summary(self) -> Summary:
        """Return the counts up to now."""
        sender, seconds = self._sender, self._clock() - self._start_s
        return Summary(
            rows=self._rows,
            produced=sender.produced,
            confirmed=sender.events.confirmed,
            failed=sender.failed + self._unanswered,
            already_there=self._already_there,
            malformed=self._malformed,
            labels=sender.labels.confirmed,
            labels_waiting=len(self._labels),
            seconds=seconds,
            rows_per_s=sender.events.confirmed / seconds if seconds else 0.0,
            failure=sender.failure or (NO_ANSWER if self._unanswered else None),
            refused=self._refused,
        )

    def _queue_label(self, step: Step, sent_s: float) -> None:
        labels, route = self._sender.labels, self._sender.route
        if route.labels_topic is None:
            return
        if step.label is None or not labels.wants(step.number):
            labels.skip(step.number)
            return
        due_s = sent_s + route.label_delay_s
        stamp_ms = int((due_s + self._to_wall_s) * 1000)
        if step.timestamp_ms is not None:
            stamp_ms = step.timestamp_ms + round(route.label_delay_s * 1000)
        self._labels.append(Label(due_s, step.number, step.transaction_id, step.label, stamp_ms))

    def _wait(self, due_s: float, *, until: Callable[[], bool] = lambda: False) -> bool:
        """Serve until the moment or the condition; False: the replay is to end."""
        while not self._ending():
            now_s = self._clock()
            if now_s >= due_s or until():
                return True
            wake_s = min(due_s, self._labels[0].due_s if self._labels else math.inf)
            self._service(max(SHORTEST_WAIT_S, min(wake_s - now_s, WATCH_S)))
        return False

    def _service(self, wait_s: float) -> None:
        """Take delivery reports for up to `wait_s`, then send the labels that are due."""
        self._sender.producer.poll(wait_s)
        now_s = self._clock()
        self._next_service_s = now_s + SERVICE_S
        while self._labels and self._labels[0].due_s <= now_s and not self._sender.has_failed:
            if not self._sender.send_label(self._labels[0]):
                break
            self._labels.popleft()
        self._tell()

    def _tell(self) -> None:
        now_s = self._clock()
        if now_s >= self._next_watch_s:
            self._next_watch_s = now_s + WATCH_S
            self._watcher.progress(self.summary())

    def _ending(self) -> bool:
        return self._sender.has_failed or self._watcher.stopping()
