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
