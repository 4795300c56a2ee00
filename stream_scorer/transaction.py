"""Exactly once: what is written and how far was read count together, or neither counts.

              begin                       commit: offsets sent, ended by the broker
   READY ───────────────► OPEN ─────────────────────────────────────────────────► READY
     ▲                     │  ╲ a step fails and the rest can be undone: abort ──► READY, undone
     │                     │
     │   init_transactions │ nobody knows the outcome, or the producer is done for
     └──── a new producer ◄┘                                                 (undone as well)

"Undone" means: nothing of the transaction counts that has not been confirmed, and the reader must
go back to the offsets that the broker holds. Where the outcome is not known, a new producer of the
same `transactional.id` makes the broker finish or abort what was open, before those are asked for.

If a connection breaks within a transaction, librdkafka repeats the request on a new connection and
reports success. The first copy may still arrive: a proxy or a load balancer may hold it. The broker
would count it towards the next transaction, because producer id and epoch are the same. So after
such a transaction a new producer takes over before the next one begins: its epoch is higher, and
the broker refuses the late request. Brokers with KIP-890 raise the epoch with every transaction,
but only for clients that speak it, and librdkafka 2.16 does not.
"""

import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Protocol

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from stream_scorer import clients
from stream_scorer.client_log import ClientLog
from stream_scorer.deadline import HungError, within
from stream_scorer.errors import DeliveryError, TransactionTrouble
from stream_scorer.guarantee import Commit
from stream_scorer.logs import event
from stream_scorer.records import NextOffsets, Partition

logger = logging.getLogger(__name__)

# Seconds for one step and its repetitions. librdkafka's own time-out of a request is 60.
STEP_S = 10.0
# Seconds for a new producer: it waits until the broker has ended what the last one left open.
INIT_S = 45.0
# Seconds beyond its own time-out after which a call is given up: where a broker goes away in the
# middle of it, librdkafka 2.16's send_offsets_to_transaction was seen to wait for ever.
HUNG_S = 5.0
# Seconds between repetitions of a step that may be repeated.
PAUSE_S = 0.1
# More transactions undone than this, within so many seconds and with none committed between them,
# and the process ends: whatever the cause, it does not go away by repeating. To be fenced may be a
# pause of our own that was too long, or another scorer of the same name, which does not go away.
MOST_UNDONE, MOST_FENCED, MOST_REPLACED, WITHIN_S = 5, 3, 5, 300.0
# Errors by which a producer may be told that another one took over. In the middle of a flush the
# client may only say that it is done for (see `clients.error_of`).
TAKEN_OVER = {
    KafkaError._FENCED,  # noqa: SLF001 - librdkafka's own names
    KafkaError._FATAL,  # noqa: SLF001
    KafkaError.INVALID_PRODUCER_EPOCH,
}
NO_NOTES: Mapping[Partition, str] = {}


class Group(Protocol):
    """Who reads, for the broker to fence a reader that is no longer in its group."""

    def membership(self) -> object | None:
        """Return the live group metadata, None if we are no member now."""
        ...


class State(Enum):
    """Where a transaction stands."""

    READY = "none open"
    OPEN = "open"


class Step(Enum):
    """What came of one call."""

    DONE = "done"
    ABORT = "to be undone by an abort"
    UNKNOWN = "unknown, or the producer is done for"


class ExactlyOnce:
    """One transaction after another on one `transactional.id`; a new producer where it must be."""

    hidden_until_commit = True

    def __init__(  # noqa: PLR0913 - the last three are what a test replaces
        self,
        producer: Producer,
        make: Callable[[], Producer],
        group: Group,
        client_log: ClientLog,
        *,
        note: str = "",
        most_fenced: int = MOST_FENCED,
        if_fenced: str = "give each scorer a SCORER_REPLICA of its own",
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        within: Callable[[Callable[[], object], float], object] = within,
    ) -> None:
        """Begin with `producer`; later ones are made by `make`. Raises TransactionTrouble.

        All of them write to `client_log`, which counts their connections that break.
        `note` is kept with every offset that is committed without one of its own.
        Another producer of the same `transactional.id` is answered by a new one `most_fenced`
        times; then the process ends, and `if_fenced` says what a person can do.
        """
        self._make = make
        self._group = group
        self._client_log = client_log
        self._note = note
        self._if_fenced = if_fenced
        self._clock = clock
        self._sleep = sleep
        self._within = within
        self._undone: deque[float] = deque(maxlen=MOST_UNDONE + 1)  # when; since the last commit
        self._fenced: deque[float] = deque(maxlen=most_fenced + 1)  # when
        self._replaced: deque[float] = deque(maxlen=MOST_REPLACED + 1)  # when, to undo something
        self._taken_over: deque[bool] = deque(maxlen=MOST_REPLACED + 1)  # whether that may be why
        self._late = False  # a request of the last transaction may still arrive
        self._why = ""
        self._error = 0  # librdkafka's code of the last error
        self._producer = producer
        self._state = State.READY
        self._init()

    def begin(self) -> Producer:
        """Return the producer with a transaction open.

        Raises DeliveryError if none can be opened, TransactionTrouble if no new producer can begin.
        """
        if self._state is State.READY:
            self._refuse_late_requests()
            if self._step(self._producer.begin_transaction) is not Step.DONE:
                raise DeliveryError(f"no transaction can begin: {self._why}")
            self._state = State.OPEN
        return self._producer

    def commit(self, offsets: NextOffsets, notes: Mapping[Partition, str] = NO_NOTES) -> Commit:
        """End the open transaction with these offsets in it; tell whether it counts.

        `notes` are kept with the offsets, instead of the one that is common to all.
        """
        places = [
            TopicPartition(*partition, offset, notes.get(partition, self._note))
            for partition, offset in offsets.items()
        ]
        self.begin()  # offsets of records that led to nothing are committed, too
        member = self._group.membership()
        if member is None:
            self._why, self._error = "this scorer is no member of its group now", 0
            return self._undo(Step.ABORT)
        sent = self._step(
            lambda: self._producer.send_offsets_to_transaction(places, member, STEP_S)
        )
        if sent is not Step.DONE:
            return self._undo(sent)
        ended = self._step(lambda: self._producer.commit_transaction(STEP_S))
        if ended is not Step.DONE:
            return self._undo(ended)
        self._ended()
        self._undone.clear()
        return Commit.DONE

    def anchor(self, offsets: NextOffsets) -> bool:
        """Commit where partitions begin, in a transaction of their own; False: try again later.

        A commit by the consumer could arrive late and set the group back.
        """
        if self._state is State.OPEN or self._group.membership() is None:
            return False
        return self.commit(offsets) is Commit.DONE

    def undo(self, *, failed: Exception | None) -> bool:
        """Take back what is open, if anything is; tell whether the reader must go back.

        Where something could not be written the producer is replaced: after time-outs of its
        deliveries librdkafka 2.16 was seen to wait for ever in the next transaction.
        """
        if self._state is State.READY:
            return False
        self._error = 0
        if failed and isinstance(failed.__cause__, KafkaException | SystemError):
            self._error = clients.error_of(failed.__cause__).code()
        self._why = str(failed) if failed else "its partitions were lost"
        self._undo(Step.UNKNOWN if failed else Step.ABORT)
        return True

    def _undo(self, step: Step) -> Commit:
        """Abort what is open, or throw the producer away where that is not enough."""
        self._undone.append(self._clock())
        if too_many(self._undone):
            raise TransactionTrouble(
                f"{len(self._undone)} transactions in a row were undone; the last one: {self._why}"
            )
        about = event("transaction_undone", why=self._why)
        logger.warning(
            "Transaction undone, its records will be read again: %s", self._why, extra=about
        )
        if step is Step.ABORT:
            step = self._step(lambda: self._producer.abort_transaction(STEP_S))
        if step is Step.DONE:
            self._ended()
        else:
            self._count_replaced()
            self._replace(self._why)
        return Commit.UNDONE

    def _ended(self) -> None:
        """Note that a transaction has ended, and whether a request of it may still arrive."""
        self._state = State.READY
        self._serve_log()
        self._late |= self._client_log.broken > 0

    def _refuse_late_requests(self) -> None:
        """Replace the producer if a request of the last transaction may arrive in the next one."""
        if self._late:
            self._replace("a connection broke, so a request may arrive late")
        self._serve_log()
        self._client_log.broken = 0  # between transactions nothing is under way that counts

    def _serve_log(self) -> None:
        """Let the client hand over its log: a connection is there before its requests' answers."""
        with contextlib.suppress(KafkaException, SystemError):  # done for: the next step fails
            self._producer.poll(0)

    def _count_replaced(self) -> None:
        """Count a producer that is replaced for an error; raise TransactionTrouble at too many."""
        now = self._clock()
        self._replaced.append(now)
        self._taken_over.append(self._error in TAKEN_OVER)
        if self._error == KafkaError._FENCED:  # noqa: SLF001 - librdkafka's name
            self._fenced.append(now)
        if too_many(self._fenced):
            raise TransactionTrouble(
                f"another producer took over the transactional.id ({len(self._fenced)} x): "
                f"{self._if_fenced}"
            )
        if too_many(self._replaced):
            hint = (
                f"if another producer took over, {self._if_fenced}"
                if any(self._taken_over)
                else "look at the brokers and at the network between them and this scorer"
            )
            raise TransactionTrouble(
                f"{len(self._replaced)} producers were replaced within {WITHIN_S:.0f} s, the last "
                f"one because of this: {self._why}; {hint}"
            )

    def _replace(self, why: str) -> None:
        """Make a producer that the broker takes for the only one of its `transactional.id`."""
        logger.warning(
            "A new producer takes over: %s", why, extra=event("producer_replaced", why=why)
        )
        self._producer = self._make()
        self._init()
        self._state = State.READY
        self._late = False

    def _init(self) -> None:
        """Let the broker end what an earlier producer of this name left open."""
        if self._step(lambda: self._producer.init_transactions(STEP_S), INIT_S) is not Step.DONE:
            raise TransactionTrouble(f"the transactional producer cannot begin: {self._why}")

    def _step(self, call: Callable[[], object], budget_s: float = STEP_S) -> Step:
        """Make a call, again while that may help, with the same arguments; tell what came of it."""
        deadline = self._clock() + budget_s
        while True:
            try:
                self._within(call, budget_s + HUNG_S)
            except HungError:
                self._why, self._error = "a call of the client never returned", 0
                return Step.UNKNOWN
            except (KafkaException, SystemError) as exc:
                error = clients.error_of(exc)
                self._why, self._error = f"{error.name()}: {error.str()}", error.code()
                if error.fatal() or not (error.retriable() or error.txn_requires_abort()):
                    return Step.UNKNOWN
                if error.txn_requires_abort():
                    return Step.ABORT
                if self._clock() >= deadline:
                    return Step.UNKNOWN
                self._sleep(PAUSE_S)
            else:
                return Step.DONE


def too_many(times: deque[float]) -> bool:
    """Tell whether a full list of times, in seconds, lies within WITHIN_S."""
    return len(times) == times.maxlen and times[-1] - times[0] <= WITHIN_S
