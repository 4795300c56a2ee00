"""Rules of reading labelled transactions."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from models.reading import TrainingFile, read
from models.transactions import FEATURES, Sampling
from stream_scorer.errors import BadInput


def table(times: list[float], labels: list[object]) -> pd.DataFrame:
    """Return rows whose V1 is their position."""
    columns: dict[str, object] = dict.fromkeys(FEATURES, 0.5)
    columns |= {"Time": times, "V1": np.arange(len(times), dtype=float), "Class": labels}
    return pd.DataFrame(columns)


def read_csv(directory: Path, rows: pd.DataFrame, sampling: Sampling | None = None) -> TrainingFile:
    """Write `rows` as CSV and read them as training does."""
    path = directory / "creditcard.csv"
    rows.to_csv(path, index=False)
    return read(path, sampling=sampling or Sampling())


@pytest.mark.parametrize(
    ("genuine", "fraud"),
    [("0", "1"), ('"0"', "1"), ("'0'", "'1'"), (" 0 ", " 1 "), ("0.0", "1.0"), ("False", "True")],
)
def test_a_label_is_read_with_or_without_its_quotes(
    tmp_path: Path, genuine: str, fraud: str
) -> None:
    file = read_csv(tmp_path, table([1, 2], [genuine, fraud]))
    assert file.transactions.frauds.tolist() == [False, True]


def test_labels_that_csv_itself_quotes_are_read(tmp_path: Path) -> None:
    path = tmp_path / "creditcard.csv"
    header = ",".join(f'"{name}"' for name in (*FEATURES, "Class"))
    path.write_text(f'{header}\n{"0," * 30}"0"\n{"1," * 30}"1"\n')
    assert read(path, sampling=Sampling()).transactions.frauds.tolist() == [False, True]


def test_another_label_is_named_with_its_row(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"creditcard\.csv: Class is 2 in row 2; want 0 or 1"):
        read_csv(tmp_path, table([1, 2], [0, 2]))


def test_missing_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"creditcard\.csv lacks the column V3, Amount; want Time"):
        read_csv(tmp_path, table([1], [0]).drop(columns=["Amount", "V3"]))


@pytest.mark.parametrize("cell", ["", "abc", "inf"])
def test_a_cell_that_is_no_finite_number_is_named_with_its_row(tmp_path: Path, cell: str) -> None:
    rows = table([1, 2, 3], [0, 1, 0]).astype({"V7": object})
    rows.loc[1, "V7"] = cell
    with pytest.raises(BadInput, match=r"V7 is \w+ in row 2 \(of 1 such rows\); want a finite"):
        read_csv(tmp_path, rows)


def test_rows_are_put_in_order_of_time_and_rows_of_one_second_stay_in_order(tmp_path: Path) -> None:
    file = read_csv(tmp_path, table([5, 3, 5, 1], [0, 0, 1, 0]))
    assert file.transactions.features[:, 1].tolist() == [3, 1, 0, 2]
    assert file.transactions.frauds.tolist() == [False, False, False, True]
    assert file.sorted_here


def test_rows_that_repeat_an_earlier_one_count_once(tmp_path: Path) -> None:
    rows = table([1, 2, 3], [0, 1, 0])
    file = read_csv(tmp_path, pd.concat([rows, rows.iloc[[0, 2]]]))
    assert (len(file.transactions), file.repeated) == (3, 2)


def test_parquet_gives_the_rows_of_the_csv_and_other_columns_are_dropped(tmp_path: Path) -> None:
    rows = table([1, 2, 3], [0, 1, 0])
    path = tmp_path / "creditcard.parquet"
    rows.assign(derived=True).to_parquet(path)
    from_parquet, from_csv = read(path, sampling=Sampling()), read_csv(tmp_path, rows)
    assert np.array_equal(from_parquet.transactions.features, from_csv.transactions.features)
    assert np.array_equal(from_parquet.transactions.frauds, from_csv.transactions.frauds)


@pytest.mark.parametrize(
    "content", [b"", b"PAR1 and then nothing", b"\xff\xfe\x00\x01", b'a,"b\n1']
)
def test_a_file_that_is_neither_csv_nor_parquet_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.bin"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"^broken\.bin is no readable CSV or Parquet file: [^\n]+$"):
        read(path, sampling=Sampling())


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "nowhere.csv"
    with pytest.raises(BadInput, match=f"cannot read {re.escape(str(path))}: No such file"):
        read(path, sampling=Sampling())


def test_a_genuine_row_of_a_sample_stands_for_many_after_its_complete_part(tmp_path: Path) -> None:
    rows = table([1, 2, 3, 4], [0, 1, 0, 1])
    sample = read_csv(tmp_path, rows, Sampling(genuine_weight=4.9, complete_until=2))
    assert sample.transactions.weights.tolist() == [1, 1, 4.9, 1]
    whole = read_csv(tmp_path, rows, Sampling(genuine_weight=4.9))
    assert whole.transactions.weights.tolist() == [4.9, 1, 4.9, 1]
