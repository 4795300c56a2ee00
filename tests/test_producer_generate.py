"""The rules by which synthetic transactions are drawn."""

import csv
import io
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

import producer
from producer.figures import COLUMNS, FEATURES, read_figures
from producer.generate import CHUNK_ROWS, REAL_FRAUD_RATE, Floats, csv_lines, generate, main
from producer.synthetic import SyntheticRow, synthetic_event, synthetic_rows
from stream_scorer.events import Event, to_event
from stream_scorer.tables import Row

SHIPPED = Path(producer.__file__).parent / "transactions_data.csv"
AMOUNT, CLASS = COLUMNS.index("Amount"), COLUMNS.index("Class")


def draw(rows: int, *, seed: int = 3, fraud_rate: float = REAL_FRAUD_RATE) -> Floats:
    return np.concatenate(list(generate(rows, seed=seed, fraud_rate=fraud_rate)))


def test_the_same_seed_draws_the_same_bits_and_another_seed_others() -> None:
    assert draw(5000).tobytes() == draw(5000).tobytes()
    assert not np.array_equal(draw(5000), draw(5000, seed=4))


def test_a_row_is_the_same_in_a_short_stream_and_in_a_long_one() -> None:
    assert np.array_equal(draw(10), draw(3 * CHUNK_ROWS)[:10])


@pytest.mark.parametrize("rows", [1, CHUNK_ROWS - 1, CHUNK_ROWS, CHUNK_ROWS + 1])
def test_as_many_rows_come_as_were_asked_for(rows: int) -> None:
    assert draw(rows).shape == (rows, len(COLUMNS))


def test_time_never_goes_back_and_repeats_the_rhythm_of_two_days() -> None:
    time = draw(580_000)[:, 0]
    assert (np.diff(time) >= 0).all()
    assert (time == np.floor(time)).all()
    seen = np.bincount((time // 3600).astype(int))[:96]  # two spans
    expected = np.tile(read_figures().hourly, 2)
    assert np.abs(seen / expected - 1).max() < 0.15


def test_frauds_come_at_the_rate_of_the_real_data_unless_told() -> None:
    assert draw(400_000)[:, CLASS].mean() == pytest.approx(REAL_FRAUD_RATE, rel=0.15)
    assert draw(20_000, fraud_rate=0.05)[:, CLASS].mean() == pytest.approx(0.05, rel=0.15)
    assert draw(1000, fraud_rate=0.0)[:, CLASS].sum() == 0
    assert draw(1000, fraud_rate=1.0)[:, CLASS].sum() == 1000


def test_amounts_are_whole_cents_and_not_negative() -> None:
    amount = draw(50_000)[:, AMOUNT]
    assert (amount >= 0).all()
    assert np.abs(amount * 100 - np.round(amount * 100)).max() < 1e-6
    assert (amount == 1.0).mean() > 0.02


def test_frauds_differ_from_genuine_rows_as_the_real_ones_do() -> None:
    fraud, genuine = draw(5000, fraud_rate=1.0), draw(5000, fraud_rate=0.0)
    v14 = COLUMNS.index("V14")
    assert np.median(fraud[:, v14]) < -4
    assert abs(np.median(genuine[:, v14])) < 0.2


def test_all_numbers_are_finite_and_written_with_at_most_six_decimals() -> None:
    rows = draw(20_000)
    assert np.isfinite(rows).all()
    assert np.array_equal(rows, rows.round(6))


def test_no_table_of_figures_holds_more_than_101_quantiles_of_one_column() -> None:
    figures = read_figures()
    for component in (*figures.genuine, *figures.fraud):
        assert len(component.values) == len(component.mixing) == len(FEATURES)
        assert max(map(len, component.values)) <= 101
        assert all(list(row) == sorted(row) for row in component.values)


def test_the_shares_of_the_figures_are_whole() -> None:
    figures = read_figures()
    assert sum(each.share for each in figures.genuine) == pytest.approx(1)
    assert sum(each.share for each in figures.fraud) == pytest.approx(1)
    assert sum(figures.cents) == pytest.approx(1, abs=1e-3)
    assert sum(figures.hourly) == pytest.approx(284_807, rel=1e-4)


def test_the_shipped_file_is_what_the_generator_writes() -> None:
    """Within what another processor may round differently: a unit of the last decimal."""
    shipped = list(csv.reader(SHIPPED.read_text(encoding="utf-8").splitlines()))
    written = list(csv.reader(csv_lines(10_000, seed=1, fraud_rate=0.0075)))
    assert shipped[0] == written[0] == list(COLUMNS)
    theirs, ours = np.array(shipped[1:], float), np.array(written[1:], float)
    assert np.array_equal(theirs[:, [0, CLASS]], ours[:, [0, CLASS]])
    assert np.abs(theirs - ours)[:, 1:AMOUNT].max() < 2e-6
    assert np.abs(theirs - ours)[:, AMOUNT].max() < 0.02


def test_the_command_writes_csv() -> None:
    result = CliRunner().invoke(main, ["--rows", "3", "--seed", "5", "--fraud-rate", "1"])
    assert result.exit_code == 0
    lines = list(csv.DictReader(io.StringIO(result.output)))
    assert [line["Class"] for line in lines] == ["1", "1", "1"]


def test_a_synthetic_event_equals_the_one_of_the_same_row_of_a_table() -> None:
    row = next(iter(synthetic_rows(1, seed=2)))
    fast = synthetic_event(row, stem="s", suffix="-pass2")
    slow = to_event(Row(row.number, row.line, row.cells), stem="s", suffix="-pass2")
    assert isinstance(slow, Event)
    assert msgspec.json.decode(fast.value) == msgspec.json.decode(slow.value)
    assert (fast.transaction_id, fast.label) == (slow.transaction_id, slow.label)


def test_synthetic_rows_are_numbered_from_one() -> None:
    rows = list(synthetic_rows(CHUNK_ROWS + 2, seed=2))
    assert [row.number for row in rows] == list(range(1, CHUNK_ROWS + 3))
    assert isinstance(rows[0], SyntheticRow)
    assert rows[0].line == 1
