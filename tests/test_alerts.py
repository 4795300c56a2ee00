"""What `alerts` shows of an alert that somebody else has written the id of."""

import pytest

from stream_scorer.alerts import as_table, cells
from stream_scorer.model import Model
from stream_scorer.scorer import Scorer
from tests.records import event, record
from tests.test_scorer import make_scorer


@pytest.fixture
def scorer(tiny: Model) -> Scorer:
    return make_scorer(tiny)


@pytest.mark.parametrize("identity", ["[/x]", "[bold]b", "\x1b[31mRED\x07\nNL", "a\r\nb"])
def test_an_id_from_outside_neither_breaks_the_table_nor_steers_the_terminal(
    scorer: Scorer, identity: str
) -> None:
    (alert,) = scorer([record(0, event(V1=3.0, transaction_id=identity))]).alerts
    message = record(0, alert.value)
    shown = cells(message)[2]
    assert shown.isprintable()
    assert len(shown) == len(identity)
    assert as_table([message]).row_count == 1


@pytest.mark.parametrize("value", [None, b"{", b"[]", b'{"source": 5}', b"\xff"])
def test_record_that_is_no_alert_is_named_and_the_others_are_shown(
    scorer: Scorer, value: bytes | None
) -> None:
    (alert,) = scorer([record(0, event(V1=3.0))]).alerts
    shown = cells(record(7, value))
    assert shown[3:] == ("this record is no alert", "transactions/0/7")
    assert as_table([record(7, value), record(8, alert.value)]).row_count == 2
