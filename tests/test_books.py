"""The books of the demo, and the board's figures."""

import dataclasses

import pytest
from confluent_kafka import Message

from stream_scorer.books import Books, as_tables, letter_position, quantiles, score_position, share
from stream_scorer.dead_letters import letters
from stream_scorer.model import Model
from tests.records import GOOD, record
from tests.test_scorer import make_scorer

CLOSED = Books(
    produced=5, scored=4, dead_lettered=1, lost=0, repeated=0,
    alerts=2, frauds=2, caught=1, latency_ms={"calm": [1.0, 3.0]},
)  # fmt: skip


def test_books_close_when_every_record_has_one_outcome() -> None:
    assert CLOSED.closed


@pytest.mark.parametrize(
    "changes", [{"lost": 1, "scored": 3}, {"repeated": 1}, {"scored": 5}, {"produced": 6}], ids=str
)
def test_books_do_not_close_otherwise(changes: dict[str, int]) -> None:
    assert not dataclasses.replace(CLOSED, **changes).closed  # type: ignore[arg-type]


def test_score_and_dead_letter_tell_the_place_of_their_transaction(tiny: Model) -> None:
    outcome = make_scorer(tiny, every_score=True)([record(6, GOOD), record(7, b"{")])
    score = Message(topic="s", partition=0, offset=0, value=outcome.scores[0].value)
    assert score_position(score) == "transactions/0/6"
    headers = letters.written(
        outcome.dead_letters[0], group="g", app="a", sha256="s", now_ms=1, largest=None
    ).headers
    letter = Message(topic="d", partition=0, offset=0, value=b"{", headers=headers)  # type: ignore[arg-type]
    assert letter_position(letter) == "transactions/0/7"


def test_unknown_figures_are_dashes_not_zeros() -> None:
    assert share(0, 0) == "-"
    assert quantiles([]) == quantiles([5.0]) == ("-", "-")


def test_quantiles_are_exact_on_known_values() -> None:
    assert quantiles([float(i) for i in range(101)]) == ("50 ms", "99 ms")


def test_report_holds_the_books() -> None:
    assert len(list(as_tables(CLOSED))) == 3
