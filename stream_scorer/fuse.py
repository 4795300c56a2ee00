"""Stops before a wrong deployment, or a wrong producer, drains the topic into the dead letters."""

from collections import deque
from collections.abc import Sequence

from stream_scorer.errors import TooManyDeadLetters
from stream_scorer.records import DeadLetter, Outcome, Record

# Records over which the share of dead letters is taken, and how many there must be to judge.
WINDOW, FEWEST = 10_000, 1_000


class Fuse:
    """Counts dead letters in a row and their share; blows before what would be too many."""

    def __init__(self, *, in_a_row: int, ratio: float) -> None:
        """Allow so many in a row (0: any number), and this share of the last 10,000 records."""
        self._most_in_a_row = in_a_row
        self._ratio = ratio
        self._in_a_row = 0
        self._batches: deque[tuple[int, int]] = deque()  # records, dead letters
        self._records = self._dead = 0

    def check(self, records: Sequence[Record], outcome: Outcome) -> None:
        """Take note of a batch before it is written; raise TooManyDeadLetters if it must not be."""
        self._count(len(records), len(outcome.dead_letters))
        if not outcome.dead_letters:
            self._in_a_row = 0
            return
        longest, self._in_a_row = runs(records, outcome.dead_letters, self._in_a_row)
        if self._most_in_a_row and longest > self._most_in_a_row:
            raise TooManyDeadLetters(
                f"{longest} records in a row cannot be scored, {last(outcome)}; "
                f"SCORER_DEAD_LETTERS_IN_A_ROW allows {self._most_in_a_row}"
            )
        if self._records >= FEWEST and self._dead > self._ratio * self._records:
            raise TooManyDeadLetters(
                f"{self._dead} of the last {self._records} records cannot be scored, "
                f"{last(outcome)}; SCORER_DEAD_LETTERS_RATIO allows {self._ratio:g} of them"
            )

    def reset(self) -> None:
        """Forget what was counted: it was taken back and comes again."""
        self._in_a_row = self._records = self._dead = 0
        self._batches.clear()

    def _count(self, records: int, dead: int) -> None:
        """Move the window on."""
        self._batches.append((records, dead))
        self._records += records
        self._dead += dead
        while self._records - self._batches[0][0] >= WINDOW:
            gone, gone_dead = self._batches.popleft()
            self._records -= gone
            self._dead -= gone_dead


def runs(
    records: Sequence[Record], dead_letters: Sequence[DeadLetter], before: int
) -> tuple[int, int]:
    """Return the longest run of dead letters in a batch and the one at its end.

    `before` is the length of the run that the batch before ended with.
    """
    dead = {id(letter.record) for letter in dead_letters}
    longest, run = 0, before
    for record in records:
        run = run + 1 if id(record) in dead else 0
        longest = max(longest, run)
    return longest, run


def last(outcome: Outcome) -> str:
    """Say what the last dead letter was; coordinates and code, never the payload."""
    letter = outcome.dead_letters[-1]
    record, reject = letter.record, letter.reject
    place = f"{record.topic()}[{record.partition()}]@{record.offset()}"
    return f"the last is {place}: {reject.code}, {reject.reason}"
